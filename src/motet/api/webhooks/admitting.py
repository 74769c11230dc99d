"""Admission by webhooks: the plugins at the end of the chain that ask those whom the configurations name.

The configurations are read when they change, into an index by resource and operation, so that a write nobody asked to see
costs nothing. Mutating webhooks are asked one after the other, in the order of their configurations' names, each seeing what
those before it changed; validating ones all at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from motet.api import meta
from motet.api.admission import Lookup, Plugin, Request, Verb
from motet.api.conditions import Conditions
from motet.api.matching import exempt, faces, shown, take
from motet.api.patch import json_patch
from motet.api.webhooks import hooks, reviews
from motet.api.webhooks.client import WebhookClient, WebhookFailure
from motet.api.webhooks.hooks import Hook
from motet.api.webhooks.reviews import Verdict
from motet.base.errors import ApiError, InternalError
from motet.kinds import mutatingwebhookconfiguration, validatingwebhookconfiguration
from motet.kinds.catalogue import Catalogue
from motet.kinds.cel.engine import EvaluationError
from motet.kinds.kind import Kind
from motet.store.document import Document

log = logging.getLogger(__name__)

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
            kinds = [kind for kind in self._catalogue if kind.resource == resource]
            if not kinds or exempt(kinds[0]):
                return False
            return any(hook.matching.concerns(kinds, subresource, verb) for hook in self._hooks[is_mutating])

        return wants

    async def _mutate(self, request: Request) -> None:
        kinds = faces(self._catalogue, request.kind)
        for hook in self._hooks[True]:
            if request.again and not (hook.again and request.notes.get(hook.key) not in (None, request.encoded())):
                continue
            if (seen := self._matched(hook, request, kinds)) is None:
                continue
            before = request.encoded()
            verdict = await self._verdict(hook, seen, request)
            if verdict is not None and verdict.patch is not None:
                await self._change(hook, seen, request, verdict.patch)
            after = request.notes[hook.key] = request.encoded()
            request.changed |= before != after

    async def _validate(self, request: Request) -> None:
        kinds = faces(self._catalogue, request.kind)
        asked = [
            (hook, seen) for hook in self._hooks[False] if (seen := self._matched(hook, request, kinds)) is not None
        ]
        answers = await asyncio.gather(
            *(self._verdict(hook, seen, request) for hook, seen in asked), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    def _matched(self, hook: Hook, request: Request, kinds: Sequence[Kind]) -> Kind | None:
        """The face of the resource in which a webhook wants to see a request; None when it does not."""
        seen = hook.matching.face(request, kinds)
        if seen is None or not hook.conditions:
            return seen
        try:
            return seen if self._conditions.hold(hook.conditions, request, seen) else None
        except EvaluationError as error:
            if not hook.fails:
                return None
            raise InternalError(f'match conditions of webhook "{hook.name}": {error}') from error

    async def _verdict(self, hook: Hook, seen: Kind, request: Request) -> Verdict | None:
        """What a webhook says; None when it cannot say, and that does not matter. Raises what it refuses with."""
        uid = meta.new_uid()
        new, old = await shown(seen, request, request.new), await shown(seen, request, request.old)
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
        before = await shown(seen, request, request.new)
        assert before is not None
        try:
            changed = json_patch(before, patch)
        except ApiError as error:
            raise InternalError(f'Internal error occurred: webhook "{hook.name}": {error.message}') from error
        if changed == before:
            return
        if not isinstance(changed, dict) or any(changed.get(name) != before[name] for name in ("apiVersion", "kind")):
            raise InternalError(f'Internal error occurred: webhook "{hook.name}" must not change the kind of an object')
        await take(seen, request, changed)
