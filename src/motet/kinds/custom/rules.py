"""Rules in CEL in a custom resource's schema (`x-kubernetes-validations`): checked when they are written, then applied.

Follows "CustomResourceDefinitions: validation rules". A rule sees the value it stands at as `self`, and on updates what
that value was as `oldSelf`; one that names `oldSelf` (a transition rule) applies only where there was an old value. Items of
lists that are maps are compared by key; other items have no old value.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from motet.base.errors import FieldError, MotetError, forbidden, invalid, required, unsupported
from motet.kinds.cel import checking, cost, engine, values
from motet.kinds.cel.budget import Budget, OutOfBudget
from motet.kinds.cel.engine import CompileError, CostExceeded, EvaluationError, NotInstalled, Values
from motet.kinds.cel.sizes import OfSchema, longest
from motet.kinds.cel.tokens import mentions
from motet.kinds.custom import jsonpath
from motet.kinds.kind import Json
from motet.kinds.schema import model, rules, structural
from motet.kinds.schema.model import Field, Schema

log = logging.getLogger(__name__)

RULES = "x-kubernetes-validations"
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
UNCHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)
# Errors that say a value is not of the shape that rules are written for.
_BLOCKING = frozenset(
    ("FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid")
)
_TYPES = {"struct": "object", "map": "object", "list": "array", "int-or-string": "", "any": ""}
# How many of the rules that cost the most are named.
_DEAREST = 4
_HAS_OLD, _OLD = "motet_has_old", "motet_old"
_MISSING: Any = object()


def root(openapi: Mapping[str, Any]) -> Schema:
    """The schema of a whole resource as rules see it: of the metadata, only the names."""
    text = Schema(type=model.STRING)
    named = {name: Field(name, text, False) for name in ("name", "generateName")}
    metadata = Schema(type=model.STRUCT, typed=False, load_fields=lambda: named)
    found = structural.convert(openapi)
    own = {**found.fields, "metadata": Field("metadata", metadata, False)}
    own |= {name: Field(name, text, False) for name in ("apiVersion", "kind")}
    return found.with_facts(type=model.STRUCT, load_fields=lambda: own)


# Checking


@dataclass(frozen=True, slots=True)
class _Place:
    """A node with rules: its path in the definition, the list that keeps it from having an old value, if any, and how many
    values there may be at such a place."""

    schema: Schema
    path: str
    uncorrelatable: str
    times: int


@dataclass(frozen=True, slots=True)
class _Cost:
    """What the rule at a path costs at most, for all values together."""

    path: str
    most: int


def problems(openapi: Mapping[str, Any], path: str) -> list[FieldError]:
    """Everything wrong with the rules in a schema that is otherwise sound."""
    places = list(_places(root(openapi), path, "", 1))
    if not places:
        return []
    if not engine.installed():
        return [forbidden(f"{place.path}.{RULES}", str(NotInstalled())) for place in places]
    types = checking.Types()
    for place in places:
        types.place(place.schema)
    checker = types.checker()
    costs: list[_Cost] = []
    found = [error for place in places for error in _place_problems(place, checker, costs)]
    return [*found, *_together(costs, path)]


def _places(schema: Schema, path: str, uncorrelatable: str, times: int) -> Iterator[_Place]:
    if not has_any(schema):
        return
    if schema.validations:
        yield _Place(schema, path, uncorrelatable, times)
    for name, member in schema.fields.items():
        yield from _places(member.schema, f"{path}.properties[{name}]", uncorrelatable, times)
    if schema.values is not None:
        yield from _places(schema.values, f"{path}.additionalProperties", uncorrelatable, times * longest(schema))
    if schema.items is not None:
        below = uncorrelatable if schema.list_type == "map" else uncorrelatable or path
        yield from _places(schema.items, f"{path}.items", below, times * longest(schema))


def _together(costs: list[_Cost], path: str) -> Iterator[FieldError]:
    """Complaints about all rules together, and about those that cost the most."""
    total = sum(each.most for each in costs)
    if total <= cost.WRITTEN_TOGETHER:
        return
    what = "estimated rule cost total"
    # Those that are too dear by themselves have been told already.
    dear = sorted((each for each in costs if each.most <= cost.WRITTEN), key=lambda each: -each.most)
    for each in dear[:_DEAREST]:
        yield forbidden(each.path, f"contributed to {what} exceeding cost limit for entire OpenAPIv3 schema")
    told = cost.told(f"x-kubernetes-validations {what} for entire OpenAPIv3 schema", total, cost.WRITTEN_TOGETHER)
    yield forbidden(path, told)


def has_any(schema: Schema) -> bool:
    """Whether there are rules at a node or below."""
    return structural.somewhere(schema, "rules", lambda node: bool(node.validations))


def _place_problems(place: _Place, checker: checking.Checker, costs: list[_Cost]) -> Iterator[FieldError]:
    for index, rule in enumerate(place.schema.validations):
        at = f"{place.path}.{RULES}[{index}]"
        found = list(_form(rule, place.schema, at))
        yield from found
        if not found:
            yield from _compiles(rule, place, at, checker, costs)


def _form(rule: Mapping[str, Any], schema: Schema, at: str) -> Iterator[FieldError]:
    text, message = str(rule.get("rule") or ""), str(rule.get("message") or "")
    if not text.strip():
        yield required(f"{at}.rule", "rule is not specified")
    elif message and not message.strip():
        yield invalid(f"{at}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip():
        yield invalid(f"{at}.message", message, "message must not contain line breaks")
    elif "\n" in text.strip() and not message:
        yield required(f"{at}.message", "message must be specified if rule contains line breaks")
    expression = rule.get("messageExpression")
    if expression and not expression.strip():
        yield required(f"{at}.messageExpression", "messageExpression must be non-empty if specified")
    if (reason := rule.get("reason")) is not None and reason not in REASONS:
        yield unsupported(f"{at}.reason", reason, REASONS)
    where = rule.get("fieldPath")
    if where and not where.strip():
        yield invalid(f"{at}.fieldPath", where, "fieldPath must be non-empty if specified")
    elif where and not _leads_somewhere(schema, where):
        yield invalid(f"{at}.fieldPath", where, "fieldPath must be a valid path")


def _leads_somewhere(schema: Schema, where: str) -> bool:
    node: Schema | None = schema
    for step in _steps(where):
        if node is None:
            return False
        node = node.fields[step].schema if step in node.fields else node.values
    return node is not None and bool(_steps(where))


def _steps(where: str) -> list[str]:
    """The members of a field path: `.a['b.c'].d`."""
    try:
        jsonpath.parse(where)
    except ValueError:
        return []
    return [a or b or c for a, b, c in jsonpath.MEMBERS.findall(where)]


def _compiles(
    rule: Mapping[str, Any], place: _Place, at: str, checker: checking.Checker, costs: list[_Cost]
) -> Iterator[FieldError]:
    optional = bool(rule.get("optionalOldSelf"))
    wanted = (("rule", "BOOL", "cel expression must evaluate to a bool"),)
    if rule.get("messageExpression"):
        wanted += (("messageExpression", "STRING", "messageExpression must evaluate to a string"),)  # type: ignore[assignment]
    for name, type, otherwise in wanted:
        expression = str(rule[name])
        try:
            found = checker.check(expression, place.schema, optional_old=optional)
        except CompileError as error:
            yield invalid(f"{at}.{name}", dict(rule), f"compilation failed: {error}")
            continue
        if found not in (type, "DYN"):
            yield invalid(f"{at}.{name}", dict(rule), otherwise)
        elif place.uncorrelatable and mentions(expression, "oldSelf"):
            detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelatable}"
            yield invalid(f"{at}.{name}", rule["rule"], detail)
        else:
            yield from _costs(name, expression, place, at, costs)


def _costs(name: str, expression: str, place: _Place, at: str, costs: list[_Cost]) -> Iterator[FieldError]:
    """Whether an expression could take too long, for as many and as large values as the schema allows."""
    size = OfSchema(place.schema)
    tree = engine.compile(expression, ("oldSelf", "self")).tree
    found = _Cost(f"{at}.{name}", cost.most(tree, {"self": size, "oldSelf": size}) * place.times)
    costs.append(found)
    if found.most > cost.WRITTEN:
        yield forbidden(found.path, cost.told(f"estimated {name} cost", found.most, cost.WRITTEN))


# Applying


def blocking(errors: list[FieldError]) -> bool:
    """Whether rules are not to be tried, because the value is not of the shape they are written for."""
    return any(error.type in _BLOCKING for error in errors)


def unchecked() -> FieldError:
    """What is said instead of trying."""
    return invalid(rules.NOWHERE, None, UNCHECKED)


def complaints(schema: Schema, document: Json, old: Json | None) -> list[FieldError]:
    """Every rule of `root`'s schema that a document breaks, on an update from `old`. What has not changed is left in peace."""
    if not has_any(schema):
        return []
    before = _MISSING if old is None else _names_only(old)
    found: list[FieldError] = []
    try:
        found.extend(_walk(schema, _names_only(document), before, "", Budget()))
    except OutOfBudget as error:
        found.append(invalid(rules.NOWHERE, "object", str(error)))
    except _TooDear as error:
        told = f"no further validation rules will be run due to call cost exceeds limit for rule: {error}"
        found.append(invalid(rules.NOWHERE, "object", told))
    return found


