"""Apps, Motet's own kind: what a person means by "run this", replicated or on every node.

    apiVersion: motet.dev/v1
    kind: App
    metadata: {name: web}
    spec:
      mode: {replicated: {replicas: 3}}      # or {global: {}}
      update: {parallelism: 1, delaySeconds: 0, order: stop-first}
      template: {spec: {containers: [...]}}  # a PodTemplateSpec

`mode` holds exactly one member; job modes will be further members beside these two. Pods belong to their App by the label
`motet.dev/app`, which the controller puts on them, so there is no selector to get wrong. What the controller does not
honour yet is not in the schema, and so is refused by name.
"""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, CONTAINERS, NAME, column, container_images, number_at
from motet.kinds.kind import Json, Kind, Scale
from motet.kinds.podspec.defaults import default_template
from motet.kinds.podspec.spec import validate_template
from motet.kinds.schema import table
from motet.kinds.schema.prose import Prose, register
from motet.kinds.shape import fill_absent, fill_empty, made, mapping, number, text

# On every pod of an App: the App's name.
LABEL = "motet.dev/app"
REPLICATED = "replicated"
GLOBAL = "global"
MODES = (REPLICATED, GLOBAL)
ORDERS = ("start-first", "stop-first")

table.register("""
dev.motet.v1.App <motet.dev/v1/App> apiVersion:string kind:string metadata:meta.ObjectMeta=1
  spec!:AppSpec=2 status:AppStatus=3
dev.motet.v1.AppList <motet.dev/v1/AppList> apiVersion:string items!:[]App=2 kind:string metadata:meta.ListMeta=1
dev.motet.v1.AppSpec mode:AppMode=1 template!:core.PodTemplateSpec=2 update:AppUpdate=3
dev.motet.v1.AppMode replicated:AppReplicated=1 global:AppGlobal=2
dev.motet.v1.AppReplicated replicas:int32=1
dev.motet.v1.AppGlobal
dev.motet.v1.AppUpdate parallelism:int32=1 delaySeconds:int32=2 order:string=3
dev.motet.v1.AppStatus observedGeneration:int64=1 replicas:int32=2 updatedReplicas:int32=3 readyReplicas:int32=4
  availableReplicas:int32=5 conditions:[]meta.Condition=6;list=map:type;merge=type;patch=merge selector:string=7
""")

register(
    {
        "dev.motet.v1.App": Prose(
            "A program to keep running: so many copies of it, or one on every node.",
            {"spec": "What shall run.", "status": "What runs; written by Motet."},
        ),
        "dev.motet.v1.AppSpec": Prose(
            "What shall run.",
            {
                "mode": "How many pods, and where. Exactly one member of it is set; without one it is replicated.",
                "template": "What every pod of the App looks like. Its pods get the label motet.dev/app by themselves.",
                "update": "How pods are replaced when the template changes.",
            },
        ),
        "dev.motet.v1.AppMode": Prose(
            "How many pods, and where. Exactly one member is set.",
            {
                "replicated": "A number of pods, wherever there is room.",
                "global": "One pod on every node that takes it. Written as: global: {}",
            },
        ),
        "dev.motet.v1.AppReplicated": Prose(
            "A number of pods, wherever there is room.", {"replicas": "How many pods; 1 without a word."}
        ),
        "dev.motet.v1.AppGlobal": Prose("One pod on every node that takes it. It has no fields."),
        "dev.motet.v1.AppUpdate": Prose(
            "How pods are replaced when the template changes.",
            {
                "parallelism": "How many pods are replaced at a time; 0 is all at once.",
                "delaySeconds": "How long to wait between one batch and the next.",
                "order": "stop-first or start-first: whether an old pod goes before its successor comes, or after.",
            },
        ),
        "dev.motet.v1.AppStatus": Prose(
            "What runs; written by Motet.",
            {
                "observedGeneration": "The generation of the App that the other fields are about.",
                "replicas": "How many pods there are.",
                "updatedReplicas": "How many of them are made of the present template.",
                "readyReplicas": "How many of them are ready.",
                "availableReplicas": "How many of them can serve.",
                "conditions": "What can be said about the App as a whole.",
                "selector": "The label selector of its pods, for whoever scales it.",
            },
        ),
    }
)


def mode(document: Json) -> str:
    """`replicated` or `global`; empty when the document says neither."""
    given = mapping(document, "spec", "mode")
    return next((name for name in MODES if isinstance(given.get(name), dict)), "")


def selector(document: Json) -> str:
    """The label selector of the App's pods, as text."""
    return f"{LABEL}={text(document, 'metadata', 'name')}"


def default(document: Json) -> None:
    spec = made(document, "spec")
    modes = made(spec, "mode")
    if not any(modes.get(name) is not None for name in MODES):
        modes[REPLICATED] = {}
    if isinstance(modes.get(REPLICATED), dict):
        fill_absent(modes[REPLICATED], "replicas", 1)
    update = made(spec, "update")
    fill_absent(update, "parallelism", 1)
    fill_absent(update, "delaySeconds", 0)
    fill_empty(update, "order", "stop-first")
    default_template(made(spec, "template"))


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    if old is not None and spec == mapping(old, "spec"):
        return []
    errors = _mode(mapping(spec, "mode"))
    update = mapping(spec, "update")
    errors += checks.not_negative(update, "spec.update", "parallelism", "delaySeconds")
    errors += checks.one_of("spec.update.order", text(update, "order"), ORDERS)
    template = mapping(spec, "template")
    errors += validate_template(template, "spec.template")
    own, name = mapping(template, "metadata", "labels").get(LABEL), text(document, "metadata", "name")
    if own is not None and own != name:
        errors.append(invalid(f"spec.template.metadata.labels[{LABEL}]", own, f"must be {name!r}, or left out"))
    if old is not None and (before := mode(old)) and before != mode(document):
        errors.append(invalid("spec.mode", mapping(spec, "mode"), f"the mode may not change; it is {before}"))
    return errors


def _mode(modes: Json) -> list[FieldError]:
    given = [name for name in MODES if isinstance(modes.get(name), dict)]
    if not given:
        return [required("spec.mode", f"must specify one of: {', '.join(f'`{name}`' for name in MODES)}")]
    errors = [
        forbidden(f"spec.mode.{extra}", f"may not be specified together with `{given[0]}`") for extra in given[1:]
    ]
    return errors + checks.not_negative(mapping(modes, REPLICATED), f"spec.mode.{REPLICATED}", "replicas")


def _wanted(document: Json) -> int:
    if mode(document) == REPLICATED:
        return number(document, "spec", "mode", REPLICATED, "replicas")
    return number(document, "status", "replicas")


KIND = Kind(
    group="motet.dev",
    version="v1",
    kind="App",
    plural="apps",
    singular="app",
    categories=("all",),
    schema="dev.motet.v1.App",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    # The name becomes a label value and the first part of pod names.
    name_error=names.label_error,
    status=True,
    scale=Scale(spec_replicas="spec.mode.replicated.replicas", selector=selector),
    columns=(
        NAME,
        column("Mode", mode, about="replicated, or global: one on every node."),
        column("Replicas", _wanted, type="integer", about="Pods asked for; of a global app, pods there are."),
        column("Ready", number_at("status", "readyReplicas"), type="integer", about="Pods that are ready."),
        column("Image", container_images, about="Images referenced by each container in the template."),
        AGE,
        column("Up-to-date", number_at("status", "updatedReplicas"), type="integer", wide=True, about="Pods as asked."),
        column("Available", number_at("status", "availableReplicas"), type="integer", wide=True, about="Pods serving."),
        CONTAINERS,
    ),
)
