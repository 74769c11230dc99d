"""From a request to its handler: who, what, allowed or not, then the verb; and every failure as a `Status`."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from aiohttp import web

from motet.api.aggregation.aggregator import Aggregator
from motet.api.custom.serving import CustomKinds
from motet.api.flowcontrol.control import FlowControl
from motet.api.http import (
    answers,
    connecting,
    discovery,
    health,
    metrics,
    negotiate,
    parameters,
    reviews,
    routes,
    seating,
    socketbearer,
    usage,
    usedobjects,
    versions,
)
from motet.api.http.audit.events import Auditor
from motet.api.http.authenticate import Authenticator, Credentials, authenticate
from motet.api.http.authorize import NODES, Attributes, Authorizer, refusal
from motet.api.http.bearer import Tokens, openid_configuration
from motet.api.http.calls import Call, ResourceCall
from motet.api.http.discovery import REVIEWS, Discovery, Review
from motet.api.http.enrolment import PREFIX as ENROLMENT
from motet.api.http.enrolment import Enrolment
from motet.api.http.impersonate import acting
from motet.api.http.members import Members
from motet.api.http.metrics import Metrics
from motet.api.http.objects import PROJECTIONS, Objects
from motet.api.http.openapi import OpenApi
from motet.api.http.parameters import flag, narrowing
from motet.api.http.proxy import Proxies
from motet.api.http.streams import STREAMS, Streams
from motet.api.http.usage import Usage
from motet.api.http.usedobjects import UsedObjects
from motet.api.http.watch import Watches
from motet.api.users import STRANGER, User
from motet.base.errors import (
    ApiError,
    InternalError,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    Unauthorized,
    not_found,
)
from motet.kinds.catalogue import Catalogue

log = logging.getLogger("motet.api.requests")

Handler = Callable[[ResourceCall], Awaitable[web.StreamResponse]]
_OPENID = ("/.well-known/openid-configuration", "/openid/v1/jwks")
_CHANGES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_MANY = frozenset({"list", "watch", "deletecollection"})
_COMMANDS = frozenset({"exec", "attach", "portforward"})
_VERBS = _CHANGES | {"get", "list", "watch", "head", "post", "put"}
_REVIEWS: Mapping[tuple[str, str, str], Review] = {
    (review.group, review.version, review.plural): review for review in REVIEWS
}


@dataclass(frozen=True, kw_only=True)
class Dispatcher:
    """Answers every request. Its collaborators are given; it keeps no state but counters."""

    catalogue: Catalogue
    authenticators: Sequence[Authenticator]
    authorizer: Authorizer
    objects: Objects
    watches: Watches
    streams: Streams
    proxies: Proxies
    usage: Usage
    discovery: Discovery
    openapi: OpenApi
    metrics: Metrics
    flows: FlowControl
    checks: Mapping[str, health.Check] = field(default_factory=dict)
    # Who belongs to the cluster, and how to become one who does.
    members: Members | None = None
    enrolment: Enrolment | None = None
    # Callers with tokens instead of certificates.
    tokens: Tokens | None = None
    # Kinds that come and go while we run.
    custom: CustomKinds | None = None
    # Other servers that answer for a group and version.
    aggregator: Aggregator | None = None
    # Word for nodes of what their pods use.
    used: UsedObjects | None = None
    # Who did what, and when.
    audit: Auditor | None = None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The only way in. Never raises but for a client that has left."""
        began = time.perf_counter()
        target = routes.parse(request.rel_url.raw_path)
        call = Call(request, target, request.method.lower(), User(""))
        received = self.audit.now() if self.audit is not None else None
        try:
            answer = await self._answer(call)
        except ApiError as error:
            answer = answers.failure(error)
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client has left, or we are shutting down
        except Exception:
            number = secrets.token_hex(6)
            log.exception(
                "failure %s: verb=%s path=%s user=%s", number, call.verb, request.rel_url.raw_path, call.user.name
            )
            answer = answers.failure(InternalError(f"an error of the server's own; its log has it as {number}"))
        if not answer.prepared:
            answer.headers.update(call.headers)
            for value in answers.warnings(call.warnings):
                answer.headers.add("Warning", value)
        if self.audit is not None and received is not None:
            self.audit.complete(call, received, answer)
        self._account(call, answer.status, time.perf_counter() - began)
        return answer

    def _account(self, call: Call, status: int, seconds: float) -> None:
        verb = call.verb if call.verb in _VERBS else "other"
        self.metrics.count(verb, call.resource, status, seconds)
        # Looking for what is not there is everyday business: kubectl apply does it for every new object.
        worth_telling = verb in _CHANGES or (status >= 400 and status != 404)
        level = logging.INFO if worth_telling else logging.DEBUG
        if log.isEnabledFor(level):
            # The path as it came, still percent-encoded, so it cannot break the line; never the query: commands of
            # exec are in it.
            log.log(
                level,
                "verb=%s path=%s code=%d user=%s seconds=%.4f agent=%r",
                verb,
                call.request.rel_url.raw_path,
                status,
                call.user.name,
                seconds,
                call.request.headers.get("User-Agent", ""),
            )

    async def _answer(self, call: Call) -> web.StreamResponse:
        target = call.target
        if not target.is_resource and _first_two(target.path) in health.PATHS:
            return self._health(call)
        if self.used is not None and target.path == usedobjects.PATH:
            return await self._tell_changes(call, self.used)
        if self.enrolment is not None and target.path.startswith(ENROLMENT):
            return await self._enrol(call, self.enrolment)
        if target.is_resource:
            call.verb = routes.verb_or_method(call.request.method, target, _watches(call))
        self._identify(call)
        if NODES in call.user.groups:
            versions.check(call.request.headers.get("User-Agent", ""))
        if self.members is None or NODES not in call.user.groups:
            return await self._seated(call)
        with self.members.serving(call.user, call.request.transport):
            return await self._seated(call)

    async def _seated(self, call: Call) -> web.StreamResponse:
        """When it is its turn. Raises TooManyRequests."""
        target = call.target
        match = self.flows.match(call.user, seating.asked(call))
        call.headers = match.headers
        if self.aggregator is not None and self.aggregator.route(target) is not None:
            return await self._let_in(call)  # its work is done elsewhere, however long that takes
        if not seating.takes_seats(call):
            return await self._let_in(call)
        size = self.objects.size(self.catalogue, target) if call.verb == "list" else 0
        taken = await self.flows.take(match, seating.width(call, size))
        try:
            return await self._let_in(call)
        finally:
            match.line.stand_up(taken)

    async def _tell_changes(self, call: Call, used: UsedObjects) -> web.StreamResponse:
        self._identify(call)
        if self.members is None:
            return await used.serve(call)
        with self.members.serving(call.user, call.request.transport):
            return await used.serve(call)

    async def _enrol(self, call: Call, enrolment: Enrolment) -> web.StreamResponse:
        """Whoever wants to join has no certificate yet; everyone else has to show theirs."""
        try:
            self._identify(call)
        except Unauthorized:
            if not enrolment.is_open(call.request.method, call.target.path):
                raise
        if call.request.method == "POST":
            versions.check(call.request.headers.get("User-Agent", ""))
        return await enrolment.answer(call)

    async def _let_in(self, call: Call) -> web.StreamResponse:
        target = call.target
        if not target.is_resource:
            self._authorize(call, _asked(call))
            found = await self._elsewhere(call)
            return found if found is not None else await self._other(call)
        query = call.query
        call.verb = routes.verb(call.request.method, target, _watches(call))
        asked = _asked(call)
        if NODES in call.user.groups:
            asked = await self._about_a_node(call, asked)
        elif call.verb in _MANY and "fieldSelector" in query:
            # One that leaves a single name is a request about that name.
            asked = replace(asked, fields=narrowing(query)[0])
        self._authorize(call, asked)
        if call.verb == "get" and target.subresource in _COMMANDS:
            # A WebSocket is opened with GET, and does what a POST does.
            self._authorize(call, replace(asked, verb="create"))
        if self.audit is not None and (call.verb == "watch" or target.subresource in STREAMS):
            self.audit.started(call)
        if (answer := await self._elsewhere(call)) is not None:
            return answer
        if (target.group, target.version) == (usage.GROUP, usage.VERSION):
            return await self.usage.answer(call)
        review = _REVIEWS.get((target.group, target.version, target.plural))
        if review is not None:
            return await self._review(call, review)
        return await self._resource(call)

    async def _elsewhere(self, call: Call) -> web.StreamResponse | None:
        """The answer of another server, if this is its business."""
        if self.aggregator is None or (remote := self.aggregator.route(call.target)) is None:
            return None
        return await self.aggregator.forward(call, remote)

    async def _about_a_node(self, call: Call, asked: Attributes) -> Attributes:
        """What a node is judged by besides names: selectors. Its body is read first, for what may be done to an object
        depends on where that is, and must not change between the decision and the deed.
        """
        if call.verb in ("list", "watch"):
            fields, labels = narrowing(call.query)
            return replace(asked, fields=fields, labels=labels)
        if call.verb in _CHANGES:
            await call.body()
        return asked

    def _identify(self, call: Call) -> None:
        """Note who asks, and as whom. Raises Unauthorized, Forbidden."""
        transport = call.request.transport
        if transport is None:
            raise ConnectionResetError("the client has left")
        authorization = call.request.headers.get("Authorization", "")
        if call.request.headers.get("Upgrade", "").lower() == "websocket":
            authorization = _socket_bearer(call) or authorization
        headers = call.request.headers
        credentials = Credentials(transport.get_extra_info("peercert"), authorization)
        try:
            call.user = call.notes.real = authenticate(self.authenticators, credentials)
        except Unauthorized:
            if credentials.certificate or authorization or not self.authorizer.decide(STRANGER, _asked(call)).allowed:
                raise
            call.user = call.notes.real = STRANGER
        call.user = acting(call.user, headers, self.authorizer)

    def _authorize(self, call: Call, attributes: Attributes) -> None:
        decision = self.authorizer.decide(call.user, attributes)
        call.notes.decision = "allow" if decision.allowed else "forbid", decision.reason
        if decision.missing:
            raise not_found(attributes.group, attributes.resource, attributes.name)
        if not decision.allowed:
            raise refusal(call.user, attributes, decision.reason)

    async def _resource(self, call: Call) -> web.StreamResponse:
        target = call.target
        kind = self.catalogue.by_path(target.group, target.version, target.plural)
        if self.custom is not None and self.custom.busy and (kind is None or kind.versions is not None):
            await self.custom.settled()
            kind = self.catalogue.by_path(target.group, target.version, target.plural)
        if kind is None or (target.namespace and not kind.namespaced and target.plural != "namespaces"):
            raise discovery.nowhere(target, call.verb)
        found = ResourceCall(
            call.request,
            target,
            call.verb,
            call.user,
            call.warnings,
            notes=call.notes,
            headers=call.headers,
            kind=kind,
        )
        if kind.warning:
            call.warnings.append(kind.warning)
        subresource = target.subresource
        if not subresource:
            call.resource = kind.plural
            if call.verb not in kind.verbs:
                raise MethodNotAllowed("the server does not allow this method on the requested resource")
            if call.verb in ("update", "patch") and not target.name:
                raise MethodNotAllowed(f"{call.verb} is for one object, not for the collection")
            if kind.namespaced and not target.namespace and (target.name or call.verb == "create"):
                raise NotFound("the server could not find the requested resource: it lives in a namespace")
            if call.verb == "create" and target.name:
                raise MethodNotAllowed("POST goes to the collection, not to an object of it")
            return await self._verb(found)
        verbs = kind.subresources.get(subresource)
        if (
            verbs is None
            and subresource not in kind.aspects
            and not (subresource == "status" and kind.status)
            and not (subresource == "scale" and kind.scale)
        ):
            raise discovery.nowhere(target, call.verb)
        call.resource = f"{kind.plural}/{subresource}"
        allowed = verbs or ("get", "patch", "update")
        if call.verb not in allowed:
            raise MethodNotAllowed(f"{target.plural}/{subresource} allows only: {', '.join(allowed)}")
        if subresource in connecting.KINDS:
            await self.objects.connecting(found)
        if subresource in STREAMS:
            return await self.streams.serve(found)
        if subresource == "proxy":
            return await self.proxies.serve(found)
        if subresource not in PROJECTIONS and subresource not in kind.aspects and call.verb != "create":
            raise discovery.nowhere()
        return await self._verb(found)

    async def _verb(self, call: ResourceCall) -> web.StreamResponse:
        match call.verb:
            case "get":
                return await self.objects.get(call)
            case "list":
                return await self.objects.list(call)
            case "watch":
                return await self.watches.serve(call)
            case "create":
                return await self.objects.create(call, self.authorizer)
            case "update":
                return await self.objects.update(call, self.authorizer)
            case "patch":
                return await self.objects.patch(call, self.authorizer)
            case "delete":
                return await self.objects.delete(call)
            case _:
                return await self.objects.deletecollection(call)

    async def _review(self, call: Call, review: Review) -> web.StreamResponse:
        call.resource = review.plural
        if call.verb != "create" or call.target.name:
            raise MethodNotAllowed(f"{review.plural} can only be created")
        if negotiate.form(call.request.headers.get("Accept", "")).shape != "object":
            raise NotAcceptable("only the following media types are accepted: application/json")
        if review.namespaced != bool(call.target.namespace):
            raise discovery.nowhere(call.target, call.verb)
        document, options = await call.document(), parameters.of_write(call.query, "")
        answer = reviews.answer(
            review, document, call.target.namespace, call.user, options, self.authorizer, self.tokens
        )
        call.warnings.extend(options.warnings)
        return answers.document(answer, status=201)

    def _health(self, call: Call) -> web.StreamResponse:
        if call.request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("health can only be asked with GET")
        checks = self.checks
        root = _first_two(call.target.path)
        single = call.target.path[len(root) + 1 :]
        if single:
            if single not in checks:
                raise discovery.nowhere()
            checks = {single: checks[single]}
        return health.answer(call.target.path, checks, verbose="verbose" in call.query)

    async def _other(self, call: Call) -> web.StreamResponse:
        request, path = call.request, call.target.path
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("the server does not allow this method on the requested resource")
        if self.custom is not None and self.custom.busy:
            await self.custom.settled()
        if self.aggregator is not None and path.startswith(("/apis", "/openapi/")):
            await self.aggregator.refresh(openapi=path.startswith("/openapi/"))
        accept = request.headers.get("Accept", "")
        known = request.headers.get("If-None-Match", "")
        answer: web.StreamResponse | None = None
        if path == "/version":
            answer = answers.document(discovery.version())
        elif path == "/metrics":
            answer = answers.text(self.metrics.render(), content_type=metrics.CONTENT_TYPE)
        elif path.startswith("/openapi/"):
            answer = await self.openapi.answer(
                path, accept, known, "gzip" in request.headers.get("Accept-Encoding", "")
            )
        elif path in _OPENID and self.tokens is not None:
            answer = self._openid(path, self.tokens)
        elif path == "/":
            answer = answers.document(
                {
                    "paths": [
                        *_OPENID,
                        "/api",
                        "/apis",
                        "/healthz",
                        "/livez",
                        "/metrics",
                        "/openapi/v2",
                        "/openapi/v3",
                        "/readyz",
                        "/version",
                    ]
                }
            )
        else:
            answer = self.discovery.answer(path, accept, known)
        if answer is None:
            raise discovery.nowhere()
        return answer

    def _openid(self, path: str, tokens: Tokens) -> web.Response:
        if path == _OPENID[0]:
            document = openid_configuration(tokens, self.discovery.address)
            return answers.body(answers.encode(document), headers={"Cache-Control": "public, max-age=3600"})
        return answers.body(
            answers.encode(tokens.jwks()),
            content_type="application/jwk-set+json",
            headers={"Cache-Control": "public, max-age=3600"},
        )


def _asked(call: Call) -> Attributes:
    """What an authorizer is asked of a request, as far as its path says it."""
    target = call.target
    if not target.is_resource:
        return Attributes(call.verb, path=target.path)
    return Attributes(call.verb, target.group, target.plural, target.subresource, target.namespace, target.name)


def _socket_bearer(call: Call) -> str:
    """What a page in a browser has for an `Authorization`, taken off the request. Raises Unauthorized."""
    request = call.request
    token, left = socketbearer.taken(request.headers.getall(socketbearer.HEADER, ()))
    if not token:
        return ""
    headers = request.headers.copy()
    headers[socketbearer.HEADER] = ", ".join(left)
    call.request = request.clone(headers=headers)
    return f"Bearer {token}"


def _watches(call: Call) -> bool:
    query = call.query
    return "watch" in query and flag(query, "watch")


def _first_two(path: str) -> str:
    """`/readyz` of `/readyz/store`."""
    return "/" + path.split("/", 2)[1]
