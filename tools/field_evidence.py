"""Which modules of Motet name a field, and with which words Motet refuses one: what code says about itself.

A module names a field when its code, not its docstrings, has the field's JSON name: as an attribute of a view
(`pod_cidr` for `podCIDR`), a variable, or a word in a string.
"""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from motet.kinds.catalogue import Catalogue
from motet.kinds.schema import validate
from motet.pods import unsupported

Json = dict[str, Any]
SOURCE = Path(__file__).resolve().parent.parent / "src" / "motet"
POD: Json = {"spec": {"containers": [{"name": "c", "image": "i"}]}}


def words(name: str) -> str:
    """The form in which names are compared: `podCIDRs`, `pod_cidrs` and `PodCIDRs` are the same."""
    return name.replace("_", "").lower()


@cache
def named_in(place: str) -> frozenset[str]:
    """What the code at a place of `src/motet` names: a folder, a file without `.py`, or one class or function of a file
    (`pods/spec:HttpGet`). Raises FileNotFoundError, LookupError."""
    path, _, part = place.partition(":")
    found = SOURCE / path
    files = sorted(found.rglob("*.py")) if found.is_dir() else [found.with_name(f"{found.name}.py")]
    return frozenset[str]().union(*(_names(file, part) for file in files))


@cache
def _names(file: Path, part: str) -> frozenset[str]:
    tree: ast.AST = ast.parse(file.read_text(encoding="utf-8"))
    if part:
        parts = (node for node in ast.iter_child_nodes(tree) if getattr(node, "name", "") == part)
        if (tree := next(parts, tree)) is None or isinstance(tree, ast.Module):
            raise LookupError(f"{file} has no {part}")
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.arg(arg=name) | ast.keyword(arg=str(name)):
                found.add(words(name))
            case ast.Constant(value=str(text)) if id(node) not in prose:
                found.update(words(name) for name in re.findall(r"[\w$-]+", text))
    return frozenset(found)


def refusal(kind: str, document: Json) -> str:
    """What the API says to a new document of `apps/v1 Deployment`, or an empty string when it takes it."""
    api_version, _, name = kind.rpartition(" ")
    served = Catalogue().by_kind(api_version, name)
    if served is None:
        raise ValueError(f"{kind} is not served")
    whole = merged({"apiVersion": api_version, "kind": name, "metadata": {"name": "x", "namespace": "d"}}, document)
    if not served.namespaced:
        del whole["metadata"]["namespace"]
    complaints = [*validate.check(served.schema, whole), *validate.unknown_fields(served.schema, whole)]
    served.default(whole)
    served.prepare_create(whole)
    complaints += served.validate(whole, None)
    return str(complaints[0]) if complaints else ""


def refused_by_node(changes: Json) -> str:
    """What a node says to a pod with these changes, or an empty string when it runs it."""
    return unsupported.find(merged(POD, changes))


def merged(base: Any, changes: Any) -> Any:
    """A copy of `base` with `changes` laid over it, lists by position."""
    if isinstance(base, dict) and isinstance(changes, dict):
        both = {name: merged(base[name], changes[name]) for name in base.keys() & changes.keys()}
        return deepcopy({**base, **changes, **both})
    if isinstance(base, list) and isinstance(changes, list):
        both_ = [merged(one, other) for one, other in zip(base, changes, strict=False)]
        return deepcopy([*both_, *base[len(changes) :], *changes[len(base) :]])
    return deepcopy(changes)
