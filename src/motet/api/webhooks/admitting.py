"""Admission by webhooks: the plugins at the end of the chain that ask those whom the configurations name.

The configurations are read when they change, into an index by resource and operation, so that a write nobody asked to see
costs nothing. Mutating webhooks are asked one after the other, in the order of their configurations' names, each seeing what
those before it changed; validating ones all at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from motet.api import intake, meta, scale
from motet.api.admission import Lookup, Plugin, Request, Verb
from motet.api.conditions import Conditions
from motet.api.options import QUIET
from motet.api.patch import json_patch
from motet.api.webhooks import hooks, reviews
from motet.api.webhooks.client import WebhookClient, WebhookFailure
from motet.api.webhooks.hooks import Hook
from motet.api.webhooks.reviews import Verdict
from motet.base.errors import ApiError, InternalError
from motet.kinds import mutatingwebhookconfiguration, validatingwebhookconfiguration
from motet.kinds.catalogue import Catalogue
from motet.kinds.cel.engine import EvaluationError
from motet.kinds.kind import Json, Kind
from motet.store.document import Document

log = logging.getLogger(__name__)

NAMESPACES = "core/namespaces"
_MUTATING = mutatingwebhookconfiguration.KIND.resource
_VALIDATING = validatingwebhookconfiguration.KIND.resource


class AdmissionWebhooks:
    """Both plugins. `follow` begins to read the configurations; until then there are none."""

    def __init__(self, client: WebhookClient, catalogue: Catalogue, lookup: Lookup, conditions: Conditions) -> None:
        self._client = client
        self._catalogue = catalogue
        self._lookup = lookup
        self._conditions = conditions
        self._hooks: dict[bool, tuple[Hook, ...]] = {True: (), False: ()}
        self.plugins = (
            Plugin("MutatingAdmissionWebhook", self._mutate, mutating=True, interest=self._interest(True), whole=True),
            Plugin("ValidatingAdmissionWebhook", self._validate, interest=self._interest(False), whole=True),
        )

    def follow(self, changed: Callable[[], None]) -> None:
        """Read the configurations now and whenever one changes; `changed` is called after each."""

        def read(old: Document | None = None, new: Document | None = None) -> None:
            self._read()
            changed()

        read()
        for resource in (_MUTATING, _VALIDATING):
            self._lookup(resource).listen(read)
        # What a rule is about may be served later than the rule was written.
        self._catalogue.listen(changed)

    def _read(self) -> None:
        for is_mutating, resource in ((True, _MUTATING), (False, _VALIDATING)):
            found: list[Hook] = []
            for document in self._lookup(resource):
                try:
                    found += hooks.read(document)
                except (ValueError, KeyError, TypeError):  # it was validated once; one we cannot read must stop nobody
                    log.exception("cannot read the webhooks of %s", document.name)
            self._hooks[is_mutating] = tuple(found)

    def _interest(self, is_mutating: bool) -> Callable[[str, Verb, str], bool]:
        def wants(resource: str, verb: Verb, subresource: str) -> bool:
            faces = [kind for kind in self._catalogue if kind.resource == resource]
            if not faces or hooks.exempt(faces[0]):
                return False
            return any(
                rule.concerns(kind.group, kind.plural, subresource, verb)
                for hook in self._hooks[is_mutating]
                for rule in hook.rules
                for kind in faces
            )

        return wants

    async def _mutate(self, request: Request) -> None:
        asked = _Asked(request)
        for hook in self._concerned(True, request):
            if request.again and not (hook.again and request.notes.get(hook.key) not in (None, asked.state())):
                continue
            if (seen := await self._matched(hook, request)) is None:
                continue
            before = asked.state()
            verdict = await self._verdict(hook, seen, request)
            if verdict is not None and verdict.patch is not None:
                await self._change(hook, seen, request, verdict.patch)
            after = asked.state()
            request.notes[hook.key] = after
            request.changed |= before != after

    async def _validate(self, request: Request) -> None:
        asked = [
            (hook, seen)
            for hook in self._concerned(False, request)
            if (seen := await self._matched(hook, request)) is not None
        ]
        answers = await asyncio.gather(
            *(self._verdict(hook, seen, request) for hook, seen in asked), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _concerned(self, is_mutating: bool, request: Request) -> Sequence[Hook]:
        return () if hooks.exempt(request.kind) else self._hooks[is_mutating]

    async def _matched(self, hook: Hook, request: Request) -> Kind | None:
        """The face of the resource in which a webhook wants to see a request; None when it does not."""
        kind = request.kind
        seen = hooks.face(
            self._faces(kind), hook.rules, hook.exactly, request.subresource, request.verb, request.namespace
        )
        if seen is None:
            return None
        if not hooks.selects_namespace(hook.namespaces, kind, self._namespace_labels(request), request.namespace):
            return None
        if not hooks.selects_object(hook.objects, request.new, request.old):
            return None
        if hook.conditions:
            try:
                return seen if self._conditions.hold(hook.conditions, request, seen) else None
            except EvaluationError as error:
                if not hook.fails:
                    return None
                raise InternalError(f'match conditions of webhook "{hook.name}": {error}') from error
        return seen

    def _faces(self, kind: Kind) -> Iterable[Kind]:
        """How else the objects of a resource are shown, the way they were asked for first."""
        yield kind
        yield from (other for other in self._catalogue if other.resource == kind.resource and other is not kind)

    def _namespace_labels(self, request: Request) -> dict[str, str] | None:
        if request.kind.resource == NAMESPACES:
            state = request.new if request.verb in ("CREATE", "UPDATE") and not request.subresource else None
            if state is not None:
                labels: dict[str, str] | None = state["metadata"].get("labels")
                return labels
            name = request.name
        else:
            name = request.namespace
        found = self._lookup(NAMESPACES).get(name) if name else None
        return found.meta.labels if found is not None else None

    async def _verdict(self, hook: Hook, seen: Kind, request: Request) -> Verdict | None:
        """What a webhook says; None when it cannot say, and that does not matter. Raises what it refuses with."""
        uid = meta.new_uid()
        new, old = await _shown(seen, request, request.new), await _shown(seen, request, request.old)
        asked = reviews.question(request, seen, new, old, uid)
        try:
            answer = await self._client.post(hook.address, reviews.review(hook.review, asked), hook.seconds)
            verdict = reviews.verdict(hook.name, hook.review, uid, answer, mutating=hook.mutating)
        except WebhookFailure as error:
            said = f'failed calling webhook "{hook.name}": failed to call webhook: {error}'
            if hook.fails:
                raise InternalError(f"Internal error occurred: {said}") from error
            log.warning("%s (its failurePolicy is Ignore)", said)
            return None
        request.warnings.extend(verdict.warnings)
        request.annotations.update(verdict.annotations)
        if verdict.refusal is not None:
            raise verdict.refusal
        return verdict

    async def _change(self, hook: Hook, seen: Kind, request: Request, patch: list[Any]) -> None:
        """Carry out a webhook's patch, and make the outcome as complete and clean as what clients send."""
        if request.new is None:
            raise InternalError(
                f'Internal error occurred: admission webhook "{hook.name}" attempted to modify the object, which is not '
                "supported for this operation"
            )
        shown = await _shown(seen, request, request.new)
        assert shown is not None
        try:
            changed = json_patch(shown, patch)
        except ApiError as error:
            raise InternalError(f'Internal error occurred: webhook "{hook.name}": {error.message}') from error
        if changed == shown:
            return
        if not isinstance(changed, dict) or (changed.get("apiVersion"), changed.get("kind")) != (
            shown["apiVersion"],
            shown["kind"],
        ):
            raise InternalError(f'Internal error occurred: webhook "{hook.name}" must not change the kind of an object')
        await _take(seen, request, changed)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The request as one that mutates sees it."""

    request: Request

    def state(self) -> bytes:
        return self.request.encoded()


async def _shown(seen: Kind, request: Request, state: Json | None) -> Json | None:
    """A state of the object in the face a webhook sees."""
    if state is None:
        return None
    if request.subresource == "scale":
        return scale.show(request.kind, {**state, "metadata": {**state["metadata"]}})
    if request.subresource and state.get("kind") != request.kind.kind:
        return state  # what was posted to a subresource, which has no other face
    if seen is request.kind:
        return state
    if seen.versions is not None:
        return await seen.versions.take(state)
    if seen.projection is not None:
        copied = {**state}
        seen.projection.read(copied)
        return copied
    return {**state, "apiVersion": seen.api_version}


async def _take(seen: Kind, request: Request, changed: Json) -> None:
    """Make the changed object that of the request, in place."""
    target, kind = request.new, request.kind
    assert target is not None
    if request.subresource == "scale":
        scale.written(kind, target, changed)
        return
    if request.subresource and target.get("kind") != kind.kind:
        target.clear()
        target.update(changed)
        return
    if seen is not kind:
        if kind.versions is not None:
            changed = await kind.versions.take(changed)
        elif seen.projection is not None:
            seen.projection.write(changed)
        else:
            changed = {**changed, "apiVersion": kind.api_version}
    metadata = dict(changed.get("metadata") or {})
    for name in ("name", "namespace"):
        if name in target["metadata"]:
            metadata[name] = target["metadata"][name]
    cleaned = intake.receive(kind, {**changed, "metadata": metadata}, QUIET)
    kind.default(cleaned)
    target.clear()
    target.update(cleaned)