class _TooDear(MotetError):
    """A rule that could take too long for these values; the text is the rule's message."""


def _names_only(document: Json) -> Json:
    metadata = document.get("metadata")
    named = (
        {key: metadata[key] for key in ("name", "generateName") if key in metadata}
        if isinstance(metadata, dict)
        else {}
    )
    return {**document, "metadata": named}


def _walk(schema: Schema, value: Any, old: Any, path: str, budget: Budget) -> Iterator[FieldError]:
    if not has_any(schema) or value is None:
        return
    if schema.validations:
        yield from _apply(schema, value, old, path, budget)
    if isinstance(value, dict):
        for name, member in value.items():
            known = schema.fields.get(name)
            inner = known.schema if known is not None else schema.values
            if inner is not None:
                below = _joined(path, name) if known is not None else f"{path}[{name}]"
                yield from _walk(inner, member, _member(old, name), below, budget)
    elif isinstance(value, list) and schema.items is not None:
        for index, item in enumerate(value):
            yield from _walk(schema.items, item, _item(schema, old, item), f"{path}[{index}]", budget)


def _member(old: Any, name: str) -> Any:
    return old.get(name, _MISSING) if isinstance(old, dict) else _MISSING


def _item(schema: Schema, old: Any, item: Any) -> Any:
    """The item of a list that is a map that had the same key."""
    if schema.list_type != "map" or not isinstance(old, list) or not isinstance(item, dict):
        return _MISSING
    keys = {key: item.get(key) for key in schema.list_keys}
    return next(
        (each for each in old if isinstance(each, dict) and all(each.get(key) == keys[key] for key in keys)), _MISSING
    )


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _apply(schema: Schema, value: Any, old: Any, path: str, budget: Budget) -> Iterator[FieldError]:
    had = old is not _MISSING and old is not None
    old = values.aligned(schema, old, value) if had else old
    same = had and value == old
    seen = values.of(schema, value)
    now = Values({"self": seen})
    both = Values({"self": seen, "oldSelf": values.of(schema, old)}) if had and not same else None
    for rule in schema.validations:
        optional = bool(rule.get("optionalOldSelf"))
        transition = mentions(str(rule["rule"]), "oldSelf")
        if same or (transition and not optional and both is None):
            continue
        if optional:
            variables = Values({"self": seen, _HAS_OLD: had, _OLD: values.of(schema, old) if had else None})
        else:
            variables = both if both is not None else now
        form = _Form(variables, optional, both is not None, budget)
        error = _broken(schema, rule, form, path)
        if error is not None:
            yield error


