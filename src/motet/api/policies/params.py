"""The objects that parameterize a policy."""

from __future__ import annotations

from collections.abc import Sequence

from motet.api import projecting
from motet.api.admission import Request
from motet.api.policies.policies import Binding, Policy, Reference
from motet.base.errors import MotetError
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.store.document import Document


class Misconfigured(MotetError):
    """A binding's parameters cannot be looked up, or have to be there and are not."""


async def find(policy: Policy, binding: Binding, request: Request, catalogue: Catalogue) -> list[Json | None]:
    """With which parameters a policy is to be evaluated, once with each; None for without any. Raises Misconfigured."""
    reference = binding.params
    if not policy.params[1] or reference is None:
        return [None]
    kind = catalogue.by_kind(*policy.params)
    if kind is None:
        raise Misconfigured(f"paramKind kind `{policy.params[0]}, Kind={policy.params[1]}` not known")
    found = [await projecting.shown(kind, document) for document in _documents(kind, reference, request)]
    if not found and reference.needed:
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return [document.decode() for document in found]


def _documents(kind: Kind, reference: Reference, request: Request) -> Sequence[Document]:
    namespace = _namespace(kind, reference, request)
    table = request.lookup(projecting.stored_kind(kind).resource)
    if not reference.name:
        return table.select(namespace, labels=reference.selector)
    document = table.get(reference.name, namespace)
    return [] if document is None else [document]


def _namespace(kind: Kind, reference: Reference, request: Request) -> str:
    if not kind.namespaced:
        if reference.namespace:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        return ""
    namespace = reference.namespace or request.namespace
    if not namespace:
        raise Misconfigured("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
    return namespace
