"""Mutating webhooks: who may change what is written, before it is validated."""

from __future__ import annotations

from motet.kinds import admissionrules
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import each, fill_absent, objects


def _default_one(hook: Json) -> None:
    admissionrules.default_webhook(hook)
    fill_absent(hook, "reinvocationPolicy", "Never")


def default(document: Json) -> None:
    each(document, "webhooks", _default_one)


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    singular="mutatingwebhookconfiguration",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration",
    default=default,
    validate=admissionrules.webhooks,
    generations=True,
    columns=(
        NAME,
        column("Webhooks", lambda found: len(objects(found, "webhooks")), type="integer", about="How many there are."),
        AGE,
    ),
)
