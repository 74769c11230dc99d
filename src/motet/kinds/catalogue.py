"""Every kind there is, and ways to find one.

The built-in kinds are a tuple, one module each. A running manager keeps them in a `Catalogue`, which also takes kinds
made from custom resource definitions while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from motet.kinds import (
    apiservice,
    app,
    certificatesigningrequest,
    configmap,
    controllerrevision,
    cronjob,
    csidriver,
    csinode,
    csistoragecapacity,
    daemonset,
    deployment,
    endpoints,
    endpointslice,
    event,
    event_v1,
    flowschema,
    horizontalpodautoscaler,
    horizontalpodautoscaler_v1,
    ingress,
    ingressclass,
    job,
    lease,
    limitrange,
    mutatingadmissionpolicy,
    mutatingadmissionpolicybinding,
    mutatingwebhookconfiguration,
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
    priorityclass,
    prioritylevelconfiguration,
    replicaset,
    replicationcontroller,
    resourcequota,
    runtimeclass,
    secret,
    service,
    serviceaccount,
    statefulset,
    storageclass,
    validatingadmissionpolicy,
    validatingadmissionpolicybinding,
    validatingwebhookconfiguration,
    volumeattachment,
)
from motet.kinds.custom import definition as customresourcedefinition
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
    limitrange.KIND,
    resourcequota.KIND,
    event.KIND,
    event_v1.KIND,
    lease.KIND,
    persistentvolume.KIND,
    persistentvolumeclaim.KIND,
    storageclass.KIND,
    csidriver.KIND,
    csinode.KIND,
    volumeattachment.KIND,
    csistoragecapacity.KIND,
    controllerrevision.KIND,
    replicaset.KIND,
    deployment.KIND,
    daemonset.KIND,
    statefulset.KIND,
    job.KIND,
    cronjob.KIND,
    horizontalpodautoscaler.KIND,
    horizontalpodautoscaler_v1.KIND,
    networkpolicy.KIND,
    ingress.KIND,
    ingressclass.KIND,
    priorityclass.KIND,
    certificatesigningrequest.KIND,
    clusterrolebinding.KIND,
    clusterrole.KIND,
    rolebinding.KIND,
    role.KIND,
    poddisruptionbudget.KIND,
    runtimeclass.KIND,
    flowschema.KIND,
    prioritylevelconfiguration.KIND,
    app.KIND,
    network.KIND,
    podaddress.KIND,
    customresourcedefinition.KIND,
    mutatingwebhookconfiguration.KIND,
    validatingwebhookconfiguration.KIND,
    validatingadmissionpolicy.KIND,
    validatingadmissionpolicybinding.KIND,
    mutatingadmissionpolicy.KIND,
    mutatingadmissionpolicybinding.KIND,
    apiservice.KIND,
)


class Catalogue:
    """The kinds being served, found by any of their names. Not for use from several threads."""

    def __init__(self, kinds: Iterable[Kind] = KINDS) -> None:
        self._by_path: dict[tuple[str, str, str], Kind] = {}
        self._by_kind: dict[tuple[str, str], Kind] = {}
        self._by_resource: dict[str, Kind] = {}
        self._listeners: dict[object, Callable[[], None]] = {}
        # Counts the changes: what was made of the kinds holds as long as this stays the same.
        self.generation = 0
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve one more kind. Raises ValueError when its path or its name is taken."""
        self.replace((), (kind,))

    def remove(self, kind: Kind) -> None:
        """Serve this kind no more. Raises KeyError when it was not served."""
        self.replace((kind,), ())

    def replace(self, gone: Iterable[Kind], new: Iterable[Kind]) -> None:
        """Some kinds for others, in one step. Raises KeyError, and ValueError when a path or a name is taken."""
        by_path, by_kind = dict(self._by_path), dict(self._by_kind)
        for kind in gone:
            del by_path[kind.group, kind.version, kind.plural]
            del by_kind[kind.api_version, kind.kind]
        for kind in new:
            path, name = (kind.group, kind.version, kind.plural), (kind.api_version, kind.kind)
            if path in by_path or name in by_kind:
                raise ValueError(f"{kind.plural} or {kind.kind} is already served in {kind.api_version}")
            by_path[path], by_kind[name] = kind, kind
        self._by_path, self._by_kind, self._by_resource = by_path, by_kind, {}
        for kind in by_path.values():
            self._by_resource.setdefault(_resource(kind), kind)
        self.generation += 1
        for listener in tuple(self._listeners.values()):
            listener()

    def listen(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` after every change, until the returned function is called. It must only note the change."""
        token = object()
        self._listeners[token] = callback
        return lambda: self._listeners.pop(token, None) and None

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
        """Versions by group, groups in order of addition; the first version of a group is the preferred one."""
        groups: dict[str, list[str]] = {}
        for kind in self:
            versions = groups.setdefault(kind.group, [])
            if kind.version not in versions:
                versions.append(kind.version)
        return {group: sorted(versions, key=priority) for group, versions in groups.items()}

    def __iter__(self) -> Iterator[Kind]:
        return iter(tuple(self._by_path.values()))

    def __len__(self) -> int:
        return len(self._by_path)


_KUBE_LIKE = re.compile(r"v([0-9]+)(?:(alpha|beta)([0-9]+))?")
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


def priority(version: str) -> tuple[int, int, int, int, str]:
    """Sorts versions as discovery lists them: `v10 v2 v1 v11beta2 v10beta3 v3beta1 v12alpha1 foo1 foo10`."""
    found = _KUBE_LIKE.fullmatch(version)
    if found is None:
        return 1, 0, 0, 0, version
    major, stability, minor = found.groups()
    return 0, _STABILITY[stability], -int(major), -int(minor or 0), ""


def _resource(kind: Kind) -> str:
    return f"{kind.group or 'core'}/{kind.plural}"
