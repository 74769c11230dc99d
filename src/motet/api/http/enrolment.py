"""Becoming, staying and ceasing to be a node: everything under `/motet/v1/`.

A machine without a certificate may fetch the root (to compare it with its token before it says anything secret) and ask
to join with the secret of its token and a certificate request. Joining makes the Node; the certificate names that Node's
uid and is worth as much as that Node lives (`members`). Nothing in the certificate comes from the request but the key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from motet.api.http import answers
from motet.api.http.calls import Call
from motet.api.http.discovery import nowhere
from motet.api.http.limits import FailureLimit
from motet.api.options import DeleteOptions, PatchType, RequestOptions
from motet.api.registry import Registry
from motet.api.users import MASTERS, NODE_PREFIX, NODES, User
from motet.base import names
from motet.base.errors import (
    AlreadyExists,
    ApiError,
    BadRequest,
    Conflict,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    RequestEntityTooLarge,
    ServerError,
    TimedOut,
    TooManyRequests,
    Unauthorized,
)
from motet.identity import requests, tokens
from motet.identity.authority import NODE_LIFETIME, Authority, IdentityError
from motet.identity.messages import (
    KEY_ANNOTATION,
    ROOTS_ANNOTATION,
    Cluster,
    Issued,
    JoinRequest,
    JoinToken,
    RenewRequest,
    Roots,
)
from motet.kinds import node as node_kind
from motet.kinds import secret as secret_kind
from motet.store.document import Document

log = logging.getLogger("motet.api.enrolment")

PREFIX = "/motet/v1/"
_OPEN = frozenset({("GET", PREFIX + "ca"), ("HEAD", PREFIX + "ca"), ("POST", PREFIX + "join")})
_SYSTEM = User("system:motet:enrolment", (MASTERS,))
_NAMESPACE, _SECRET = "kube-system", "motet-join-tokens"
_LARGEST_BODY = 16 * 1024
_BODY_SECONDS = 10.0
_TELL_EVERY = 60.0

Body = TypeVar("Body")


class _Salts(msgspec.Struct, gc=False, frozen=True):
    data: dict[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class EnrolmentConfig:
    """`reserved` are names and addresses no node may have, for with them in its certificate it could pose as a manager."""

    cluster: Cluster
    reserved: frozenset[str] = field(default_factory=frozenset)
    lifetime: timedelta = NODE_LIFETIME


class Enrolment:
    """The handler. `authority` is asked for anew each time, since the root may change."""

    def __init__(
        self,
        config: EnrolmentConfig,
        authority: Callable[[], Authority],
        registry: Registry,
        limit: FailureLimit | None = None,
    ) -> None:
        self._config = config
        self._authority = authority
        self._registry = registry
        self._clock = registry.clock
        self._limit = limit or FailureLimit(registry.clock)
        self._salting = asyncio.Lock()
        self._untold = 0
        self._told_at = float("-inf")

    @staticmethod
    def is_open(method: str, path: str) -> bool:
        """Whether somebody without a certificate may ask this."""
        return (method, path) in _OPEN

    async def answer(self, call: Call) -> web.StreamResponse:
        """Raises ApiError."""
        method, path = call.request.method, call.target.path.removeprefix(PREFIX)
        match method, path.split("/"):
            case "GET" | "HEAD", ["ca"]:
                return answers.document(self._roots())
            case "POST", ["join"]:
                return answers.document(await self._join(call), status=201)
            case "POST", ["renew"]:
                return answers.document(await self._renew(call), status=201)
            case "POST", ["leave"]:
                await self._leave(call)
                return answers.document(answers.success(message="the node is no longer a member of the cluster"))
            case "GET", ["join-tokens", role]:
                return answers.document(await self._token(call.user, role))
            case "POST", ["join-tokens", role, "rotate"]:
                return answers.document(await self._rotate(call.user, role))
            case _, ["ca" | "join" | "renew" | "leave"] | ["join-tokens", *_]:
                raise MethodNotAllowed(f"{method} is not among the things to do with {call.target.path}")
        raise nowhere()

    def _roots(self) -> Roots:
        authority = self._authority()
        return Roots(authority.pem.decode(), authority.bundle.decode())

    # --- joining ------------------------------------------------------------------------------------------------------

    async def _join(self, call: Call) -> Issued:
        source = _source(call.request)
        admin = MASTERS in call.user.groups
        try:
            asked = await _body(call, JoinRequest)
            if not admin:
                self._not_too_often(source)
                await self._admit(asked)
            key = _key(asked.request)
            self._check_names(asked, admin=admin)
            node = await self._node(asked.node, call.user, requests.fingerprint(key), admin=admin)
        except TooManyRequests:
            raise
        except ApiError as error:
            if isinstance(error, Unauthorized | BadRequest | RequestEntityTooLarge | TimedOut):
                self._not_too_often(source)
                self._limit.failed(source)
            self._tell(source, error)
            raise
        log.info("node %s joined from %s", node.name, source)
        return await self._issue(key, node.name, node.meta.uid, (asked.address, asked.node))

    def _not_too_often(self, source: str) -> None:
        wait = self._limit.wait(source)
        if wait:
            self._count(source)
            details = {"retryAfterSeconds": math.ceil(wait)}
            raise TooManyRequests("too many joins were refused; wait before the next try", details=details)

    async def _admit(self, asked: JoinRequest) -> None:
        """Raises Unauthorized for a secret that is none of ours, always in the same words; Forbidden for the wrong role."""
        given = asked.secret.encode()
        admitted = ""
        for role in tokens.ROLES:
            expected = await self._secret(role)
            if hmac.compare_digest(expected.encode(), given):
                admitted = role
        if not admitted:
            raise Unauthorized("the join token is not valid (any more); get one with: motet join-token worker")
        if asked.role not in ("", admitted):
            raise Forbidden(f"this token admits a {admitted}, not a {asked.role}")
        if admitted == tokens.MANAGER:
            raise ServerError(
                "several managers are not supported yet: join with the worker's token instead, which "
                "`motet join-token worker` prints",
                code=501,
                reason="NotImplemented",
            )

    def _check_names(self, asked: JoinRequest, *, admin: bool) -> None:
        if problem := names.subdomain_error(asked.node):
            raise BadRequest(f"the node cannot be named {asked.node!r}: {problem}")
        try:
            address = ipaddress.IPv4Address(asked.address)
        except ValueError:
            raise BadRequest(f"{asked.address!r} is not an IPv4 address; say where the node is reached") from None
        if admin:
            return
        for name in (asked.node, str(address)):
            if name in self._config.reserved or address.is_loopback or address.is_unspecified or address.is_multicast:
                raise Forbidden(f"no node may have {name!r}: it is how the manager itself is reached")

    async def _node(self, name: str, user: User, key: str, *, admin: bool) -> Document:
        """The Node to stand for. One that is there is its owner's: whoever shows its certificate, or has its key.

        That it is silent proves nothing. Its pods, and the secrets they may read, go with the name.
        """
        known = self._registry.table(node_kind.KIND).get(name)
        if known is not None:
            if known.meta.deletion_timestamp is not None:
                raise Conflict(f"node {name!r} is being removed; try again in a moment")
            if admin or user.name == NODE_PREFIX + name or (known.meta.annotations or {}).get(KEY_ANNOTATION) == key:
                return known
            raise AlreadyExists(
                f"there is a node named {name!r}, and this machine cannot prove to be it. Choose another name with "
                f"--node-name; or, if that machine is gone or was set up anew, remove it first, on a manager: "
                f"motet node rm {name}"
            )
        metadata = {"name": name, "annotations": {KEY_ANNOTATION: key}}
        document = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}
        return await self._registry.create(node_kind.KIND, "", document, _SYSTEM)

    # --- staying and going --------------------------------------------------------------------------------------------

    async def _renew(self, call: Call) -> Issued:
        name, uid = self._member(call)
        asked = await _body(call, RenewRequest)
        key = _key(asked.request)
        certificate = _peer(call.request)
        sans = tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "IP Address"))
        node = self._registry.table(node_kind.KIND).get(name)
        if node is None or node.meta.uid != uid:
            raise Unauthorized(f"node {name!r} is not a member of this cluster any more")
        log.info("node %s renewed its certificate", name)
        return await self._issue(key, name, uid, sans)

    async def _leave(self, call: Call) -> None:
        name, uid = self._member(call)
        try:
            await self._registry.delete(node_kind.KIND, "", name, _SYSTEM, DeleteOptions(uid=uid))
        except NotFound:
            return
        log.info("node %s left", name)

    def _member(self, call: Call) -> tuple[str, str]:
        """Name and uid of the node that asks. Raises Forbidden."""
        user = call.user
        if NODES not in user.groups or not user.name.startswith(NODE_PREFIX):
            raise Forbidden(f'user "{user.name}" is not a node')
        name = user.name.removeprefix(NODE_PREFIX)
        subject = _peer(call.request).get("subject", ())
        return name, next((value for part in subject for key, value in part if key == "serialNumber"), "")

    async def _issue(self, key: Any, name: str, uid: str, sans: tuple[str, ...]) -> Issued:
        certificate = self._authority().sign(
            key, NODE_PREFIX + name, (NODES,), uid=uid, sans=sans, lifetime=self._config.lifetime
        )
        roots = self._roots()
        known_by = {ROOTS_ANNOTATION: roots.digest, KEY_ANNOTATION: requests.fingerprint(key)}
        note = {"metadata": {"annotations": known_by}}
        with contextlib.suppress(NotFound):
            await self._registry.patch(node_kind.KIND, "", name, note, PatchType.MERGE, _SYSTEM, RequestOptions())
        return Issued(certificate.decode(), roots, uid, self._config.cluster)

    # --- tokens -------------------------------------------------------------------------------------------------------

    async def _token(self, user: User, role: str) -> JoinToken:
        _only_admins(user, role)
        token = tokens.Token(bytes.fromhex(self._authority().digest), await self._secret(role))
        return JoinToken(role, str(token), self._config.cluster.managers)

    async def _rotate(self, user: User, role: str) -> JoinToken:
        _only_admins(user, role)
        await self._salt(role)
        change = {"data": {role: _fresh_salt()}}
        await self._registry.patch(
            secret_kind.KIND, _NAMESPACE, _SECRET, change, PatchType.MERGE, _SYSTEM, RequestOptions()
        )
        log.info("the %s's join token was rotated by %s", role, user.name)
        return await self._token(user, role)

    async def _secret(self, role: str) -> str:
        return tokens.secret_of(self._authority(), role, await self._salt(role))

    async def _salt(self, role: str) -> bytes:
        """From the store, made on first use. Raises ApiError when the store cannot be written."""
        async with self._salting:
            return await self._salt_alone(role)

    async def _salt_alone(self, role: str) -> bytes:
        """Of those who come first at the same moment one makes the salts, here by a lock, elsewhere by the store's word."""
        for _ in range(3):
            found = self._registry.table(secret_kind.KIND).get(_SECRET, _NAMESPACE)
            text = ((found.view(_Salts).data or {}) if found is not None else {}).get(role, "")
            try:
                salt = base64.b64decode(text, validate=True)
            except binascii.Error:
                salt = b""
            if len(salt) >= 16:
                return salt
            await self._make_salts(found, role)
        raise ServerError(f"the Secret {_NAMESPACE}/{_SECRET} holds no salt for the {role}'s token")

    async def _make_salts(self, found: Document | None, role: str) -> None:
        """Of one role where others have theirs, of all when there are none. Somebody else may be faster."""
        if found is not None:
            change = {"metadata": {"resourceVersion": str(found.revision)}, "data": {role: _fresh_salt()}}
            with contextlib.suppress(Conflict):
                await self._registry.patch(
                    secret_kind.KIND, _NAMESPACE, _SECRET, change, PatchType.MERGE, _SYSTEM, RequestOptions()
                )
            return
        document = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _SECRET, "namespace": _NAMESPACE},
            "type": "motet.dev/join-tokens",
            "data": {each: _fresh_salt() for each in tokens.ROLES},
        }
        with contextlib.suppress(AlreadyExists):
            await self._registry.create(secret_kind.KIND, _NAMESPACE, document, _SYSTEM)

    def _tell(self, source: str, error: ApiError) -> None:
        log.warning("join refused: from=%s code=%d why=%s", source, error.code, error.message[:300])

    def _count(self, source: str) -> None:
        """Refusals for coming too often are not told one by one, but the first at once and then all together each minute."""
        self._untold += 1
        now = self._clock.monotonic()
        if now - self._told_at >= _TELL_EVERY:
            log.warning("joins come too often and are refused unread: %d, the last from=%s", self._untold, source)
            self._untold, self._told_at = 0, now


