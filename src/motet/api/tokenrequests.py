"""Service-account tokens on request: what stands behind `serviceaccounts/token` (Kubernetes TokenRequest).

A token may be bound to a pod that runs as the account, to a secret of its namespace, or to a node; it ends with what it is
bound to. A node gets tokens only for pods that are bound to it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import msgspec

from motet.api import intake
from motet.api.admission import Lookup
from motet.api.options import RequestOptions
from motet.api.pipeline import refuse
from motet.api.users import NODE_PREFIX, NODES, User
from motet.base.clock import Clock
from motet.base.errors import BadRequest, Conflict, Forbidden, conflict, not_found
from motet.base.timestamps import format_time
from motet.identity import accounts
from motet.identity.accounts import Binding, Ref
from motet.identity.signing import KeyRing
from motet.kinds import serviceaccount, tokenrequest
from motet.kinds.kind import Json
from motet.store.document import Document


class _PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_name: str = ""
    service_account_name: str = ""


class PodAccount(msgspec.Struct, gc=False, frozen=True):
    """As whom a pod runs, and where."""

    spec: _PodSpec = _PodSpec()


class TokenRequests:
    """Answers requests for tokens. `issuer` is also the audience of tokens that name none: the API server itself."""

    def __init__(self, lookup: Lookup, ring: Callable[[], KeyRing], issuer: str, clock: Clock) -> None:
        self._lookup = lookup
        self._ring = ring
        self._issuer = issuer
        self._clock = clock

    async def create(self, account: Document, body: Json, user: User, options: RequestOptions) -> Json:
        """The request with its `status`. Raises BadRequest, Conflict, Forbidden, Invalid, NotFound."""
        kind = tokenrequest.KIND
        if body.get("apiVersion") not in (None, "", kind.api_version):
            raise BadRequest(f"a token is asked for with a {kind.kind} of {kind.api_version}, not {body['apiVersion']}")
        document = intake.receive(kind, {**body, "apiVersion": kind.api_version, "kind": kind.kind}, options)
        document.setdefault("metadata", {})
        tokenrequest.default(document)
        refuse(kind, document, tokenrequest.validate(document, None))
        spec = document["spec"]
        _same_account(account, document["metadata"])
        binding = self._binding(account, spec.get("boundObjectRef"), user)
        audiences = spec["audiences"] = spec.get("audiences") or [self._issuer]
        now = self._clock.now()
        seconds = spec["expirationSeconds"]
        token = accounts.issue(
            self._ring(), self._issuer, binding, audiences, now=int(now.timestamp()), seconds=seconds
        )
        return {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "metadata": {
                "name": account.name,
                "namespace": account.namespace,
                "creationTimestamp": format_time(now),
            },
            "spec": spec,
            "status": {"token": token, "expirationTimestamp": format_time(now + timedelta(seconds=seconds))},
        }

    def _binding(self, account: Document, ref: Json | None, user: User) -> Binding:
        node = user.name.removeprefix(NODE_PREFIX) if NODES in user.groups else ""
        bound = Binding(account.namespace, Ref(account.name, account.meta.uid))
        asked = (ref or {}).get("kind") or ""
        if node and asked != "Pod":
            raise Forbidden(f'node "{node}" may ask for tokens only for its pods: the token is not bound to a pod')
        if ref is None:
            return bound
        match (ref.get("apiVersion") or "v1", asked):
            case ("v1", "Pod"):
                return self._to_pod(bound, ref, node)
            case ("v1", "Secret"):
                found = self._found("core/secrets", account.namespace, ref)
                return msgspec.structs.replace(bound, secret=Ref(found.name, found.meta.uid))
            case ("v1", "Node"):
                found = self._found("core/nodes", "", ref)
                return msgspec.structs.replace(bound, node=Ref(found.name, found.meta.uid))
        raise BadRequest(f"cannot bind token for serviceaccount {account.name!r} to object of type {asked!r}")

    def _to_pod(self, bound: Binding, ref: Json, node: str) -> Binding:
        if node and not ref.get("uid"):
            raise Forbidden(f'node "{node}" asked for a token bound to a pod without saying its uid')
        pod = self._found("core/pods", bound.namespace, ref)
        spec = pod.view(PodAccount).spec
        if node and spec.node_name != node:
            raise Forbidden(f'pod "{pod.name}" does not run on node "{node}"')
        if spec.service_account_name != bound.serviceaccount.name:
            raise BadRequest(
                f"cannot bind token for serviceaccount {bound.serviceaccount.name!r} to pod running with different "
                "serviceaccount name."
            )
        where = self._lookup("core/nodes").get(spec.node_name) if spec.node_name else None
        place = Ref(where.name, where.meta.uid) if where is not None else None
        return msgspec.structs.replace(bound, pod=Ref(pod.name, pod.meta.uid), node=place)

    def _found(self, resource: str, namespace: str, ref: Json) -> Document:
        name, uid = str(ref.get("name") or ""), str(ref.get("uid") or "")
        found = self._lookup(resource).get(name, namespace)
        plural = resource.partition("/")[2]
        if found is None:
            raise not_found("", plural, name)
        if uid and uid != found.meta.uid:
            raise _other(
                plural, name, f"the UID in the bound object reference ({uid}) does not match the UID in record"
            )
        return found


def _same_account(account: Document, metadata: Json) -> None:
    """What the body says of the account, if anything, has to be so."""
    for field, own in (("name", account.name), ("namespace", account.namespace)):
        if metadata.get(field) not in (None, "", own):
            raise BadRequest(
                f"the {field} of the token request ({metadata[field]}) does not match that of the URL ({own})"
            )
    uid = metadata.get("uid")
    if uid not in (None, "", account.meta.uid):
        raise _other(serviceaccount.KIND.plural, account.name, f"the UID asked for is {uid}, not that in record")


def _other(plural: str, name: str, why: str) -> Conflict:
    return conflict("", plural, name, f"{why}. The object might have been deleted and then recreated")
