"""Validating webhooks: who may refuse what is written, after it was validated."""

from __future__ import annotations

from motet.kinds import admissionrules
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import each, objects


def default(document: Json) -> None:
    each(document, "webhooks", admissionrules.default_webhook)


KIND = Kind(
    group=admissionrules.GROUP,
    version="v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    singular="validatingwebhookconfiguration",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration",
    default=default,
    validate=admissionrules.webhooks,
    generations=True,
    columns=(
        NAME,
        column("Webhooks", lambda found: len(objects(found, "webhooks")), type="integer", about="How many there are."),
        AGE,
    ),
)
