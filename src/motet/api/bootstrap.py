"""What a cluster has before anybody asked for anything: its first namespaces, and the Service named `kubernetes`.

`ensure` is idempotent and creates only what is missing; the addresses behind the Service are made those given. `keep`
repeats it, so that somebody's deletion is undone and a manager's new address becomes known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from motet.api.registry import Registry
from motet.api.users import MASTERS, User
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict
from motet.kinds import endpoints, endpointslice, namespace, service
from motet.kinds.kind import Json, Kind

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
KUBERNETES = "kubernetes"
_SYSTEM = User("system:apiserver", (MASTERS,))
# Upstream's reconciler of its own endpoints has the same interval.
_EVERY_SECONDS = 10.0


async def ensure(
    registry: Registry, managers: Sequence[tuple[str, int]], *, service_address: str = "10.43.0.1"
) -> None:
    """Create what is missing and correct the addresses. `managers` are (IPv4 address, port) of the API servers.

    Raises ApiError when a write is refused.
    """
    for name in NAMESPACES:
        labels = {"kubernetes.io/metadata.name": name}
        await _create_missing(registry, namespace.KIND, "", {"metadata": {"name": name, "labels": labels}})
    await _create_missing(registry, service.KIND, "default", _service(service_address, managers))
    for kind, wanted in ((endpoints.KIND, _endpoints(managers)), (endpointslice.KIND, _slice(managers))):
        await _create_missing(registry, kind, "default", wanted)
        await _correct(registry, kind, wanted)


async def keep(
    registry: Registry,
    managers: Callable[[], Sequence[tuple[str, int]]],
    clock: Clock,
    *,
    service_address: str = "10.43.0.1",
) -> NoReturn:
    """`ensure` every ten seconds, with whatever addresses `managers` gives then; cancellation ends it."""
    while True:
        await clock.sleep(_EVERY_SECONDS)
        await ensure(registry, managers(), service_address=service_address)


async def _create_missing(registry: Registry, kind: Kind, where: str, document: Json) -> None:
    if registry.table(kind).get(document["metadata"]["name"], where) is not None:
        return
    try:
        await registry.create(kind, where, _copy(document), _SYSTEM)
    except AlreadyExists:
        return


async def _correct(registry: Registry, kind: Kind, wanted: Json) -> None:
    """Make the parts that say where the managers are what they should be."""
    found = registry.table(kind).get(KUBERNETES, "default")
    if found is None:
        return
    current = found.decode()
    parts = {part: wanted[part] for part in wanted if part != "metadata"}
    labels = {**(current["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
    document = {**current, **_copy(parts), "metadata": {**current["metadata"], "labels": labels}}
    try:
        await registry.update(kind, "default", KUBERNETES, document, _SYSTEM)
    except Conflict:
        return  # Somebody else was faster; the next round looks again.


def _copy(value: Json) -> Json:
    return {key: _copy(item) if isinstance(item, dict) else item for key, item in value.items()}


def _service(address: str, managers: Sequence[tuple[str, int]]) -> Json:
    target = managers[0][1] if managers else 6443
    return {
        "metadata": {"name": KUBERNETES, "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": target}],
            "sessionAffinity": "None",
        },
    }


def _endpoints(managers: Sequence[tuple[str, int]]) -> Json:
    return {
        "metadata": {"name": KUBERNETES, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [
            {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
            for address, port in sorted(managers)
        ],
    }


def _slice(managers: Sequence[tuple[str, int]]) -> Json:
    port = managers[0][1] if managers else 6443
    return {
        "metadata": {"name": KUBERNETES, "labels": {"kubernetes.io/service-name": KUBERNETES}},
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}}
            for address, manager_port in sorted(managers)
            if manager_port == port
        ],
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    }
