"""Admission by policies: the plugins that evaluate them, before those that ask webhooks.

Policies are read when they or their bindings change, so that a write that none is about costs nothing. They go in the
order of their names, each with its bindings in theirs and once for every object that parameterizes it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.api.admission import Lookup, Plugin, Request, Verb, refusal
from motet.api.conditions import Conditions
from motet.api.matching import faces, is_policy, shown, take
from motet.api.policies import mutating, params, policies
from motet.api.policies.evaluating import Scope, values
from motet.api.policies.params import Misconfigured
from motet.api.policies.policies import Binding, Policy, Validation
from motet.base.errors import ApiError, from_status
from motet.kinds import (
    mutatingadmissionpolicy,
    mutatingadmissionpolicybinding,
    validatingadmissionpolicy,
    validatingadmissionpolicybinding,
)
from motet.kinds.catalogue import Catalogue
from motet.kinds.cel.engine import EvaluationError
from motet.kinds.kind import Json, Kind
from motet.kinds.schema import table
from motet.store.document import Document

log = logging.getLogger(__name__)

_RESOURCES = {
    True: (mutatingadmissionpolicy.KIND.resource, mutatingadmissionpolicybinding.KIND.resource),
    False: (validatingadmissionpolicy.KIND.resource, validatingadmissionpolicybinding.KIND.resource),
}
_CODES = {"Unauthorized": 401, "Forbidden": 403, "RequestEntityTooLarge": 413}
_FAILURES = "validation.policy.admission.k8s.io/validation_failure"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that speaks against a request. `index` is the validation's."""

    message: str
    reason: str = "Invalid"
    index: int = 0


class AdmissionPolicies:
    """Both plugins. `follow` begins to read the policies; until then there are none."""

    def __init__(self, catalogue: Catalogue, lookup: Lookup, conditions: Conditions) -> None:
        self._catalogue = catalogue
        self._lookup = lookup
        self._conditions = conditions
        self._policies: dict[bool, tuple[Policy, ...]] = {True: (), False: ()}
        self.plugins = (
            Plugin("MutatingAdmissionPolicy", self._mutate, mutating=True, interest=self._interest(True), whole=True),
            Plugin("ValidatingAdmissionPolicy", self._validate, interest=self._interest(False), whole=True),
        )

    def follow(self, changed: Callable[[], None]) -> None:
        """Read the policies now and whenever one changes; `changed` is called after each."""
        for is_mutating, resources in _RESOURCES.items():

            def read(old: Document | None = None, new: Document | None = None, which: bool = is_mutating) -> None:
                self._read(which)
                changed()

            read()
            for resource in resources:
                self._lookup(resource).listen(read)
        self._catalogue.listen(changed)

    def _read(self, is_mutating: bool) -> None:
        of_policies, of_bindings = (self._lookup(resource) for resource in _RESOURCES[is_mutating])
        bindings = [made for document in of_bindings if (made := _made(policies.binding, document)) is not None]
        found = [_made(lambda each: policies.policy(each, bindings), document) for document in of_policies]
        self._policies[is_mutating] = tuple(policy for policy in found if policy is not None and policy.bindings)

    def _interest(self, is_mutating: bool) -> Callable[[str, Verb, str], bool]:
        def wants(resource: str, verb: Verb, subresource: str) -> bool:
            kinds = [kind for kind in self._catalogue if kind.resource == resource]
            if not kinds or is_policy(kinds[0]):
                return False
            return any(policy.matching.concerns(kinds, subresource, verb) for policy in self._policies[is_mutating])

        return wants

    def _meant(self, request: Request, is_mutating: bool) -> Iterator[tuple[Policy, Binding, Kind]]:
        """The policies that are about a request, with each binding and the face to see it in."""
        kinds = faces(self._catalogue, request.kind)
        for policy in self._policies[is_mutating]:
            seen = policy.matching.face(request, kinds)
            if seen is not None:
                for binding in policy.bindings:
                    if binding.matching.everything_of(request, kinds):
                        yield policy, binding, seen

    async def _scopes(self, policy: Policy, binding: Binding, seen: Kind, request: Request) -> list[Scope]:
        """What expressions see, with each set of parameters. Raises Misconfigured."""
        found = await params.find(policy, binding, request, self._catalogue)
        new, old = await shown(seen, request, request.new), await shown(seen, request, request.old)
        return [Scope(self._conditions, policy, request, values(request, seen, new, old, each)) for each in found]

    async def _validate(self, request: Request) -> None:
        denied: ApiError | None = None
        for policy, binding, seen in self._meant(request, is_mutating=False):
            told = f"ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
            try:
                scopes = await self._scopes(policy, binding, seen, request)
            except Misconfigured as error:
                if policy.fails and denied is None:
                    denied = _refused(request, f"{told} denied request: failed to configure binding: {error}")
                continue
            for finding in [finding for scope in scopes for finding in self._findings(policy, scope, request)]:
                _note(policy, binding, finding, request)
                if "Deny" in binding.actions and denied is None:
                    denied = _refused(request, f"{told} denied request: {finding.message}", finding.reason)
        if denied is not None:
            raise denied

    def _findings(self, policy: Policy, scope: Scope, request: Request) -> list[Finding]:
        try:
            if not scope.meant():
                return []
        except EvaluationError as error:
            return [Finding(str(error))] if policy.fails else []
        judged = [_judged(policy, index, each, scope) for index, each in enumerate(policy.validations)]
        noted = [_annotated(policy, key, expression, scope, request) for key, expression in policy.annotations]
        return [finding for finding in (*judged, *noted) if finding is not None]

    async def _mutate(self, request: Request) -> None:
        if request.new is None:
            return
        for policy, binding, seen in self._meant(request, is_mutating=True):
            key = f"policy/{policy.name}/{binding.name}"
            if request.again and not (policy.again and request.notes.get(key) not in (None, request.encoded())):
                continue
            before = request.encoded()
            try:
                await self._change(policy, binding, seen, request)
            except (EvaluationError, Misconfigured) as error:
                if policy.fails:
                    told = f"policy '{policy.name}' with binding '{binding.name}' denied request: {error}"
                    raise _refused(request, told) from error
            after = request.notes[key] = request.encoded()
            request.changed |= before != after

    async def _change(self, policy: Policy, binding: Binding, seen: Kind, request: Request) -> None:
        """All of a policy's mutations, each seeing what those before it changed; all or none are made."""
        old = await shown(seen, request, request.old)
        current = start = await shown(seen, request, request.new)
        assert current is not None
        for each in await params.find(policy, binding, request, self._catalogue):
            meant = Scope(self._conditions, policy, request, values(request, seen, current, old, each)).meant()
            for kind, expression in policy.mutations if meant else ():
                scope = Scope(self._conditions, policy, request, values(request, seen, current, old, each))
                current = mutating.changed(table.get(seen.schema), current, kind, scope.evaluate(expression))
        if current != start:
            await take(seen, request, current)


