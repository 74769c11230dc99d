"""Discovery: which groups, versions, resources and verbs there are, in the legacy and in the aggregated form.

Groups that exist only as questions (reviews) are listed beside the catalogue's, and so is `policy`, which tells
`kubectl drain` that pods can be evicted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiohttp import web

from motet.api.aggregation.aggregator import Aggregator
from motet.api.http import answers, usage
from motet.api.http.negotiate import clauses
from motet.api.http.routes import Target
from motet.base import release
from motet.base.errors import NotFound
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import strings, text

_PROJECTION_VERBS = ("get", "patch", "update")
# Subresources that are kinds of their own: group, version, kind.
_SUBRESOURCE_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "exec": ("", "v1", "PodExecOptions"),
    "attach": ("", "v1", "PodAttachOptions"),
    "portforward": ("", "v1", "PodPortForwardOptions"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


@dataclass(frozen=True, slots=True)
class Review:
    """A resource that is only asked, never kept."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = False


REVIEWS = (
    Review("authentication.k8s.io", "v1", "TokenReview", "tokenreviews"),
    Review("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews"),
    Review("authentication.k8s.io", "v1beta1", "SelfSubjectReview", "selfsubjectreviews"),
    # The first form, which kubectl 1.27 falls back on.
    Review("authentication.k8s.io", "v1alpha1", "SelfSubjectReview", "selfsubjectreviews"),
    Review("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews"),
    Review("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews"),
    Review("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews"),
    Review("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", namespaced=True),
)
# Read-only, and made when somebody asks.
_MADE = {(usage.GROUP, usage.VERSION): usage.RESOURCES}
_EMPTY_GROUPS = {usage.GROUP: [usage.VERSION], "policy": ["v1"]}


@dataclass(frozen=True, slots=True)
class _Resource:
    """One line of discovery."""

    name: str
    singular: str
    namespaced: bool
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


def version() -> Json:
    """`/version`."""
    return {
        "major": release.MAJOR,
        "minor": release.MINOR,
        "gitVersion": release.MOTET,
        "gitCommit": release.source_digest(),
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "python",
        "platform": "linux/amd64",
    }


class Discovery:
    """Documents of discovery, made once per state of the catalogue."""

    def __init__(self, catalogue: Catalogue, address: str, aggregator: Aggregator | None = None) -> None:
        self._catalogue = catalogue
        self._aggregator = aggregator
        self.address = address
        self._made: dict[str, tuple[bytes, str]] = {}
        self._made_for: object = None

    def answer(self, path: str, accept: str, known_etag: str) -> web.Response | None:
        """The answer to `/api...` or `/apis...`, or None for a path that discovery does not have."""
        form = _aggregated(accept) if path in ("/api", "/apis") else ""
        state = (self._catalogue.generation, self._aggregator.generation if self._aggregator is not None else None)
        if state != self._made_for:
            self._made_for, self._made = state, {}
        made = self._made.get(f"{path} {form}")
        if made is None:
            document = self._aggregate(path, form) if form else self._legacy(path)
            if document is None:
                return None
            data = answers.encode(document)
            made = self._made[f"{path} {form}"] = (data, hashlib.sha256(data).hexdigest().upper())
        data, digest = made
        content_type = answers.JSON
        if form:
            content_type = f"{answers.JSON};g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList"
        headers = {"Vary": "Accept"}
        if form:
            headers["ETag"] = f'"{digest}"'
            if known_etag.strip('"') == digest:
                return web.Response(status=304, headers=headers)
        return answers.body(data, content_type=content_type, headers=headers)

    def _groups(self) -> dict[str, list[str]]:
        groups = local_groups(self._catalogue)
        if self._aggregator is None:
            return groups
        for group, version in self._aggregator.versions():
            present = groups.setdefault(group, [])
            if version not in present:
                present.append(version)
        return self._aggregator.ordered(groups, self._catalogue)

    def _resources(self, group: str, version: str) -> tuple[list[_Resource], bool]:
        """And whether they are of now: another server may not have answered."""
        others = self._aggregator.resources(group, version) if self._aggregator is not None else None
        if others is None:
            return self._own(group, version), True
        return [_of_other(each, group, version) for each in others[0]], others[1]

    def _own(self, group: str, version: str) -> list[_Resource]:
        resources: list[_Resource] = []
        for kind in self._catalogue:
            if (kind.group, kind.version) == (group, version):
                resources.extend(_of_kind(kind))
        for plural, (kind_name, namespaced) in _MADE.get((group, version), {}).items():
            resources.append(_Resource(plural, "", namespaced, group, version, kind_name, ("get", "list")))
        for review in REVIEWS:
            if (review.group, review.version) == (group, version):
                singular = review.kind.lower()
                line = (review.plural, singular, review.namespaced, group, version, review.kind, ("create",))
                resources.append(_Resource(*line))
        return resources

    def _legacy(self, path: str) -> Json | None:
        groups = self._groups()
        match path.strip("/").split("/"):
            case ["api"]:
                server = [{"clientCIDR": "0.0.0.0/0", "serverAddress": self.address}]
                return {"kind": "APIVersions", "versions": groups.get("", ["v1"]), "serverAddressByClientCIDRs": server}
            case ["apis"]:
                listed = [_group(group, versions) for group, versions in groups.items() if group]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
            case ["apis", group] if group in groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])}
            case ["api", version] if version in groups.get("", ()):
                return self._resource_list("", version)
            case ["apis", group, version] if version in groups.get(group, ()):
                return self._resource_list(group, version)
            case _:
                return None

    def _resource_list(self, group: str, version: str) -> Json:
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": [_legacy_resource(item, group, version) for item in self._resources(group, version)[0]],
        }

    def _aggregate(self, path: str, form: str) -> Json:
        items = []
        for group, versions in self._groups().items():
            if bool(group) != (path == "/apis"):
                continue
            listed = [self._aggregated_version(group, version) for version in versions]
            metadata: Json = {"name": group} if group else {}
            metadata["creationTimestamp"] = None
            items.append({"metadata": metadata, "versions": listed})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{form}",
            "metadata": {},
            "items": items,
        }

    def _aggregated_version(self, group: str, version: str) -> Json:
        resources, current = self._resources(group, version)
        freshness = "Current" if current else "Stale"
        return {"version": version, "resources": _aggregated_resources(resources), "freshness": freshness}


