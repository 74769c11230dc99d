"""The overlay in a real kernel, in a network namespace."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from motet.network.config import NetworkConfig
from motet.network.overlay import kernel
from motet.network.overlay.decide import Kernel
from motet.network.overlay.loop import synchronize
from motet.network.overlay.peers import Peer
from support.netns import NetworkNamespace

pytestmark = pytest.mark.node

PEERS = tuple(
    Peer(f"n{number}", IPv4Address(f"192.0.2.{number}"), IPv4Network(f"10.42.{number}.0/24")) for number in (2, 3)
)


@pytest.fixture
def node() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as namespace:
        namespace.ip("link add motet0 type bridge")
        namespace.ip("addr add 10.42.1.1/24 dev motet0")
        namespace.ip("link set motet0 up")
        namespace.ip("link add eth0 mtu 1400 type veth peer name eth1")
        namespace.ip("addr add 192.0.2.1/24 dev eth0")
        namespace.ip("link set eth0 up")
        namespace.ip("link set eth1 up")
        yield namespace


@pytest.fixture
def config(tmp_path: Path) -> NetworkConfig:
    return NetworkConfig(
        node_name="n1",
        pods=IPv4Network("10.42.1.0/24"),
        address=IPv4Address("192.0.2.1"),
        cni_config=tmp_path,
        cni_state=tmp_path,
    )


def test_peers_get_a_device_with_static_entries_that_fits_the_network_below(
    node: NetworkNamespace, config: NetworkConfig
) -> None:
    node.inside(lambda: synchronize(config, PEERS))
    link = node.ip("-d link show motet-overlay")
    assert "mtu 1350" in link
    assert "nolearning" in link
    assert "vxlan id 4242 local 192.0.2.1" in link
    assert "10.42.3.0/24 via 10.42.3.0 proto static src 10.42.1.1 onlink" in node.ip("route show dev motet-overlay")
    assert "10.42.3.0 lladdr 0a:6d:0a:2a:03:00 PERMANENT" in node.ip("neigh show dev motet-overlay")


def test_a_second_look_finds_nothing_to_do(node: NetworkNamespace, config: NetworkConfig) -> None:
    assert node.inside(lambda: synchronize(config, PEERS)) > 0
    assert node.inside(lambda: synchronize(config, PEERS)) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "route del 10.42.2.0/24",
        "neigh flush dev motet-overlay nud permanent",
        "link set motet-overlay down",
        "link del motet-overlay",
        "addr flush dev motet-overlay",
        "link set motet-overlay mtu 1300",
        "route replace 10.42.2.0/24 dev motet0",
    ],
)
def test_what_somebody_took_away_comes_back(node: NetworkNamespace, config: NetworkConfig, damage: str) -> None:
    node.inside(lambda: synchronize(config, PEERS))
    whole = node.inside(lambda: kernel.observe("motet-overlay"))
    node.ip(damage)
    assert node.inside(lambda: kernel.observe("motet-overlay")) != whole
    node.inside(lambda: synchronize(config, PEERS))
    assert node.inside(lambda: kernel.observe("motet-overlay")) == whole


@pytest.mark.parametrize(("everybody", "device"), [("0", "0"), ("1", "2"), ("2", "0")])
def test_clients_of_other_nodes_are_let_in_however_strict_the_machine_is(
    node: NetworkNamespace, config: NetworkConfig, everybody: str, device: str
) -> None:
    node.run("sysctl", "-qw", f"net.ipv4.conf.all.rp_filter={everybody}")
    node.inside(lambda: synchronize(config, PEERS))
    node.run("sysctl", "-qw", "net.ipv4.conf.motet-overlay.accept_local=0", "net.ipv4.conf.motet-overlay.rp_filter=1")
    assert node.inside(lambda: synchronize(config, PEERS)) == 1
    assert node.run("sysctl", "-n", "net.ipv4.conf.motet-overlay.rp_filter").strip() == device
    assert node.run("sysctl", "-n", "net.ipv4.conf.motet-overlay.accept_local").strip() == "1"


def test_the_last_peer_takes_the_device_with_it(node: NetworkNamespace, config: NetworkConfig) -> None:
    node.inside(lambda: synchronize(config, PEERS))
    node.inside(lambda: synchronize(config, ()))
    assert node.inside(lambda: kernel.observe("motet-overlay")) == Kernel()


def test_a_device_of_another_kind_makes_room(node: NetworkNamespace, config: NetworkConfig) -> None:
    node.ip("link add motet-overlay type bridge")
    node.inside(lambda: synchronize(config, PEERS))
    assert "vxlan id 4242" in node.ip("-d link show motet-overlay")
