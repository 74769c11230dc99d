"""One request on its way through the edge."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from motet.api.http import negotiate
from motet.api.http.negotiate import Form
from motet.api.http.routes import Target
from motet.api.users import NODES, User
from motet.base.errors import RequestEntityTooLarge, TimedOut
from motet.kinds.kind import Kind

# Upstream's limit on a body.
MAX_BODY = 3 * 1024 * 1024
# The request has its seat meanwhile: whoever sends slowly must not keep it from others.
BODY_SECONDS = 30.0
_EMPTY: Mapping[str, str] = {}


@dataclass(slots=True)
class Notes:
    """What the audit log wants to know of a request."""

    # Who asks, should they act as another.
    real: User | None = None
    # allow or forbid, and why.
    decision: tuple[str, str] = ("", "")
    annotations: dict[str, str] = field(default_factory=dict)
    id: str = ""
    # The name of an object that a create named in its body.
    name: str = ""


@dataclass(slots=True)
class Call:
    """A request with what is known of it so far. `warnings` end up in `Warning:` headers of the answer.

    `resource` is what counters and logs call it: set once it is known to exist, so that nobody can make names up.
    """

    request: web.BaseRequest
    target: Target
    verb: str
    user: User
    warnings: list[str] = field(default_factory=list)
    resource: str = ""
    notes: Notes = field(default_factory=Notes)
    # Those that every answer has: where the request was seated.
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def query(self) -> Mapping[str, str]:
        url = self.request.rel_url
        return url.query if url.raw_query_string else _EMPTY

    @property
    def form(self) -> Form:
        """The form of the answer. Raises NotAcceptable."""
        return negotiate.form(self.request.headers.get("Accept", ""))

    @property
    def default_manager(self) -> str:
        """What upstream names a field manager that did not name itself: the first word of the user agent.

        Empty for nodes: what they write all day long is not entered in managedFields unless they ask for it.
        """
        if NODES in self.user.groups:
            return ""
        agent = self.request.headers.get("User-Agent", "")
        return agent.partition("/")[0][:128] or "unknown"

    async def body(self, seconds: float | None = None) -> bytes:
        """The whole body. Raises RequestEntityTooLarge, TimedOut when it has not come within BODY_SECONDS, or `seconds`."""
        try:
            async with asyncio.timeout(BODY_SECONDS if seconds is None else seconds):
                return await self.request.read()
        except TimeoutError:
            raise TimedOut("the body did not come in time") from None
        except web.HTTPRequestEntityTooLarge:
            raise RequestEntityTooLarge(f"Request entity too large: limit is {MAX_BODY}") from None

    async def document(self) -> dict[str, Any]:
        """The object in the body. Raises BadRequest, UnsupportedMediaType, RequestEntityTooLarge, TimedOut."""
        return negotiate.document(await self.body(), self.request.headers.get("Content-Type", ""))


@dataclass(slots=True)
class ResourceCall(Call):
    """A request about a resource we serve."""

    kind: Kind = field(kw_only=True)

    @property
    def namespace(self) -> str:
        return self.target.namespace if self.kind.namespaced else ""