def local_groups(catalogue: Catalogue) -> dict[str, list[str]]:
    """Groups and versions that this server answers for, its questions included."""
    groups = {group: list(versions) for group, versions in catalogue.groups().items()}
    for group, versions in [*((review.group, [review.version]) for review in REVIEWS), *_EMPTY_GROUPS.items()]:
        present = groups.setdefault(group, [])
        present.extend(version for version in versions if version not in present)
    return groups


def _aggregated(accept: str) -> str:
    """`v2` or `v2beta1` when the client prefers the aggregated form, else an empty string."""
    for clause in clauses(accept) if accept else ():
        if clause.media != answers.JSON:
            continue
        parameters = clause.parameters
        if parameters.get("as") != "APIGroupDiscoveryList":
            return ""
        version = parameters.get("v", "")
        if parameters.get("g") == "apidiscovery.k8s.io" and version in ("v2", "v2beta1"):
            return version
    return ""


def _group(group: str, versions: Sequence[str]) -> Json:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def _of_kind(kind: Kind) -> Iterable[_Resource]:
    singular = kind.singular or kind.kind.lower()
    yield _Resource(
        kind.plural,
        singular,
        kind.namespaced,
        kind.group,
        kind.version,
        kind.kind,
        tuple(sorted(kind.verbs)),
        kind.short_names,
        kind.categories,
    )
    subresources = {**kind.subresources, **dict.fromkeys(kind.aspects, _PROJECTION_VERBS)}
    if kind.status:
        subresources["status"] = _PROJECTION_VERBS
    if kind.scale:
        subresources["scale"] = _PROJECTION_VERBS
    for name, verbs in sorted(subresources.items()):
        own = f"{kind.kind}ProxyOptions" if name == "proxy" else kind.kind
        group, version, shown = _SUBRESOURCE_KINDS.get(name, (kind.group, kind.version, own))
        yield _Resource(f"{kind.plural}/{name}", "", kind.namespaced, group, version, shown, tuple(sorted(verbs)))


def _of_other(told: Json, group: str, version: str) -> _Resource:
    """A line of another server's APIResourceList."""
    return _Resource(
        told["name"],
        text(told, "singularName"),
        told.get("namespaced") is True,
        text(told, "group") or group,
        text(told, "version") or version,
        told["kind"],
        tuple(strings(told, "verbs")),
        tuple(strings(told, "shortNames")),
        tuple(strings(told, "categories")),
    )


def _legacy_resource(item: _Resource, group: str, version: str) -> Json:
    found: Json = {
        "name": item.name,
        "singularName": item.singular,
        "namespaced": item.namespaced,
        "kind": item.kind,
        "verbs": item.verbs,
    }
    if (item.group, item.version) != (group, version):
        found["group"], found["version"] = item.group, item.version
    if item.short_names:
        found["shortNames"] = item.short_names
    if item.categories:
        found["categories"] = item.categories
    return found


def _aggregated_resources(items: Iterable[_Resource]) -> list[Json]:
    found: dict[str, Json] = {}
    for item in items:
        kind = {"group": item.group, "version": item.version, "kind": item.kind}
        plural, _, subresource = item.name.partition("/")
        scope = "Namespaced" if item.namespaced else "Cluster"
        if subresource:
            entry = {"subresource": subresource, "responseKind": kind, "verbs": item.verbs}
            parent = found.setdefault(plural, {"resource": plural, "scope": scope})
            parent.setdefault("subresources", []).append(entry)
            continue
        found[plural] = {
            **found.get(plural, {}),
            "resource": plural,
            "responseKind": kind,
            "scope": scope,
            "singularResource": item.singular,
            "verbs": item.verbs,
        }
        if item.short_names:
            found[plural]["shortNames"] = item.short_names
        if item.categories:
            found[plural]["categories"] = item.categories
    return list(found.values())


def nowhere(target: Target | None = None, verb: str = "") -> NotFound:
    """404 for a path that means nothing here. `target`: the resource that was asked for, which the message then names."""
    if target is None:
        return NotFound("the server could not find the requested resource")
    what = f"{target.plural}/{target.subresource}" if target.subresource else target.plural
    served = f"{target.group}/{target.version}" if target.group else target.version
    return NotFound(f"the server could not find the requested resource ({verb} {what} of {served})")
