"""Nodes: machines that run pods."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
from collections.abc import Callable, Mapping

import msgspec

from motet.base import names
from motet.base.errors import FieldError, duplicate, forbidden, invalid
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column, text_at
from motet.kinds.kind import PROXY_VERBS, Json, Kind
from motet.kinds.podspec.scheduling import EFFECTS
from motet.kinds.shape import made, mapping, objects, strings, text
from motet.store.document import Document

# The public half of the node's WireGuard key, in base64.
WIREGUARD_KEY = "motet.dev/wireguard-key"
# Whether the node serves Ingresses: `ready`, or why not; missing while there are none.
INGRESS = "motet.dev/ingress"
INGRESS_READY = "ready"

# What a node may be used for, in Swarm's three words: pods, no new ones, none. Of a node that takes none it tells drain from pause.
AVAILABILITY = "motet.dev/availability"
ACTIVE, PAUSE, DRAIN = AVAILABILITIES = ("active", "pause", "drain")
# On a node that is drained at once, without regard to disruption budgets, as Swarm does it.
DRAIN_TAINT = "motet.dev/drain"

_KEY_BYTES = 32
_ROLE_PREFIX = "node-role.kubernetes.io/"
_UNKNOWN = "<unknown>"


def availability(annotations: Mapping[str, str] | None, *, unschedulable: bool) -> str:
    """One of `AVAILABILITIES`, of a node with these annotations."""
    if not unschedulable:
        return ACTIVE
    return DRAIN if (annotations or {}).get(AVAILABILITY) == DRAIN else PAUSE


def made_available(document: Json, wanted: str, *, evict: bool = False) -> Json:
    """`document`, changed, of a node that may be used for one of `AVAILABILITIES`. `evict` has a drain end every pod at once."""
    annotations = made(made(document, "metadata"), "annotations")
    annotations.pop(AVAILABILITY, None)
    spec = made(document, "spec")
    spec.pop("unschedulable", None)
    taints = [each for each in objects(spec, "taints") if text(each, "key") != DRAIN_TAINT]
    if wanted != ACTIVE:
        spec["unschedulable"] = True
    if wanted == DRAIN:
        annotations[AVAILABILITY] = DRAIN
        if evict:
            taints.append({"key": DRAIN_TAINT, "effect": "NoExecute"})
    spec["taints"] = taints
    if not taints:
        del spec["taints"]
    return document


def default(document: Json) -> None:
    status = mapping(document, "status")
    if status.get("capacity") and status.get("allocatable") is None:
        status["allocatable"] = dict(mapping(status, "capacity"))


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec = mapping(document, "spec")
    errors = _key(document) + _taints(spec) + _addresses(document) + _networks(spec)
    if old is not None:
        was = mapping(old, "spec")
        for key in ("podCIDR", "podCIDRs", "providerID"):
            if was.get(key) and spec.get(key) != was.get(key):
                detail = f'node updates may not change {key} except from "" to valid'
                errors.append(forbidden(f"spec.{key}", detail))
    return errors


def _key(document: Json) -> list[FieldError]:
    key = mapping(document, "metadata", "annotations").get(WIREGUARD_KEY)
    if key is None:
        return []
    with contextlib.suppress(ValueError):
        found = base64.b64decode(key, validate=True)
        # The same text for the same key; and the point at zero is nobody's.
        if len(found) == _KEY_BYTES and base64.b64encode(found).decode() == key and any(found):
            return []
    detail = "must be a public WireGuard key: 32 bytes in base64"
    return [invalid(f"metadata.annotations[{WIREGUARD_KEY}]", key, detail)]


def _taints(spec: Json) -> list[FieldError]:
    errors = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(objects(spec, "taints")):
        path = f"spec.taints[{index}]"
        key, effect = text(taint, "key"), text(taint, "effect")
        errors += checks.named(f"{path}.key", key, names.qualified_name_error)
        errors += checks.named(f"{path}.value", text(taint, "value"), names.label_value_error, needed=False)
        errors += checks.one_of(f"{path}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            errors.append(duplicate(path, taint))
        seen.add((key, effect))
    return errors


def _addresses(document: Json) -> list[FieldError]:
    errors = []
    seen: list[Json] = []
    for index, address in enumerate(objects(document, "status", "addresses")):
        if address in seen:
            errors.append(duplicate(f"status.addresses[{index}]", address))
        seen.append(address)
    return errors


def _networks(spec: Json) -> list[FieldError]:
    errors = []
    networks = strings(spec, "podCIDRs")
    one = text(spec, "podCIDR")
    if networks and one and networks[0] != one:
        errors.append(invalid("spec.podCIDRs[0]", networks, "must match `podCIDR`"))
    if len(networks) > 2:
        errors.append(invalid("spec.podCIDRs", networks, "may only hold up to 2 values, of one IP family each"))
    elif len({":" in network for network in networks}) < len(networks):
        errors.append(invalid("spec.podCIDRs", networks, "may specify no more than one CIDR for each IP family"))
    for index, network in enumerate(networks):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            errors.append(invalid(f"spec.podCIDRs[{index}]", network, detail))
    return errors


class _Spec(msgspec.Struct, gc=False, frozen=True):
    unschedulable: bool | None = None


class _Fields(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()


def fields(document: Document) -> Mapping[str, str]:
    return {"spec.unschedulable": "true" if document.view(_Fields).spec.unschedulable else "false"}


def _status(document: Json) -> str:
    words = ["Unknown"]
    for condition in objects(document, "status", "conditions"):
        if text(condition, "type") == "Ready":
            words = ["Ready" if text(condition, "status") == "True" else "NotReady"]
    if mapping(document, "spec").get("unschedulable") is True:
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(document: Json) -> str:
    roles = set()
    for key, value in mapping(document, "metadata", "labels").items():
        if key.startswith(_ROLE_PREFIX) and key != _ROLE_PREFIX:
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role" and value:
            roles.add(value)
    return ",".join(sorted(roles)) or NONE


def _address(kind: str) -> Callable[[Json], str]:
    def cell(document: Json) -> str:
        found = (item for item in objects(document, "status", "addresses") if text(item, "type") == kind)
        return text(next(found, {}), "address") or NONE

    return cell


KIND = Kind(
    group="",
    version="v1",
    kind="Node",
    plural="nodes",
    singular="node",
    short_names=("no",),
    namespaced=False,
    schema="io.k8s.api.core.v1.Node",
    default=default,
    validate=validate,
    status=True,
    subresources={"proxy": PROXY_VERBS},
    status_on_create=True,
    fields=fields,
    field_names=("spec.unschedulable",),
    columns=(
        NAME,
        column("Status", _status, about="Whether the node is ready, and whether it takes new pods."),
        column("Roles", _roles, about="The roles its labels give it."),
        AGE,
        column("Version", text_at("status", "nodeInfo", "kubeletVersion"), about="The agent's version."),
        column("Internal-IP", _address("InternalIP"), wide=True, about="Its address inside the cluster."),
        column("External-IP", _address("ExternalIP"), wide=True, about="Its address outside."),
        column(
            "OS-Image",
            text_at("status", "nodeInfo", "osImage", otherwise=_UNKNOWN),
            wide=True,
            about="The operating system.",
        ),
        column(
            "Kernel-Version",
            text_at("status", "nodeInfo", "kernelVersion", otherwise=_UNKNOWN),
            wide=True,
            about="The kernel.",
        ),
        column(
            "Container-Runtime",
            text_at("status", "nodeInfo", "containerRuntimeVersion", otherwise=_UNKNOWN),
            wide=True,
            about="What runs the containers.",
        ),
    ),
)
