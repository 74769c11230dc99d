"""WireGuard in a real kernel: two nodes, one cable, wireguard-go on both."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from motet.base import processes
from motet.network.bridge import NetworkError
from motet.network.wireguard import keys, uapi, userspace
from motet.network.wireguard.decide import Observed
from motet.network.wireguard.engine import Absent, choose
from motet.network.wireguard.userspace import Userspace
from network.wireguard.two_nodes import Node, heard, pod, two_nodes

pytestmark = pytest.mark.node


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(prefix="motet-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    with two_nodes(tmp_path_factory.mktemp("nodes")) as made:
        yield made


@pytest.fixture
def nodes(strangers: tuple[Node, Node]) -> tuple[Node, Node]:
    """Two that know each other, whatever a test before has done to them."""
    one, two = strangers
    one.synchronize(two.peer)
    two.synchronize(one.peer)
    return one, two


def test_two_nodes_reach_each_others_pods(nodes: tuple[Node, Node]) -> None:
    with pod(nodes[0]) as first, pod(nodes[1]) as second:
        assert heard(first, second) < 2
        assert heard(second, first) < 2


def test_the_tunnel_fits_the_network_below_and_a_fence_stands_behind_it(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    assert "mtu 1440" in one.space.ip("link show motet-wireguard")
    table = one.space.ip("route show table 4242")
    for route in (
        "blackhole 10.42.0.0/16",
        "throw 10.42.1.0/24",
        "throw 10.42.2.0 ",
        "10.42.2.0/24 dev motet-wireguard",
    ):
        assert route in table


def test_a_second_look_finds_nothing_to_do(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    assert one.synchronize(two.peer) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "route del 10.42.2.0/24 table 4242",
        "route del blackhole 10.42.0.0/16 metric 16777215 table 4242",
        "route del throw 10.42.1.0/24 table 4242",
        "route replace 10.42.2.0/24 dev motet0 table 4242",
        "rule del pref 4241",
        "rule del pref 4242",
        "link set motet-wireguard down",
        "link set motet-wireguard mtu 1300",
        "addr flush dev motet-wireguard",
        "link del motet-wireguard",
    ],
)
def test_what_somebody_took_away_comes_back(nodes: tuple[Node, Node], damage: str) -> None:
    one, two = nodes
    whole = _shape(one.observe())
    one.space.ip(damage)
    assert _shape(one.observe()) != whole
    one.synchronize(two.peer)
    assert _shape(one.observe()) == whole


def _shape(there: Observed) -> object:
    """All but the times of handshakes."""
    remotes = frozenset(each.remote for each in there.configuration.sessions) if there.configuration else None
    return replace(there, configuration=None), remotes


def test_a_peer_that_somebody_took_out_of_wireguards_hands_comes_back(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    uapi.ask(one.wireguard.socket, uapi.changing([two.peer.key], []))
    assert one.synchronize(two.peer) == 1
    with pod(one) as first, pod(two) as second:
        assert heard(first, second) < 2


def test_killed_wireguard_is_made_again_and_speaks_first(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    before = one.kill()
    one.synchronize(two.peer)
    assert processes.server_of(one.wireguard.socket) not in (0, before)
    with pod(one) as first, pod(two) as second:
        # The other one does not know yet that its session leads nowhere.
        assert heard(second, first) < 2


def test_wireguard_that_hangs_is_killed_and_made_again(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = nodes
    monkeypatch.setattr(uapi, "_SECONDS", 0.05)
    before = processes.server_of(one.wireguard.socket)
    os.kill(before, signal.SIGSTOP)
    one.synchronize(two.peer)
    assert processes.server_of(one.wireguard.socket) not in (0, before)


def test_another_agent_takes_over_what_runs(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    before = processes.server_of(one.wireguard.socket)
    one.engine = Userspace(one.wireguard)
    assert one.synchronize(two.peer) == 0
    assert processes.server_of(one.wireguard.socket) == before


@pytest.mark.parametrize("first", [0, 1], ids=["the node first", "its peer first"])
def test_another_key_is_taken_into_use_within_a_moment_whoever_hears_of_it_first(
    nodes: tuple[Node, Node], first: int
) -> None:
    one, two = nodes
    one.pair = keys.generate()
    turns = [lambda: one.synchronize(two.peer), lambda: two.synchronize(one.peer)]
    turns[first]()
    turns[1 - first]()
    with pod(one) as ours, pod(two) as theirs:
        assert heard(theirs, ours) < 2
        assert heard(ours, theirs) < 2


def test_nobody_sends_under_anothers_addresses(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    two.space.ip("addr add 10.42.9.9/32 dev motet0")
    with pod(one) as ours, pod(two) as honest, pod(two, "10.42.9.9") as liar:
        assert heard(honest, ours) < 2
        with pytest.raises(TimeoutError):
            heard(liar, ours, 1)
    two.space.ip("addr del 10.42.9.9/32 dev motet0")


def test_a_node_whose_key_is_not_known_is_not_heard(nodes: tuple[Node, Node]) -> None:
    one, two = nodes
    two.pair = keys.generate()
    two.synchronize(one.peer)
    with pod(one) as ours, pod(two) as stranger, pytest.raises(TimeoutError):
        heard(stranger, ours, 1)


def test_the_last_peer_takes_the_device_with_it_and_leaves_the_fence(nodes: tuple[Node, Node]) -> None:
    one, _ = nodes
    one.synchronize()
    assert one.space.ip("link show").count("motet-wireguard") == 0
    assert processes.server_of(one.wireguard.socket) == 0
    assert "blackhole 10.42.0.0/16" in one.space.ip("route show table 4242")


def test_a_device_of_another_kind_makes_room(short_path: Path) -> None:
    with two_nodes(short_path) as (one, two):
        one.space.ip("link add motet-wireguard type bridge")
        one.synchronize(two.peer)
        observed = one.observe()
    assert observed.configuration is not None
    assert {session.remote.allowed for session in observed.configuration.sessions} == {(IPv4Network("10.42.2.0/24"),)}


def test_without_any_wireguard_a_node_is_told_what_to_install(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(userspace, "executable", lambda: "")
    monkeypatch.setattr("motet.network.wireguard.inkernel.available", lambda: False)
    with two_nodes(short_path) as (one, _), pytest.raises(NetworkError, match=r"motet doctor --fix .*wireguard-go"):
        choose(one.wireguard)


def test_without_any_wireguard_what_is_marked_goes_nowhere(short_path: Path) -> None:
    with two_nodes(short_path) as (one, two):
        one.config = replace(one.config, encrypted=False)
        one.engine = Absent(one.wireguard.device)  # type: ignore[assignment]
        with pytest.raises(NetworkError, match="a Network is encrypted, and this machine has no WireGuard"):
            one.synchronize(two.peer)
        assert "fwmark 0x4000000/0x4000000 lookup 4242" in one.space.ip("rule")
        assert "blackhole 10.42.0.0/16" in one.space.ip("route show table 4242")
        assert "blackhole" not in one.space.ip("route")


def test_marked_packets_alone_take_the_encrypted_way(short_path: Path) -> None:
    with two_nodes(short_path) as (one, two):
        for node, other in ((one, two), (two, one)):
            node.config = replace(node.config, encrypted=False)
            node.synchronize(other.peer)
            assert node.synchronize(other.peer) == 0
        assert "dev motet-wireguard" in one.space.ip("route get 10.42.2.1 mark 0x4000000")
        with pytest.raises(subprocess.CalledProcessError):
            one.space.ip("route get 10.42.2.1")
        with pod(one) as ours, pod(two) as theirs:
            for sock in (ours, theirs):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x4000000)
            assert heard(ours, theirs) < 2


def test_wireguard_that_cannot_start_is_quoted(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with two_nodes(short_path) as (one, two):
        monkeypatch.setattr(userspace, "executable", lambda: "/bin/false")
        began = time.monotonic()
        with pytest.raises(NetworkError, match="does not start"):
            one.synchronize(two.peer)
        assert time.monotonic() - began < 5
