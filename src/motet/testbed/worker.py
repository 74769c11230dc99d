"""A worker node of a testbed: joined in the administrator's name, since both disks are at hand."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from pathlib import Path

import uvloop

from motet.agent.config import AgentConfig
from motet.agent.main import run_until_told
from motet.base.errors import MotetError, Unavailable
from motet.cli.machine import joining
from motet.cli.machine.layout import Machine, networks
from motet.cli.machine.lifecycle import administrator

_ATTEMPTS = 150
_AGAIN_SECONDS = 0.2


async def certify(server: str, manager: Machine, worker: Machine) -> None:
    """Make `worker` a node, as the manager's administrator. Raises MotetError when the API does not answer in time."""
    settings = worker.settings()
    if settings is None:
        raise MotetError(f"{worker.data_dir} is not the data directory of a node")
    for attempt in itertools.count():
        try:
            await joining.join_as_administrator(
                server, administrator(manager), settings.node_name, settings.address, worker.node_pki
            )
            return
        except Unavailable:
            if attempt >= _ATTEMPTS:
                raise
            await asyncio.sleep(_AGAIN_SECONDS)


def config(machine: Machine, server: str) -> AgentConfig:
    """The agent's, for a node whose manager is at `server`. Raises MotetError."""
    settings = machine.settings()
    if settings is None:
        raise MotetError(f"{machine.data_dir} is not the data directory of a node")
    pods, services, dns_address = networks(settings)
    return AgentConfig(
        server=server,
        ca=machine.node_pki / "ca.crt",
        certificate=machine.node_pki / "node.pem",
        key=machine.node_pki / "node.pem",
        address=settings.address,
        node_name=settings.node_name,
        data_dir=machine.agent_dir,
        run_dir=machine.run_dir,
        volumes_dir=machine.volumes_dir,
        logs_dir=machine.pod_logs,
        cgroup_root=machine.cgroup_root,
        port=settings.agent_port,
        all_pods=pods,
        services=services,
        dns_address=dns_address,
        domain=settings.domain,
        bridge=settings.bridge,
        table=settings.table,
    )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvloop.run(run_until_told(config(Machine(Path(sys.argv[1])), sys.argv[2])))
