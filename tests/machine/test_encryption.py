"""An encrypted cluster of two machines, made by the two words; what somebody sees on the wire, and what it survives."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from motet.base import processes
from motet.kinds.node import WIREGUARD_KEY
from motet.network.wireguard import inkernel, uapi, userspace
from motet.network.wireguard.config import WireguardConfig
from network.lab import inside
from support.capture import Tap, tap
from support.machines import IMAGE, Machines, import_image, plugged, until

pytestmark = pytest.mark.node

NAMES = ("m1", "m2")
_SERVE = (
    "mkdir /tmp/www; echo $HOSTNAME > /tmp/www/index.html; nc -ll -p 7000 -e cat & exec httpd -fvv -p 8080 -h /tmp/www"
)
Json = dict[str, Any]


class World:
    """The machines, and on each a pod that serves HTTP on 8080 and echoes on 7000."""

    def __init__(self, machines: Machines) -> None:
        self.machines = machines
        self.pods: dict[str, str] = {}
        self.refused = ""

    def prepare(self) -> None:
        begun = self.machines.motet("m1", "init", "--encrypt", "--node-name", "m1", "-o", "json")
        token, server = json.loads(begun)["worker"], f"{self.machines.address('m1')}:6443"
        join = ("join", "--token", token, server, "--node-name", "m2")
        program = userspace.executable()
        self.on("m2", "mount", "--bind", "/dev/null", program)
        self.refused = "" if inkernel.available() else self.machines.motet("m2", *join, fails=True)
        self.on("m2", "umount", program)
        self.machines.motet("m2", *join)
        for name in NAMES:
            import_image(self.machines, name)
            self.machines.kubectl("apply", "-f", "-", stdin=msgspec.json.encode(_pod(name)).decode())
        self.machines.kubectl("wait", "--for=condition=Ready", "pod/web-m1", "pod/web-m2", "--timeout=40s")
        for name in NAMES:
            template = "jsonpath={.status.podIP}"
            self.pods[name] = self.machines.kubectl("get", "pod", f"web-{name}", "-o", template)

    def tap(self, port: str = "port1") -> Any:
        """At the port that a machine is plugged into."""
        return tap(self.machines.switch.namespace, port)

    def ask(self, word: str = "") -> str:
        """What the first machine's pod gets from the second's."""
        command = ("timeout", "2", "wget", "-q", "-O", "-", f"http://{self.pods['m2']}:8080/{word}")
        return self.machines.kubectl("exec", "web-m1", "--", *command, check=False).strip()

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection from the first machine to the echo of the second's pod."""
        with inside(f"/proc/{self.machines.boxes['m1'].pid}/ns/net"):
            made = socket.socket()
        with made:
            made.settimeout(10)
            made.connect((self.pods["m2"], 7000))
            yield made

    def on(self, name: str, *command: str) -> str:
        """What a command prints on a machine."""
        return subprocess.run(
            self.machines.boxes[name].inside(command), check=True, capture_output=True, text=True
        ).stdout

    def wireguard(self, name: str) -> WireguardConfig:
        machine = self.machines.boxes[name].machine
        return WireguardConfig.below(machine.agent_dir, machine.run_dir, cgroup_root=machine.cgroup_root)

    def key(self, name: str) -> str:
        node = json.loads(self.machines.kubectl("get", "node", name, "-o", "json"))
        return str(node["metadata"]["annotations"][WIREGUARD_KEY])


