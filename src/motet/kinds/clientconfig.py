"""How webhooks are reached: `clientConfig` of conversion and admission webhooks (upstream: apiserver's webhook validation)."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from motet.base import names
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, text

_ONE_OF = "exactly one of url or service is required"
DEFAULT_PORT = 443


def default(config: Json) -> None:
    """A service is asked on port 443 unless it says."""
    service = config.get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = DEFAULT_PORT


def validate(config: Json, path: str) -> list[FieldError]:
    """Complaints about a `clientConfig`."""
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [required(path, _ONE_OF)]
    if url is not None:
        return _url(f"{path}.url", str(url))
    return _service(f"{path}.service", mapping(config, "service"))


def _url(path: str, url: str) -> list[FieldError]:
    form = "desired format: https://host[/path]"
    try:
        parts = urlsplit(url)
    except ValueError as error:
        return [required(path, f"url must be a valid URL: {error}; {form}")]
    errors = []
    if parts.scheme != "https":
        errors.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme; {form}"))
    if not parts.netloc:
        errors.append(invalid(path, parts.netloc, f"host must be provided; {form}"))
    if parts.username is not None:
        errors.append(invalid(path, url, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def _service(path: str, service: Json) -> list[FieldError]:
    errors = []
    if not text(service, "name"):
        errors.append(required(f"{path}.name", "service name is required"))
    if not text(service, "namespace"):
        errors.append(required(f"{path}.namespace", "service namespace is required"))
    port: Any = service.get("port", DEFAULT_PORT)
    if isinstance(port, int) and not 1 <= port <= 65535:
        errors.append(invalid(f"{path}.port", port, f"port is not valid: {checks.PORT_RANGE}"))
    where = service.get("path")
    return errors + (_path(f"{path}.path", str(where)) if where is not None else [])


def _path(path: str, where: str) -> list[FieldError]:
    if where in ("", "/"):
        return []
    errors = []
    if not where.startswith("/"):
        errors.append(invalid(path, where, "must start with a '/'"))
    steps = where[1:].removesuffix("/").split("/")
    for index, step in enumerate(steps):
        if not step:
            errors.append(invalid(path, where, f"segment[{index}] may not be empty"))
        elif problem := names.subdomain_error(step):
            errors.append(invalid(path, where, f"segment[{index}]: {problem}"))
    return errors
