"""Claims grow when they are bound and their class allows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.api.registry.cluster import ADMIN, admit, kernel

from motet.api.admission import BUILT_IN, Chain
from motet.api.claimresizing import CLAIM_RESIZE
from motet.api.registry import Registry
from motet.base.errors import Forbidden, Invalid
from motet.kinds import persistentvolumeclaim, storageclass


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    async with kernel(tmp_path) as running:
        admit(running, Chain((*BUILT_IN, *CLAIM_RESIZE)))
        for name, grows in (("elastic", True), ("stiff", False)):
            document = {"metadata": {"name": name}, "provisioner": "p", "allowVolumeExpansion": grows}
            await running.create(storageclass.KIND, "", document, ADMIN)
        yield running


async def resized(registry: Registry, class_name: str, to: str, *, bound: bool = True) -> str:
    """The claim's size after it was asked to be `to`; 2Gi before."""
    kind = persistentvolumeclaim.KIND
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "2Gi"}},
        "storageClassName": class_name,
    }
    made = (await registry.create(kind, "default", {"metadata": {"name": "c"}, "spec": spec}, ADMIN)).decode()
    if bound:
        made["status"] = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
        made = (await registry.update(kind, "default", "c", made, ADMIN, subresource="status"))[0].decode()
    made["spec"]["resources"]["requests"]["storage"] = to
    found = (await registry.update(kind, "default", "c", made, ADMIN))[0].decode()
    return str(found["spec"]["resources"]["requests"]["storage"])


async def test_a_bound_claim_of_a_class_that_allows_it_grows(registry: Registry) -> None:
    assert await resized(registry, "elastic", "3Gi") == "3Gi"


@pytest.mark.parametrize("class_name", ["stiff", "gone"])
async def test_a_class_that_does_not_allow_it_forbids_it(registry: Registry, class_name: str) -> None:
    words = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support"
    with pytest.raises(Forbidden, match=words):
        await resized(registry, class_name, "3Gi")


async def test_a_claim_that_is_not_bound_does_not_grow(registry: Registry) -> None:
    with pytest.raises(Invalid, match="spec is immutable after creation"):
        await resized(registry, "elastic", "3Gi", bound=False)


async def test_asking_for_less_is_for_validation_to_judge(registry: Registry) -> None:
    assert await resized(registry, "stiff", "1Gi") == "1Gi"
