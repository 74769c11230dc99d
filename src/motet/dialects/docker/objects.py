"""What Docker's objects have in common beneath: a name that may hold more than a kernel object's, labels of any form, versions.

metadata:
  name: shop-web                               # what the kernel calls it
  annotations:
    docker.motet.dev/name: shop_web            # only where that is another
    docker.motet.dev/labels: '{"a b": "c"}'    # Docker's labels have no rules
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from motet.base import names, timestamps
from motet.dialects.docker import ids
from motet.dialects.docker.errors import DockerError, bad
from motet.kinds import placeholders
from motet.kinds.kind import Kind
from motet.store.document import Document, Meta

Json = dict[str, Any]

NAME = "docker.motet.dev/name"
LABELS = placeholders.LABELS
STACK = "com.docker.stack.namespace"
# So that `kubectl get -l` finds a stack.
STACK_LABEL = "docker.motet.dev/stack"
# The member of a Secret or ConfigMap that is one of Docker's.
CONTENT = "content"
# On a Secret or ConfigMap: what fills in its placeholders.
TEMPLATING = "docker.motet.dev/templating"
GOLANG = "golang"

_FORM = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")


def object_name(name: str, what: str) -> str:
    """The kernel's name for one of Docker's. Raises DockerError for a name that Docker itself refuses, or nobody can have."""
    if not _FORM.fullmatch(name):
        raise bad(
            f"invalid {what} name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]"
        )
    made = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if problem := names.label_error(made):
        raise bad(f"{what} name {name!r}: {problem}")
    return made


def metadata(name: str, labels: Mapping[str, str], namespace: str, what: str) -> Json:
    """The metadata of a new object. Raises DockerError."""
    made: Json = {"name": object_name(name, what), "namespace": namespace, "annotations": {}}
    annotate(made, name, labels)
    return made


def annotate(meta: Json, name: str, labels: Mapping[str, str]) -> None:
    """Put Docker's name and labels on an object's metadata."""
    annotations = meta.setdefault("annotations", {})
    if name != meta["name"]:
        annotations[NAME] = name
    annotations.pop(LABELS, None)
    if labels:
        annotations[LABELS] = placeholders.labels_text(labels)
    own = meta.setdefault("labels", {})
    own.pop(STACK_LABEL, None)
    stack = labels.get(STACK, "")
    if stack and not names.label_value_error(stack):
        own[STACK_LABEL] = stack


def name_of(meta: Meta) -> str:
    """What Docker calls it."""
    return (meta.annotations or {}).get(NAME) or meta.name


def labels_of(meta: Meta) -> dict[str, str]:
    """Docker's labels; those of an object that another voice made are its own."""
    return placeholders.labels_of(meta.annotations)


def is_template(meta: Meta) -> bool:
    """Whether what it holds is filled in for each task."""
    return TEMPLATING in (meta.annotations or {})


def owner(kind: Kind, document: Document) -> Json:
    """The reference by which an object goes when `document` goes; it holds nobody's removal up."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": document.name,
        "uid": document.meta.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def time(text: str | None) -> str:
    """A time as Go writes it; the zero of Go's times for none."""
    return text or "0001-01-01T00:00:00Z"


def seconds(text: str | None) -> float:
    """A time of the kernel's as seconds since 1970; 0 for none."""
    return timestamps.parse_time(text).timestamp() if text else 0.0


def now(instant: datetime) -> str:
    return timestamps.format_micro_time(instant)


def head(document: Document, index: int | None = None) -> Json:
    """Identifier, version and times: how all of Swarm's objects begin. `index` is the resource version unless given."""
    created = time(document.meta.creation_timestamp)
    return {
        "ID": ids.of_document(document),
        "Version": {"Index": document.revision if index is None else index},
        "CreatedAt": created,
        "UpdatedAt": created,
    }


def check_version(query: Mapping[str, str], current: int) -> None:
    """Whether an update was made from what is there. Raises DockerError."""
    text = query.get("version", "")
    if not text.isdigit():
        raise bad(
            f"invalid version value '{text}'" if text else "version is needed: the index of the object that was changed"
        )
    if int(text) != current:
        raise DockerError(500, "rpc error: code = Unknown desc = update out of sequence")
