"""What the cluster's names mean: records made from services and their slices, looked up by name.

Pure but for its own index. Each service owns its records, so a change replaces exactly those.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from motet.network.dns import wire
from motet.network.dns.wire import Record
from motet.network.proxy.views import Endpoint, ServiceView, SliceView

_DENIAL_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """`outside` names belong to somebody else and are forwarded; `follow` is an outside name to be resolved in addition."""

    rcode: int = wire.NOERROR
    records: Sequence[Record] = ()
    authority: Sequence[Record] = ()
    outside: bool = False
    follow: str = ""


class Zone:
    """The names below one domain and the addresses of some networks."""

    def __init__(self, domain: str, networks: Iterable[ipaddress.IPv4Network] = ()) -> None:
        self.domain = domain.lower()
        self._networks = tuple(networks)
        self._owned: dict[Hashable, tuple[Record, ...]] = {}
        self._records: dict[str, list[Record]] = {}
        # Names that exist only because something lies below them.
        self._branches: Counter[str] = Counter()
        self.serial = 1

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
            self._branches.subtract(_ancestors(record.name))
        for record in fresh:
            self._records.setdefault(record.name, []).append(record)
            self._branches.update(_ancestors(record.name))
        self._branches = +self._branches
        if fresh:
            self._owned[owner] = fresh
        else:
            self._owned.pop(owner, None)
        self.serial += 1
        return True

    def lookup(self, name: str, kind: int) -> Answer:
        """What a question is answered with."""
        if not self._ours(name):
            return Answer(outside=True)
        held = self._records.get(name)
        if held is None:
            if (pod := self._pod(name)) is not None:
                held = [pod]
            elif name in self._branches or name == self.domain:
                return Answer(authority=self._authority())
            else:
                return Answer(wire.NXDOMAIN, authority=self._authority())
        alias = next((record for record in held if record.type == wire.CNAME), None)
        if alias is not None and kind not in (wire.CNAME, wire.ANY):
            return Answer(records=(alias,), follow=_decode_name(alias.data))
        matching = [record for record in held if kind in (record.type, wire.ANY)]
        return Answer(records=matching) if matching else Answer(authority=self._authority())

    def _ours(self, name: str) -> bool:
        if name == self.domain or name.endswith("." + self.domain):
            return True
        address = _reversed(name)
        return address is not None and any(address in network for network in self._networks)

    def _pod(self, name: str) -> Record | None:
        """`10-42-0-5.NAMESPACE.pod.DOMAIN` says its own address."""
        dashed, _, rest = name.partition(".")
        if not rest.endswith(f".pod.{self.domain}"):
            return None
        try:
            return Record(name, wire.A, ipaddress.IPv4Address(dashed.replace("-", ".")).packed)
        except ValueError:
            return None

    def _authority(self) -> tuple[Record, ...]:
        data = wire.soa(f"ns.dns.{self.domain}", f"hostmaster.{self.domain}", self.serial, _DENIAL_SECONDS)
        return (Record(self.domain, wire.SOA, data),)


def service_records(
    name: str, namespace: str, service: ServiceView, slices: Sequence[SliceView], domain: str, *, unready: bool = False
) -> Iterator[Record]:
    """Every record of one service. `unready` publishes endpoints that are not ready too."""
    base = f"{name}.{namespace}.svc.{domain}"
    spec = service.spec
    if spec.type == "ExternalName":
        return
    if spec.cluster_ip not in ("", "None"):
        kind, data = wire.address(spec.cluster_ip)
        yield Record(base, kind, data)
        yield Record(reverse_name(spec.cluster_ip), wire.PTR, wire.encode_name(base))
        for port in spec.ports or ():
            if port.name:
                yield Record(f"_{port.name}._{port.protocol.lower()}.{base}", wire.SRV, wire.srv(port.port, base))
        return
    for part in slices:
        for endpoint in part.endpoints or ():
            if not (unready or _ready(endpoint)):
                continue
            for address in endpoint.addresses:
                yield from _endpoint_records(base, endpoint, address, part)


def external_record(name: str, namespace: str, target: str, domain: str) -> Record:
    """The alias that an ExternalName service is."""
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


def _ready(endpoint: Endpoint) -> bool:
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def _ancestors(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[index:]) for index in range(1, len(parts) - 1)]


def _reversed(name: str) -> ipaddress.IPv4Address | None:
    if not name.endswith(".in-addr.arpa"):
        return None
    try:
        return ipaddress.IPv4Address(".".join(reversed(name.removesuffix(".in-addr.arpa").split("."))))
    except ValueError:
        return None


def _decode_name(data: bytes) -> str:
    labels, at = [], 0
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels)