def _fresh_salt() -> str:
    return base64.b64encode(tokens.new_salt()).decode()


def _only_admins(user: User, role: str) -> None:
    if MASTERS not in user.groups:
        raise Forbidden(f'user "{user.name}" may not see join tokens')
    if role not in tokens.ROLES:
        raise NotFound(f"there is no join token for {role!r}; there are: {', '.join(tokens.ROLES)}")


def _key(request: str) -> Any:
    try:
        return requests.public_key(request.encode())
    except IdentityError as error:
        raise BadRequest(str(error)) from error


def _source(request: web.BaseRequest) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peer[0]) if peer else ""


def _peer(request: web.BaseRequest) -> dict[str, Any]:
    if request.transport is None:
        raise ConnectionResetError("the client has left")
    return request.transport.get_extra_info("peercert") or {}


async def _body(call: Call, of: type[Body]) -> Body:
    """The body of a request from whomever: small, soon, and of the right form. Raises CallerError, TimedOut."""
    length = call.request.content_length
    if length is None or length > _LARGEST_BODY:
        raise RequestEntityTooLarge(f"the body must say its length, of at most {_LARGEST_BODY} bytes")
    data = await call.body(_BODY_SECONDS)
    try:
        return msgspec.json.decode(data, type=of)
    except msgspec.MsgspecError as error:
        # What was sent is not repeated: a secret may be in it.
        shown = error if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise BadRequest(f"the body is not a {of.__name__}: {shown}") from None
