"""PriorityLevelConfigurations (flowcontrol.apiserver.k8s.io/v1): how many requests of a sort are worked on at a time."""

from __future__ import annotations

import math
from collections.abc import Callable

from motet.base.errors import FieldError, forbidden, invalid, required, unsupported
from motet.kinds import flowcontrol
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.flowcontrol import EXEMPT, EXEMPT_TYPE, LIMITED_TYPE, QUEUE, REJECT
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, number, text

_MOST_QUEUES = 10_000_000
# Of the hash that deals queues to a flow.
_HASH_BITS = 60


def default(document: Json) -> None:
    spec = mapping(document, "spec")
    if text(spec, "type") == EXEMPT_TYPE:
        exempt = made(spec, "exempt")
        fill_absent(exempt, "nominalConcurrencyShares", 0)
        fill_absent(exempt, "lendablePercent", 0)
    limited = mapping(spec, "limited")
    if limited:
        fill_absent(limited, "nominalConcurrencyShares", 30)
        fill_absent(limited, "lendablePercent", 0)
        queuing = mapping(limited, "limitResponse").get("queuing")
        if isinstance(queuing, dict):
            fill_empty(queuing, "queues", 64)
            fill_empty(queuing, "handSize", 8)
            fill_empty(queuing, "queueLengthLimit", 50)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec, name = mapping(document, "spec"), text(document, "metadata", "name")
    kind = text(spec, "type")
    errors: list[FieldError] = []
    if (name == EXEMPT) != (kind == EXEMPT_TYPE):
        errors.append(invalid("spec.type", kind, "type must be 'Exempt' if and only if name is 'exempt'"))
    match kind:
        case "Exempt":
            errors += _shares(mapping(spec, "exempt"), "spec.exempt")
            if spec.get("limited") is not None:
                errors.append(forbidden("spec.limited", "must be nil if the type is not Limited"))
        case "Limited":
            if spec.get("exempt") is not None:
                errors.append(forbidden("spec.exempt", "must be nil if the type is Limited"))
            if spec.get("limited") is None:
                errors.append(required("spec.limited", "must not be empty when type is Limited"))
            else:
                errors += _limited(mapping(spec, "limited"))
        case _:
            errors.append(unsupported("spec.type", kind, (EXEMPT_TYPE, LIMITED_TYPE)))
    errors += _fixed(spec, name)
    return errors + flowcontrol.conditions(document)


def _fixed(spec: Json, name: str) -> list[FieldError]:
    fixed = flowcontrol.MANDATORY_LEVELS.get(name)
    if fixed is None:
        return []
    if name == EXEMPT:
        if {**spec, "exempt": None} == {**fixed, "exempt": None}:
            return []
        return [invalid("spec", spec, "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value")]
    return [] if spec == fixed else [invalid("spec", spec, f"spec of '{name}' must equal the fixed value")]


def _shares(found: Json, path: str) -> list[FieldError]:
    errors = []
    if (shares := number(found, "nominalConcurrencyShares")) < 0:
        errors.append(invalid(f"{path}.nominalConcurrencyShares", shares, "must be a non-negative integer"))
    if not 0 <= (lendable := number(found, "lendablePercent")) <= 100:
        errors.append(invalid(f"{path}.lendablePercent", lendable, "must be between 0 and 100, inclusive"))
    return errors


def _limited(limited: Json) -> list[FieldError]:
    path = "spec.limited"
    errors = _shares(limited, path)
    if (borrowing := number(limited, "borrowingLimitPercent")) < 0:
        detail = "if specified, must be a non-negative integer"
        errors.append(invalid(f"{path}.borrowingLimitPercent", borrowing, detail))
    response = mapping(limited, "limitResponse")
    path, kind, queuing = f"{path}.limitResponse", text(response, "type"), response.get("queuing")
    match kind:
        case "Reject":
            if queuing is not None:
                detail = "must be nil if limited.limitResponse.type is not Limited"
                errors.append(forbidden(f"{path}.queuing", detail))
        case "Queue":
            if queuing is None:
                detail = "must not be empty if limited.limitResponse.type is Limited"
                errors.append(required(f"{path}.queuing", detail))
            else:
                errors += _queuing(mapping(response, "queuing"), f"{path}.queuing")
        case _:
            errors.append(unsupported(f"{path}.type", kind, (QUEUE, REJECT)))
    return errors


def _queuing(queuing: Json, path: str) -> list[FieldError]:
    queues, hand, length = (number(queuing, key) for key in ("queues", "handSize", "queueLengthLimit"))
    errors = []
    if length <= 0:
        errors.append(invalid(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        errors.append(invalid(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        errors.append(invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if hand <= 0:
        errors.append(invalid(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        errors.append(invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})"))
    elif _entropy(queues, hand) > _HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
        )
        errors.append(invalid(f"{path}.handSize", hand, detail))
    return errors


def _entropy(queues: int, hand: int) -> int:
    """Bits that tell apart all hands, in the order they are dealt."""
    return math.ceil(sum(math.log2(queues - dealt) for dealt in range(min(hand, 64))))


def _queuing_at(key: str) -> Callable[[Json], str]:
    return lambda document: str(mapping(document, "spec", "limited", "limitResponse", "queuing").get(key, NONE))


def _nominal(document: Json) -> str:
    spec = mapping(document, "spec")
    part = mapping(spec, "exempt") if text(spec, "type") == EXEMPT_TYPE else mapping(spec, "limited")
    return str(part.get("nominalConcurrencyShares", NONE))


KIND = Kind(
    group=flowcontrol.GROUP,
    version="v1",
    kind="PriorityLevelConfiguration",
    plural="prioritylevelconfigurations",
    singular="prioritylevelconfiguration",
    namespaced=False,
    schema="io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration",
    status=True,
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("Type", text_at("spec", "type"), about="Whether its requests wait for seats."),
        column("NominalConcurrencyShares", _nominal, about="Its part of all seats."),
        column("Queues", _queuing_at("queues"), about="Queues that flows are spread over."),
        column("HandSize", _queuing_at("handSize"), about="Queues that one flow may wait in."),
        column("QueueLengthLimit", _queuing_at("queueLengthLimit"), about="Requests that may wait in one queue."),
        AGE,
    ),
)
