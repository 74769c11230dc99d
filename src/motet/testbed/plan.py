"""Who is in a testbed and at which address: values, kept in its state file, and the arithmetic on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

import msgspec

from motet.base.errors import MotetError
from motet.base.files import write_atomically
from motet.identity.messages import NODE_GRACE

# One of these that the machine does not use yet; addresses are given from the 11th on.
_POOL = IPv4Network("10.201.0.0/16")
_POOL_SIX = 0xFD6D << 112
_FIRST = 10
_MOST_NODES = 200


class TestbedError(MotetError):
    """The testbed cannot do what was asked of it."""

    __test__ = False


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node. `number` counts from 1 and is never given twice; `loss` is a percentage of packets, both ways."""

    name: str
    number: int
    manager: bool
    loss: int = 0
    cut: bool = False


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A whole testbed. `forwarding_before` is the machine's ip_forward before the testbed came; `node_grace`, `encrypted`
    and `dual_stack` are the cluster's.
    """

    subnet: str
    members: tuple[Member, ...] = ()
    forwarding_before: str = ""
    node_grace: float = NODE_GRACE
    legacy_tokens: bool = False
    encrypted: bool = False
    dual_stack: bool = False

    @property
    def network_six(self) -> IPv6Network:
        """What the switch of a dual-stack cluster has of IPv6, told apart as IPv4 is. Nothing leads out of it."""
        return IPv6Network((_POOL_SIX | int(self.network.network_address) << 64, 64))

    @property
    def ranges_six(self) -> tuple[str, str]:
        """The cluster's own of IPv6, for pods and for services; empty in one of IPv4 alone."""
        if not self.dual_stack:
            return "", ""
        ours = _POOL_SIX | int(self.network.network_address) >> 8 << 72
        return str(IPv6Network((ours | 0x42 << 96, 56))), str(IPv6Network((ours | 0x43 << 96, 112)))

    def address_six(self, member: Member) -> IPv6Address:
        return self.network_six[_FIRST + member.number]

    @property
    def network(self) -> IPv4Network:
        return IPv4Network(self.subnet)

    @property
    def gateway(self) -> IPv4Address:
        """This machine's own address on the switch."""
        return self.network[1]

    def address(self, member: Member) -> IPv4Address:
        return self.network[_FIRST + member.number]

    @property
    def manager(self) -> Member:
        """The first manager. Raises TestbedError when there is none."""
        for member in self.members:
            if member.manager:
                return member
        raise TestbedError("this testbed has no manager; take it down and start again: motet testbed down")

    def member(self, name: str) -> Member:
        """Raises TestbedError, naming those there are."""
        for member in self.members:
            if member.name == name:
                return member
        known = ", ".join(member.name for member in self.members)
        raise TestbedError(f"there is no node {name!r} in this testbed; it has {known}")

    def with_member(self, changed: Member) -> Plan:
        """The same, with one node put in or replaced."""
        others = [member for member in self.members if member.name != changed.name]
        return msgspec.structs.replace(self, members=tuple(sorted((*others, changed), key=lambda each: each.number)))

    def grown(self, nodes: int, managers: int) -> Plan:
        """The same with at least so many nodes, the first of them managers. Raises TestbedError for what cannot be."""
        if managers != 1:
            raise TestbedError("a cluster has one manager for now: --managers 1")
        if not 1 <= nodes <= _MOST_NODES:
            raise TestbedError(f"a testbed has between 1 and {_MOST_NODES} nodes, not {nodes}")
        plan = self
        for number in range(1, nodes + 1):
            if all(member.number != number for member in plan.members):
                plan = plan.with_member(Member(f"n{number}", number, manager=number <= managers))
        return plan


def free_subnet(used: Iterable[IPv4Network]) -> IPv4Network:
    """The first network of the pool that overlaps none of `used`. Raises TestbedError."""
    taken = list(used)
    for network in _POOL.subnets(new_prefix=24):
        if not any(network.overlaps(other) for other in taken):
            return network
    raise TestbedError(f"every network of {_POOL} is used on this machine already")


def tag(directory: Path) -> str:
    """Eight characters that tell one testbed's names in the kernel from another's."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]


def load(directory: Path) -> Plan | None:
    """The plan kept in `directory`, or None. Raises TestbedError when it cannot be read."""
    try:
        return msgspec.json.decode((directory / "plan.json").read_bytes(), type=Plan)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise TestbedError(f"{directory / 'plan.json'}: {error}; take it down: motet testbed down") from error


def save(directory: Path, plan: Plan) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(directory / "plan.json", msgspec.json.format(msgspec.json.encode(plan), indent=2), mode=0o600)
