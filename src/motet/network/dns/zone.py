"""What the cluster's names mean: records made from services and their slices, looked up by name.

Pure but for its own index. Each service owns its records, so a change replaces exactly those.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from motet.base.ip import Network, within
from motet.network.dns import wire
from motet.network.dns.wire import Record
from motet.network.proxy.desired import is_ready
from motet.network.proxy.views import Endpoint, ServiceView, SliceView

_DENIAL_SECONDS = 5
# An alias that leads to an alias is followed this many times.
_LONGEST_CHAIN = 8
# Addresses beside the names of services are a courtesy.
_MOST_ADDITIONAL = 20
# The edition of the specification whose names these are.
_SCHEMA = "1.1.0"


@dataclass(frozen=True, slots=True)
class Answer:
    """`outside` names belong to somebody else and are forwarded; `follow` is an outside name to be resolved in addition."""

    rcode: int = wire.NOERROR
    records: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    additional: Sequence[Record] = ()
    outside: bool = False
    follow: str = ""


class Zone:
    """The names below one domain and the addresses of some networks."""

    def __init__(self, domain: str, networks: Iterable[Network] = ()) -> None:
        self.domain = domain.lower()
        self._networks = tuple(networks)
        self._owned: dict[Hashable, tuple[Record, ...]] = {}
        self._records: dict[str, list[Record]] = {}
        # Names that exist only because something lies below them.
        self._branches: Counter[str] = Counter()
        self.serial = 1
        self.put("", (Record(f"dns-version.{self.domain}", wire.TXT, wire.text(_SCHEMA)),))

    def put(self, owner: Hashable, records: Iterable[Record]) -> bool:
        """Replace the records of `owner`; answers whether anything changed."""
        fresh = tuple(sorted(set(records)))
        old = self._owned.get(owner, ())
        if fresh == old:
            return False
        for record in old:
            held = self._records[record.name]
            held.remove(record)
            if not held:
                del self._records[record.name]
            self._branch(record.name, -1)
        for record in fresh:
            self._records.setdefault(record.name, []).append(record)
            self._branch(record.name, 1)
        if fresh:
            self._owned[owner] = fresh
        else:
            self._owned.pop(owner, None)
        self.serial += 1
        return True

    def _branch(self, name: str, change: int) -> None:
        for above in _ancestors(name):
            self._branches[above] += change
            if not self._branches[above]:
                del self._branches[above]

    def lookup(self, name: str, kind: int) -> Answer:
        """What a question is answered with. Aliases within the zone are followed to their end."""
        chain: list[Record] = []
        while self._ours(name):
            held = self._held(name)
            alias = next((record for record in held if record.type == wire.CNAME), None)
            if alias is None or kind in (wire.CNAME, wire.ANY):
                return self._final(name, kind, held, chain)
            chain.append(alias)
            if len(chain) > _LONGEST_CHAIN:
                return Answer(wire.SERVFAIL)
            name = _decode_name(alias.data)
        return Answer(records=chain, follow=name) if chain else Answer(outside=True)

    def _held(self, name: str) -> Sequence[Record]:
        held = self._records.get(name)
        if held is None and (pod := self._pod(name)) is not None:
            return [pod]
        return held or ()

    def _final(self, name: str, kind: int, held: Sequence[Record], chain: Sequence[Record]) -> Answer:
        matching = [record for record in held if kind in (record.type, wire.ANY)]
        if matching:
            return Answer(records=[*chain, *matching], additional=self._beside(matching))
        exists = held or name in self._branches or name == self.domain or _reversed_network(name) in self._networks
        rcode = wire.NOERROR if exists else wire.NXDOMAIN
        return Answer(rcode, chain, authority=self._authority(name))

    def _beside(self, matching: Sequence[Record]) -> Sequence[Record]:
        """The addresses of what SRV records name, so that nobody has to ask again."""
        targets = dict.fromkeys(_decode_name(record.data[6:]) for record in matching if record.type == wire.SRV)
        found = (record for target in targets for record in self._records.get(target, ()))
        addresses = [record for record in found if record.type in (wire.A, wire.AAAA)]
        return addresses if len(addresses) <= _MOST_ADDITIONAL else ()

    def _ours(self, name: str) -> bool:
        if name == self.domain or name.endswith("." + self.domain):
            return True
        network = _reversed_network(name)
        return network is not None and any(within(network, ours) for ours in self._networks)

    def _pod(self, name: str) -> Record | None:
        """`10-42-0-5.NAMESPACE.pod.DOMAIN` says its own address; of IPv6 `fd00--5`, where no digits stand for a run of zeros."""
        dashed, _, rest = name.partition(".")
        namespace = rest.removesuffix(f".pod.{self.domain}")
        if namespace == rest or "." in namespace:
            return None
        try:
            return Record(name, wire.A, ipaddress.IPv4Address(dashed.replace("-", ".")).packed)
        except ValueError:
            pass
        try:
            return Record(name, wire.AAAA, ipaddress.IPv6Address(dashed.replace("-", ":")).packed)
        except ValueError:
            return None

    def _authority(self, name: str) -> tuple[Record, ...]:
        """Who says so: for addresses the network they are in, otherwise the domain."""
        network = _reversed_network(name)
        zone = self.domain
        if network is not None:
            zone = next((_network_name(ours) for ours in self._networks if within(network, ours)), zone)
        data = wire.soa(f"ns.dns.{self.domain}", f"hostmaster.{self.domain}", self.serial, _DENIAL_SECONDS)
        return (Record(zone, wire.SOA, data),)


def service_records(
    name: str, namespace: str, service: ServiceView, slices: Sequence[SliceView], domain: str, *, unready: bool = False
) -> Iterator[Record]:
    """Every record of one service. `unready` publishes endpoints that are not ready too. Raises ValueError."""
    base = f"{name}.{namespace}.svc.{domain}"
    spec = service.spec
    if spec.type == "ExternalName":
        return
    if spec.addresses:
        for address in spec.addresses:
            kind, data = wire.address(address)
            yield Record(base, kind, data)
            yield Record(reverse_name(address), wire.PTR, wire.encode_name(base))
        for port in spec.ports or ():
            if port.name:
                yield Record(f"_{port.name}._{port.protocol.lower()}.{base}", wire.SRV, wire.srv(port.port, base))
        return
    for part in slices:
        for endpoint in part.endpoints or ():
            if not (unready or is_ready(endpoint)):
                continue
            for address in endpoint.addresses:
                yield from _endpoint_records(base, endpoint, address, part)


def external_record(name: str, namespace: str, target: str, domain: str) -> Record:
    """The alias that an ExternalName service is. Raises ValueError for what is no name."""
    return Record(f"{name}.{namespace}.svc.{domain}", wire.CNAME, wire.encode_name(target.lower()))


def _endpoint_records(base: str, endpoint: Endpoint, address: str, part: SliceView) -> Iterator[Record]:
    kind, data = wire.address(address)
    host = f"{endpoint.hostname or address.replace('.', '-').replace(':', '-')}.{base}"
    yield Record(base, kind, data)
    yield Record(host, kind, data)
    yield Record(reverse_name(address), wire.PTR, wire.encode_name(host))
    for port in part.ports or ():
        if port.name and port.port:
            yield Record(f"_{port.name}._{port.protocol.lower()}.{base}", wire.SRV, wire.srv(port.port, host))


def reverse_name(address: str) -> str:
    """`5.0.42.10.in-addr.arpa`."""
    return ipaddress.ip_address(address).reverse_pointer


def _ancestors(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[index:]) for index in range(1, len(parts) - 1)]


_REVERSED = ".in-addr.arpa"
_REVERSED_SIX = ".ip6.arpa"


def _reversed_network(name: str) -> Network | None:
    """The network that a reverse name stands for: of `0.42.10.in-addr.arpa` it is 10.42.0.0/24 (RFC 1035, RFC 3596)."""
    try:
        if name.endswith(_REVERSED):
            parts = name.removesuffix(_REVERSED).split(".")[::-1]
            if len(parts) <= 4:
                return ipaddress.IPv4Network((".".join([*parts, "0", "0", "0"][:4]), 8 * len(parts)))
        elif name.endswith(_REVERSED_SIX):
            digits = name.removesuffix(_REVERSED_SIX).split(".")[::-1]
            if len(digits) <= 32 and all(len(each) == 1 for each in digits):
                number = int("".join(digits).ljust(32, "0"), 16)
                return ipaddress.IPv6Network((number, 4 * len(digits)))
    except ValueError:
        pass
    return None


def _network_name(network: Network) -> str:
    whole, end = (8, _REVERSED) if network.version == 4 else (4, _REVERSED_SIX)
    parts = network.network_address.reverse_pointer.removesuffix(end).split(".")
    return ".".join(parts[len(parts) - network.prefixlen // whole :]) + end


def _decode_name(data: bytes) -> str:
    labels, at = [], 0
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels)