def _pod(name: str) -> Json:
    container = {"name": "app", "image": IMAGE, "command": ["sh", "-c", _SERVE]}
    ready = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    spec = {
        "nodeName": name,
        "terminationGracePeriodSeconds": 0,
        "containers": [{**container, "readinessProbe": ready}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"web-{name}", "labels": {"on": name}},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with plugged() as machines:
        made = World(machines)
        made.prepare()
        servers = [processes.server_of(made.wireguard(name).socket) for name in NAMES]
        assert all(servers)
        # The first packet begins WireGuard's handshake, and the pod's server may be a moment behind its pod.
        until(lambda: made.ask() == "web-m2", 10)
        yield made
        for name in reversed(NAMES):
            machines.motet(name, "leave", "--force")
        until(lambda: not any(_runs(pid) for pid in servers), 5)
        assert all(
            _kernel_names(machines, name).isdisjoint({"motet-wireguard", "blackhole", "4242:"}) for name in NAMES
        )


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _kernel_names(machines: Machines, name: str) -> set[str]:
    box = machines.boxes[name]
    words = ("-br", "link"), ("rule",), ("route", "show", "table", "all")
    return {
        word
        for each in words
        for word in subprocess.run(box.inside(["ip", *each]), capture_output=True, text=True, check=True).stdout.split()
    }


def _shown(seen: Tap, word: str) -> tuple[bool, bool]:
    """Whether a tap shows a word, and whether it shows packets of WireGuard that carry something."""
    return seen.shows(word.encode()), any(packet[:4] == b"\x04\0\0\0" for packet in seen.datagrams(51842))


def test_nothing_that_pods_say_to_each_other_is_seen_between_machines(world: World) -> None:
    with world.tap() as seen:
        assert world.ask() == "web-m2"
        world.ask("in-the-clear-from-a-pod")
        assert _shown(seen, "in-the-clear-from-a-pod") == (False, True)


def test_nothing_that_a_machine_says_to_another_ones_pod_is_seen(world: World) -> None:
    with world.tap() as seen:
        url = f"http://{world.pods['m2']}:8080/"
        assert world.on("m1", "busybox", "wget", "-q", "-O", "-", url).strip() == "web-m2"
        with world.connected() as echo:
            echo.sendall(b"in-the-clear-from-a-machine")
            assert echo.recv(100) == b"in-the-clear-from-a-machine"
        assert _shown(seen, "in-the-clear-from-a-machine") == (False, True)


@pytest.mark.skipif(inkernel.available(), reason="this kernel has a WireGuard of its own")
def test_a_machine_without_wireguard_is_told_what_to_install_before_it_comes_up(world: World) -> None:
    assert "WireGuard: not found, and this cluster is encrypted" in world.refused
    assert "motet doctor --fix" in world.refused


def test_both_machines_say_that_the_cluster_is_encrypted(world: World) -> None:
    for name in NAMES:
        assert world.machines.boxes[name].machine.settings().encrypted  # type: ignore[union-attr]
        assert f"WireGuard, public key {world.key(name)}" in world.machines.motet("m1", "node", "inspect", name)
    assert json.loads(world.machines.motet("m1", "status", "-o", "json"))["encrypted"] is True


def test_pods_may_send_what_fits_into_the_tunnel(world: World) -> None:
    for name in NAMES:
        mtu = world.machines.kubectl("exec", f"web-{name}", "--", "cat", "/sys/class/net/eth0/mtu")
        # Of 1500, WireGuard takes 60 and the VXLAN in it, which keeps clients' addresses, 50.
        assert int(mtu) == 1390
    # The largest datagram that is not cut into pieces: IPv4 and ICMP headers are 28 bytes.
    pinged = world.machines.kubectl("exec", "web-m1", "--", "ping", "-c1", "-W2", "-s", "1362", world.pods["m2"])
    assert "1 packets received" in pinged


def test_the_private_key_is_for_root_only_and_neither_argument_nor_logged(world: World) -> None:
    config = world.wireguard("m1")
    file = config.keys / "private.key"
    private = file.read_text().strip()
    assert file.stat().st_mode & 0o777 == 0o600
    for path in (*config.keys.glob("*.log"), *world.machines.boxes["m1"].machine.logs.glob("*.log")):
        assert private not in path.read_text()
    pid = processes.server_of(config.socket)
    for place in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{place}") as found:
            assert private not in found.read()


def test_killed_wireguard_comes_back_by_itself(world: World) -> None:
    for name in NAMES:
        socket_path = world.wireguard(name).socket
        before = processes.server_of(socket_path)
        with world.connected() as echo:
            os.kill(before, signal.SIGKILL)
            echo.sendall(b"still here")
            assert echo.recv(100) == b"still here"
        until(lambda was=before, path=socket_path: processes.server_of(path) not in (0, was), 5)  # type: ignore[misc]
        assert world.ask() == "web-m2"


def test_nothing_leaves_in_the_clear_while_wireguard_is_away(world: World) -> None:
    agent = _agent(world, "m1")
    os.kill(agent, signal.SIGSTOP)
    try:
        os.kill(processes.server_of(world.wireguard("m1").socket), signal.SIGKILL)
        until(lambda: "motet-wireguard" not in world.on("m1", "ip", "-br", "link"), 5)
        with world.tap() as seen, inside(f"/proc/{world.machines.boxes['m1'].pid}/ns/net"), _datagrams() as sock:
            with pytest.raises(OSError, match="Invalid argument"):
                sock.sendto(b"in-the-clear-by-accident", (world.pods["m2"], 8080))
            assert not seen.shows(b"in-the-clear-by-accident")
    finally:
        os.kill(agent, signal.SIGCONT)
    until(lambda: world.ask() == "web-m2", 10)


def _datagrams() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _agent(world: World, name: str) -> int:
    """The process of a machine's agent, 0 for none."""
    pattern = f"motet agent --data-dir {world.machines.boxes[name].machine.data_dir}"
    found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True, check=False).stdout.split()
    return int(found[0]) if found else 0


