"""Policies followed by a node: against a kernel kept in the test, and documents in a fake client."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from motet.kinds import networkpolicy, podaddress
from motet.network.config import NetworkConfig
from motet.network.policy.loop import Policies
from motet.network.policy.ruleset import remove
from motet.network.proxy.nft import NftError
from motet.network.roster import Roster
from support.fake_client import FakeClient

CONFIG = NetworkConfig(
    node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=Path("/nowhere"), cni_state=Path("/nowhere")
)

REMOVE = remove(CONFIG)


class Recorder:
    """In place of nftables: what it was told, and whether the table is there."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.honest: list[str] = []
        self.table = False
        self.refuse = False

    def run(self, commands: str) -> str:
        if commands.startswith("list"):
            if not self.table:
                raise NftError("no such table")
            return "meta mark set ip daddr map @ingress"
        if " bridge motet_policy" in commands:
            self.honest.append(commands)
            return ""
        if self.refuse:
            self.refuse = False
            raise NftError("refused")
        self.told.append(commands)
        self.table = "table ip motet_policy {" in commands or (self.table and commands != REMOVE)
        return ""


def address(name: str, ip: str, node: str = "n1", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": node, "containers": []},
        "status": {"phase": "Running", "podIP": ip},
    }


@asynccontextmanager
async def enforced(client: FakeClient, nft: Recorder) -> AsyncIterator[Roster]:
    roster = Roster(client, "n1")  # type: ignore[arg-type]
    task = asyncio.create_task(Policies(client, CONFIG, nft, roster).run())  # type: ignore[arg-type]
    try:
        yield roster
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.005)


DENY = {"metadata": {"name": "deny"}, "spec": {"podSelector": {}}}


async def test_without_policies_nothing_is_left_in_the_kernel_and_no_pod_is_watched() -> None:
    client, nft = FakeClient(), Recorder()
    async with enforced(client, nft):
        await until(lambda: nft.told == [REMOVE])


async def test_the_first_policy_makes_the_table_and_the_last_takes_it_away() -> None:
    client, nft = FakeClient(), Recorder()
    await client.create(podaddress.KIND, address("a", "10.42.0.2"), "default")
    async with enforced(client, nft):
        await client.create(networkpolicy.KIND, DENY, "default")
        await until(lambda: "add element ip motet_policy ingress { 10.42.0.2 : 1 }" in "".join(nft.told[-1:]))
        assert "table ip motet_policy {" in nft.told[-1]
        await client.delete(networkpolicy.KIND, "deny", "default")
        await until(lambda: nft.told[-1] == REMOVE)


async def test_a_pod_that_comes_is_one_small_transaction() -> None:
    client, nft = FakeClient(), Recorder()
    await client.create(podaddress.KIND, address("a", "10.42.0.2"), "default")
    await client.create(networkpolicy.KIND, DENY, "default")
    async with enforced(client, nft):
        await until(lambda: nft.table)
        await client.create(podaddress.KIND, address("b", "10.42.0.3"), "default")
        await until(lambda: "10.42.0.3" in "".join(nft.told[-1:]))
        assert "table ip" not in nft.told[-1].replace("element ip", "")


async def test_a_refused_change_is_followed_by_a_full_rewrite() -> None:
    client, nft = FakeClient(), Recorder()
    await client.create(podaddress.KIND, address("a", "10.42.0.2"), "default")
    await client.create(networkpolicy.KIND, DENY, "default")
    async with enforced(client, nft):
        await until(lambda: nft.table)
        nft.refuse = True
        await client.create(podaddress.KIND, address("b", "10.42.0.3"), "default")
        await until(lambda: len(nft.told) == 2)
        assert "delete table ip motet_policy" in nft.told[-1]
        assert "10.42.0.3" in nft.told[-1]


async def test_a_table_somebody_removed_is_written_again_with_the_next_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("motet.network.policy.loop._LOOK_SECONDS", 0.0)
    client, nft = FakeClient(), Recorder()
    await client.create(podaddress.KIND, address("a", "10.42.0.2"), "default")
    await client.create(networkpolicy.KIND, DENY, "default")
    async with enforced(client, nft):
        await until(lambda: nft.table)
        nft.table = False
        await client.create(podaddress.KIND, address("b", "10.42.0.3"), "default")
        await until(lambda: nft.table)
        assert "10.42.0.2" in nft.told[-1]


async def test_pods_of_this_node_send_by_their_port_under_their_own_address_alone() -> None:
    client, nft = FakeClient(), Recorder()
    await client.create(networkpolicy.KIND, DENY, "default")
    async with enforced(client, nft) as roster:
        roster._port_of = lambda sandbox: f"veth-{sandbox}"
        document = await client.create(podaddress.KIND, address("a", ""), "default")
        roster.admit(document, "10.42.0.2", "box")
        await until(lambda: 'own { "veth-box" . 10.42.0.2 }' in "".join(nft.honest))
        roster.dismiss(document.meta.uid)
        await until(lambda: nft.honest[-1].startswith('delete element bridge motet_policy ports { "veth-box" }'))