@dataclass(frozen=True, slots=True)
class _Form:
    """What a rule sees: its variables, `oldSelf` as an optional or (`old`) as itself, and the time there is."""

    variables: Values
    optional: bool
    old: bool
    budget: Budget

    def evaluate(self, expression: str) -> Any:
        """Raises CompileError, EvaluationError, NotInstalled."""
        names: tuple[str, ...] = ("oldSelf", "self") if self.old else ("self",)
        if self.optional:
            expression = f"cel.bind(oldSelf, {_HAS_OLD} ? optional.of({_OLD}) : optional.none(), {expression}\n)"
            names = (_HAS_OLD, _OLD, "self")
        return self.budget.evaluate(engine.compile(expression, names), self.variables)


def _broken(schema: Schema, rule: Mapping[str, Any], form: _Form, path: str) -> FieldError | None:
    at, shown = path or rules.NOWHERE, _TYPES.get(schema.type, schema.type)
    text = str(rule["rule"])
    try:
        if form.evaluate(text) is True:
            return None
    except OutOfBudget:
        raise
    except CostExceeded as error:
        raise _TooDear(_message(rule)) from error
    except NotInstalled as error:
        return FieldError(at, "InternalError", detail=str(error))
    except (CompileError, EvaluationError) as error:
        return invalid(at, shown, f"{error} evaluating rule: {_message(rule)}")
    message = _told(rule, form)
    if rule.get("fieldPath"):
        at = _below(path, str(rule["fieldPath"]))
    reason = str(rule.get("reason") or "FieldValueInvalid")
    return FieldError(at, reason, shown, message)


def _below(path: str, where: str) -> str:
    """A place below another, members that are no plain names in brackets."""
    for step in _steps(where):
        path = _joined(path, step) if values.escaped(step) == step else f"{path}[{step}]"
    return path


def _told(rule: Mapping[str, Any], form: _Form) -> str:
    """What the rule's author wants to be said."""
    expression = rule.get("messageExpression")
    if expression:
        try:
            found = form.evaluate(str(expression))
        except (CompileError, EvaluationError) as error:
            log.info("messageExpression %r failed: %s", expression, error)
            return _message(rule)
        if isinstance(found, str) and found.strip() and "\n" not in found.strip():
            return found.strip()
    return _message(rule)


def _message(rule: Mapping[str, Any]) -> str:
    return str(rule.get("message") or "").strip() or f"failed rule: {str(rule['rule']).strip()}"
