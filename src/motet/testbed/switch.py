"""What joins a testbed's nodes: a bridge in a network namespace of its own, so that the machine's firewall never sees
their packets, and one cable from it to the machine, for kubectl and for the nodes' way out.

Taking the namespace away takes every cable with it. Faults are made here: a port without link, a port that loses packets.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

from motet.testbed.plan import Member, Plan, TestbedError

_TURN = Path("/run/motet-testbed.lock")
_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


class Switch:
    """The switch of the testbed called `tag`."""

    def __init__(self, tag: str) -> None:
        self.namespace = f"motet-testbed-{tag}"
        self.cable = f"mtb-{tag}"
        self._table = f"motet_testbed_{tag}"

    @property
    def exists(self) -> bool:
        return Path("/run/netns", self.namespace).exists()

    def make(self, plan: Plan) -> None:
        """Make what is missing of it. Raises TestbedError."""
        if not self.exists:
            _ip("netns", "add", self.namespace)
        if not _has(self.namespace, "switch"):
            _ip("-n", self.namespace, "link", "add", "switch", "type", "bridge")
            _ip("-n", self.namespace, "link", "set", "switch", "up")
            _ip("-n", self.namespace, "link", "set", "lo", "up")
        if not _has("", self.cable):
            _ip("link", "add", self.cable, "type", "veth", "peer", "name", "machine", "netns", self.namespace)
            _ip("-n", self.namespace, "link", "set", "machine", "master", "switch", "up")
        _ip("addr", "replace", f"{plan.gateway}/{plan.network.prefixlen}", "dev", self.cable)
        if plan.dual_stack:
            _ip("addr", "replace", f"{plan.network_six[1]}/64", "dev", self.cable, "nodad")
        _ip("link", "set", self.cable, "up")
        _FORWARDING.write_text("1")
        _nft("", self._way_out(plan.network))

    def plug(self, plan: Plan, member: Member, pid: int) -> None:
        """Give the namespace of process `pid` a cable, an address and a way out. Raises TestbedError."""
        port = _port(member)
        # The kernel takes the cable of a namespace that ended away in its own time.
        with contextlib.suppress(TestbedError):
            _ip("-n", self.namespace, "link", "del", port)
        _ip("-n", self.namespace, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _ip("-n", self.namespace, "link", "set", port, "master", "switch", "down" if member.cut else "up")
        inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
        _run(*inside, "addr", "add", f"{plan.address(member)}/{plan.network.prefixlen}", "dev", "eth0")
        if plan.dual_stack:
            _run(*inside, "addr", "add", f"{plan.address_six(member)}/64", "dev", "eth0", "nodad")
        _run(*inside, "link", "set", "eth0", "up")
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "route", "replace", "default", "via", str(plan.gateway))

    def link(self, member: Member, *, up: bool) -> None:
        """Pull the cable of a node, or put it back. A node that is off has none to pull."""
        if _has(self.namespace, _port(member)):
            _ip("-n", self.namespace, "link", "set", _port(member), "up" if up else "down")

    def lose(self, members: Iterable[Member]) -> None:
        """Have each port lose its share of packets, coming and going. Raises TestbedError."""
        rules = [
            f'{way} "{_port(member)}" numgen random mod 100 <= {member.loss - 1} drop'
            for member in members
            if member.loss
            for way in ("iifname", "oifname")
        ]
        text = "add table bridge loss\ndelete table bridge loss\n"
        if rules:
            lines = "\n    ".join(rules)
            text += f"""\
table bridge loss {{
  chain forward {{
    type filter hook forward priority 0; policy accept;
    {lines}
  }}
}}
"""
        _nft(self.namespace, text)

    def remove(self, forwarding_before: str) -> None:
        """Take all of it away; whatever is gone already is fine."""
        if _has("", self.cable):
            _ip("link", "del", self.cable)
        if self.exists:
            _ip("netns", "del", self.namespace)
        _nft("", f"add table ip {self._table}\ndelete table ip {self._table}\n")
        if forwarding_before == "0":
            _FORWARDING.write_text("0")

    def _way_out(self, network: IPv4Network) -> str:
        """The nodes' own connections to the world leave under this machine's address."""
        return f"""\
add table ip {self._table}
delete table ip {self._table}
table ip {self._table} {{
  chain leaving {{
    type nat hook postrouting priority 100; policy accept;
    ip saddr {network} oifname != "{self.cable}" masquerade
  }}
}}
"""


def forwarding() -> str:
    """`0` or `1`."""
    return _FORWARDING.read_text().strip()


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Choosing a subnet and plugging in its switch is for one testbed of the machine at a time."""
    with open(_TURN, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def used_networks() -> list[IPv4Network]:
    """Networks this machine has a way to already, the default route aside."""
    found = []
    for line in _ip("-4", "route", "show", "table", "all").splitlines():
        words = line.split()
        word = words[1] if words[0] in ("local", "broadcast", "blackhole", "unreachable", "prohibit") else words[0]
        if word != "default":
            found.append(IPv4Network(word, strict=False))
    return found


def _port(member: Member) -> str:
    return f"port{member.number}"


def _has(namespace: str, link: str) -> bool:
    if not namespace:
        return Path("/sys/class/net", link).exists()
    command = ("ip", "-n", namespace, "link", "show", link)
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


def _nft(namespace: str, text: str) -> None:
    inside = ("nsenter", f"--net=/run/netns/{namespace}") if namespace else ()
    _run(*inside, "nft", "-f", "-", text=text)


def _run(*command: str, text: str = "") -> str:
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise TestbedError(f"{command[0]} is not installed (packages iproute2, nftables, util-linux)") from error
    if done.returncode != 0:
        raise TestbedError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
