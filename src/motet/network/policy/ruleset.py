"""What pods may do, as nftables: a few chains that never change, and sets whose elements are all that does.

An isolated pod's address gives the number of its class as the packet's mark, and the class's peers are looked up together with
that number: once for the Networks a pod is on and once for its policies, in the same sets, and both must let a packet through.
There is neither a chain nor a rule for any pod, Network, policy or pair of pods. The marks of packets that concern no
isolated pod stay as they are. (nft(8): concatenations, intervals.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from motet.network.config import NetworkConfig
from motet.network.policy import secrecy
from motet.network.policy.compile import Allowed, Compiled
from motet.network.policy.networks import Separated

# Element -> value, empty for those of sets.
Elements = dict[str, dict[str, str]]
# The map that names a class, and a pod's address.
Subject = tuple[str, str]

# Elements of one command; the parser's memory grows with the length of a command.
_CHUNK = 2000
_DIRECTIONS = ("ingress", "egress")
# What has values, the numbers of classes; all else are sets.
_MAPS = frozenset(f"{prefix}{way}" for prefix in ("", "network_") for way in _DIRECTIONS)


def table(config: NetworkConfig) -> str:
    return f"{config.table}_policy"


def base(config: NetworkConfig) -> str:
    """The table of one family from nothing: replaces what an earlier process left, in the same transaction as what follows it.

    What the node sends to its own pods passes no forwarding, so probes always get through; what pods send to their own node
    is let through as upstream has it, but for questions to the name server, which stands for what is a pod there.
    """
    ip, address = config.family, f"ipv{config.version}_addr"
    sets = "".join(
        f"""
  map {way} {{ type {address} : mark; }}
  map network_{way} {{ type {address} : mark; }}
  set {way}_peers {{ type mark . {address}; }}
  set {way}_exact {{ type mark . {address} . inet_proto . inet_service; }}
  set {way}_boxes {{ type mark . {address} . inet_proto . inet_service; flags interval; }}
  chain {way}_rules {{
    meta mark . {ip} {other} @{way}_peers return
    meta mark . {ip} {other} . meta l4proto . th dport @{way}_exact return
    meta mark . {ip} {other} . meta l4proto . th dport @{way}_boxes return
    drop
  }}"""
        for way, other in (("ingress", "saddr"), ("egress", "daddr"))
    )
    name, neighbours = table(config), _neighbours(config) if config.version == 6 else ""
    return f"""\
add table {ip} {name}
delete table {ip} {name}
table {ip} {name} {{
  set itself {{ type {address} . {address}; }}
  set members {{ type {address}; }}
  set confined {{ type {address}; }}{secrecy.chains(config)}{sets}
  chain between {{
    type filter hook forward priority -5; policy accept;{neighbours}
    ct state established,related accept
    {ip} saddr . {ip} daddr @itself accept
    jump networks
    meta mark set {ip} saddr map @egress jump egress_rules
    meta mark set {ip} daddr map @ingress jump ingress_rules
  }}
  chain networks {{
    {_published(config)} {ip} saddr != @confined return
    iifname != {{ {_from_pods(config)} }} {ip} saddr != {config.all_pods} {ip} daddr @members drop
    meta mark set {ip} saddr map @network_egress jump egress_rules
    meta mark set {ip} daddr map @network_ingress jump ingress_rules
  }}
{_names(config)}  chain leaving {{
    type nat hook postrouting priority 99; policy accept;
    {_published(config)} {ip} saddr {config.all_pods} {ip} daddr != {config.pods} {ip} daddr @members masquerade
  }}
}}
{_no_way_round(config) if config.version == 4 and config.six is None else ""}"""


def _names(config: NetworkConfig) -> str:
    if config.dns_address is None:
        return ""
    return f"""\
  chain names {{
    type filter hook input priority -5; policy accept;
    ct state established,related accept
    {config.family} daddr {config.dns_address} meta mark set {config.family} saddr map @egress jump egress_rules
  }}
"""


def _neighbours(config: NetworkConfig) -> str:
    """Pods of one bridge find each other by ICMP, which is let through, if no router has passed it on. They also have addresses
    that they made themselves: by these, and to groups, nothing passes, since rules know pods by the addresses they were given.
    """
    bridge = config.bridge
    return f"""
    iifname "{bridge}" oifname "{bridge}" ip6 hoplimit 255 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
    iifname "{bridge}" ip6 saddr != {config.all_pods} drop
    iifname "{bridge}" ip6 daddr {{ fe80::/10, ff00::/8 }} drop"""


def _published(config: NetworkConfig) -> str:
    """Whether a packet came to a port that this node publishes, and not to a service's own address.

    Such are let through whatever Networks say; to a pod of another node they go as the node's, which every node lets in.
    """
    return f"ct status dnat ct original {config.family} daddr != {config.services}"


def _from_pods(config: NetworkConfig) -> str:
    """The devices that packets come in by which another node, or a pod, has sent."""
    encrypted = (config.wireguard.device,) if config.wireguard is not None else ()
    return ", ".join(f'"{device}"' for device in (config.bridge, config.overlay, *encrypted))


def _no_way_round(config: NetworkConfig) -> str:
    """Pods have no IPv6 addresses but those that every interface makes itself, and by them pods of one bridge see each other."""
    name = table(config)
    return f"""\
