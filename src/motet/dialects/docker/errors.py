"""Errors in Docker's shape: `{"message": ...}` and a status code (Engine API, "Errors")."""

from __future__ import annotations

from motet.base.errors import ApiError, MotetError

# Where Docker answers with another code than Kubernetes does.
_CODES = {422: 400, 405: 404, 410: 404, 413: 400, 415: 400, 429: 503, 504: 500}


class DockerError(MotetError):
    """An answer other than success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def not_found(what: str, name: str) -> DockerError:
    """In the daemon's words, which clients look into: `service web not found`."""
    return DockerError(404, f"{what} {name} not found")


def bad(message: str) -> DockerError:
    return DockerError(400, message)


def unsupported(field: str, why: str = "") -> DockerError:
    """A field that cannot be honoured is never passed over."""
    return DockerError(400, f"{field} is not supported by Motet" + (f": {why}" if why else ""))


def not_implemented(message: str) -> DockerError:
    return DockerError(501, message)


def translated(error: ApiError) -> DockerError:
    """What the kernel said, under Docker's code for it."""
    return DockerError(_CODES.get(error.code, error.code), error.message)
