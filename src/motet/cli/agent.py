"""`motet agent`: this machine as a node, in the foreground."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click
import uvloop

from motet.base.errors import MotetError
from motet.cli.options import data_dir_option
from motet.machine.layout import Machine, networks, networks_six
from motet.machine.lifecycle import require_root


@click.command()
@data_dir_option
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def command(data_dir: Path, verbose: bool) -> None:
    """Run this machine's node agent in the foreground. Its pods outlive it."""
    from motet.agent.config import AgentConfig
    from motet.agent.main import run_until_told
    from motet.agent.tuning import FILE, apply
    from motet.machine import belonging
    from motet.network.ipv6 import second_address

    require_root()
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    machine = Machine(data_dir)
    settings = machine.settings()
    if settings is not None and settings.is_manager:
        asyncio.run(belonging.belong(machine, settings))
    if settings is None or not (machine.node_pki / "node.pem").exists():
        raise MotetError(f"{data_dir} is not the data directory of a node yet; start with: motet up FILE")
    pods, services, dns_address = networks(settings)
    pods_six, services_six = networks_six(settings)
    config = AgentConfig(
        server=machine.url(settings),
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
        all_pods_six=pods_six,
        services_six=services_six,
        address_six=second_address(settings.address) if pods_six is not None else "",
        domain=settings.domain,
        bridge=settings.bridge,
        table=settings.table,
        node_grace=settings.node_grace,
        encrypted=settings.encrypted,
        kubelet_dir=machine.kubelet_dir,
        builder_dir=machine.builder,
    )
    uvloop.run(run_until_told(apply(config, data_dir / FILE)))
