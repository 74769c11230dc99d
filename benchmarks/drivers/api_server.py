"""An API server alone, with a throw-away authority: what `benchmarks/api.py` measures.

    python benchmarks/api_server.py --directory DIR [--port N] [--synchronous FULL|NORMAL]

Writes ca.crt, admin.crt, admin.key, node.crt, node.key and kubeconfig into DIR and prints `ready PORT` when it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from pathlib import Path

import uvloop

from motet.api import bootstrap
from motet.api.flowcontrol import bootstrap as flow_bootstrap
from motet.api.http.authorize import Roles
from motet.api.http.nodegraph import NodeGraph
from motet.api.http.server import ApiConfig, ApiServer
from motet.api.rbac.index import RbacIndex
from motet.api.registry import Registry, resources
from motet.base.clock import SystemClock
from motet.identity import kubeconfig, tls
from motet.identity.authority import Authority
from motet.kinds.catalogue import Catalogue
from motet.store.cache import Cache
from motet.store.sqlite import SqliteStore


async def serve(directory: Path, port: int, synchronous: str) -> None:
    authority = Authority.load_or_create(directory)
    certificate, key = authority.issue("motet-server", sans=("127.0.0.1", "localhost")).write(directory, "server")
    credentials = authority.issue("admin", ("system:masters",))
    admin = credentials.write(directory, "admin")
    authority.issue("system:node:n1", ("system:nodes",)).write(directory, "node")
    clock, catalogue = SystemClock(), Catalogue()
    store = SqliteStore(directory / "state.db", synchronous=synchronous)  # type: ignore[arg-type]
    await store.open()
    cache = Cache(store, resources(catalogue))
    await cache.start()
    registry = Registry(store, cache, catalogue, clock)
    config = ApiConfig(
        host="127.0.0.1", port=port, certificate=certificate, key=key, client_ca=directory / "ca.crt", stop_seconds=1
    )
    agent_tls = tls.client_context(directory / "ca.crt", *admin)
    server = ApiServer(
        config, registry, catalogue, Roles(NodeGraph(cache), RbacIndex(cache.table)), agent_tls=agent_tls, clock=clock
    )
    await server.start()
    await bootstrap.ensure(registry, [("192.0.2.1", server.port)])
    await flow_bootstrap.ensure(registry)
    (directory / "kubeconfig").write_bytes(
        kubeconfig.render(f"https://127.0.0.1:{server.port}", authority.pem, credentials)
    )
    print(f"ready {server.port}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await server.stop()
    await cache.close()
    await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.WARNING, format="%(name)s %(message)s")
    uvloop.run(serve(arguments.directory, arguments.port, arguments.synchronous))


if __name__ == "__main__":
    main()
