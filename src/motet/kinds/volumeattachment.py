"""Volume attachments: the wish that a volume be attached to a node, and whether it is."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column, text_at
from motet.kinds.csidriver import name_errors
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, text


def prepare_create(document: Json) -> None:
    document["status"] = {"attached": False}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None:
        return checks.unchanged("spec", spec, mapping(old, "spec"))
    errors = name_errors("spec.attacher", text(spec, "attacher"))
    errors += checks.named("spec.nodeName", text(spec, "nodeName"), names.subdomain_error)
    source = mapping(spec, "source")
    name, inline = text(source, "persistentVolumeName"), isinstance(source.get("inlineVolumeSpec"), dict)
    if not name and not inline:
        detail = "must specify one of inlineVolumeSpec and persistentVolumeName"
        errors.append(required("spec.source", detail))
    elif name and inline:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        errors.append(forbidden("spec.source", detail))
    return errors


KIND = Kind(
    group="storage.k8s.io",
    version="v1",
    kind="VolumeAttachment",
    plural="volumeattachments",
    singular="volumeattachment",
    namespaced=False,
    schema="io.k8s.api.storage.v1.VolumeAttachment",
    prepare_create=prepare_create,
    validate=validate,
    status=True,
    columns=(
        NAME,
        column("Attacher", text_at("spec", "attacher"), about="The driver that attaches it."),
        column("PV", text_at("spec", "source", "persistentVolumeName"), about="The volume."),
        column("Node", text_at("spec", "nodeName"), about="The node."),
        column("Attached", lambda found: mapping(found, "status").get("attached") is True, about="Whether it is."),
        AGE,
    ),
)
