"""Routes as nftables: a fixed set of chains, and maps whose elements are all that ever changes.

A connection's first packet is looked up by destination in `virtual` or `local` (for senders inside the cluster first in those
of their own), which gives the frontend's number as the connection mark; `balance` sends it to a chain for that many endpoints;
the chain draws one, and `endpoints_PROTOCOL` names its address. A frontend with nobody behind it is in `nobody`, which refuses.
Addresses that lead to every port of their endpoints are in `virtual_every`, looked at after `virtual`; chains and a map of their
own leave the port alone.
There is one chain for each *count* of endpoints and none per service, so a change is a handful of map elements in one transaction.

A packet may meet rules of both sides of a transaction: each look-up sees what is true at its own moment, so one that began in
time finds its next element gone. Nothing that has a frontend may then pass untranslated, to be refused by a node on which
nobody listens: it is dropped, and comes again a second later.
(nft(8): numgen, vmap, concatenations. Written as text, since the JSON form cannot say map updates in rules.)
"""

from __future__ import annotations

import zlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from motet.network.config import NetworkConfig
from motet.network.proxy import sparing
from motet.network.proxy.desired import Backends, Frontend, parsed
from motet.network.proxy.mesh import Elements
from motet.network.proxy.words import words_of

# A frontend's number and one endpoint's address and port: what a client may be bound to.
Choice = tuple[int, str, int]

# Elements of one command; the parser's memory grows with the length of a command.
_CHUNK = 2000
_NUMBER_BITS = 20
_PROTOCOLS = ("tcp", "udp", "sctp")
_ENDPOINTS = (*(f"endpoints_{protocol}" for protocol in _PROTOCOLS), "endpoints_every")
_MESH = ("keeping", "through", "back")
_MAPS = (
    "virtual",
    "local",
    "virtual_inside",
    "local_inside",
    "virtual_every",
    "balance",
    "nobody",
    "hairpin",
    "hiding",
    "restricted",
    "allowed",
    *_ENDPOINTS,
    *_MESH,
)


def base(config: NetworkConfig) -> str:
    """The table from nothing: replaces whatever an earlier process left, in the same transaction as what follows it."""
    table, bridge, tunnel, inside = config.table, config.bridge, config.overlay, config.all_pods
    words = words_of(config)
    ip, address = config.family, words.address
    here = f"{words.not_here.format(dns=config.dns_address)} fib daddr type local"
    # Neither ours by its mark nor translated by anybody else.
    missed = "ct state new ct mark 0 ct status & dnat == 0"
    return f"""\
add table {ip} {table}
delete table {ip} {table}
table {ip} {table} {{
  map virtual {{ type {address} . inet_proto . inet_service : mark; }}
  map local {{ type inet_proto . inet_service : mark; }}
  map virtual_inside {{ type {address} . inet_proto . inet_service : mark; }}
  map local_inside {{ type inet_proto . inet_service : mark; }}
  map virtual_every {{ type {address} : mark; }}
  map balance {{ type mark : verdict; }}
  map nobody {{ type mark : verdict; }}
  map endpoints_tcp {{ typeof ct mark . numgen random mod 2 : {ip} daddr . tcp dport; }}
  map endpoints_udp {{ typeof ct mark . numgen random mod 2 : {ip} daddr . udp dport; }}
  map endpoints_sctp {{ typeof ct mark . numgen random mod 2 : {ip} daddr . sctp dport; }}
  map endpoints_every {{ typeof ct mark . numgen random mod 2 : {ip} daddr; }}
{words.sticky}  set hairpin {{ type {address} . {address}; }}
  set hiding {{ type mark; }}
  set restricted {{ type mark; }}
  set allowed {{ type mark . {address}; flags interval; }}
  set keeping {{ type {address}; flags interval; }}
  map through {{ typeof ether saddr : ct zone; }}
  map back {{ typeof ct zone : {ip} daddr; }}
  chain chosen {{
    ct mark vmap @balance
    drop
  }}
  chain services {{
    ct mark set {ip} daddr . meta l4proto . th dport map @virtual goto chosen
    ct mark set {ip} daddr map @virtual_every goto chosen
    {here} ct mark set meta l4proto . th dport map @local goto chosen
  }}
  chain from_inside {{
    ct mark set {ip} daddr . meta l4proto . th dport map @virtual_inside goto chosen
    {here} ct mark set meta l4proto . th dport map @local_inside goto chosen
    goto services
  }}
  chain returning {{
    meta l4proto tcp dnat {words.again}
    meta l4proto udp dnat {words.again}
    meta l4proto sctp dnat {words.again}
  }}
  chain remember {{
  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with {words.icmp} type port-unreachable
  }}
  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iifname "{bridge}" {words.never_from_pods} drop
  }}
  chain coming_through {{
    type filter hook prerouting priority -290; policy accept;
    iifname "{tunnel}" {ip} saddr != {inside} {ip} daddr {config.pods} ct original zone set ether saddr map @through
  }}
  chain answering {{
    type filter hook prerouting priority -90; policy accept;
    iifname "{bridge}" ct direction reply {ip} daddr set ct original zone map @back
  }}
  chain answered {{
    type filter hook postrouting priority 110; policy accept;
    oifname "{tunnel}" ct direction reply ct original zone != 0 {ip} daddr set ct original {ip} saddr
  }}
  chain arriving {{
    type nat hook prerouting priority -100; policy accept;
    {ip} saddr {inside} goto from_inside
    goto services
  }}
  chain local_out {{
    type nat hook output priority -100; policy accept;
    goto from_inside
  }}
  chain leaving {{
    type nat hook postrouting priority 100; policy accept;
    ct status dnat jump remember
    ct status dnat {ip} saddr . {ip} daddr @hairpin masquerade
    {words.from_loopback}
    ct status dnat {ip} saddr != {inside} oifname "{tunnel}" {ip} daddr @keeping ct mark != @hiding fib saddr type != local return
    ct status dnat {ip} saddr != {inside} {ip} daddr != {config.pods} oifname != "lo" masquerade
    {ip} saddr {config.pods} {ip} daddr != {inside} oifname != "{bridge}" masquerade
  }}
  chain delivering {{
    type nat hook input priority 100; policy accept;
    ct status dnat jump remember
  }}
  chain fence {{
    ct mark @restricted ct mark . {ip} saddr != @allowed drop
  }}
  chain nowhere_forward {{
    type filter hook forward priority 0; policy accept;
    ct state new jump fence
    ct state new ct mark vmap @nobody
    {missed} ct mark set {ip} daddr . meta l4proto . th dport map @virtual drop
    {missed} ct mark set {ip} daddr map @virtual_every drop
    {ip} daddr {config.services} goto refuse
  }}
  chain nowhere_input {{
    type filter hook input priority 0; policy accept;
    ct state new jump fence
    ct state new ct mark vmap @nobody
    {missed} ct mark set {ip} daddr . meta l4proto . th dport map @virtual drop
    {missed} ct mark set {ip} daddr map @virtual_every drop
    {missed} {here} ct mark set meta l4proto . th dport map @local drop
  }}
  chain nowhere_output {{
    type filter hook output priority 0; policy accept;
    ct state new ct mark vmap @nobody
    {missed} ct mark set {ip} daddr . meta l4proto . th dport map @virtual drop
    {missed} ct mark set {ip} daddr map @virtual_every drop
    {ip} daddr {config.services} oifname != "lo" goto refuse
  }}{sparing.chains(config)}
}}
"""