add table ip6 {name}
delete table ip6 {name}
table ip6 {name} {{
  chain between {{
    type filter hook forward priority -5; policy accept;
    iifname "{config.bridge}" drop
  }}
}}
"""


def remove(config: NetworkConfig) -> str:
    """The commands that leave nothing of it, whether there was anything or not."""
    name = table(config)
    return "".join(f"add table {family} {name}\ndelete table {family} {name}\n" for family in ("ip", "ip6"))


_ALL_TOGETHER = Separated()


@dataclass(slots=True)
class Ruleset:
    """The elements in the kernel, and how to get from them to others."""

    config: NetworkConfig
    _held: Elements = field(default_factory=dict)
    # Per direction: the class number of each isolated pod, by its Networks and by its policies.
    _classes: dict[str, dict[Subject, int]] = field(default_factory=dict)

    def change(self, compiled: Compiled, separated: Separated = _ALL_TOGETHER) -> str:
        """The commands that make both true; empty when nothing differs."""
        wanted: Elements = {
            "itself": {},
            "members": _set(separated.members),
            "confined": _set(separated.confined),
            "secret": _set(separated.secret),
        }
        for way in _DIRECTIONS:
            answers = {
                **{(way, address): allowed for address, allowed in getattr(compiled, way).items()},
                **{(f"network_{way}", address): allowed for address, allowed in getattr(separated, way).items()},
            }
            self._classes[way] = _numbered(answers, self._classes.get(way, {}))
            wanted |= _elements(way, answers, self._classes[way], self.config.version)
            wanted["itself"].update({f"{address} . {address}": "" for _, address in answers})
        commands = [*self._differences("delete", self._held, wanted), *self._differences("add", wanted, self._held)]
        self._held = wanted
        return "\n".join(commands)

    def _differences(self, verb: str, some: Elements, other: Elements) -> Iterator[str]:
        """Commands about the elements of `some` that `other` does not have, or has with another value."""
        for name, items in some.items():
            rest = other.get(name, {})
            changed = items.keys() - rest.keys()
            if name in _MAPS:
                changed |= {key for key in items.keys() & rest.keys() if items[key] != rest[key]}
            lines = [f"{key} : {items[key]}" if name in _MAPS and verb == "add" else key for key in sorted(changed)]
            for start in range(0, len(lines), _CHUNK):
                listed = ", ".join(lines[start : start + _CHUNK])
                yield f"{verb} element {self.config.family} {table(self.config)} {name} {{ {listed} }}"


def _numbered(answers: Mapping[Subject, Allowed], before: Mapping[Subject, int]) -> dict[Subject, int]:
    """A class number for each pod, the same for the same answer. A class keeps the number its first pod had, if it can:
    then a peer that comes or goes is one element and not all of them."""
    numbers: dict[Allowed, int] = {}
    taken: set[int] = set()
    for subject in sorted(answers):
        allowed = answers[subject]
        held = before.get(subject, 0)
        if allowed not in numbers and held and held not in taken:
            numbers[allowed] = held
            taken.add(held)
    fresh = (number for number in range(1, len(answers) + len(taken) + 1) if number not in taken)
    for subject in sorted(answers):
        if answers[subject] not in numbers:
            numbers[answers[subject]] = next(fresh)
    return {subject: numbers[allowed] for subject, allowed in answers.items()}


def _elements(way: str, answers: Mapping[Subject, Allowed], classes: Mapping[Subject, int], version: int) -> Elements:
    by_number = {classes[subject]: allowed for subject, allowed in answers.items()}
    of: dict[str, dict[str, str]] = {way: {}, f"network_{way}": {}}
    for (name, address), number in classes.items():
        of[name][address] = str(number)
    return {
        **of,
        f"{way}_peers": _set(f"{number} . {peer}" for number, each in by_number.items() for peer in each.peers),
        f"{way}_exact": _set(
            f"{number} . {address} . {protocol} . {port}"
            for number, each in by_number.items()
            for address, protocol, port in each.exact
        ),
        f"{way}_boxes": _set(
            f"{number} . {box.text(version)}" for number, each in by_number.items() for box in each.boxes
        ),
    }


def _set(elements: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(elements, "")
