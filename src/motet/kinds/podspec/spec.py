"""A pod specification as a whole, and as part of a template."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from motet.base import names
from motet.base.errors import FieldError, forbidden, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.metadata import validate_labels
from motet.kinds.podspec.containers import RESTART_POLICIES, validate_containers
from motet.kinds.podspec.resources import validate_amounts, validate_resources
from motet.kinds.podspec.scheduling import validate_scheduling
from motet.kinds.podspec.security import validate_pod_context
from motet.kinds.podspec.volumes import validate_volumes
from motet.kinds.shape import mapping, objects, strings, text

DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
MAX_NAMESERVERS = 3
MAX_SEARCHES = 32
MAX_SEARCH_CHARACTERS = 2048
# Specifications found to be fine that are remembered, and the bytes one may have for that.
MAX_REMEMBERED = 256
MAX_REMEMBERED_SIZE = 16 * 1024

_encode = msgspec.json.Encoder().encode
_fine: dict[bytes, None] = {}


def validate_template(
    template: Json, path: str, restart_policies: Iterable[str] = RESTART_POLICIES
) -> list[FieldError]:
    """A PodTemplateSpec whose owner allows only some restart policies."""
    spec = mapping(template, "spec")
    errors = validate_labels(mapping(template, "metadata"), f"{path}.metadata")
    errors += validate_spec(spec, f"{path}.spec", restart_policies)
    if objects(spec, "ephemeralContainers"):
        errors.append(forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template"))
    return errors


def validate_spec(spec: Json, path: str, restart_policies: Iterable[str] = RESTART_POLICIES) -> list[FieldError]:
    """Everything about a pod specification that its schema does not say.

    A specification that was fine lately is not looked at again: the pods of one replica set, of which there may be
    thousands, all have the same.
    """
    policies = tuple(restart_policies)
    seen = _encode((policies, spec))
    if seen in _fine:
        return []
    errors = _validate(spec, path, policies)
    if not errors and len(seen) <= MAX_REMEMBERED_SIZE:
        if len(_fine) >= MAX_REMEMBERED:
            del _fine[next(iter(_fine))]
        _fine[seen] = None
    return errors


def _validate(spec: Json, path: str, restart_policies: Iterable[str]) -> list[FieldError]:
    volumes = {text(volume, "name"): volume for volume in objects(spec, "volumes")}
    return [
        *validate_volumes(spec, path),
        *validate_containers(spec, path, volumes),
        *checks.one_of(f"{path}.restartPolicy", text(spec, "restartPolicy"), restart_policies),
        *checks.between(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1),
        *_names(spec, path),
        *_dns(spec, path),
        *_aliases(spec, path),
        *validate_pod_context(spec, path),
        *validate_scheduling(spec, path),
        *_host_users(spec, path),
        *validate_amounts(mapping(spec, "overhead"), f"{path}.overhead"),
        *validate_resources(mapping(spec, "resources"), f"{path}.resources", ("cpu", "memory")),
    ]


def _names(spec: Json, path: str) -> list[FieldError]:
    rules = (
        ("serviceAccountName", names.subdomain_error),
        ("nodeName", names.subdomain_error),
        ("hostname", names.label_error),
        ("subdomain", names.label_error),
        ("runtimeClassName", names.subdomain_error),
        ("priorityClassName", names.subdomain_error),
        ("schedulerName", names.qualified_name_error),
    )
    errors = []
    for key, why in rules:
        errors += checks.named(f"{path}.{key}", text(spec, key), why, needed=False)
    errors += checks.one_of(
        f"{path}.preemptionPolicy", text(spec, "preemptionPolicy"), ("Never", "PreemptLowerPriority"), needed=False
    )
    for index, gate in enumerate(objects(spec, "readinessGates")):
        errors += checks.named(
            f"{path}.readinessGates[{index}].conditionType", text(gate, "conditionType"), names.qualified_name_error
        )
    if system := mapping(spec, "os"):
        errors += checks.one_of(f"{path}.os.name", text(system, "name"), ("linux", "windows"))
    if spec.get("setHostnameAsFQDN") is True and text(spec, "hostnameOverride"):
        detail = "may not be specified when `hostnameOverride` is set"
        errors.append(forbidden(f"{path}.setHostnameAsFQDN", detail))
    return errors


def _dns(spec: Json, path: str) -> list[FieldError]:
    policy = text(spec, "dnsPolicy")
    errors = checks.one_of(f"{path}.dnsPolicy", policy, DNS_POLICIES)
    config = spec.get("dnsConfig")
    here = f"{path}.dnsConfig"
    if not isinstance(config, dict):
        if policy == "None":
            errors.append(required(here, "must provide `dnsConfig` when `dnsPolicy` is None"))
        return errors
    servers, searches = strings(config, "nameservers"), strings(config, "searches")
    if policy == "None" and not servers:
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(required(f"{here}.nameservers", detail))
    if len(servers) > MAX_NAMESERVERS:
        errors.append(invalid(f"{here}.nameservers", servers, f"must not have more than {MAX_NAMESERVERS} nameservers"))
    for index, server in enumerate(servers):
        errors += checks.ip(f"{here}.nameservers[{index}]", server)
    if len(searches) > MAX_SEARCHES:
        errors.append(invalid(f"{here}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths"))
    if len(" ".join(searches)) > MAX_SEARCH_CHARACTERS:
        detail = f"must not have more than {MAX_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        errors.append(invalid(f"{here}.searches", searches, detail))
    for index, search in enumerate(searches):
        # A lone dot is the root, and underscores occur in service records.
        plain = search.removesuffix(".").replace("_", "a")
        if search != "." and (problem := names.subdomain_error(plain)):
            errors.append(invalid(f"{here}.searches[{index}]", search, problem))
    for index, option in enumerate(objects(config, "options")):
        if not text(option, "name"):
            errors.append(required(f"{here}.options[{index}]", "must not be empty"))
    return errors


def _aliases(spec: Json, path: str) -> list[FieldError]:
    errors = []
    for index, alias in enumerate(objects(spec, "hostAliases")):
        here = f"{path}.hostAliases[{index}]"
        errors += checks.ip(f"{here}.ip", text(alias, "ip"))
        for at, name in enumerate(strings(alias, "hostnames")):
            errors += checks.named(f"{here}.hostnames[{at}]", name, names.subdomain_error)
    return errors


def _host_users(spec: Json, path: str) -> list[FieldError]:
    if spec.get("hostUsers") is not False:
        return []
    return [
        forbidden(f"{path}.hostUsers", f"when `{key}` is true")
        for key in ("hostPID", "hostIPC", "hostNetwork")
        if spec.get(key) is True
    ]
