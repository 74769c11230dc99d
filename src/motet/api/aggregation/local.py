"""The APIServices of what this server answers for itself, and how groups and versions are ordered. All of it is pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from motet.kinds.apiservice import AUTOMANAGED, KIND, name_of
from motet.kinds.catalogue import Catalogue, priority
from motet.kinds.kind import Json

GroupVersion = tuple[str, str]
# How important a group and one of its versions are.
Priorities = tuple[int, int]

# Upstream's numbers; clients that find a resource in several groups take the one of the highest.
_GROUPS = {
    "": 18000,
    "apps": 17800,
    "events.k8s.io": 17750,
    "authentication.k8s.io": 17700,
    "authorization.k8s.io": 17600,
    "autoscaling": 17500,
    "batch": 17400,
    "certificates.k8s.io": 17300,
    "networking.k8s.io": 17200,
    "policy": 17100,
    "rbac.authorization.k8s.io": 17000,
    "storage.k8s.io": 16800,
    "apiextensions.k8s.io": 16700,
    "admissionregistration.k8s.io": 16700,
    "scheduling.k8s.io": 16600,
    "coordination.k8s.io": 16500,
    "node.k8s.io": 16300,
    "discovery.k8s.io": 16200,
    "flowcontrol.apiserver.k8s.io": 16100,
    "metrics.k8s.io": 100,
}
_OTHER_GROUP, _PREFERRED_VERSION = 15000, 15
_CUSTOM: Priorities = (1000, 100)


def registrations(groups: Mapping[str, Sequence[str]], catalogue: Catalogue) -> dict[str, Json]:
    """The APIServices to be, by name. `groups` is everything answered here; versions that only CRDs have are kept as made."""
    found = {}
    custom = custom_versions(catalogue)
    for group, version in _versions(groups):
        made_by_crd = (group, version) in custom
        group_priority, version_priority = local_priorities(groups, custom, group, version)
        name = name_of(group, version)
        found[name] = {
            "apiVersion": KIND.api_version,
            "kind": KIND.kind,
            "metadata": {"name": name, "labels": {AUTOMANAGED: "true" if made_by_crd else "onstart"}},
            "spec": {
                **({"group": group} if group else {}),
                "version": version,
                "groupPriorityMinimum": group_priority,
                "versionPriority": version_priority,
            },
        }
    return found


def custom_versions(catalogue: Catalogue) -> frozenset[GroupVersion]:
    """Groups and versions that come from custom resource definitions alone."""
    custom = {(kind.group, kind.version) for kind in catalogue if kind.versions is not None}
    return frozenset(custom - {(kind.group, kind.version) for kind in catalogue if kind.versions is None})


def local_priorities(
    groups: Mapping[str, Sequence[str]], custom: frozenset[GroupVersion], group: str, version: str
) -> Priorities:
    """Of a version answered here."""
    if (group, version) in custom:
        return _CUSTOM
    if not group:
        return _GROUPS[""], 1
    place = sorted(groups[group], key=priority).index(version)
    return _GROUPS.get(group, _OTHER_GROUP), max(1, _PREFERRED_VERSION - place)


def ordered(groups: Mapping[str, Iterable[str]], priorities: Mapping[GroupVersion, Priorities]) -> dict[str, list[str]]:
    """Groups and their versions, the most important first; equals by name, and versions as Kubernetes sorts them."""

    def group_key(group: str) -> tuple[int, str]:
        return -max(priorities[group, version][0] for version in groups[group]), group

    def version_key(group: str, version: str) -> tuple[int, tuple[int, int, int, int, str]]:
        return -priorities[group, version][1], priority(version)

    return {
        group: sorted(groups[group], key=lambda version, group=group: version_key(group, version))  # type: ignore[misc]
        for group in sorted((group for group in groups if groups[group]), key=group_key)
    }


def _versions(groups: Mapping[str, Sequence[str]]) -> Iterator[GroupVersion]:
    return ((group, version) for group, versions in groups.items() for version in versions)
