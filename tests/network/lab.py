"""A node's network for tests: a namespace that is the node, pods that are namespaces on its bridge, a client outside.
`labs` makes several nodes on one switch, with the overlay between them.

Sockets belong to the namespace they were made in, so servers and clients all live in the test's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import selectors
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from motet.base.ip import family_of_text
from motet.kinds import endpointslice, service
from motet.network import bridge
from motet.network.config import NetworkConfig, SixConfig
from motet.network.overlay.loop import synchronize
from motet.network.overlay.peers import Peer, mac_of
from motet.network.proxy import mesh
from motet.network.proxy.desired import Routes
from motet.network.proxy.loop import Proxy
from motet.network.proxy.mesh import NodeView
from motet.network.proxy.nft import Nft
from motet.network.proxy.ruleset import Ruleset, base
from motet.network.wireguard import keys
from motet.network.wireguard.config import WireguardConfig
from motet.network.wireguard.decide import wanted
from motet.network.wireguard.keys import Held, Pair
from motet.network.wireguard.loop import synchronize as encrypt
from motet.network.wireguard.userspace import Userspace
from motet.runtime.cgroups import Cgroups
from support.fake_client import FakeClient

_CLONE_NEWNET = 0x40000000
T = TypeVar("T")
CLIENT, NODE = "192.0.2.9", "192.0.2.1"
CLIENT_SIX, NODE_SIX = "2001:db8::9", "2001:db8::1"


def six(number: int = 1) -> SixConfig:
    """The IPv6 networks of the node of that number."""
    return SixConfig(
        IPv6Network(f"fd00:42:0:{number - 1:x}::/64"), IPv6Network("fd00:42::/48"), IPv6Network("fd00:43::/112")
    )


SIX = six()


def config(folder: Path, **changes: Any) -> NetworkConfig:
    made = NetworkConfig(
        node_name="n1", pods=IPv4Network("10.42.0.0/24"), cni_config=folder / "net.d", cni_state=folder / "state"
    )
    return replace(made, **changes)


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread is in another network namespace, given by name or path, for as long as the block lasts."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(Path("/run/netns", namespace)) as there:
        if libc.setns(there.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), _CLONE_NEWNET)


def ip(*lines: str) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


class Lab:
    """Make one inside `with lab(...)`."""

    def __init__(self, folder: Path, number: int = 1, *, dual: bool = False) -> None:
        self.dual = dual
        self.name = f"mn{uuid.uuid4().hex[:6]}"
        self.address = f"192.0.2.{number}"
        self.config = config(folder, node_name=f"n{number}", pods=IPv4Network(f"10.42.{number - 1}.0/24"))
        if dual:
            self.config = replace(self.config, six=six(number))
        self.client = FakeClient()
        self.outside = f"{self.name}-out"
        self._servers = _Servers()
        self._names = [self.name]
        self._pair: Pair | None = None
        self._engine: Userspace | None = None

    def build(self) -> None:
        """The node, and a client at the other end of its cable."""
        self._names.append(self.outside)
        for name in self._names:
            ip(f"netns add {name}")
        ip(
            f"link add eth0 netns {self.name} type veth peer name eth0 netns {self.outside}",
        )
        for name, address in ((self.name, self.address), (self.outside, CLIENT)):
            self._in(name, f"address add {address}/24 dev eth0", "link set eth0 up", "link set lo up")
        self._in(self.outside, f"route add default via {self.address}")
        if self.dual:
            self._in(self.name, f"address add {NODE_SIX}/64 dev eth0 nodad")
            self._in(self.outside, f"address add {CLIENT_SIX}/64 dev eth0 nodad", f"route add default via {NODE_SIX}")

    def plug(self, switch: str, number: int) -> None:
        """The node, with a cable to a bridge in the namespace of that name."""
        ip(f"netns add {self.name}", f"link add eth0 netns {self.name} type veth peer name port{number} netns {switch}")
        self._in(switch, f"link set port{number} master switch up")
        self._in(self.name, f"address add {self.address}/24 dev eth0", "link set eth0 up", "link set lo up")
        if self.dual:
            self._in(self.name, f"address add 2001:db8::{number}/64 dev eth0 nodad")
        self.outside = switch

    def destroy(self) -> None:
        self._servers.close()
        if self._engine is not None:
            with inside(self.name):
                self._engine.remove()
            asyncio.run(Cgroups().remove(f"/{self.name}"))
            shutil.rmtree(self._run)
        for name in self._names:
            ip(f"netns delete {name}")
        left = [name for name in self._names if Path(f"/run/netns/{name}").exists()]
        assert left == []

    @staticmethod
    def _in(namespace: str, *lines: str) -> None:
        subprocess.run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def pod(self, number: int, bridge_name: str = "", gateway: str = "") -> str:
        """A pod's interface, as the CNI plugin makes it; returns its address."""
        name, link = f"{self.name}-p{number}", f"veth{number}"
        address = str(self.config.pods[number])
        ip(f"netns add {name}")
        self._names.append(name)
        bridge_name = bridge_name or self.config.bridge
        self._in(self.name, f"link add {link} type veth peer name eth0 netns {name}")
        self._in(self.name, f"link set {link} master {bridge_name} up")
        self._in(self.name, f"link set {link} type bridge_slave hairpin on")
        self._in(name, f"address add {address}/24 dev eth0", "link set eth0 up", "link set lo up")
        self._in(name, f"route add default via {gateway or self.config.gateway}")
        if self.config.ipv6 is not None:
            self._in(name, f"address add {self.second(number)}/64 dev eth0 nodad")
            self._in(name, f"route add default via {self.config.ipv6.gateway}")
        return address

    def second(self, number: int) -> str:
        """A pod's address of IPv6."""
        assert self.config.ipv6 is not None
        return str(self.config.ipv6.pods[number])

    def namespace(self, number: int) -> str:
        return f"{self.name}-p{number}"

    def serve(self, number: int, *ports: int) -> str:
        """A pod that answers on these ports, TCP and UDP, with its own name and the sender's address."""
        address = self.pod(number)
        for port in ports:
            self.listen(self.namespace(number), f"p{number}", port)
            if self.dual:
                self.listen(self.namespace(number), f"p{number}", port, "::")
        return address

    def listen(self, namespace: str, name: str, port: int, address: str = "0.0.0.0") -> None:
        with inside(namespace):
            self._servers.add(name, address, port)

    def ask(self, address: str, port: int, *, of: str = "", udp: bool = False, timeout: float = 2.0) -> str:
        """What answers at (address, port), asked from a namespace (the node itself if none). Raises OSError."""
        with self.connection(address, port, of=of, udp=udp, timeout=timeout) as made:
            made.send(b"?")
            return made.recv(200).decode()

    def connection(
        self, address: str, port: int, *, of: str = "", udp: bool = False, timeout: float = 2.0
    ) -> socket.socket:
        with inside(of or self.name):
            made = socket.socket(_family(address), socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            host, _, scope = address.partition("%")
            made.connect((host, port, 0, int(scope)) if scope else (host, port))
        except BaseException:
            made.close()
            raise
        return made

    def spread(self, address: str, port: int, *, of: str = "", times: int = 40, udp: bool = False) -> Counter[str]:
        """How often each pod answered."""
        return Counter(self.ask(address, port, of=of, udp=udp).split()[0] for _ in range(times))

    @contextlib.asynccontextmanager
    async def proxy(self, **options: Any) -> Any:
        """The proxy at work in the node's namespace, for each family."""
        families = self.config.families()
        running = [asyncio.ensure_future(Proxy(self.client, each, Nft(), **options).run()) for each in families]  # type: ignore[arg-type]

        def written() -> bool:
            maps = ("nft", "list", "map"), (self.config.table, "nobody")
            listings = ([*maps[0], each.family, *maps[1]] for each in families)
            return all(subprocess.run(listing, capture_output=True).returncode == 0 for listing in listings)

        try:
            await until(written)
            yield running[0]
        finally:
            for each in running:
                each.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def reach(self, labs: Sequence[Lab]) -> None:
        """Make the way to the pods of others, or repair it."""
        others = (one.config for one in labs if one is not self)
        peers = tuple(
            Peer(each.node_name, each.address, family.pods, mac=mac_of(each.pods))
            for each in others
            if each.address
            for family in each.families()
        )
        with inside(self.name):
            synchronize(self.config, peers)
            if self.config.encrypted:
                self._encrypt(labs)

    def encrypted(self, folder: Path) -> None:
        """The node is one of an encrypted cluster."""
        # A socket's path has room for 107 bytes only.
        self._run = Path("/tmp", self.name)
        wireguard = WireguardConfig.below(folder / self.name, self._run, cgroup_root=f"/{self.name}")
        self.config = replace(self.config, encrypted=True, wireguard=wireguard)
        self._pair, self._engine = keys.generate(), Userspace(wireguard)

    def _encrypt(self, labs: Sequence[Lab]) -> None:
        assert self._pair is not None
        assert self._engine is not None
        assert self.config.wireguard is not None
        peers = (
            Peer(one.config.node_name, one.config.address, family.pods, one._pair.public, mac_of(one.config.pods))
            for one in labs
            if one is not self and one._pair and one.config.address
            for family in one.config.families()
        )
        peered = wanted(peers, self._pair.public, self.config.wireguard.port)
        encrypt(self.config, self._engine, Held(self._pair, 0.0), peered, time.time())

    def program(self, routes: Routes, nodes: Mapping[str, Any]) -> None:
        """Write the rules of a node whose proxy does not run; `routes` are of IPv4, `nodes` documents by name."""
        with inside(self.name):
            for family in self.config.families():
                ruleset = Ruleset(family)
                found = mesh.elements({name: msgspec.convert(each, NodeView) for name, each in nodes.items()}, family)
                changes = ruleset.change((), routes if family.version == 4 else {})
                Nft().run("\n".join((base(family), changes, ruleset.connect(found))))

    async def publish(
        self,
        name: str,
        *ports: dict[str, Any],
        cluster_ip: str = "",
        annotations: dict[str, str] | None = None,
        **spec: Any,
    ) -> None:
        body = {"clusterIP": cluster_ip, "type": "ClusterIP", "ports": list(ports), **spec}
        metadata = {"name": name, "annotations": annotations or {}}
        await self.client.create(service.KIND, {"metadata": metadata, "spec": body}, "default")

    async def back(self, name: str, *addresses: str, port: int = 80, protocol: str = "TCP", node: str = "n1") -> None:
        """Make these the endpoints of a service."""
        suffix = 6 if addresses and ":" in addresses[0] else 1
        metadata = {"name": f"{name}-{suffix}", "namespace": "default", "labels": {"kubernetes.io/service-name": name}}
        body = {
            "metadata": metadata,
            "addressType": family_of_text(addresses[0]) if addresses else "IPv4",
            "endpoints": [{"addresses": [each], "nodeName": node, "conditions": {"ready": True}} for each in addresses],
            "ports": [{"name": "", "port": port, "protocol": protocol}],
        }
        try:
            await self.client.update(endpointslice.KIND, body)
        except Exception:
            await self.client.create(endpointslice.KIND, body, "default")


async def until(condition: Callable[[], T], seconds: float = 5.0) -> T:
    """Ask again and again, in a thread, until the answer is true; refused and lost connections count as no answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if found := await asyncio.to_thread(condition):
                return found
        except OSError:
            pass
        assert time.monotonic() < deadline, "it never came about"
        await asyncio.sleep(0.01)


class _Servers:
    """All servers in one thread. Says `NAME PEER` for everything that arrives."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._new: list[tuple[socket.socket, Callable[[socket.socket], None]]] = []
        self._open: list[socket.socket] = [self._wake, self._woken]
        self._ending = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add(self, name: str, address: str, port: int) -> None:
        stream = socket.create_server((address, port), family=_family(address))
        datagrams = socket.socket(_family(address), socket.SOCK_DGRAM)
        if _family(address) == socket.AF_INET6:
            datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        datagrams.bind((address, port))
        self._new.append((stream, lambda sock: self._accept(name, sock)))
        self._new.append((datagrams, lambda sock: self._echo(name, sock)))
        self._wake.send(b"!")

    def close(self) -> None:
        self._ending = True
        self._wake.send(b"!")
        self._thread.join()
        self._selector.close()
        for each in self._open:
            each.close()

    def _run(self) -> None:
        while not self._ending:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._woken.recv(100)
                    self._take()
                else:
                    key.data(key.fileobj)

    def _take(self) -> None:
        while self._new:
            sock, handler = self._new.pop()
            sock.setblocking(False)
            self._open.append(sock)
            self._selector.register(sock, selectors.EVENT_READ, handler)

    def _accept(self, name: str, sock: socket.socket) -> None:
        made, peer = sock.accept()
        self._open.append(made)
        self._selector.register(made, selectors.EVENT_READ, lambda made: self._answer(name, peer[0], made))

    def _answer(self, name: str, peer: str, sock: socket.socket) -> None:
        try:
            if sock.recv(100):
                sock.send(f"{name} {peer}".encode())
                return
        except OSError:
            pass
        self._selector.unregister(sock)
        self._open.remove(sock)
        sock.close()

    def _echo(self, name: str, sock: socket.socket) -> None:
        _, peer = sock.recvfrom(100)
        sock.sendto(f"{name} {peer[0]}".encode(), peer)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@contextlib.contextmanager
def lab(folder: Path, *, dual: bool = False) -> Iterator[Lab]:
    """A node, with this thread in its namespace; of a dual-stack cluster if `dual`."""
    made = Lab(folder, dual=dual)
    made.build()
    try:
        with inside(made.name):
            bridge.ensure(made.config)
            yield made
    finally:
        made.destroy()


def node_document(of: Lab, answers_back: bool = True) -> dict[str, Any]:
    """A node of the lab as its Node document."""
    annotations = {mesh.ANSWERS_BACK: "true"} if answers_back else {}
    return {
        "metadata": {"name": of.config.node_name, "annotations": annotations},
        "spec": {"podCIDR": str(of.config.pods), "podCIDRs": [str(each.pods) for each in of.config.families()]},
        "status": {"addresses": [{"type": "InternalIP", "address": of.address}]},
    }


@contextlib.contextmanager
def labs(folder: Path, count: int, *, encrypted: bool = False, dual: bool = False) -> Iterator[list[Lab]]:
    """Nodes that reach one another's pods, and a client, on one switch. This thread is in the first node's namespace."""
    switch = f"ms{uuid.uuid4().hex[:6]}"
    ip(f"netns add {switch}")
    made: list[Lab] = []
    try:
        Lab._in(switch, "link add switch type bridge", f"address add {CLIENT}/24 dev switch", "link set switch up")
        if dual:
            Lab._in(switch, f"address add {CLIENT_SIX}/64 dev switch nodad")
        for number in range(1, count + 1):
            made.append(one := Lab(folder, number, dual=dual))
            one.plug(switch, number)
            one.config = replace(one.config, address=IPv4Address(one.address))
            if encrypted:
                one.encrypted(folder)
        for one in made:
            with inside(one.name):
                bridge.ensure(one.config)
            one.reach(made)
        with inside(made[0].name):
            yield made
    finally:
        for one in made:
            one.destroy()
        ip(f"netns delete {switch}")
