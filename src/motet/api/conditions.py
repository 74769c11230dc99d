"""Match conditions: expressions that say whether a webhook or a policy is about a request at all.

All of them have to be true. One that is false decides, whatever others failed with; else a failure is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from motet.api.admission import Request
from motet.api.attributes import Attributes, Decision
from motet.api.users import AUTHENTICATED, User
from motet.api.webhooks import reviews
from motet.kinds.admissionrules import CONDITION_VARIABLES
from motet.kinds.cel import engine
from motet.kinds.cel.budget import CONDITIONS, Budget
from motet.kinds.cel.engine import CompileError, EvaluationError, NotInstalled, Values
from motet.kinds.cel.library import authorizing
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import text


class Authorizer(Protocol):
    """Who knows what users may do."""

    def decide(self, user: User, attributes: Attributes) -> Decision: ...


@dataclass(frozen=True, slots=True)
class Condition:
    """A named expression."""

    name: str
    expression: str


def conditions(given: Iterable[Json]) -> tuple[Condition, ...]:
    """From the documents of them."""
    return tuple(Condition(text(each, "name"), text(each, "expression")) for each in given)


class Conditions:
    """Evaluates conditions; `authorizer` answers what expressions ask of the variable of that name."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def hold(self, conditions: Sequence[Condition], request: Request, seen: Kind) -> bool:
        """Whether all are true. Raises EvaluationError when none is false and one cannot be evaluated."""
        values = Values(variables(request, seen))
        return self.all_true(conditions, CONDITION_VARIABLES, values, request, Budget(CONDITIONS))

    def all_true(
        self,
        conditions: Iterable[Condition],
        names: tuple[str, ...],
        values: Values,
        request: Request,
        budget: Budget,
    ) -> bool:
        failed: list[str] = []
        for condition in conditions:
            try:
                found = self.evaluate(condition.expression, names, values, request, budget)
            except EvaluationError as error:
                failed.append(f"match condition {condition.name!r} failed: {error}")
                continue
            if found is False:
                return False
            if found is not True:
                failed.append(f"match condition {condition.name!r} is not a bool")
        if failed:
            raise EvaluationError("; ".join(failed))
        return True

    def evaluate(
        self, expression: str, names: tuple[str, ...], values: Values, request: Request, budget: Budget
    ) -> Any:
        """One expression about a request. Raises EvaluationError."""

        def answer(asked: dict[str, str]) -> tuple[bool, str]:
            decision = self._authorizer.decide(_user(asked, request), _attributes(asked))
            return decision.allowed, decision.reason

        with authorizing.asking(answer):
            try:
                return budget.evaluate(engine.compile(expression.strip(), names), values)
            except (CompileError, NotInstalled) as error:
                raise EvaluationError(str(error)) from error


def _user(asked: dict[str, str], request: Request) -> User:
    """Whom an expression asks about: the one who made the request, or a service account."""
    name = asked.get("account")
    if not name:
        return request.user
    namespace = name.split(":")[2]
    return User(name, ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED))


def _attributes(asked: dict[str, str]) -> Attributes:
    return Attributes(
        asked["verb"],
        group=asked.get("group", ""),
        resource=asked.get("resource", ""),
        subresource=asked.get("subresource", ""),
        namespace=asked.get("namespace", ""),
        name=asked.get("name", ""),
        path=asked.get("path", ""),
    )


def variables(request: Request, seen: Kind, new: Json | None = None, old: Json | None = None) -> dict[str, Any]:
    """What expressions see of a request: the object's states, the review's question, and whom to ask what one may."""
    asked = reviews.question(request, seen, None, None, "")
    for name in ("object", "oldObject", "uid"):
        asked.pop(name, None)
    asked["options"] = asked["options"] or {}
    return {
        "object": request.new if new is None else new,
        "oldObject": request.old if old is None else old,
        "request": asked,
        "authorizer": authorizing.AUTHORIZER,
    }
