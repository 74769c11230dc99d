"""`motet server`: a manager alone, in the foreground. Needs neither root nor a container runtime."""

from __future__ import annotations

import errno
import logging
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

import click
import uvloop

from motet.base import handles
from motet.base.errors import MotetError
from motet.base.ip import pair
from motet.cli.options import data_dir_option, node_grace_option
from motet.identity.messages import NODE_GRACE

SERVER_DIR = "server"


@click.command()
@data_dir_option
@click.option(
    "--listen", default="127.0.0.1:6443", show_default=True, metavar="ADDR:PORT", help="Where to serve the API."
)
@click.option(
    "--advertise", multiple=True, metavar="ADDR", help="Address others reach this manager by; may be repeated."
)
@click.option(
    "--durability",
    type=click.Choice(["full", "normal"]),
    default="full",
    show_default=True,
    help="full: a write is on the disk before it is answered. normal: faster, a power cut may take the last ones back.",
)
@click.option("--volumes-dir", type=click.Path(path_type=Path), help="Where nodes keep local volumes.")
@click.option(
    "--pod-network",
    default="10.42.0.0/16",
    show_default=True,
    metavar="CIDR[,CIDR]",
    help="Addresses of all pods; of IPv6, too, in a dual-stack cluster.",
)
@click.option(
    "--service-network", default="10.43.0.0/16", show_default=True, metavar="CIDR[,CIDR]", help="Addresses of services."
)
@click.option(
    "--dns-address", default="10.43.0.10", show_default=True, metavar="ADDR", help="Of every node's name server."
)
@node_grace_option
@click.option(
    "--legacy-service-account-tokens",
    "legacy_tokens",
    is_flag=True,
    help="Give every service account a Secret with a token that lasts, as Kubernetes did before 1.24.",
)
@click.option("--encrypted", is_flag=True, help="Have nodes encrypt what they send to pods of other nodes.")
@click.option(
    "--audit-log", type=click.Path(dir_okay=False, path_type=Path), help="Write down in this file who did what."
)
@click.option(
    "--audit-policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="What is written down (audit.k8s.io/v1); by default every change and every look at a secret.",
)
@click.option(
    "--docker-socket",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Serve the Docker API to root on this socket.",
)
@click.option(
    "--docker-port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Serve the Docker API on this port, with TLS, to whoever has a certificate of the cluster.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def command(
    data_dir: Path,
    listen: str,
    advertise: tuple[str, ...],
    durability: str,
    volumes_dir: Path | None,
    pod_network: str,
    service_network: str,
    dns_address: str,
    node_grace: float,
    legacy_tokens: bool,
    encrypted: bool,
    audit_log: Path | None,
    audit_policy: Path | None,
    docker_socket: Path | None,
    docker_port: int,
    verbose: bool,
) -> None:
    """Run a manager in the foreground: store, API, controllers and scheduler."""
    from motet.server.config import ServerConfig
    from motet.server.main import run

    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    host, port = parse_listen(listen)
    try:
        (pods, pods_six), (services, services_six) = pair(pod_network), pair(service_network)
        names = IPv4Address(dns_address)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if (pods_six is None) != (services_six is None):
        raise click.BadParameter("IPv6 takes a range of both: --pod-network and --service-network")
    if names not in services:
        raise click.BadParameter(f"{names} does not lie in --service-network {services}", param_hint="--dns-address")
    synchronous: Literal["FULL", "NORMAL"] = "FULL" if durability == "full" else "NORMAL"
    config = ServerConfig(
        data_dir=data_dir / SERVER_DIR,
        host=host,
        port=port,
        addresses=advertise,
        volumes_dir=volumes_dir or data_dir / "volumes",
        pods=pods,
        services=services,
        pods_six=pods_six,
        services_six=services_six,
        dns_address=names,
        encrypted=encrypted,
        synchronous=synchronous,
        node_grace=node_grace or NODE_GRACE,
        legacy_tokens=legacy_tokens,
        audit_log=audit_log,
        audit_policy=audit_policy,
        docker_socket=docker_socket,
        docker_port=docker_port,
    )
    handles.allow_all()
    try:
        uvloop.run(run(config))
    except OSError as error:
        raise MotetError(_why(error, host, port, data_dir)) from error


def _why(error: OSError, host: str, port: int, data_dir: Path) -> str:
    """What keeps a manager from starting, and what to do about it."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is taken by another process; stop it, or choose another address with --listen"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another one with --listen"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"the manager cannot start: {error}; choose a folder of your own with --data-dir"
    if error.errno == errno.ENOSPC:
        return f"the disk that holds {data_dir} is full; make room, or choose another one with --data-dir"
    return f"the manager cannot start: {error}"


def parse_listen(text: str) -> tuple[str, int]:
    """ADDR:PORT taken apart. Raises click.BadParameter."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter(f"expected ADDR:PORT such as 127.0.0.1:6443, found {text!r}", param_hint="--listen")
    return host.strip("[]") or "0.0.0.0", int(port)
