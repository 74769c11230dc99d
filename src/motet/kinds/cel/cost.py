"""What an expression costs at most, in the units and by the model of cel-go (checker/cost.go) and Kubernetes' own library.

A unit is about what looking at one variable takes. Loops cost what their body does, times the size of what they run over;
functions that read a text, a tenth of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from motet.kinds.cel import rewriting
from motet.kinds.cel.sizes import SCALAR, UNKNOWN, Fixed, Size, larger
from motet.kinds.cel.tree import Call, Constant, Listed, Loop, Mapped, Name, Node, Select

# One expression and all of a definition, when it is written (upstream: StaticEstimatedCostLimit and ...CRDCostLimit).
WRITTEN, WRITTEN_TOGETHER = 10_000_000, 100_000_000
# One evaluation (upstream: PerCallLimit).
EVALUATED = 1_000_000

_READING, _PATTERN = 0.1, 0.25
_LIST, _MAP = 10, 30
_COMPARISONS = frozenset(("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_"))
# Those that read all of what they are called on.
_READERS = frozenset(
    ("lowerAscii", "upperAscii", "trim", "substring", "reverse", "split", "url", "isURL", "quantity", "isQuantity", "ip",
     "isIP", "cidr", "isCIDR", "semver", "isSemver", "find", "findAll", "validate", "format", "replace", rewriting.PROBLEMS)
)  # fmt: skip
# Those that look at every element, and what becomes of lists they are given.
_WALKERS = frozenset(
    ("sum", "min", "max", "isSorted", "indexOf", "lastIndexOf", "join", "flatten", "sort", "distinct", "lists.range",
     rewriting.PAIRS, rewriting.TO_LIST, rewriting.TO_MAP, rewriting.MERGE)
)  # fmt: skip
_SETS = frozenset(("sets.contains", "sets.intersects", "sets.equivalent"))

_Result = tuple[int, Size]
_Scope = Mapping[str, Size]


def most(node: Node, sizes: _Scope) -> int:
    """The most that an expression costs, for variables of these sizes."""
    return _cost(node, sizes)[0]


def told(what: str, cost: int, limit: int) -> str:
    """That something costs too much, in upstream's words."""
    times = cost / limit
    factor = "more than 100x" if times > 100 else f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return (
        f"{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )


def _cost(node: Node, scope: _Scope) -> _Result:
    match node:
        case Constant():
            return 0, Fixed(node.size, SCALAR, "text" if node.size else "")
        case Name():
            return 1, scope.get(node.name, UNKNOWN)
        case Select():
            cost, size = _cost(node.operand, scope)
            return (cost, SCALAR) if node.test else (cost + 1, size.member(node.member))
        case Listed():
            return _made(node.elements, scope, _LIST, "list")
        case Mapped():
            return _made(node.entries, scope, _MAP, "map")
        case Loop():
            return _loop(node, scope)
    return _call(node, scope)


def _made(parts: tuple[Node, ...], scope: _Scope, base: int, kind: str) -> _Result:
    found = [_cost(part, scope) for part in parts]
    largest = max((size for _, size in found), key=lambda size: size.length, default=SCALAR)
    base = base if parts else 0  # what `cel.bind` runs over, which our own macros are made of
    return base + sum(cost for cost, _ in found), Fixed(len(parts), largest, kind)


def _loop(node: Loop, scope: _Scope) -> _Result:
    cost, over = _cost(node.range, scope)
    begin, first = _cost(node.begin, scope)
    names = (over.keys(), over.items()) if len(node.variables) > 1 else (over.keys(),)
    inner = {**scope, **dict(zip(node.variables, names, strict=True)), node.total: first}
    condition, _ = _cost(node.condition, inner)
    step, next_one = _cost(node.step, inner)
    # A list that grows by so many elements with every step (`map`, `filter`).
    grown = max(0, next_one.length - first.length) * over.length
    total = Fixed(first.length + grown, next_one.items(), "list") if first.kind == "list" else larger(first, next_one)
    result, size = _cost(node.result, {**scope, node.total: total if over.length else first})
    return cost + begin + over.length * (condition + step) + result, size


def _call(node: Call, scope: _Scope) -> _Result:
    name, found = node.function, [_cost(each, scope) for each in node.arguments]
    costs, sizes = sum(cost for cost, _ in found), [size for _, size in found]
    if name == "_?_:_" and len(found) == 3:
        (condition, _), (one, this), (other, that) = found
        return condition + max(one, other), larger(this, that)
    if name in ("_[_]", "_[?_]", "_?._") and len(found) == 2:
        key = node.arguments[1]
        named = isinstance(key, Constant) and key.text and sizes[0].kind != "list"
        return costs + 1, sizes[0].member(key.text) if named and isinstance(key, Constant) else sizes[0].items()
    own, size = _function(name, sizes)
    return costs + own, size


def _function(name: str, sizes: list[Size]) -> _Result:
    """What a call itself costs, and how large what it gives is."""
    if not sizes:
        return 1, UNKNOWN if "." not in name else SCALAR
    first, last = sizes[0], sizes[-1]
    if (special := _SPECIAL.get(name)) is not None:
        return special(first, last)
    if name in _COMPARISONS:
        return _read(min(first.length, last.length)), SCALAR
    if name in _SETS:
        return 1 + first.length * last.length, SCALAR
    if name in _READERS:
        return 1 + _read(first.length), first
    if name in _WALKERS:
        return 1 + first.length, first
    # What passes a value on, or asks a short question of it.
    return 1, first


def _read(length: int) -> int:
    return max(1, math.ceil(length * _READING))


def _joined(one: Size, other: Size) -> _Result:
    length = one.length + other.length
    if "list" in (one.kind, other.kind):
        parts = [each.items() for each in (one, other) if each.length] or [SCALAR]
        return 1, Fixed(length, larger(parts[0], parts[-1]), "list")
    if "text" in (one.kind, other.kind):
        return _read(length), Fixed(length, SCALAR, "text")
    return _read(length), Fixed(length)


_SPECIAL: Mapping[str, Callable[[Size, Size], _Result]] = {
    "_+_": _joined,
    "_&&_": lambda one, other: (0, SCALAR),
    "_||_": lambda one, other: (0, SCALAR),
    "size": lambda one, other: (1, SCALAR),
    "@in": lambda one, other: (1 if other.kind == "map" else max(1, other.length), SCALAR),
    "startsWith": lambda one, other: (_read(other.length), SCALAR),
    "endsWith": lambda one, other: (_read(other.length), SCALAR),
    "contains": lambda one, other: (_read(one.length) * _read(other.length), SCALAR),
    "matches": lambda one, other: (
        _read(one.length + 1) * max(1, math.ceil(other.length * _PATTERN)),
        SCALAR,
    ),
}
