"""Runtime classes: under which of a node's container runtimes a pod runs, what that costs, and where there is one."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, text_at
from motet.kinds.kind import Json, Kind
from motet.kinds.podspec.resources import validate_amounts
from motet.kinds.podspec.scheduling import validate_tolerations
from motet.kinds.shape import mapping, objects, text


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = checks.named("handler", text(document, "handler"), names.label_error)
    if old is not None:
        errors += checks.unchanged("handler", text(document, "handler"), text(old, "handler"))
    errors += validate_amounts(mapping(document, "overhead", "podFixed"), "overhead.podFixed")
    scheduling = mapping(document, "scheduling")
    errors += checks.labels("scheduling.nodeSelector", mapping(scheduling, "nodeSelector"))
    return [*errors, *validate_tolerations(objects(scheduling, "tolerations"), "scheduling.tolerations")]


KIND = Kind(
    group="node.k8s.io",
    version="v1",
    kind="RuntimeClass",
    plural="runtimeclasses",
    singular="runtimeclass",
    namespaced=False,
    schema="io.k8s.api.node.v1.RuntimeClass",
    validate=validate,
    columns=(
        NAME,
        column("Handler", text_at("handler"), about="What the nodes' runtime calls it."),
        AGE,
    ),
)
