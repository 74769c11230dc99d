"""Whatever is sent, the answer is a document or an `ApiError`: never anything else."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.registry import cluster
from tests.api.registry.cluster import ADMIN, kernel

from motet.api.options import PatchType, RequestOptions
from motet.base.errors import ApiError
from motet.kinds import configmap, deployment, namespace, persistentvolumeclaim, pod, service
from motet.kinds.kind import Json, Kind

SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 70000) | st.sampled_from(["", "a", "A b", "None", "1Gi", "10.43.0.9"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "spec", "x", "type"]), inner, max_size=2)
    ),
    max_leaves=4,
)
CLAIM: Json = {
    "metadata": {"name": "web"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
EXAMPLES: tuple[tuple[Kind, Json], ...] = (
    (pod.KIND, cluster.pod(nodeName="n1", tolerations=[{"key": "a"}], volumes=[{"name": "v", "emptyDir": {}}])),
    (deployment.KIND, cluster.deployment()),
    (service.KIND, cluster.service(type="NodePort", clusterIP="10.43.0.9")),
    (configmap.KIND, cluster.config("web", a="b")),
    (namespace.KIND, {"metadata": {"name": "web", "labels": {}}, "spec": {"finalizers": ["kubernetes"]}}),
    (persistentvolumeclaim.KIND, CLAIM),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a document, its own (empty) one not among them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((*path, key), *places(inner, (*path, key)))]


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(copy[path[0]], path[1:], new)
    return copy


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Kind, Json, Json]:
    """A kind, a good document of it, and the same one spoiled in one place."""
    kind, document = draw(st.sampled_from(EXAMPLES))
    path = draw(st.sampled_from([("metadata",), ("spec",), ("status",), *places(document)]))
    if path[0] not in document:
        return kind, document, {**document, path[0]: draw(JSON)}
    return kind, document, with_value(document, path, draw(JSON))


async def write(kind: Kind, good: Json, bad: Json) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with kernel(Path(folder)) as registry:
            where = "default" if kind.namespaced else ""
            lenient = RequestOptions(field_validation="Ignore")
            with suppress(ApiError):
                await registry.create(kind, where, deepcopy(bad), ADMIN, lenient)
            with suppress(ApiError):
                await registry.create(kind, where, deepcopy(good), ADMIN)
            for subresource in ("", "status", "scale", "finalize"):
                with suppress(ApiError):
                    await registry.update(kind, where, "web", deepcopy(bad), ADMIN, lenient, subresource=subresource)
                for patch_type in (PatchType.MERGE, PatchType.STRATEGIC):
                    with suppress(ApiError):
                        await registry.patch(
                            kind, where, "web", deepcopy(bad), patch_type, ADMIN, lenient, subresource=subresource
                        )
            with suppress(ApiError):
                await registry.delete(kind, where, "web", ADMIN)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(spoiled())
def test_no_document_brings_the_registry_down(case: tuple[Kind, Json, Json]) -> None:
    asyncio.run(write(*case))
