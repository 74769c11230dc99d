"""Service accounts: who a pod is."""

from __future__ import annotations

from motet.kinds.columns import AGE, NAME, column, size_of
from motet.kinds.kind import Kind

KIND = Kind(
    group="",
    version="v1",
    kind="ServiceAccount",
    plural="serviceaccounts",
    singular="serviceaccount",
    short_names=("sa",),
    schema="io.k8s.api.core.v1.ServiceAccount",
    subresources={"token": ("create",)},
    columns=(NAME, column("Secrets", size_of("secrets"), about="How many secrets it names."), AGE),
)