def _made(make: Callable[[Json], Any], document: Document) -> Any:
    try:
        return make(document.decode())
    except (ValueError, KeyError, TypeError):  # it was validated once; one we cannot read must stop nobody
        log.exception("cannot read %s %s", document.key.resource, document.name)
        return None


def _judged(policy: Policy, index: int, validation: Validation, scope: Scope) -> Finding | None:
    try:
        if scope.evaluate(validation.expression) is True:
            return None
    except EvaluationError as error:
        told = f"expression '{validation.expression}' resulted in error: {error}"
        return Finding(told, index=index) if policy.fails else None
    return Finding(_message(validation, scope), validation.reason, index)


def _message(validation: Validation, scope: Scope) -> str:
    if validation.message_expression:
        try:
            found = scope.evaluate(validation.message_expression)
        except EvaluationError as error:
            log.info("messageExpression %r failed: %s", validation.message_expression, error)
        else:
            if isinstance(found, str) and found.strip() and "\n" not in found.strip():
                return found.strip()
    return validation.message or f"failed expression: {validation.expression}"


def _annotated(policy: Policy, key: str, expression: str, scope: Scope, request: Request) -> Finding | None:
    """Note down what a policy wants to be noted; several parameters may give it several values."""
    try:
        found = scope.evaluate(expression)
        if found is not None and not isinstance(found, str):
            raise EvaluationError("valueExpression must give a string or null")
    except EvaluationError as error:
        told = f"expression '{expression}' resulted in error: {error}"
        return Finding(told) if policy.fails else None
    if found and found.strip():
        name, value = f"{policy.name}/{key}", found.strip()
        known = request.annotations.get(name, "").split(", ")
        request.annotations[name] = ", ".join(dict.fromkeys(filter(None, (*known, value))))
    return None


def _note(policy: Policy, binding: Binding, finding: Finding, request: Request) -> None:
    """What follows besides a refusal."""
    if "Warn" in binding.actions:
        told = f"Validation failed for ValidatingAdmissionPolicy '{policy.name}' with binding '{binding.name}'"
        request.warnings.append(f"{told}: {finding.message}")
    if "Audit" in binding.actions:
        failure = {
            "message": finding.message,
            "policy": policy.name,
            "binding": binding.name,
            "expressionIndex": finding.index,
            "validationActions": list(binding.actions),
        }
        earlier = msgspec.json.decode(request.annotations.get(_FAILURES, "[]"))
        request.annotations[_FAILURES] = msgspec.json.encode([*earlier, failure]).decode()


def _refused(request: Request, told: str, reason: str = "Invalid") -> ApiError:
    status = refusal(request, told, causes=[{"message": told}]).status()
    return from_status({**status, "reason": reason, "code": _CODES.get(reason, 422)})
