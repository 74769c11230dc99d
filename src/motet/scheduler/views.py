"""What the scheduler reads of pods, nodes, claims and volumes, and nothing more."""

from __future__ import annotations

from typing import Any

import msgspec

_EMPTY = msgspec.Raw(b"null")


class _Struct(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    pass


class Resources(_Struct, frozen=True):
    requests: dict[str, str | int | float] | None = None


class _Anything(_Struct, frozen=True):
    pass


class ContainerPort(_Struct, frozen=True):
    host_port: int = 0
    protocol: str = "TCP"
    host_ip: str = msgspec.field(default="", name="hostIP")


class Container(_Struct, frozen=True):
    image: str = ""
    resources: Resources | None = None
    ports: tuple[ContainerPort, ...] | None = None
    restart_policy: str = ""


class ClaimSource(_Struct, frozen=True):
    claim_name: str = ""


class Volume(_Struct, frozen=True):
    name: str = ""
    persistent_volume_claim: ClaimSource | None = None
    # Only whether it is there: its claim is called POD-VOLUME.
    ephemeral: _Anything | None = None


class NodeSelectorRequirement(_Struct, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = None


class NodeSelectorTerm(_Struct, frozen=True):
    match_expressions: tuple[NodeSelectorRequirement, ...] | None = None
    match_fields: tuple[NodeSelectorRequirement, ...] | None = None


class NodeSelector(_Struct, frozen=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class PreferredTerm(_Struct, frozen=True):
    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(_Struct, frozen=True):
    required: NodeSelector | None = msgspec.field(default=None, name="requiredDuringSchedulingIgnoredDuringExecution")
    preferred: tuple[PreferredTerm, ...] | None = msgspec.field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class PodAffinityTerm(_Struct, frozen=True):
    topology_key: str = ""
    label_selector: dict[str, Any] | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selector: dict[str, Any] | None = None
    match_label_keys: tuple[str, ...] | None = None
    mismatch_label_keys: tuple[str, ...] | None = None


class WeightedTerm(_Struct, frozen=True):
    weight: int
    pod_affinity_term: PodAffinityTerm


class PodAffinity(_Struct, frozen=True):
    """Of a pod's affinity, and of its anti-affinity."""

    required: tuple[PodAffinityTerm, ...] | None = msgspec.field(
        default=None, name="requiredDuringSchedulingIgnoredDuringExecution"
    )
    preferred: tuple[WeightedTerm, ...] | None = msgspec.field(
        default=None, name="preferredDuringSchedulingIgnoredDuringExecution"
    )


class Affinity(_Struct, frozen=True):
    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class SpreadConstraint(_Struct, frozen=True):
    topology_key: str = ""
    max_skew: int = 1
    when_unsatisfiable: str = "DoNotSchedule"
    label_selector: dict[str, Any] | None = None
    min_domains: int | None = None
    node_affinity_policy: str = "Honor"
    node_taints_policy: str = "Ignore"
    match_label_keys: tuple[str, ...] | None = None


class Toleration(_Struct, frozen=True):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class PodSpec(_Struct, frozen=True):
    node_name: str = ""
    scheduler_name: str = "default-scheduler"
    node_selector: dict[str, str] | None = None
    affinity: msgspec.Raw = _EMPTY
    tolerations: msgspec.Raw = _EMPTY
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] | None = None
    overhead: dict[str, str | int | float] | None = None
    resources: Resources | None = None
    resource_claims: msgspec.Raw = _EMPTY
    volumes: tuple[Volume, ...] | None = None
    priority: int = 0
    preemption_policy: str = "PreemptLowerPriority"
    scheduling_gates: tuple[dict[str, str], ...] | None = None
    topology_spread_constraints: msgspec.Raw = _EMPTY


class Condition(_Struct, frozen=True):
    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None


class PodStatus(_Struct, frozen=True):
    phase: str = "Pending"
    conditions: tuple[Condition, ...] | None = None
    nominated_node_name: str = ""
    start_time: str | None = None


class PodView(_Struct, frozen=True):
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class Taint(_Struct, frozen=True):
    key: str
    effect: str
    value: str = ""


class NodeSpec(_Struct, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] | None = None


class NodeImage(_Struct, frozen=True):
    names: tuple[str, ...] | None = None
    size_bytes: int = 0


class NodeStatus(_Struct, frozen=True):
    images: tuple[NodeImage, ...] | None = None
    allocatable: dict[str, str | int | float] | None = None
    capacity: dict[str, str | int | float] | None = None


class NodeView(_Struct, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class ClaimSpec(_Struct, frozen=True):
    volume_name: str = ""
    storage_class_name: str = ""
    access_modes: tuple[str, ...] | None = None
    resources: Resources = Resources()


class ClaimStatus(_Struct, frozen=True):
    phase: str = "Pending"


class ClaimView(_Struct, frozen=True):
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()


class TopologyRequirement(_Struct, frozen=True):
    key: str
    values: tuple[str, ...] = ()


class TopologyTerm(_Struct, frozen=True):
    match_label_expressions: tuple[TopologyRequirement, ...] | None = None


class StorageClassView(_Struct, frozen=True):
    provisioner: str = ""
    volume_binding_mode: str = "Immediate"
    allowed_topologies: tuple[TopologyTerm, ...] | None = None


class VolumeNodeAffinity(_Struct, frozen=True):
    required: NodeSelector | None = None


class ClaimRef(_Struct, frozen=True):
    namespace: str = ""
    name: str = ""


class CsiSource(_Struct, frozen=True):
    driver: str = ""
    volume_handle: str = ""


class VolumeSpec(_Struct, frozen=True):
    node_affinity: VolumeNodeAffinity | None = None
    storage_class_name: str = ""
    access_modes: tuple[str, ...] | None = None
    capacity: dict[str, str | int | float] | None = None
    claim_ref: ClaimRef | None = None
    csi: CsiSource | None = None


class VolumeView(_Struct, frozen=True):
    spec: VolumeSpec = VolumeSpec()


affinity_decoder = msgspec.json.Decoder(Affinity | None)
tolerations_decoder = msgspec.json.Decoder(tuple[Toleration, ...] | None)
spread_decoder = msgspec.json.Decoder(tuple[SpreadConstraint, ...] | None)
