"""What admission is shown of a connection: the options of exec, attach and the like, which come as a query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from motet.api.http.parameters import flag
from motet.kinds.kind import Json

_FLAGS = ("stdin", "stdout", "stderr", "tty")
# Subresources that connect, and the kinds of their options.
KINDS = {"exec": "PodExecOptions", "attach": "PodAttachOptions", "portforward": "PodPortForwardOptions", "proxy": ""}


def options(kind: str, subresource: str, query: Mapping[str, Any]) -> Json:
    """The options as a document. Raises BadRequest for a flag that is none."""
    shown: Json = {"kind": KINDS[subresource] or f"{kind}ProxyOptions", "apiVersion": "v1"}
    match subresource:
        case "exec" | "attach":
            shown |= {name: True for name in _FLAGS if flag(query, name)}
            shown |= {"container": query["container"]} if query.get("container") else {}
            if subresource == "exec":
                shown["command"] = _all(query, "command")
        case "portforward":
            shown["ports"] = [int(port) for port in _all(query, "ports") if port.isdigit()]
        case "proxy":
            shown |= {"path": query["path"]} if query.get("path") else {}
    return shown


def _all(query: Mapping[str, Any], name: str) -> list[str]:
    """A parameter that may be given several times."""
    getall = getattr(query, "getall", None)
    return list(getall(name, [])) if getall is not None else [query[name]] if name in query else []
