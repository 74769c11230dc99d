"""The fields of a Pod that a node acts on, as typed views over the document's bytes (Kubernetes core/v1 Pod).

Everything optional is `None` or empty, as on the wire; defaults that the API server fills in are repeated here only where
a pod could reach the node without them. Fields that are not named here are either irrelevant on the node or refused by
`unsupported`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from motet.store.document import Meta

Quantity = str | int | float
STATIC_HASH = "kubernetes.io/config.hash"
IntOrString = int | str


class KeyRef(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A key of a ConfigMap or Secret."""

    name: str = ""
    key: str = ""
    optional: bool | None = None


class FieldRef(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    field_path: str = ""


class ResourceFieldRef(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    resource: str = ""
    container_name: str | None = None
    divisor: Quantity | None = None


class EnvSource(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    config_map_key_ref: KeyRef | None = None
    secret_key_ref: KeyRef | None = None
    file_key_ref: dict[str, Any] | None = None


class EnvVar(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    value: str | None = None
    value_from: EnvSource | None = None


class ObjectRef(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    optional: bool | None = None


class EnvFrom(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    prefix: str = ""
    config_map_ref: ObjectRef | None = None
    secret_ref: ObjectRef | None = None


class ContainerPort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    container_port: int
    name: str = ""
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class ResourceList(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    requests: dict[str, Quantity] | None = None
    limits: dict[str, Quantity] | None = None
    claims: list[dict[str, Any]] | None = None


class ResizePolicy(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """Whether a container has to be started again for a change of one of its resources."""

    resource_name: str
    restart_policy: str = "NotRequired"


class VolumeMount(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    mount_path: str
    read_only: bool | None = None
    sub_path: str = ""
    sub_path_expr: str = ""
    mount_propagation: str | None = None
    recursive_read_only: str | None = None


class HttpHeader(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    value: str = ""


class ExecAction(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    command: tuple[str, ...] | None = None


class HttpGet(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: IntOrString
    path: str | None = None
    host: str | None = None
    scheme: str | None = None
    http_headers: tuple[HttpHeader, ...] | None = None


class TcpSocket(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: IntOrString
    host: str | None = None


class GrpcAction(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    port: int
    service: str | None = None


class SleepAction(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    seconds: int = 0


class Probe(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: int = 0
    timeout_seconds: int = 1
    period_seconds: int = 10
    success_threshold: int = 1
    failure_threshold: int = 3
    termination_grace_period_seconds: int | None = None


class Handler(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    exec: ExecAction | None = None
    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    sleep: SleepAction | None = None


class Lifecycle(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: str | None = None


class Capabilities(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    add: tuple[str, ...] | None = None
    drop: tuple[str, ...] | None = None


class SeccompProfile(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RuntimeDefault"
    localhost_profile: str | None = None


class AppArmorProfile(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = "RuntimeDefault"
    localhost_profile: str | None = None


class SecurityContext(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A container's; the pod's has more and is `PodSecurityContext`."""

    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    read_only_root_filesystem: bool | None = None
    capabilities: Capabilities | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: dict[str, Any] | None = None
    windows_options: dict[str, Any] | None = None
    proc_mount: str | None = None


class Sysctl(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    value: str


class PodSecurityContext(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    supplemental_groups: tuple[int, ...] | None = None
    supplemental_groups_policy: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: dict[str, Any] | None = None
    windows_options: dict[str, Any] | None = None
    sysctls: tuple[Sysctl, ...] | None = None


class ExitCodes(msgspec.Struct, gc=False, frozen=True):
    operator: str = "In"
    values: tuple[int, ...] | None = None


class RestartRule(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A container that ends with one of these codes is started again, whatever its policy says."""

    action: str
    exit_codes: ExitCodes = ExitCodes()

    def holds(self, exit_code: int) -> bool:
        return (exit_code in (self.exit_codes.values or ())) == (self.exit_codes.operator == "In")


class ContainerSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    image: str = ""
    command: tuple[str, ...] | None = None
    args: tuple[str, ...] | None = None
    working_dir: str = ""
    env: tuple[EnvVar, ...] | None = None
    env_from: tuple[EnvFrom, ...] | None = None
    ports: tuple[ContainerPort, ...] | None = None
    resources: ResourceList = ResourceList()
    resize_policy: tuple[ResizePolicy, ...] | None = None
    volume_mounts: tuple[VolumeMount, ...] | None = None
    volume_devices: list[dict[str, Any]] | None = None
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Lifecycle | None = None
    termination_message_path: str = "/dev/termination-log"
    termination_message_policy: str = "File"
    image_pull_policy: str = ""
    security_context: SecurityContext = SecurityContext()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    restart_policy: str | None = None
    restart_policy_rules: tuple[RestartRule, ...] | None = None
    # Of an ephemeral container: whose processes it sees.
    target_container_name: str = ""

    @property
    def sidecar(self) -> bool:
        """An init container that keeps running beside the ordinary ones."""
        return self.restart_policy == "Always"


class KeyToPath(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    key: str
    path: str
    mode: int | None = None


class EmptyDir(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    medium: str = ""
    size_limit: Quantity | None = None


class HostPath(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    path: str
    type: str | None = None


class ConfigMapVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    items: tuple[KeyToPath, ...] | None = None
    default_mode: int | None = None
    optional: bool | None = None


class SecretVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    secret_name: str = ""
    items: tuple[KeyToPath, ...] | None = None
    default_mode: int | None = None
    optional: bool | None = None


class DownwardFile(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    path: str
    field_ref: FieldRef | None = None
    resource_field_ref: ResourceFieldRef | None = None
    mode: int | None = None


class DownwardVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    items: tuple[DownwardFile, ...] | None = None
    default_mode: int | None = None


class SecretProjection(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    items: tuple[KeyToPath, ...] | None = None
    optional: bool | None = None


class TokenProjection(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    path: str = ""
    audience: str | None = None
    expiration_seconds: int | None = None


class Projection(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    config_map: SecretProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    service_account_token: TokenProjection | None = None
    cluster_trust_bundle: dict[str, Any] | None = None
    pod_certificate: dict[str, Any] | None = None


class ProjectedVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    sources: tuple[Projection, ...] | None = None
    default_mode: int | None = None


class ClaimVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    claim_name: str
    read_only: bool | None = None


class CsiVolume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    driver: str
    read_only: bool | None = None
    fs_type: str | None = None
    volume_attributes: dict[str, str] | None = None
    node_publish_secret_ref: ObjectRef | None = None


class EphemeralVolume(msgspec.Struct, gc=False, frozen=True):
    pass


class Volume(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardVolume | None = msgspec.field(default=None, name="downwardAPI")
    projected: ProjectedVolume | None = None
    persistent_volume_claim: ClaimVolume | None = None
    csi: CsiVolume | None = None
    # Only whether it is there: its claim is made from it elsewhere, and called POD-VOLUME.
    ephemeral: EphemeralVolume | None = None

    def shows(self, kind: str, name: str) -> bool:
        """Whether it has files of a `configmaps` or `secrets` of that name."""
        projected = self.projected.sources or () if self.projected is not None else ()
        if kind == "configmaps":
            maps = (self.config_map, *(each.config_map for each in projected))
            return any(each is not None and each.name == name for each in maps)
        if self.secret is not None and self.secret.secret_name == name:
            return True
        return any(each.secret is not None and each.secret.name == name for each in projected)


class DnsOption(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    name: str = ""
    value: str | None = None


class PodDnsConfig(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    nameservers: tuple[str, ...] | None = None
    searches: tuple[str, ...] | None = None
    options: tuple[DnsOption, ...] | None = None


class HostAlias(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    ip: str
    hostnames: tuple[str, ...] | None = None


class ReadinessGate(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    condition_type: str


class Toleration(msgspec.Struct, gc=False, frozen=True):
    key: str = ""
    effect: str = ""


class PodSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    containers: tuple[ContainerSpec, ...] = ()
    init_containers: tuple[ContainerSpec, ...] | None = None
    ephemeral_containers: tuple[ContainerSpec, ...] | None = None
    volumes: tuple[Volume, ...] | None = None
    node_name: str = ""
    restart_policy: str = "Always"
    termination_grace_period_seconds: int | None = None
    active_deadline_seconds: int | None = None
    dns_policy: str = "ClusterFirst"
    dns_config: PodDnsConfig | None = None
    host_network: bool = False
    host_pid: bool = msgspec.field(default=False, name="hostPID")
    host_ipc: bool = msgspec.field(default=False, name="hostIPC")
    share_process_namespace: bool | None = None
    hostname: str = ""
    hostname_override: str | None = None
    subdomain: str = ""
    set_hostname_as_fqdn: bool | None = msgspec.field(default=None, name="setHostnameAsFQDN")
    host_aliases: tuple[HostAlias, ...] | None = None
    security_context: PodSecurityContext = PodSecurityContext()
    image_pull_secrets: tuple[ObjectRef, ...] | None = None
    enable_service_links: bool | None = None
    readiness_gates: tuple[ReadinessGate, ...] | None = None
    service_account_name: str = ""
    overhead: dict[str, Quantity] | None = None
    runtime_class_name: str = ""
    priority: int | None = None
    tolerations: tuple[Toleration, ...] | None = None
    resources: ResourceList | None = None


class Condition(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str
    status: str
    last_transition_time: str | None = None
    last_probe_time: str | None = None
    reason: str | None = None
    message: str | None = None


class ReportedContainer(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What the API last heard about a container: only what a node takes over after a restart of its own."""

    name: str
    container_id: str = msgspec.field(default="", name="containerID")
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    resources: ResourceList | None = None


class ReportedStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    phase: str = ""
    reason: str | None = None
    message: str | None = None
    start_time: str | None = None
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ReportedContainer, ...] | None = None
    init_container_statuses: tuple[ReportedContainer, ...] | None = None


class Pod(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """A pod as the API server has it."""

    metadata: Meta
    spec: PodSpec
    status: ReportedStatus = ReportedStatus()

    @property
    def inits(self) -> tuple[ContainerSpec, ...]:
        return self.spec.init_containers or ()

    @property
    def ephemerals(self) -> tuple[ContainerSpec, ...]:
        """Containers added later to look into the pod: started once, beside whatever else runs."""
        return self.spec.ephemeral_containers or ()

    @property
    def everything(self) -> tuple[ContainerSpec, ...]:
        """Init and ordinary containers in the order they start."""
        return self.inits + self.spec.containers

    @property
    def grace(self) -> int:
        """Seconds between being asked to stop and being killed, outside a deletion."""
        return 30 if self.spec.termination_grace_period_seconds is None else self.spec.termination_grace_period_seconds

    @property
    def static(self) -> bool:
        """Whether the node runs it of its own accord. Its uid is in its annotations, and nobody else can choose a uid."""
        return (self.metadata.annotations or {}).get(STATIC_HASH) == self.metadata.uid

    @property
    def address(self) -> str:
        """`name_namespace(uid)`: how messages name a pod."""
        return f"{self.metadata.name}_{self.metadata.namespace}({self.metadata.uid})"

    def container(self, name: str) -> ContainerSpec | None:
        return next((container for container in (*self.everything, *self.ephemerals) if container.name == name), None)

    def reported(self, name: str) -> ReportedContainer | None:
        """The last reported status of the container `name`."""
        statuses = (self.status.init_container_statuses or ()) + (self.status.container_statuses or ())
        return next((status for status in statuses if status.name == name), None)


def quiet(pod: Pod) -> bool:
    """Whether the API already calls this pod finished."""
    return pod.status.phase in ("Succeeded", "Failed")
