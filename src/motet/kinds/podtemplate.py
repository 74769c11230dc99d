"""Pod templates that are kept for others to read: nothing happens with them."""

from __future__ import annotations

from motet.base.errors import FieldError
from motet.kinds.columns import AGE, NAME, column, plain_labels
from motet.kinds.kind import Json, Kind
from motet.kinds.podspec.defaults import default_template
from motet.kinds.podspec.spec import validate_template
from motet.kinds.shape import made, mapping, objects, text


def default(document: Json) -> None:
    default_template(made(document, "template"))


def validate(document: Json, old: Json | None) -> list[FieldError]:
    return validate_template(mapping(document, "template"), "template")


def _names(document: Json) -> str:
    return ",".join(text(each, "name") for each in objects(document, "template", "spec", "containers"))


def _images(document: Json) -> str:
    return ",".join(text(each, "image") for each in objects(document, "template", "spec", "containers"))


KIND = Kind(
    group="",
    version="v1",
    kind="PodTemplate",
    plural="podtemplates",
    singular="podtemplate",
    schema="io.k8s.api.core.v1.PodTemplate",
    default=default,
    validate=validate,
    columns=(
        NAME,
        column("Containers", _names, about="Names of each container in the template."),
        column("Images", _images, about="Images referenced by each container in the template."),
        column("Pod Labels", lambda document: plain_labels(mapping(document, "template", "metadata").get("labels"))),
        AGE,
    ),
)
