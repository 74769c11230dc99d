"""Columns that several kinds share, and how cells are made from documents."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from motet.base import selectors
from motet.kinds.ages import since
from motet.kinds.kind import Column, Json
from motet.kinds.shape import mapping, number, objects, strings, text

NONE = "<none>"
UNSET = "<unset>"


def _name(document: Json, now: datetime) -> str:
    return text(document, "metadata", "name")


def _age(document: Json, now: datetime) -> str:
    return since(mapping(document, "metadata").get("creationTimestamp"), now)


NAME = Column("Name", _name, format="name", description="Unique within its namespace, or within the cluster.")
AGE = Column("Age", _age, description="How long ago the object was created.")


def column(
    name: str, cell: Callable[[Json], Any], *, type: str = "string", wide: bool = False, about: str = ""
) -> Column:
    """A column whose cell does not depend on the time."""
    return Column(name, lambda document, now: cell(document), type=type, priority=int(wide), description=about)


def text_at(*path: str, otherwise: str = "") -> Callable[[Json], str]:
    """A cell with the string at a path."""
    return lambda document: text(document, *path) or otherwise


def number_at(*path: str) -> Callable[[Json], int]:
    """A cell with the number at a path, 0 when missing."""
    return lambda document: number(document, *path)


def size_of(*path: str) -> Callable[[Json], int]:
    """A cell with the number of entries of the map or list at a path."""

    def cell(document: Json) -> int:
        *outer, last = path
        return len(mapping(document, *outer).get(last) or ())

    return cell


def container_names(document: Json) -> str:
    return ",".join(
        text(container, "name") for container in objects(document, "spec", "template", "spec", "containers")
    )


def container_images(document: Json) -> str:
    return ",".join(
        text(container, "image") for container in objects(document, "spec", "template", "spec", "containers")
    )


def label_selector(document: Json) -> str:
    """`spec.selector` (a LabelSelector) as text."""
    selector = mapping(document, "spec").get("selector")
    if selector is None:
        return NONE
    try:
        return str(selectors.from_document(selector)) or NONE
    except (KeyError, TypeError, ValueError):
        return "<error>"


def plain_labels(labels: Any) -> str:
    """A map of labels as `a=b,c=d`."""
    if not isinstance(labels, dict) or not labels:
        return NONE
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


CONTAINERS = column("Containers", container_names, wide=True, about="Names of each container in the template.")
IMAGES = column("Images", container_images, wide=True, about="Images referenced by each container in the template.")
SELECTOR = column("Selector", label_selector, wide=True, about="Labels of the pods that belong to this object.")

_ACCESS_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def access_modes(document: Json, *path: str) -> str:
    """`RWO,ROX`: in a fixed order, each once."""
    modes = set(strings(document, *path))
    return ",".join(short for mode, short in _ACCESS_MODES.items() if mode in modes)


def shortened(items: list[str], limit: int = 3, empty: str = UNSET) -> str:
    """The first few, and how many more there are."""
    if len(items) > limit:
        return f"{','.join(items[:limit])} + {len(items) - limit} more..."
    return ",".join(items) or empty
