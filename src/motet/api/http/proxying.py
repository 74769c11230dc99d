"""What a proxy through the API server decides, purely: whom a name means, which headers travel, how links are mended.

A page that comes from behind the proxy speaks of paths at its own server. Redirects and, in HTML, links that begin with a
slash get the prefix under which the client reached it (upstream: apimachinery's proxy transport).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import msgspec

from motet.api.http.agents import Answer
from motet.base.errors import BadRequest, Unavailable

Fields = list[tuple[str, str]]

# About one connection only (RFC 9110, 7.6.1), or about the client and us.
_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade", "expect",
    }
)  # fmt: skip
_OURS = frozenset({"authorization", "content-length"})
# Beginnings of headers that say whom a request is made as: for us, or from an aggregator to the servers behind it.
_IDENTITIES = ("impersonate-", "x-remote-")
# Attributes that hold an address, whatever the element (HTML 4 and 5).
_LINKS = frozenset(
    {
        "action", "background", "cite", "classid", "codebase", "data", "formaction", "href", "icon", "longdesc", "manifest",
        "poster", "profile", "src", "usemap",
    }
)  # fmt: skip
_COMMENT_OR_TAG = re.compile(
    r"""<!--.*?-->|<(?:script|style)\b[^>]*>.*?</(?:script|style)\s*>|<[a-zA-Z](?:"[^"]*"|'[^']*'|[^'">])*>""",
    re.DOTALL | re.IGNORECASE,
)
_FIRST_TAG = re.compile(r"""<[a-zA-Z](?:"[^"]*"|'[^']*'|[^'">])*>""")
_ATTRIBUTE = re.compile(r"""([^\s"'<>/=]+)(\s*=\s*)("[^"]*"|'[^']*'|[^\s"'=<>`]+)""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name in a proxy path: `web`, `web:80`, `https:web:443`. `scheme` is http or https; `port` may be empty."""

    scheme: str
    name: str
    port: str


def wanted(what: str, text: str) -> Wanted:
    """Raises BadRequest; `what` is pod, service or node."""
    scheme, name, port = "http", text, ""
    match text.split(":"):
        case [name]:
            pass
        case [name, port]:
            pass
        case [scheme, name, port] if scheme in ("", "http", "https"):
            scheme = scheme or "http"
        case _:
            name = ""
    if not name:
        raise BadRequest(f'invalid {what} request "{text}"')
    return Wanted(scheme, name, port)


def port_number(text: str, otherwise: int) -> int:
    """A port in a name; empty means `otherwise`. Raises BadRequest."""
    if not text:
        return otherwise
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise BadRequest(f'"{text}" is not a number of a port')
    return int(text)


# --- services ---------------------------------------------------------------------------------------------------------


class ServicePort(msgspec.Struct, gc=False, frozen=True):
    port: int = 0
    name: str = ""


class _ServiceSpec(msgspec.Struct, gc=False, frozen=True):
    ports: tuple[ServicePort, ...] | None = None


class ServiceView(msgspec.Struct, gc=False, frozen=True):
    spec: _ServiceSpec = _ServiceSpec()


class _SlicePort(msgspec.Struct, gc=False, frozen=True):
    name: str | None = None
    port: int | None = None


class _Conditions(msgspec.Struct, gc=False, frozen=True):
    ready: bool | None = None


class _Reference(msgspec.Struct, gc=False, frozen=True):
    kind: str = ""
    name: str = ""


class _Endpoint(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    addresses: tuple[str, ...] = ()
    conditions: _Conditions = _Conditions()
    target_ref: _Reference | None = None


class SliceView(msgspec.Struct, gc=False, frozen=True):
    endpoints: tuple[_Endpoint, ...] | None = None
    ports: tuple[_SlicePort, ...] | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """One endpoint of a service. `pod` is empty for an address that somebody else looks after."""

    address: str
    port: int
    pod: str


def backends(service: ServiceView, slices: Iterable[SliceView], asked: Wanted) -> Sequence[Backend]:
    """The ready endpoints of the port that is meant. Raises Unavailable in upstream's words when there are none."""
    port = asked.port
    if port.isdigit():
        named = next((known for known in service.spec.ports or () if known.port == int(port)), None)
        if named is None:
            raise Unavailable(f'no service port {port} found for service "{asked.name}"')
        port = named.name
    found = [
        Backend(endpoint.addresses[0], known.port, _pod(endpoint))
        for part in slices
        for known in part.ports or ()
        if (known.name or "") == port and known.port is not None
        for endpoint in part.endpoints or ()
        if endpoint.addresses and endpoint.conditions.ready is not False
    ]
    if not found:
        raise Unavailable(f'no endpoints available for service "{asked.name}"')
    return found


def _pod(endpoint: _Endpoint) -> str:
    return endpoint.target_ref.name if endpoint.target_ref is not None and endpoint.target_ref.kind == "Pod" else ""


def proxyable(address: str) -> bool:
    """Whether an address that is no pod's may be connected to: never the manager's own or its link's."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)


# --- what travels -----------------------------------------------------------------------------------------------------


def request_fields(fields: Iterable[tuple[str, str]], *, client: str, path: str, host: str, body: str) -> Fields:
    """The headers of the request at the other end. `body` is its Content-Length, `chunked`, or empty for no body."""
    sent = travelling(fields)
    before = [value for name, value in sent if name.lower() == "x-forwarded-for"]
    sent = [pair for pair in sent if pair[0].lower() != "x-forwarded-for"]
    sent += [
        ("X-Forwarded-For", ", ".join([*before, client])),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Uri", path),
        ("Connection", "close"),
    ]
    if body:
        sent.append(("Transfer-Encoding", body) if body == "chunked" else ("Content-Length", body))
    return sent


def travelling(fields: Iterable[tuple[str, str]]) -> Fields:
    """What a client sent without what is about its connection or says who it is: nobody may pose as somebody to the other end.

    Some servers take an underscore in a name for a dash, so both are looked for.
    """
    fields = list(fields)
    dropped = _HOP | _OURS | _listed(fields)
    return [
        (name, value)
        for name, value in fields
        if (plain := name.lower().replace("_", "-")) not in dropped and not plain.startswith(_IDENTITIES)
    ]


def answer_fields(answer: Answer) -> Fields:
    """The headers of an answer that go on to the client, repeated ones included."""
    lines = answer.head.decode("latin-1").split("\r\n")[1:]
    pairs = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines if line)]
    return hopless(pairs)


def hopless(pairs: Fields) -> Fields:
    """The headers of an answer without what is about one connection only."""
    dropped = _HOP | _listed(pairs)
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def _listed(fields: Iterable[tuple[str, str]]) -> set[str]:
    """What `Connection` names is about this connection too."""
    return {part.strip().lower() for name, value in fields if name.lower() == "connection" for part in value.split(",")}


# --- links ------------------------------------------------------------------------------------------------------------


def mended(link: str, prefix: str, host: str) -> str:
    """`link` as the client has to ask for it, if it is about the server behind the proxy (`host`); else unchanged."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return link
    if (parts.netloc and parts.netloc != host) or not parts.path.startswith("/") or parts.path.startswith(prefix):
        return link
    rest = f"?{parts.query}" if parts.query else ""
    return prefix + parts.path + rest + (f"#{parts.fragment}" if parts.fragment else "")


def mended_page(page: str, prefix: str, host: str) -> str:
    """HTML with its links mended; comments, scripts and style sheets are left alone."""

    def attribute(match: re.Match[str]) -> str:
        name, equals, value = match.groups()
        if name.lower() not in _LINKS:
            return match[0]
        quote = value[0] if value[0] in "\"'" else ""
        return f"{name}{equals}{quote}{mended(value.strip(quote) if quote else value, prefix, host)}{quote}"

    def tag(match: re.Match[str]) -> str:
        text = match[0]
        if text.startswith("<!--"):
            return text
        # Of a script or style sheet only its own tag.
        first = _FIRST_TAG.match(text)
        if first is None:
            return text
        return _ATTRIBUTE.sub(attribute, first[0]) + text[first.end() :]

    return _COMMENT_OR_TAG.sub(tag, page)
