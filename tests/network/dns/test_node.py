"""A pod's own resolver asks the node's name server."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.network.lab import Lab, lab, until

from motet.network.dns.loop import Dns
from motet.network.roster import Roster

pytestmark = pytest.mark.node
NAME = "web.default.svc.cluster.local"


@pytest.fixture
def it(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as made:
        yield made


@pytest.mark.skipif(shutil.which("busybox") is None, reason="needs busybox for a resolver that is not ours")
async def test_a_resolver_in_a_pod_finds_services_and_their_names(it: Lab) -> None:
    it.pod(2)
    running = asyncio.ensure_future(Dns(it.client, it.config, Roster(it.client, "n1")).run())  # type: ignore[arg-type]

    def look_up(what: str) -> str:
        command = ["nsenter", f"--net=/run/netns/{it.namespace(2)}", "busybox", "nslookup", what, "10.43.0.10"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    try:
        await it.publish("web", {"port": 80}, cluster_ip="10.43.0.80")
        await until(lambda: "10.43.0.80" in look_up(NAME))
        assert NAME in await asyncio.to_thread(look_up, "10.43.0.80")
        assert "NXDOMAIN" in await asyncio.to_thread(look_up, f"nobody.{NAME}")
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
