"""Reviews: questions about the caller, about tokens, and about what one may do (authentication.k8s.io, authorization.k8s.io).

They are answered by what answers real requests, so that they say what would happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from motet.api import intake
from motet.api.attributes import Attributes
from motet.api.http.authorize import Authorizer
from motet.api.http.bearer import Tokens
from motet.api.http.discovery import Review
from motet.api.options import RequestOptions
from motet.api.users import User
from motet.base import selectors
from motet.base.errors import BadRequest, FieldError, invalid, invalid_object, required
from motet.base.selectors import EVERYTHING, FieldSelector, FieldTerm, Selector
from motet.identity.signing import BadSignature
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import table


class _Requirement(msgspec.Struct, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class _Narrowed(msgspec.Struct, frozen=True, rename="camel"):
    raw_selector: str = ""
    requirements: tuple[_Requirement, ...] = ()


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    verb: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: _Narrowed | None = None
    label_selector: _Narrowed | None = None


class _Path(msgspec.Struct, frozen=True):
    verb: str = ""
    path: str = ""


class _Access(msgspec.Struct, frozen=True, rename="camel"):
    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = {}
    resource_attributes: _Resource | None = None
    non_resource_attributes: _Path | None = None


def answer(
    review: Review,
    document: Json,
    namespace: str,
    user: User,
    options: RequestOptions,
    authorizer: Authorizer,
    tokens: Tokens | None,
) -> Json:
    """The review with its `status` filled in. `namespace` is that of the path. Raises BadRequest, Invalid."""
    if document.get("kind") not in (None, "", review.kind):
        raise BadRequest(f"the body is a {document['kind']}; {review.plural} takes a {review.kind}")
    kind = _kind(review)
    document = intake.receive(kind, {**document, "apiVersion": kind.api_version, "kind": kind.kind}, options)
    spec = document.get("spec") or {}
    match review.kind:
        case "TokenReview":
            status: Json = _token(spec, tokens)
        case "SelfSubjectReview":
            status = {"userInfo": user_info(user)}
        case "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise BadRequest("no namespace on request")
            resources, paths = authorizer.rules(user, spec["namespace"])
            status = {"resourceRules": list(resources), "nonResourceRules": list(paths), "incomplete": False}
        case _:
            status = _access(review, document, namespace, user, authorizer)
    return {
        "kind": review.kind,
        "apiVersion": kind.api_version,
        "metadata": {"creationTimestamp": None, **({"namespace": namespace} if namespace else {})},
        **({"spec": spec} if review.kind != "SelfSubjectReview" else {}),
        "status": status,
    }


@lru_cache
def _kind(review: Review) -> Kind:
    schema = f"io.k8s.api.{review.group.partition('.')[0]}.{review.version}.{review.kind}"
    return Kind(
        group=review.group,
        version=review.version,
        kind=review.kind,
        plural=review.plural,
        schema=schema if schema in table.shipped() else "",
    )


def user_info(user: User) -> Json:
    """`authentication/v1 UserInfo`."""
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _token(spec: Json, tokens: Tokens | None) -> Json:
    """Whose token it is. A token that is worth nothing is an answer too, and not an error."""
    if not spec.get("token"):
        raise BadRequest("token is required for TokenReview in authentication")
    if tokens is None:
        return {"user": {}, "error": "this server knows no tokens"}
    try:
        found = tokens.review(spec["token"], spec.get("audiences") or ())
    except BadSignature as error:
        return {"user": {}, "error": f"invalid bearer token: {error}"}
    return {"authenticated": True, "user": user_info(found.user), "audiences": list(found.audiences)}


def _access(review: Review, document: Json, namespace: str, user: User, authorizer: Authorizer) -> Json:
    spec = msgspec.convert(document.get("spec") or {}, _Access)
    errors = _problems(review, spec, document, namespace)
    if errors:
        raise invalid_object(review.group, review.kind, "", errors)
    if review.kind != "SelfSubjectAccessReview":
        user = User(spec.user, spec.groups, spec.uid, spec.extra)
    try:
        asked = _attributes(spec)
    except ValueError as error:
        return {"allowed": False, "evaluationError": str(error)}
    decision = authorizer.decide(user, asked)
    return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}


def _problems(review: Review, spec: _Access, document: Json, namespace: str) -> list[FieldError]:
    resource, path = spec.resource_attributes, spec.non_resource_attributes
    errors = []
    if resource is not None and path is not None:
        detail = "cannot be specified in combination with resourceAttributes"
        errors.append(invalid("spec.nonResourceAttributes", msgspec.to_builtins(path), detail))
    elif resource is None and path is None:
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        errors.append(invalid("spec.resourceAttributes", None, detail))
    if review.kind != "SelfSubjectAccessReview" and not spec.user and not spec.groups:
        errors.append(invalid("spec.user", spec.user, "at least one of user or group must be specified"))
    if review.kind == "LocalSubjectAccessReview":
        if path is not None:
            errors.append(
                invalid("spec.nonResourceAttributes", msgspec.to_builtins(path), "disallowed on this kind of request")
            )
        if resource is not None and resource.namespace != namespace:
            errors.append(
                invalid("spec.resourceAttributes.namespace", resource.namespace, "must match metadata.namespace")
            )
        if not namespace:
            errors.append(required("metadata.namespace"))
    return errors


def _attributes(spec: _Access) -> Attributes:
    """Raises ValueError for selectors that cannot be read."""
    if spec.non_resource_attributes is not None:
        return Attributes(spec.non_resource_attributes.verb, path=spec.non_resource_attributes.path)
    asked = spec.resource_attributes or _Resource()
    return Attributes(
        asked.verb,
        group=asked.group,
        resource=asked.resource,
        subresource=asked.subresource,
        namespace=asked.namespace,
        name=asked.name,
        fields=_fields(asked.field_selector),
        labels=_labels(asked.label_selector),
    )


def _fields(narrowed: _Narrowed | None) -> FieldSelector:
    if narrowed is None:
        return FieldSelector()
    if narrowed.raw_selector:
        return selectors.parse_fields(narrowed.raw_selector)
    terms = [
        FieldTerm(each.key, each.values[0], each.operator == "NotIn")
        for each in narrowed.requirements
        if each.operator in ("In", "NotIn") and len(each.values) == 1
    ]
    return FieldSelector(tuple(terms))


def _labels(narrowed: _Narrowed | None) -> Selector:
    if narrowed is None:
        return EVERYTHING
    if narrowed.raw_selector:
        return selectors.parse(narrowed.raw_selector)
    expressions: list[dict[str, Any]] = [msgspec.to_builtins(each) for each in narrowed.requirements]
    return selectors.from_document({"matchExpressions": expressions})