def test_an_agent_that_begins_anew_takes_over_what_runs_and_nobody_notices(world: World) -> None:
    config = world.wireguard("m2")
    before, key = processes.server_of(config.socket), world.key("m2")
    with world.connected() as echo:
        os.kill(_agent(world, "m2"), signal.SIGKILL)
        until(lambda: _agent(world, "m2") > 0, 10)
        echo.sendall(b"still here")
        assert echo.recv(100) == b"still here"
    assert (processes.server_of(config.socket), world.key("m2")) == (before, key)


def test_a_key_that_has_grown_old_is_replaced_and_no_connection_ends(world: World) -> None:
    before = world.key("m2")
    file = world.wireguard("m2").keys / "private.key"
    month_ago = time.time() - 31 * 86400
    with world.connected() as echo:
        os.utime(file, (month_ago, month_ago))
        deadline, longest = time.monotonic() + 30, 0.0
        while world.key("m2") == before or time.time() - file.stat().st_mtime > 1000:
            assert time.monotonic() < deadline
            longest = max(longest, _round_trip(echo))
        longest = max(longest, *(_round_trip(echo) for _ in range(50)))
    assert longest < 5
    assert world.ask() == "web-m2"
    assert _shown_key(world) == world.key("m2")


def _round_trip(echo: socket.socket) -> float:
    began = time.monotonic()
    echo.sendall(b"x")
    assert echo.recv(1) == b"x"
    time.sleep(0.02)
    return time.monotonic() - began


def _shown_key(world: World) -> str:
    """Whom the first machine's WireGuard talks to."""
    config = uapi.parse(uapi.ask(world.wireguard("m1").socket, uapi.LOOKING))
    (session,) = config.sessions
    return session.remote.key


@pytest.mark.parametrize(
    "damage",
    ["link del motet-wireguard", "route flush table 4242", "rule del pref 4242", "link set motet-wireguard down"],
)
def test_what_somebody_took_away_comes_back(world: World, damage: str) -> None:
    world.on("m1", "ip", *damage.split())
    until(lambda: world.ask() == "web-m2", 10)


def test_whoever_comes_to_a_published_port_of_another_machine_is_seen_by_the_pod_and_not_overheard(
    world: World,
) -> None:
    world.machines.kubectl("expose", "pod", "web-m2", "--port=80", "--target-port=8080", "--type=NodePort")
    port = world.machines.kubectl("get", "service", "web-m2", "-o", "jsonpath={.spec.ports[0].nodePort}")
    url = f"http://{world.machines.address('m1')}:{port}/"

    def ask(word: str = "") -> str:
        command = ["timeout", "2", "busybox", "wget", "-q", "-O", "-", url + word]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    until(lambda: ask() == "web-m2", 10)
    client = str(world.machines.plan.gateway)
    # The machine's agent was killed a moment ago, and may still be on its way back.
    until(lambda: f"{client}]" in world.machines.kubectl("logs", "web-m2", check=False), 20)
    with world.tap("port2") as seen:
        ask("in-the-clear-from-outside")
        assert _shown(seen, "in-the-clear-from-outside") == (False, True)


def test_a_cluster_begun_without_encryption_or_with_it_stays_so(world: World) -> None:
    assert "motet join --token" in world.machines.motet("m1", "init")
    settings = world.machines.boxes["m1"].machine.settings()
    assert settings is not None
    world.machines.boxes["m1"].machine.remember(msgspec.structs.replace(settings, encrypted=False))
    try:
        told = world.machines.motet("m1", "init", "--encrypt", fails=True)
        assert "was begun without --encrypt, and cannot be encrypted later" in told
    finally:
        world.machines.boxes["m1"].machine.remember(settings)
