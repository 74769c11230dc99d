"""Controller revisions: the templates that daemon sets and stateful sets had, numbered. Their data never changes."""

from __future__ import annotations

from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column, number_at
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import objects, text

# On what is changed, and then on the revision: why, for people (kubectl's).
CHANGE_CAUSE = "kubernetes.io/change-cause"


def validate(document: Json, old: Json | None) -> list[FieldError]:
    revision = number_at("revision")(document)
    errors = [invalid("revision", revision, checks.NOT_NEGATIVE)] if revision < 0 else []
    if document.get("data") is None:
        errors.append(required("data", "data is mandatory"))
    if old is not None:
        errors += checks.unchanged("data", document.get("data"), old.get("data"))
    return errors


def _controller(document: Json) -> str:
    """`daemonset.apps/web`."""
    for owner in objects(document, "metadata", "ownerReferences"):
        if owner.get("controller") is True:
            group = text(owner, "apiVersion").rpartition("/")[0]
            kind = text(owner, "kind").lower()
            return f"{kind}.{group}/{text(owner, 'name')}" if group else f"{kind}/{text(owner, 'name')}"
    return NONE


KIND = Kind(
    group="apps",
    version="v1",
    kind="ControllerRevision",
    plural="controllerrevisions",
    singular="controllerrevision",
    schema="io.k8s.api.apps.v1.ControllerRevision",
    validate=validate,
    columns=(
        NAME,
        column("Controller", _controller, about="Whose template it was."),
        column("Revision", number_at("revision"), type="integer", about="The number of the revision."),
        AGE,
    ),
)
