"""Reviews: questions about the caller and about what one may do (authentication.k8s.io, authorization.k8s.io)."""

from __future__ import annotations

from typing import Any

from motet.api.http.authorize import Attributes, Authorizer
from motet.api.http.bearer import Tokens
from motet.api.http.discovery import Review
from motet.api.users import User
from motet.base.errors import BadRequest
from motet.identity.signing import BadSignature
from motet.kinds.kind import Json


def answer(review: Review, document: Json, user: User, authorizer: Authorizer, tokens: Tokens | None) -> Json:
    """The review with its `status` filled in. Raises BadRequest."""
    if document.get("kind") not in (None, "", review.kind):
        raise BadRequest(f"the body is a {document['kind']}; {review.plural} takes a {review.kind}")
    spec = document.get("spec") or {}
    if not isinstance(spec, dict):
        raise BadRequest("spec: Invalid value: expected an object")
    match review.kind:
        case "TokenReview":
            status: Json = _token(spec, tokens)
        case "SelfSubjectReview":
            status = {"userInfo": _user_info(user)}
        case "SelfSubjectAccessReview":
            status = _access(spec, user, authorizer)
        case "SubjectAccessReview":
            other = User(str(spec.get("user") or ""), tuple(map(str, spec.get("groups") or ())))
            status = _access(spec, other, authorizer)
        case _:
            resources, paths = authorizer.rules(user, str(spec.get("namespace") or ""))
            status = {"resourceRules": list(resources), "nonResourceRules": list(paths), "incomplete": False}
    return {
        "kind": review.kind,
        "apiVersion": f"{review.group}/{review.version}",
        "metadata": {"creationTimestamp": None},
        **({"spec": spec} if review.kind != "SelfSubjectReview" else {}),
        "status": status,
    }


def _token(spec: Json, tokens: Tokens | None) -> Json:
    """Whose token it is. A token that is worth nothing is an answer too, and not an error."""
    text, audiences = spec.get("token"), spec.get("audiences") or ()
    if not isinstance(text, str) or not text:
        raise BadRequest("token is required for TokenReview in authentication")
    if not isinstance(audiences, list | tuple) or not all(isinstance(each, str) for each in audiences):
        raise BadRequest("spec.audiences: Invalid value: expected a list of strings")
    if tokens is None:
        return {"user": {}, "error": "this server knows no tokens"}
    try:
        found = tokens.review(text, audiences)
    except BadSignature as error:
        return {"user": {}, "error": f"invalid bearer token: {error}"}
    return {"authenticated": True, "user": _user_info(found.user), "audiences": list(found.audiences)}


def _user_info(user: User) -> Json:
    info: Json = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _access(spec: Json, user: User, authorizer: Authorizer) -> Json:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(resource) == bool(path):
        raise BadRequest("spec: exactly one of resourceAttributes and nonResourceAttributes must be given")
    decision = authorizer.decide(user, _attributes(resource or {}, path or {}))
    return {"allowed": decision.allowed, **({"reason": decision.reason} if decision.reason else {})}


def _attributes(resource: Any, path: Any) -> Attributes:
    if path:
        return Attributes(str(path.get("verb", "")), path=str(path.get("path", "")))
    asked = {key: str(resource.get(key) or "") for key in ("group", "resource", "subresource", "namespace", "name")}
    return Attributes(
        str(resource.get("verb", "")),
        group=asked["group"],
        resource=asked["resource"],
        subresource=asked["subresource"],
        namespace=asked["namespace"],
        name=asked["name"],
    )
