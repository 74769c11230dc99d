"""What the expressions of one policy see of one request, with one set of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from motet.api.admission import Request
from motet.api.conditions import Conditions, variables
from motet.api.matching import NAMESPACES
from motet.api.policies.policies import Policy
from motet.kinds.cel.budget import Budget
from motet.kinds.cel.engine import EvaluationError, Values
from motet.kinds.cel.library import authorizing
from motet.kinds.cel.tokens import tokens
from motet.kinds.kind import Json, Kind
from motet.kinds.policyrules import VARIABLES

_VARIABLES = "variables"
_CONDITION_VARIABLES = tuple(name for name in VARIABLES if name != _VARIABLES)


class Scope:
    """Evaluates expressions. Variables are evaluated when an expression names them, and once."""

    def __init__(self, conditions: Conditions, policy: Policy, request: Request, values: Mapping[str, Any]) -> None:
        self._conditions = conditions
        self._policy = policy
        self._request = request
        self._plain = values
        self._budget = Budget()
        self._values: dict[frozenset[str], Values] = {}
        self._variables: dict[str, Any] = {}
        self._failed: dict[str, EvaluationError] = {}

    def meant(self) -> bool:
        """Whether the policy's conditions hold. Raises EvaluationError."""
        if not self._policy.conditions:
            return True
        values = Values(self._plain)
        return self._conditions.all_true(
            self._policy.conditions, _CONDITION_VARIABLES, values, self._request, self._budget
        )

    def evaluate(self, expression: str) -> Any:
        """The value of an expression. Raises EvaluationError."""
        named = _named(expression, tuple(self._policy.variables))
        for name in named:
            self._make(name)
        values = self._values.get(named)
        if values is None:
            made = {name: self._variables[name] for name in named if name in self._variables}
            values = self._values[named] = Values({**self._plain, _VARIABLES: made})
        try:
            return self._conditions.evaluate(expression, VARIABLES, values, self._request, self._budget)
        except EvaluationError as error:
            missing = str(error).removeprefix("no such key: ")
            raise self._failed.get(missing, error) from error

    def _make(self, name: str) -> None:
        """A variable that cannot be evaluated is one only for expressions that come to look at it."""
        if name in self._variables or name in self._failed:
            return
        # One that names itself finds nothing there.
        self._failed[name] = EvaluationError(f"variable {name!r} depends on itself")
        try:
            self._variables[name] = self.evaluate(self._policy.variables[name])
            del self._failed[name]
        except EvaluationError as error:
            self._failed[name] = EvaluationError(f"composited variable {name!r} fails to evaluate: {error}")


@lru_cache(maxsize=4096)
def _named(expression: str, known: tuple[str, ...]) -> frozenset[str]:
    """The variables that an expression may look at: those it names, or all if it looks at them in another way."""
    found = tokens(expression)
    named: set[str] = set()
    for index, token in enumerate(found):
        if token.text != _VARIABLES or (index and found[index - 1].text in (".", "?.")):
            continue
        follows = [each.text for each in found[index + 1 : index + 3]]
        if len(follows) < 2 or follows[0] not in (".", "?."):
            return frozenset(known)
        named.add(follows[1])
    return frozenset(named & set(known))


def values(request: Request, seen: Kind, new: Json | None, old: Json | None, params: Json | None) -> dict[str, Any]:
    """All variables but a policy's own."""
    found = variables(request, seen, new, old)
    resource = {
        "group": request.kind.group,
        "resource": request.kind.plural,
        "subresource": request.subresource,
        "namespace": request.namespace,
        "name": request.name,
    }
    found["authorizer"] = authorizing.with_request(resource)
    return {**found, "params": params, "namespaceObject": _namespace(request)}


def _namespace(request: Request) -> Json | None:
    document = request.lookup(NAMESPACES).get(request.namespace) if request.namespace else None
    return document.decode() if document is not None else None
