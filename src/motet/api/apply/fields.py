"""Sets of fields: what a document says (`of`), and what changed between two (`changes`), and their FieldsV1 form.

A place is a tuple of steps, each in FieldsV1's own spelling: `f:NAME` for a member, `k:{"name":"web"}` for an item of a
list that is a map, `v:VALUE` for an item of a list that is a set. Lists of any other kind, and structs and maps that are
atomic, are one field as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgspec

from motet.kinds.schema.model import Field, FieldMap, Schema

Json = dict[str, Any]
Place = tuple[str, ...]
Fields = frozenset[Place]

_encode = msgspec.json.Encoder(order="sorted").encode
_SELF = "."
_first = itemgetter(0)
_NO_FIELDS: FieldMap = {}


def is_atomic(schema: Schema | None, value: Any) -> bool:
    """Whether a value is owned as a whole."""
    if isinstance(value, dict):
        return schema is not None and (schema.map_type == "atomic" or schema.type == "any")
    if isinstance(value, list):
        return schema is None or schema.list_type not in ("map", "set")
    return True


def member(schema: Schema | None, name: str) -> Field | None:
    """The member of a struct; None for maps and for what the schema does not know."""
    return schema.fields.get(name) if schema is not None else None


def below(schema: Schema | None, name: str) -> Schema | None:
    """The schema of a member or of a map's value."""
    if schema is None:
        return None
    known = schema.fields.get(name)
    return known.schema if known is not None else schema.values


def step_of(schema: Schema, item: Any) -> str:
    """How an item of a set or map list is named. Keys the item leaves out take their default."""
    if schema.list_type == "set" or not isinstance(item, dict):
        return "v:" + _encode(item).decode()
    keys = {}
    for key in schema.list_keys:
        known = member(schema.items, key)
        value = item.get(key, known.schema.default if known is not None else None)
        if value is not None:
            keys[key] = value
    return "k:" + _encode(keys).decode()


