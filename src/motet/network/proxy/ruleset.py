"""Routes as nftables: a fixed set of chains, and maps whose elements are all that ever changes.

A connection's first packet is looked up by destination in `virtual` or `local`, which gives the service's number as the
connection mark; `balance` sends it to a chain for that many endpoints; the chain draws one, and `endpoints` names its address.
There is one chain for each *count* of endpoints and none per service, so a change is a handful of map elements in one transaction.
(nft(8): numgen, vmap, concatenations. Written as text, since the JSON form cannot say map updates in rules.)
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from motet.network.config import NetworkConfig
from motet.network.proxy.desired import Backends, Frontend

Elements = dict[str, dict[str, str]]

# Elements of one command; the parser's memory grows with the length of a command.
_CHUNK = 2000


def base(config: NetworkConfig) -> str:
    """The table from nothing: replaces whatever an earlier process left, in the same transaction as what follows it."""
    table, bridge = config.table, config.bridge
    return f"""\
add table ip {table}
delete table ip {table}
table ip {table} {{
  map virtual {{ type ipv4_addr . inet_proto . inet_service : mark; }}
  map local {{ type inet_proto . inet_service : mark; }}
  map balance {{ type mark : verdict; }}
  map endpoints {{ type mark . mark : ipv4_addr . inet_service; }}
  map sticky {{ type mark . ipv4_addr : ipv4_addr . inet_service; size 262144; flags timeout; }}
  set hairpin {{ type ipv4_addr . ipv4_addr; }}
  chain services {{
    ct mark set ip daddr . meta l4proto . th dport map @virtual
    fib daddr type local ct mark 0 ct mark set meta l4proto . th dport map @local
    ct mark vmap @balance
  }}
  chain returning {{
    meta l4proto tcp dnat ip to ct mark . ip saddr map @sticky
    meta l4proto udp dnat ip to ct mark . ip saddr map @sticky
  }}
  chain remember {{
  }}
  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 drop
  }}
  chain arriving {{
    type nat hook prerouting priority -100; policy accept;
    jump services
  }}
  chain local_out {{
    type nat hook output priority -100; policy accept;
    jump services
  }}
  chain leaving {{
    type nat hook postrouting priority 100; policy accept;
    ct status dnat jump remember
    ct status dnat ip saddr . ip daddr @hairpin masquerade
    ct status dnat ip saddr 127.0.0.0/8 oifname "{bridge}" masquerade
    ip saddr {config.pods} ip daddr != {config.all_pods} oifname != "{bridge}" masquerade
  }}
  chain nowhere_forward {{
    type filter hook forward priority 0; policy accept;
    ip daddr {config.services} reject with icmp type port-unreachable
  }}
  chain nowhere_output {{
    type filter hook output priority 0; policy accept;
    ip daddr {config.services} oifname != "lo" reject with icmp type port-unreachable
  }}
}}
"""


@dataclass(slots=True)
class Ruleset:
    """The elements in the kernel, and how to get from them to other routes.

    Service numbers are given on first use and reused after release; marks are 32 bits.
    """

    config: NetworkConfig
    _numbers: dict[Frontend, int] = field(default_factory=dict)
    _free: list[int] = field(default_factory=list)
    _routes: dict[Frontend, Backends] = field(default_factory=dict)
    _chains: set[str] = field(default_factory=set)
    _hairpin: Counter[str] = field(default_factory=Counter)

    def change(self, removed: Iterable[Frontend], added: dict[Frontend, Backends]) -> str:
        """The commands that make `added` true and `removed` gone; empty when nothing differs."""
        drop: Elements = {}
        put: Elements = {}
        commands: list[str] = []
        hairpin_before = Counter(self._hairpin)
        for frontend in removed:
            if (old := self._routes.pop(frontend, None)) is not None:
                self._elements(frontend, old, drop)
                self._count_hairpin(old, -1)
                heapq.heappush(self._free, self._numbers.pop(frontend))
        for frontend, backends in added.items():
            old = self._routes.get(frontend)
            if old == backends:
                continue
            if old is not None:
                self._elements(frontend, old, drop)
                self._count_hairpin(old, -1)
            self._routes[frontend] = backends
            commands.extend(self._missing_chains(backends))
            self._elements(frontend, backends, put)
            self._count_hairpin(backends, 1)
        _cancel(drop, put)
        self._hairpin_elements(hairpin_before, drop, put)
        commands.extend(self._commands("delete", drop))
        commands.extend(self._commands("add", put))
        return "\n".join(commands)

    def endpoints(self) -> set[tuple[str, int, str]]:
        """Every (address, port, protocol) that some frontend leads to."""
        return {
            (address, port, frontend.protocol)
            for frontend, backends in self._routes.items()
            for address, port in backends.endpoints
        }

    def _number(self, frontend: Frontend) -> int:
        number = self._numbers.get(frontend)
        if number is None:
            number = heapq.heappop(self._free) if self._free else len(self._numbers) + 1
            self._numbers[frontend] = number
        return number

    def _elements(self, frontend: Frontend, backends: Backends, into: Elements) -> None:
        number = self._number(frontend)
        if frontend.address:
            key = f"{frontend.address} . {frontend.protocol} . {frontend.port}"
            into.setdefault("virtual", {})[key] = str(number)
        else:
            into.setdefault("local", {})[f"{frontend.protocol} . {frontend.port}"] = str(number)
        if not backends.endpoints:
            return
        into.setdefault("balance", {})[str(number)] = f"goto {_chain(backends)}"
        endpoints = into.setdefault("endpoints", {})
        for index, (address, port) in enumerate(backends.endpoints):
            endpoints[f"{number} . {index}"] = f"{address} . {port}"
        if backends.sticky:
            into.setdefault(f"sticky_{backends.sticky}", {})[str(number)] = ""

    def _count_hairpin(self, backends: Backends, sign: int) -> None:
        for address, _ in backends.endpoints:
            self._hairpin[address] += sign

    def _hairpin_elements(self, before: Counter[str], drop: Elements, put: Elements) -> None:
        self._hairpin = +self._hairpin
        for address in before.keys() - self._hairpin.keys():
            drop.setdefault("hairpin", {})[f"{address} . {address}"] = ""
        for address in self._hairpin.keys() - before.keys():
            put.setdefault("hairpin", {})[f"{address} . {address}"] = ""

    def _missing_chains(self, backends: Backends) -> Iterator[str]:
        """Chains and sets that this count of endpoints or this stickiness needs and nobody needed before."""
        table, count = self.config.table, len(backends.endpoints)
        if not count:
            return
        if (name := f"balance_{count}") not in self._chains:
            self._chains.add(name)
            yield f"add chain ip {table} {name}"
            yield f"add rule ip {table} {name} meta mark set numgen random mod {count}"
            for protocol in ("tcp", "udp"):
                yield f"add rule ip {table} {name} meta l4proto {protocol} dnat ip to ct mark . meta mark map @endpoints"
        if not backends.sticky:
            return
        if (name := f"sticky_{backends.sticky}") not in self._chains:
            self._chains.add(name)
            yield f"add set ip {table} {name} {{ type mark; }}"
            yield (
                f"add rule ip {table} remember ct mark @{name} update @sticky "
                f"{{ ct mark . ip saddr timeout {backends.sticky}s : ip daddr . th dport }}"
            )
        if (name := f"returning_{count}") not in self._chains:
            self._chains.add(name)
            yield f"add chain ip {table} {name}"
            yield f"add rule ip {table} {name} jump returning"
            yield f"add rule ip {table} {name} goto balance_{count}"

    def _commands(self, verb: str, elements: Elements) -> Iterator[str]:
        for name, items in elements.items():
            lines = [key if verb == "delete" or not value else f"{key} : {value}" for key, value in items.items()]
            for start in range(0, len(lines), _CHUNK):
                listed = ", ".join(lines[start : start + _CHUNK])
                yield f"{verb} element ip {self.config.table} {name} {{ {listed} }}"


def _chain(backends: Backends) -> str:
    count = len(backends.endpoints)
    return f"returning_{count}" if backends.sticky else f"balance_{count}"


def _cancel(drop: Elements, put: Elements) -> None:
    """Leave alone what would be deleted and added again unchanged."""
    for name, items in drop.items():
        fresh = put.get(name, {})
        for key in [key for key, value in items.items() if fresh.get(key) == value and key in fresh]:
            del items[key], fresh[key]
    for elements in (drop, put):
        for name in [name for name, items in elements.items() if not items]:
            del elements[name]
