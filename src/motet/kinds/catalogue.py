"""Every kind there is, and ways to find one.

The built-in kinds are a tuple, one module each. A running manager keeps them in a `Catalogue`, which also takes kinds
made from custom resource definitions while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from motet.kinds import (
    app,
    configmap,
    controllerrevision,
    daemonset,
    deployment,
    endpoints,
    endpointslice,
    event,
    event_v1,
    ingress,
    ingressclass,
    lease,
    namespace,
    network,
    networkpolicy,
    node,
    persistentvolume,
    persistentvolumeclaim,
    pod,
    podaddress,
    poddisruptionbudget,
    podtemplate,
    replicaset,
    replicationcontroller,
    secret,
    service,
    serviceaccount,
    statefulset,
    storageclass,
)
from motet.kinds.kind import Kind
from motet.kinds.rbac import clusterrole, clusterrolebinding, role, rolebinding

# Discovery lists groups in this order, and kubectl resolves a bare plural to the first group that has it.
KINDS: tuple[Kind, ...] = (
    namespace.KIND,
    node.KIND,
    pod.KIND,
    podtemplate.KIND,
    replicationcontroller.KIND,
    service.KIND,
    endpoints.KIND,
    endpointslice.KIND,
    configmap.KIND,
    secret.KIND,
    serviceaccount.KIND,
    event.KIND,
    event_v1.KIND,
    lease.KIND,
    persistentvolume.KIND,
    persistentvolumeclaim.KIND,
    storageclass.KIND,
    controllerrevision.KIND,
    replicaset.KIND,
    deployment.KIND,
    daemonset.KIND,
    statefulset.KIND,
    networkpolicy.KIND,
    ingress.KIND,
    ingressclass.KIND,
    clusterrolebinding.KIND,
    clusterrole.KIND,
    rolebinding.KIND,
    role.KIND,
    poddisruptionbudget.KIND,
    app.KIND,
    network.KIND,
    podaddress.KIND,
)


class Catalogue:
    """The kinds being served, found by any of their names. Not for use from several threads."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self._by_resource: dict[str, Kind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve one more kind. Raises ValueError when its path or its name is taken."""
        path = (kind.group, kind.version, kind.plural)
        name = (kind.api_version, kind.kind)
        if path in self._by_path or name in self._by_kind:
            raise ValueError(f"{kind.plural} or {kind.kind} is already served in {kind.api_version}")
        self._by_path[path] = kind
        self._by_kind[name] = kind
        self._by_resource.setdefault(_resource(kind), kind)

    def remove(self, kind: Kind) -> None:
        """Serve this kind no more. Raises KeyError when it was not served."""
        del self._by_path[kind.group, kind.version, kind.plural]
        del self._by_kind[kind.api_version, kind.kind]
        resource = _resource(kind)
        if self._by_resource[resource] is kind:
            del self._by_resource[resource]
            for other in self._by_path.values():
                if _resource(other) == resource:
                    self._by_resource[resource] = other
                    break

    def by_resource(self, resource: str) -> Kind | None:
        """By `GROUP/PLURAL` (`core/pods`, `apps/deployments`), in the version that was added first."""
        return self._by_resource.get(resource)

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """By what a document says of itself: `("apps/v1", "Deployment")`."""
        return self._by_kind.get((api_version, kind))

    def by_path(self, group: str, version: str, plural: str) -> Kind | None:
        """By the parts of a URL; the core group is an empty string."""
        return self._by_path.get((group, version, plural))

    def groups(self) -> dict[str, list[str]]:
        """Versions by group, both in order of addition; the first version of a group is the preferred one."""
        groups: dict[str, list[str]] = {}
        for kind in self:
            versions = groups.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return groups

    def __iter__(self) -> Iterator[Kind]:
        return iter(tuple(self._by_path.values()))

    def __len__(self) -> int:
        return len(self._by_path)


def _resource(kind: Kind) -> str:
    return f"{kind.group or 'core'}/{kind.plural}"
