"""Families and addresses of Services in clusters of one family and of both (Kubernetes "IPv4/IPv6 dual-stack")."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.api.registry.cluster import ADMIN, kernel, service

from motet.api.allocate import ServiceNumbers
from motet.api.options import DeleteOptions, PatchType
from motet.api.registry import Registry
from motet.base.errors import Invalid
from motet.kinds import service as services

FOUR, SIX = ip_network("10.43.0.0/16"), ip_network("fd00:43::/112")
BOTH = ["IPv4", "IPv6"]


@pytest.fixture
async def dual(tmp_path: Path) -> AsyncIterator[Registry]:
    async with kernel(tmp_path, numbers=ServiceNumbers((str(FOUR), str(SIX)))) as running:
        yield running


async def made(registry: Registry, name: str = "web", **spec: Any) -> dict[str, Any]:
    document = await registry.create(services.KIND, "default", service(name, **spec), ADMIN)
    found: dict[str, Any] = document.decode()["spec"]
    return found


async def patched(registry: Registry, **spec: Any) -> dict[str, Any]:
    document, _ = await registry.patch(services.KIND, "default", "web", {"spec": spec}, PatchType.MERGE, ADMIN)
    found: dict[str, Any] = document.decode()["spec"]
    return found


@pytest.mark.parametrize("policy", ["PreferDualStack", "RequireDualStack"])
async def test_who_asks_for_both_families_gets_an_address_of_each(dual: Registry, policy: str) -> None:
    spec = await made(dual, ipFamilyPolicy=policy)
    assert spec["ipFamilies"] == BOTH
    first, second = map(ip_address, spec["clusterIPs"])
    assert first in FOUR
    assert second in SIX
    assert spec["clusterIP"] == str(first)


async def test_who_asks_for_nothing_has_one_address_of_the_first_family(dual: Registry) -> None:
    spec = await made(dual)
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"], len(spec["clusterIPs"])) == (["IPv4"], "SingleStack", 1)


async def test_the_order_of_families_is_the_senders(dual: Registry) -> None:
    spec = await made(dual, ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv6"])
    assert spec["ipFamilies"] == ["IPv6", "IPv4"]
    assert ip_address(spec["clusterIP"]) in SIX
    alone = await made(dual, "six", ipFamilies=["IPv6"])
    assert ip_address(alone["clusterIP"]) in SIX
    assert alone["ipFamilyPolicy"] == "SingleStack"


async def test_families_follow_from_addresses(dual: Registry) -> None:
    spec = await made(dual, clusterIP="fd00:43::77")
    assert (spec["ipFamilies"], spec["clusterIPs"]) == (["IPv6"], ["fd00:43::77"])
    with pytest.raises(Invalid, match="provided IP is already allocated to Service default/web"):
        await made(dual, "other", clusterIP="fd00:43:0::77")
    with pytest.raises(Invalid, match=r"the provided IP \(fd00:44::1\) is not in the valid range"):
        await made(dual, "other", clusterIP="fd00:44::1")


async def test_several_addresses_or_families_want_a_policy(dual: Registry) -> None:
    with pytest.raises(Invalid, match="must be 'RequireDualStack' or 'PreferDualStack' when multiple IP families are"):
        await made(dual, ipFamilies=BOTH)
    with pytest.raises(Invalid, match="must be 'RequireDualStack' or 'PreferDualStack' when multiple cluster IPs are"):
        await made(dual, clusterIP="10.43.0.9", clusterIPs=["10.43.0.9", "fd00:43::9"])


async def test_a_service_takes_a_second_family_and_gives_it_back(dual: Registry) -> None:
    before = await made(dual)
    more = await patched(dual, ipFamilyPolicy="PreferDualStack")
    assert more["ipFamilies"] == BOTH
    assert more["clusterIPs"][0] == before["clusterIP"]
    second = more["clusterIPs"][1]
    assert ip_address(second) in SIX
    with pytest.raises(Invalid, match="already allocated"):
        await made(dual, "thief", clusterIP=second)
    with pytest.raises(Invalid, match="must be 'SingleStack' to release the secondary cluster IP"):
        await patched(dual, clusterIPs=more["clusterIPs"][:1])
    less = await patched(dual, ipFamilyPolicy="SingleStack")
    assert (less["ipFamilies"], less["clusterIPs"]) == (["IPv4"], [before["clusterIP"]])
    assert (await made(dual, "next", clusterIP=second))["clusterIP"] == second


async def test_what_is_first_stays_first(dual: Registry) -> None:
    await made(dual, ipFamilyPolicy="PreferDualStack")
    with pytest.raises(Invalid, match=r"spec.ipFamilies\[0\]: .* may not change once set"):
        await patched(dual, ipFamilies=["IPv6", "IPv4"])


async def test_a_deleted_service_gives_both_addresses_back(dual: Registry) -> None:
    first = await made(dual, ipFamilyPolicy="RequireDualStack")
    await dual.delete(services.KIND, "default", "web", ADMIN, DeleteOptions())
    assert (await made(dual, ipFamilyPolicy="RequireDualStack"))["clusterIPs"] == first["clusterIPs"]


async def test_a_cluster_of_one_family_refuses_to_promise_two(registry: Registry) -> None:
    for spec, problem in (
        ({"ipFamilyPolicy": "RequireDualStack"}, "this cluster is not configured for dual-stack services"),
        ({"ipFamilies": ["IPv6"]}, r"spec.ipFamilies\[0\]: Invalid value: \"IPv6\": not configured on this cluster"),
        ({"ipFamilyPolicy": "PreferDualStack", "ipFamilies": BOTH}, r"spec.ipFamilies\[1\]: .*not configured"),
        ({"clusterIP": "fd00:43::9"}, "IPv6 is not configured on this cluster"),
    ):
        with pytest.raises(Invalid, match=problem):
            await made(registry, **spec)
    spec = await made(registry, ipFamilyPolicy="PreferDualStack")
    assert (spec["ipFamilies"], len(spec["clusterIPs"])) == (["IPv4"], 1)


async def test_endpoints_of_a_headless_service_without_a_selector_are_its_authors(registry: Registry) -> None:
    document = {"metadata": {"name": "by-hand"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}}
    made_by_hand = await registry.create(services.KIND, "default", document, ADMIN)
    spec = made_by_hand.decode()["spec"]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (BOTH, "RequireDualStack")
    assert (await made(registry, "pods", clusterIP="None", selector={"app": "a"}))["ipFamilies"] == ["IPv4"]