def steps(schema: Schema | None, value: Any) -> Iterator[tuple[str, Schema | None, Any]]:
    """The parts of a value that is not atomic: step, schema, part. An item named twice shows once, the last one."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"f:{name}", below(schema, name), part
    elif schema is not None:
        items = {step_of(schema, item): item for item in value}
        yield from ((step, schema.items, item) for step, item in items.items())


def of(schema: Schema, value: Any) -> Fields:
    """The fields a document sets: its leaves, empty objects, and the items of lists that are maps."""
    return frozenset(_of(schema, value, ()))


def _of(schema: Schema | None, value: Any, place: Place) -> Iterator[Place]:
    for step, inner, part in steps(schema, value):
        here = (*place, step)
        if is_atomic(inner, part):
            yield here
            continue
        if part == {} or not step.startswith("f:") or (isinstance(part, dict) and _in_map(schema)):
            yield here
        yield from _of(inner, part, here)


def _in_map(schema: Schema | None) -> bool:
    return schema is None or schema.values is not None


@dataclass(frozen=True)
class Changes:
    """What differs between two documents, by place."""

    added: set[Place] = field(default_factory=set)
    modified: set[Place] = field(default_factory=set)
    removed: set[Place] = field(default_factory=set)

    @property
    def written(self) -> set[Place]:
        """What the later document sets anew."""
        return self.added | self.modified

    @property
    def all(self) -> set[Place]:
        """Every place touched."""
        return self.added | self.modified | self.removed


def changes(schema: Schema, old: Json, new: Json) -> Changes:
    """From `old` to `new`. Equal subtrees are skipped, so a small change to a large document is cheap."""
    found = Changes()
    _compare(schema, old, new, (), found)
    return found


def _compare(schema: Schema | None, old: Any, new: Any, place: Place, found: Changes) -> None:
    if old == new and type(old) is type(new):
        return
    befores = {step: (inner, part) for step, inner, part in steps(schema, old)}
    afters = {step: (inner, part) for step, inner, part in steps(schema, new)}
    for step, (inner, part) in befores.items():
        if step not in afters:
            found.removed.update(_whole(schema, step, inner, part, (*place, step)))
    for step, (inner, part) in afters.items():
        here = (*place, step)
        if step not in befores:
            found.added.update(_whole(schema, step, inner, part, here))
            continue
        before = befores[step][1]
        if type(before) is not type(part) or is_atomic(inner, part):
            if before != part or isinstance(before, bool) != isinstance(part, bool):
                found.modified.add(here)
        else:
            _compare(inner, before, part, here, found)


def _whole(schema: Schema | None, step: str, inner: Schema | None, part: Any, place: Place) -> Iterator[Place]:
    """Every place of a part that came or went, with the containers that can come and go on their own."""
    if is_atomic(inner, part):
        yield place
        return
    known = member(schema, step[2:]) if step.startswith("f:") else None
    always_there = known is not None and not known.pointer and inner is not None and inner.type == "struct"
    if not always_there or part == {}:
        yield place
    for next_step, deeper, smaller in steps(inner, part):
        yield from _whole(inner, next_step, deeper, smaller, (*place, next_step))


def tree(schema: Schema | None, value: Any) -> Json:
    """The FieldsV1 form of all that a new value sets: `encode(changes(schema, {}, value).added)`, many times faster."""
    if not isinstance(value, dict):
        return {step: _branch(None, inner, part) for step, inner, part in sorted(steps(schema, value), key=_first)}
    known, others = (schema.fields, schema.values) if schema is not None else (_NO_FIELDS, None)
    found: Json = {}
    for name in sorted(value):
        part = value[name]
        if part and isinstance(part, dict | list):
            own = known.get(name)
            found[f"f:{name}"] = _branch(own, own.schema if own is not None else others, part)
        else:
            found[f"f:{name}"] = {}
    return found


def _branch(own: Field | None, inner: Schema | None, part: Any) -> Json:
    """What lies below one part; `own` says what it is as a struct's member."""
    if not part or is_atomic(inner, part):
        return {}
    parts = tree(inner, part)
    always_there = own is not None and not own.pointer and inner is not None and inner.type == "struct"
    return parts if always_there else {_SELF: {}, **parts}


def encode(places: Iterable[Place]) -> Json:
    """The FieldsV1 form: nested objects, `.` for a place that has places below it."""
    tree: Json = {}
    for place in sorted(places):
        node = tree
        for step in place:
            node = node.setdefault(step, {})
        node[_SELF] = {}
    return _tidy(tree)


def _tidy(node: Json) -> Json:
    if node.keys() == {_SELF}:
        return {}
    return {step: {} if step == _SELF else _tidy(inner) for step, inner in sorted(node.items())}


def decode(tree: Any) -> Fields:
    """The places in a FieldsV1 object; what is not one counts as empty."""
    return frozenset(_decode(tree, ())) if isinstance(tree, dict) else frozenset()


def _decode(node: Json, place: Place) -> Iterator[Place]:
    if not node and place:
        yield place
    for step, inner in node.items():
        if step == _SELF:
            yield place
        elif isinstance(inner, dict):
            yield from _decode(inner, (*place, step))


def holds(tree: Json, place: Place) -> bool:
    """Whether a place is in a FieldsV1 object, without taking all of it apart."""
    node: Any = tree
    for step in place:
        node = node.get(step) if isinstance(node, dict) else None
        if node is None:
            return False
    return node == {} or _SELF in node


def show(place: Place) -> str:
    """A place as messages name it: `.spec.containers[name="web"].image`."""
    text = ""
    for step in place:
        if step.startswith("f:"):
            text += "." + step[2:]
        elif step.startswith("k:"):
            keys = msgspec.json.decode(step[2:])
            text += "[" + ",".join(f"{key}={_encode(value).decode()}" for key, value in keys.items()) + "]"
        else:
            text += f"[={step[2:]}]"
    return text
