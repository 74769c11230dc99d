"""Validating admission policies: their expressions are checked against the types they are about, and the finding told.

A policy with a mistake in a member's name counts all the same, as upstream: its status warns.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.interface import Client
from motet.controllers.loop import Controller
from motet.kinds import validatingadmissionpolicy
from motet.kinds.catalogue import Catalogue
from motet.kinds.cel.checking import Checker, Types
from motet.kinds.cel.engine import CompileError, NotInstalled
from motet.kinds.kind import Json, Kind
from motet.kinds.policyrules import VARIABLES
from motet.kinds.schema import table
from motet.kinds.shape import mapping, number, objects, strings, text
from motet.store.document import Document
from motet.store.table import Table

log = logging.getLogger(__name__)

_KIND = validatingadmissionpolicy.KIND
# More types than this are not looked at.
_MOST_TYPES = 10


def status(policy: Json, catalogue: Catalogue) -> Json:
    """What a policy's status has to say, its own conditions aside."""
    found = warnings(policy, catalogue)
    checked: Json = {"expressionWarnings": found} if found else {}
    return {"observedGeneration": number(policy, "metadata", "generation"), "typeChecking": checked}


def warnings(policy: Json, catalogue: Catalogue) -> list[Json]:
    """Mistakes in the expressions of validations, by where they stand; each tells the types it is one for."""
    spec = mapping(policy, "spec")
    kinds = [kind for kind in _kinds(spec, catalogue) if kind.schema][:_MOST_TYPES]
    if not kinds:
        return []
    given = mapping(spec, "paramKind")
    params = catalogue.by_kind(text(given, "apiVersion"), text(given, "kind"))
    known = types([*kinds, params] if params is not None and params.schema else kinds)
    found = []
    for index, validation in enumerate(objects(spec, "validations")):
        for name in ("expression", "messageExpression"):
            told = _told(text(validation, name), kinds, params, known)
            if told:
                found.append({"fieldRef": f"spec.validations[{index}].{name}", "warning": told})
    return found


def types(kinds: Iterable[Kind]) -> Checker:
    known = Types()
    for kind in kinds:
        known.place(table.get(kind.schema))
    return known.checker()


def _told(expression: str, kinds: Iterable[Kind], params: Kind | None, known: Checker) -> str:
    if not expression.strip():
        return ""
    told = ""
    for kind in kinds:
        schema = table.get(kind.schema)
        variables = {**dict.fromkeys(VARIABLES), "object": schema, "oldObject": schema}
        if params is not None and params.schema:
            variables["params"] = table.get(params.schema)
        try:
            known.check_with(expression, variables)
        except CompileError as error:
            told += f"{kind.api_version}, Kind={kind.kind}: {error}\n"
    return told


def _kinds(spec: Json, catalogue: Catalogue) -> Iterator[Kind]:
    """The kinds that a policy names one by one; those meant by `*` are too many to say anything about."""
    seen = set()
    for rule in objects(spec, "matchConstraints", "resourceRules"):
        groups, versions, resources = (strings(rule, name) for name in ("apiGroups", "apiVersions", "resources"))
        if "*" in (*groups, *versions, *resources):
            continue
        for path in ((group, version, resource) for group in groups for version in versions for resource in resources):
            kind = catalogue.by_path(*path)
            if kind is not None and kind.api_version + kind.kind not in seen:
                seen.add(kind.api_version + kind.kind)
                yield kind


class AdmissionPolicyChecks:
    """The loop over validating policies. Keys are their names."""

    def __init__(self, client: Client, clock: Clock, catalogue: Catalogue) -> None:
        self._client = client
        self._clock = clock
        self._catalogue = catalogue
        self._policies: Table

    async def run(self) -> None:
        """Check policies until cancelled."""
        self._policies = await self._client.table(_KIND)
        loop: Controller[str] = Controller("admissionpolicies", self.reconcile, clock=self._clock, parallelism=1)
        loop.watch(self._policies, _concerned)
        await loop.run()

    async def reconcile(self, name: str) -> float | None:
        """Check one policy, once for each of its generations."""
        document = self._policies.get(name)
        if document is None:
            return None
        found = document.decode()
        if number(found, "status", "observedGeneration") == number(found, "metadata", "generation"):
            return None
        try:
            wanted = status(found, self._catalogue)
        except NotInstalled as error:
            log.warning("cannot check the policy %s: %s", name, error)
            return None
        with contextlib.suppress(NotFound):
            await self._client.update(
                _KIND, {**found, "status": {**mapping(found, "status"), **wanted}}, subresource="status"
            )
        return None


def _concerned(old: Document | None, new: Document | None) -> Iterable[str]:
    if new is not None:
        yield new.name
