"""Routes as Caddy's configuration (JSON; caddyserver.com/docs/json). Pure.

Paths are matched by regular expressions, since Caddy's plain path matcher does not tell upper from lower case. A host with a
certificate is sent from HTTP to HTTPS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from motet.network.ingress.routes import Route

Json = dict[str, Any]

# How long a request waits for another endpoint when one cannot be reached, and how long a connection that is not in use is kept.
_TRY_FOR, _KEEP_ALIVE = "5s", "15s"
_NOTHING_HERE = "no Ingress is about this host and path\n"
_NO_BACKEND = "the Ingress names a Service that cannot be reached\n"


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts."""

    certificate: str
    key: str


def configuration(
    socket: Path, routes: Sequence[Route], certificates: Iterable[Certificate], ports: tuple[int, int] = (80, 443)
) -> Json:
    """The whole of it. `socket` is where Caddy is told; `ports` are those of HTTP and HTTPS."""
    http, https = ports
    loaded = [{"certificate": each.certificate, "key": each.key} for each in certificates]
    plain = [_redirect(route, https) if route.secure and loaded else _serve(route) for route in routes]
    servers: Json = {"http": _server(http, plain)}
    if loaded:
        servers["https"] = {**_server(https, [_serve(route) for route in routes]), "tls_connection_policies": [{}]}
    apps: Json = {"http": {"servers": servers, "grace_period": "10s"}}
    if loaded:
        apps["tls"] = {"certificates": {"load_pem": loaded}}
    return {
        "admin": {"listen": f"unix/{socket}", "config": {"persist": False}},
        "logging": {"logs": {"default": {"level": "WARN"}}},
        "apps": apps,
    }


def _server(port: int, routes: list[Json]) -> Json:
    last = {"handle": [{"handler": "static_response", "status_code": 404, "body": _NOTHING_HERE}]}
    return {"listen": [f":{port}"], "routes": [*routes, last], "automatic_https": {"disable": True}}


def _serve(route: Route) -> Json:
    if route.target:
        handler: Json = {
            "handler": "reverse_proxy",
            "upstreams": [{"dial": route.target}],
            "load_balancing": {"try_duration": _TRY_FOR},
            "flush_interval": -1,
            "transport": {"protocol": "http", "keep_alive": {"idle_timeout": _KEEP_ALIVE}},
        }
    else:
        handler = {"handler": "static_response", "status_code": 503, "body": _NO_BACKEND}
    return {"match": [_match(route)], "handle": [handler], "terminal": True}


def _redirect(route: Route, https: int) -> Json:
    port = "" if https == 443 else f":{https}"
    to = {"Location": [f"https://{{http.request.host}}{port}{{http.request.uri}}"]}
    return {
        "match": [_match(route)],
        "handle": [{"handler": "static_response", "status_code": 308, "headers": to}],
        "terminal": True,
    }


def _match(route: Route) -> Json:
    matcher: Json = {"host": [route.host]} if route.host else {}
    if route.exact:
        matcher["path_regexp"] = {"pattern": f"^{re.escape(route.path)}$"}
    elif stem := route.path.rstrip("/"):
        matcher["path_regexp"] = {"pattern": f"^{re.escape(stem)}(/|$)"}
    return matcher