@dataclass(slots=True)
class Ruleset:
    """The elements in the kernel, and how to get from them to other routes.

    A frontend keeps its number for as long as it exists. Numbers start at one that depends on the table's name, so the marks
    of two clusters on one machine mean nothing to each other; those that are free again are given out as late as possible.
    """

    config: NetworkConfig
    _first: int = 0
    _numbers: dict[Frontend, int] = field(default_factory=dict)
    _next: int = 0
    _free: deque[int] = field(default_factory=deque)
    _routes: dict[Frontend, Backends] = field(default_factory=dict)
    _chains: set[str] = field(default_factory=set)
    _hairpin: Counter[str] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)
    _mesh: Elements = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._first = (zlib.crc32(self.config.table.encode()) & 0x7FF) << _NUMBER_BITS

    def change(self, removed: Iterable[Frontend], added: dict[Frontend, Backends]) -> str:
        """The commands that make `added` true and `removed` gone; empty when nothing differs."""
        drop: Elements = {}
        put: Elements = {}
        commands: list[str] = []
        hairpin: Counter[str] = Counter()
        released: list[int] = []
        for frontend in removed:
            if (old := self._routes.pop(frontend, None)) is not None:
                self._elements(frontend, old, drop)
                self._count_hairpin(hairpin, old, -1)
                released.append(self._numbers.pop(frontend))
        for frontend, backends in added.items():
            old = self._routes.get(frontend)
            if old == backends:
                continue
            if old is not None:
                self._elements(frontend, old, drop)
                self._count_hairpin(hairpin, old, -1)
            self._routes[frontend] = backends
            commands.extend(self._missing_chains(frontend, backends))
            self._elements(frontend, backends, put)
            self._count_hairpin(hairpin, backends, 1)
        self._free.extend(released)
        _cancel(drop, put)
        self._hairpin_elements(hairpin, drop, put)
        commands.extend(self._commands("delete", drop))
        commands.extend(self._commands("add", put))
        self._count(drop, put)
        return "\n".join(commands)

    def connect(self, mesh: Elements) -> str:
        """The commands that make these the ways from and to other nodes; empty when they are."""
        drop = {name: dict(items) for name, items in self._mesh.items()}
        put = {name: dict(items) for name, items in mesh.items()}
        _cancel(drop, put)
        self._mesh = mesh
        self._count(drop, put)
        return "\n".join((*self._commands("delete", drop), *self._commands("add", put)))

    def _count(self, drop: Elements, put: Elements) -> None:
        for elements, sign in ((drop, -1), (put, 1)):
            for name, items in elements.items():
                self._counts[name] += sign * len(items)

    def get(self, frontend: Frontend) -> Backends | None:
        """What `frontend` leads to now."""
        return self._routes.get(frontend)

    def number(self, frontend: Frontend) -> int:
        """The connection mark of a frontend there is. Raises KeyError."""
        return self._numbers[frontend]

    def counts(self) -> dict[str, int]:
        """How many elements every map and set of ours should have, but for what the kernel itself adds."""
        return {name: self._counts[name] for name in (*_MAPS, *self._sticky_sets())}

    def _sticky_sets(self) -> Iterator[str]:
        return (name for name in self._chains if name.startswith("sticky_"))

    def _number(self, frontend: Frontend) -> int:
        number = self._numbers.get(frontend)
        if number is None:
            if self._free:
                number = self._free.popleft()
            else:
                self._next += 1
                number = self._first + self._next
            self._numbers[frontend] = number
        return number

    def _elements(self, frontend: Frontend, backends: Backends, into: Elements) -> None:
        number = self._number(frontend)
        where = "_inside" if frontend.inside else ""
        if frontend.every_port:
            into.setdefault("virtual_every", {})[frontend.address] = str(number)
        elif frontend.address:
            key = f"{frontend.address} . {frontend.protocol} . {frontend.port}"
            into.setdefault(f"virtual{where}", {})[key] = str(number)
        else:
            into.setdefault(f"local{where}", {})[f"{frontend.protocol} . {frontend.port}"] = str(number)
        if backends.sources is not None:
            into.setdefault("restricted", {})[str(number)] = ""
            into.setdefault("allowed", {}).update({f"{number} . {each}": "" for each in backends.sources})
        if not backends.endpoints:
            into.setdefault("balance", {})[str(number)] = "accept"
            into.setdefault("nobody", {})[str(number)] = "drop" if backends.elsewhere else "goto refuse"
            return
        into.setdefault("balance", {})[str(number)] = f"goto {_chain(frontend, backends)}"
        endpoints = into.setdefault(f"endpoints_{frontend.protocol or 'every'}", {})
        for index, (address, port) in enumerate(backends.endpoints):
            endpoints[f"{number} . {index}"] = address if frontend.every_port else f"{address} . {port}"
        if backends.sticky and not frontend.every_port:
            into.setdefault(f"sticky_{backends.sticky}", {})[str(number)] = ""
        if backends.hides_clients:
            into.setdefault("hiding", {})[str(number)] = ""

    def _count_hairpin(self, counter: Counter[str], backends: Backends, sign: int) -> None:
        """Only a pod of this node can be its own client through this node's rules."""
        for address, _ in backends.endpoints:
            if parsed(address) in self.config.pods:
                counter[address] += sign

    def _hairpin_elements(self, changes: Counter[str], drop: Elements, put: Elements) -> None:
        for address, change in changes.items():
            before = self._hairpin[address]
            self._hairpin[address] = before + change
            if before and not before + change:
                drop.setdefault("hairpin", {})[f"{address} . {address}"] = ""
            if change and not before:
                put.setdefault("hairpin", {})[f"{address} . {address}"] = ""
            if not self._hairpin[address]:
                del self._hairpin[address]

    def _missing_chains(self, frontend: Frontend, backends: Backends) -> Iterator[str]:
        """Chains and sets that this count of endpoints or this stickiness needs and nobody needed before."""
        table, count = f"{self.config.family} {self.config.table}", len(backends.endpoints)
        if not count:
            return
        drawn = f"dnat {self.config.family} to ct mark . numgen random mod {count} map"
        if frontend.every_port:
            if (name := f"every_{count}") not in self._chains:
                self._chains.add(name)
                yield f"add chain {table} {name}"
                yield f"add rule {table} {name} {drawn} @endpoints_every"
                yield f"add rule {table} {name} drop"
            return
        if (name := f"balance_{count}") not in self._chains:
            self._chains.add(name)
            yield f"add chain {table} {name}"
            for protocol in _PROTOCOLS:
                yield f"add rule {table} {name} meta l4proto {protocol} {drawn} @endpoints_{protocol}"
            yield f"add rule {table} {name} drop"
        if not backends.sticky:
            return
        if (name := f"sticky_{backends.sticky}") not in self._chains:
            self._chains.add(name)
            yield f"add set {table} {name} {{ type mark; }}"
            remember = words_of(self.config).remember.format(seconds=backends.sticky)
            yield f"add rule {table} remember ct mark @{name} {remember}"
        if (name := f"returning_{count}") not in self._chains:
            self._chains.add(name)
            yield f"add chain {table} {name}"
            yield f"add rule {table} {name} jump returning"
            yield f"add rule {table} {name} goto balance_{count}"

    def _commands(self, verb: str, elements: Elements) -> Iterator[str]:
        for name, items in elements.items():
            lines = [key if verb == "delete" or not value else f"{key} : {value}" for key, value in items.items()]
            for start in range(0, len(lines), _CHUNK):
                listed = ", ".join(lines[start : start + _CHUNK])
                yield f"{verb} element {self.config.family} {self.config.table} {name} {{ {listed} }}"


def _chain(frontend: Frontend, backends: Backends) -> str:
    count = len(backends.endpoints)
    if frontend.every_port:
        return f"every_{count}"
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
