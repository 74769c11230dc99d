"""The one tree of errors a caller of the API can meet.

An `ApiError` carries what `metav1.Status` needs (Kubernetes API conventions, "Response Status Kind"); the HTTP edge
renders it and the HTTPS client parses it back into the same class, so in-process and remote callers catch alike.
`CallerError` subclasses mean the request was wrong; `ServerError` subclasses mean we are.
Third-party exceptions are converted at one edge of the room that uses the library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class MotetError(Exception):
    """Root of everything Motet raises on purpose."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One complaint about one field, in upstream's words.

    `type` is one of FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueForbidden,
    FieldValueDuplicate, FieldValueNotFound, FieldValueTooLong, FieldValueTooMany, FieldValueTypeInvalid, InternalError.
    """

    path: str
    type: str
    value: Any = None
    detail: str = ""

    def message(self) -> str:
        """`spec.replicas: Invalid value: -1: must be greater than or equal to 0`."""
        return f"{self.path}: {self.message_without_path()}"

    def message_without_path(self) -> str:
        label = _FIELD_ERROR_LABELS[self.type]
        if self.type in (
            "FieldValueRequired",
            "FieldValueForbidden",
            "FieldValueTooLong",
            "FieldValueTooMany",
            "InternalError",
        ):
            return f"{label}: {self.detail}" if self.detail else label
        body = f"{label}: {_show(self.value)}"
        return f"{body}: {self.detail}" if self.detail else body


_FIELD_ERROR_LABELS = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
    "InternalError": "Internal error",
}


def _show(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def required(path: str, detail: str = "") -> FieldError:
    return FieldError(path, "FieldValueRequired", detail=detail)


def invalid(path: str, value: Any, detail: str) -> FieldError:
    return FieldError(path, "FieldValueInvalid", value, detail)


def unsupported(path: str, value: Any, supported: Iterable[str]) -> FieldError:
    listed = ", ".join(f'"{item}"' for item in sorted(supported))
    return FieldError(path, "FieldValueNotSupported", value, f"supported values: {listed}")


def forbidden(path: str, detail: str) -> FieldError:
    return FieldError(path, "FieldValueForbidden", detail=detail)


def duplicate(path: str, value: Any) -> FieldError:
    return FieldError(path, "FieldValueDuplicate", value)


class ApiError(MotetError):
    """An answer other than success, as `metav1.Status` describes it."""

    code = 500
    reason = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = dict(details or {})
        if code is not None:
            self.code = code
        if reason is not None:
            self.reason = reason

    def status(self) -> dict[str, Any]:
        """The `metav1.Status` document of this error."""
        document: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        }
        # Clients look into the details of a 404 to tell a missing object from a missing subresource.
        if self.details or self.code == 404:
            document["details"] = self.details
        document["code"] = self.code
        return document


class CallerError(ApiError):
    """The request was wrong; sending it again unchanged will not help."""

    code = 400
    reason = "BadRequest"


class ServerError(ApiError):
    """We failed; the same request may succeed later."""


class BadRequest(CallerError):
    pass


class Unauthorized(CallerError):
    code = 401
    reason = "Unauthorized"


# The reason given to a node that was removed: it has to stop, not to try again.
NOT_A_MEMBER = "NotAMember"
# And to one whose Motet is too old or too new for the manager's: no trying again helps either.
VERSION_SKEW = "VersionSkew"


class Forbidden(CallerError):
    code = 403
    reason = "Forbidden"


# The cause given when something is to be made in a namespace that is being deleted (NamespaceLifecycle).
NAMESPACE_TERMINATING = "NamespaceTerminating"


def namespace_terminates(error: BaseException | None) -> bool:
    """Whether that is why: nothing to complain of, as whoever asks is about to be deleted too."""
    if not isinstance(error, Forbidden):
        return False
    causes = error.details.get("causes")
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("reason") == NAMESPACE_TERMINATING for cause in causes
    )


class NotFound(CallerError):
    code = 404
    reason = "NotFound"


class MethodNotAllowed(CallerError):
    code = 405
    reason = "MethodNotAllowed"


class NotAcceptable(CallerError):
    code = 406
    reason = "NotAcceptable"


class AlreadyExists(CallerError):
    code = 409
    reason = "AlreadyExists"


class Conflict(CallerError):
    """The object changed since it was read, or a precondition did not hold."""

    code = 409
    reason = "Conflict"


class Expired(CallerError):
    """The revision asked for is no longer kept: list again (410)."""

    code = 410
    reason = "Expired"


class RequestEntityTooLarge(CallerError):
    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(CallerError):
    code = 415
    reason = "UnsupportedMediaType"


class Invalid(CallerError):
    """The document breaks its schema or a rule of its kind."""

    code = 422
    reason = "Invalid"


class TooManyRequests(CallerError):
    code = 429
    reason = "TooManyRequests"


class InternalError(ServerError):
    pass


class Unavailable(ServerError):
    code = 503
    reason = "ServiceUnavailable"


class TimedOut(ServerError):
    code = 504
    reason = "Timeout"


def qualified(group: str, resource: str) -> str:
    """`deployments.apps`, or plain `pods` for the core group: how messages name a resource."""
    return f"{resource}.{group}" if group else resource


def not_found(group: str, resource: str, name: str) -> NotFound:
    return NotFound(f'{qualified(group, resource)} "{name}" not found', details=_details(group, resource, name))


def already_exists(group: str, resource: str, name: str) -> AlreadyExists:
    return AlreadyExists(
        f'{qualified(group, resource)} "{name}" already exists', details=_details(group, resource, name)
    )


def conflict(group: str, resource: str, name: str, why: str = "") -> Conflict:
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    return Conflict(
        f'Operation cannot be fulfilled on {qualified(group, resource)} "{name}": {why}',
        details=_details(group, resource, name),
    )


def invalid_object(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> Invalid:
    """422 with every complaint listed, in upstream's shape."""
    shown = f"{kind}.{group}" if group else kind
    listed = [error.message() for error in errors]
    text = listed[0] if len(listed) == 1 else "[" + ", ".join(listed) + "]"
    details: dict[str, Any] = _details(group, kind, name)
    details["causes"] = [
        {"reason": error.type, "message": error.message_without_path(), "field": error.path} for error in errors
    ]
    return Invalid(f'{shown} "{name}" is invalid: {text}', details=details)


def _details(group: str, resource: str, name: str) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = resource
    return details


def from_status(document: Mapping[str, Any]) -> ApiError:
    """Turn a received `metav1.Status` back into the error that made it."""
    code = int(document.get("code", 500))
    reason = str(document.get("reason", ""))
    error = _BY_REASON.get(reason) or _BY_CODE.get(code) or (CallerError if 400 <= code < 500 else ServerError)
    return error(str(document.get("message", "")), details=document.get("details"), code=code, reason=reason or None)


_ALL: tuple[type[ApiError], ...] = (
    BadRequest, Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, AlreadyExists, Conflict, Expired,
    RequestEntityTooLarge, UnsupportedMediaType, Invalid, TooManyRequests, InternalError, Unavailable, TimedOut,
)  # fmt: skip
_BY_REASON: dict[str, type[ApiError]] = {cls.reason: cls for cls in _ALL}
_BY_CODE: dict[int, type[ApiError]] = {cls.code: cls for cls in reversed(_ALL)}
