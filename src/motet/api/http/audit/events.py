"""From a request and its answer to a line of the audit log (audit.k8s.io/v1 Event)."""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any

import msgspec
from aiohttp import web

from motet.api.attributes import Attributes
from motet.api.http import negotiate
from motet.api.http.answers import JSON
from motet.api.http.audit.log import AuditLog
from motet.api.http.audit.policy import COMPLETE, LEVEL_NAMES, STARTED, Level, Policy, Verdict
from motet.api.http.calls import Call
from motet.api.http.reviews import user_info
from motet.api.users import User
from motet.base.clock import Clock
from motet.base.errors import ApiError
from motet.base.timestamps import format_micro_time

_ID = re.compile(r"[\w.:-]{1,64}")
# Larger bodies are left out, and the event says so.
_LARGEST = 64 * 1024
_MANAGED = "managedFields"


class Auditor:
    """Writes down what the policy asks for."""

    def __init__(self, policy: Policy, log: AuditLog, clock: Clock) -> None:
        self._policy = policy
        self._log = log
        self._clock = clock

    @property
    def dropped(self) -> int:
        """Events that could not be written."""
        return self._log.dropped

    def now(self) -> datetime:
        return self._clock.now()

    def started(self, call: Call) -> None:
        """A watch or a stream begins, which may last."""
        verdict = self._policy.decide(_who(call), _asked(call))
        if verdict.level and STARTED not in verdict.omitted:
            now = self._clock.now()
            self._log.write(msgspec.json.encode(self._event(call, verdict, STARTED, now, 200)))

    def complete(self, call: Call, received: datetime, answer: web.StreamResponse) -> None:
        """A request has been answered."""
        verdict = self._policy.decide(_who(call), _asked(call))
        if not verdict.level:
            return
        if not answer.prepared:
            answer.headers["Audit-Id"] = _id(call)
        if COMPLETE in verdict.omitted:
            return
        event = self._event(call, verdict, COMPLETE, received, answer.status)
        if verdict.level >= Level.REQUEST:
            form = call.request.headers.get("Content-Type", "")
            _put(event, "requestObject", call.request._read_bytes or b"", form, verdict)
        if verdict.level >= Level.RESPONSE and isinstance(answer, web.Response):
            plain = answer.content_type == JSON and "Content-Encoding" not in answer.headers
            body = answer.body if plain and isinstance(answer.body, bytes) else b""
            _put(event, "responseObject", body, JSON, verdict)
        self._log.write(msgspec.json.encode(event))

    def _event(self, call: Call, verdict: Verdict, stage: str, received: datetime, code: int) -> dict[str, Any]:
        transport = call.request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        event: dict[str, Any] = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": LEVEL_NAMES[verdict.level],
            "auditID": _id(call),
            "stage": stage,
            "requestURI": call.request.raw_path,
            "verb": call.verb,
            "user": user_info(_who(call)),
            "sourceIPs": [str(peer[0])] if peer else [],
            "userAgent": call.request.headers.get("User-Agent", ""),
        }
        if call.notes.real is not None and call.notes.real is not call.user:
            event["impersonatedUser"] = user_info(call.user)
        if call.target.is_resource:
            event["objectRef"] = _object(call)
        event["responseStatus"] = {"metadata": {}, "code": code}
        event["requestReceivedTimestamp"] = format_micro_time(received)
        event["stageTimestamp"] = format_micro_time(self._clock.now())
        notes = dict(call.notes.annotations)
        if call.notes.decision[0]:
            notes["authorization.k8s.io/decision"], notes["authorization.k8s.io/reason"] = call.notes.decision
        event["annotations"] = notes
        return event


def _value(data: bytes, media: str) -> Any:
    """What a body says, in whatever form: objects may come as protobuf, as kubectl's do. Raises ApiError."""
    if media == negotiate.PROTOBUF:
        return negotiate.document(data, media)
    return negotiate.yaml_value(data) if "yaml" in media else negotiate.json_value(data)


def _who(call: Call) -> User:
    """Whoever it is, not as whom: rules are about the one who asks, so nobody leaves the log by impersonating."""
    return call.notes.real or call.user


def _asked(call: Call) -> Attributes:
    target = call.target
    if not target.is_resource:
        return Attributes(call.verb, path=target.path)
    return Attributes(call.verb, target.group, target.plural, target.subresource, target.namespace, target.name)


def _object(call: Call) -> dict[str, str]:
    target = call.target
    found = {
        "resource": target.plural,
        "namespace": target.namespace,
        "name": target.name or call.notes.name,
        "apiGroup": target.group,
        "apiVersion": target.version,
        "subresource": target.subresource,
    }
    return {key: value for key, value in found.items() if value}


def _id(call: Call) -> str:
    """The client's own, or a new one, the same for all events of a request."""
    if not call.notes.id:
        given = call.request.headers.get("Audit-Id", "")
        call.notes.id = given if _ID.fullmatch(given) else str(uuid.uuid4())
    return call.notes.id


def _put(event: dict[str, Any], field: str, data: bytes, content_type: str, verdict: Verdict) -> None:
    if not data:
        return
    if len(data) > _LARGEST:
        event["annotations"][f"audit.motet.dev/{field}"] = f"left out: {len(data)} bytes"
        return
    try:
        body = _value(data, negotiate.media_of(content_type))
    except ApiError as error:
        event["annotations"][f"audit.motet.dev/{field}"] = f"left out: {error}"
        return
    metadata = body.get("metadata") if isinstance(body, dict) else None
    if verdict.without_managed_fields and isinstance(metadata, dict):
        metadata.pop(_MANAGED, None)
    event[field] = body
