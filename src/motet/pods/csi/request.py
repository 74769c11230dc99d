"""What a pod wants of a CSI driver, worked out from its volume, the driver's wishes and abilities. All of it pure.

Names and rules are the kubelet's, since drivers and their sidecars count on them: the id of an attachment, the handle of a
volume that a pod brings itself, the words in a volume's context.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from motet.base import quantity
from motet.pods.sources import ClaimView, DriverSpec, SecretReference, VolumeView
from motet.pods.spec import CsiVolume, Pod
from motet.runtime.csi import Access, AccessMode, NodeCapability

_READ_WRITE_ONCE = ("ReadWriteOnce", "ReadWriteOncePod")
_PREFIX = "csi.storage.k8s.io"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One volume for one pod. `name` is the persistent volume's, or the pod's own word for a volume it brings itself.

    `inline` volumes live as long as their pod. `capacity` is a quantity. Secrets are (namespace, name).
    """

    name: str
    driver: str
    handle: str
    inline: bool = False
    block: bool = False
    read_only: bool = False
    fs_type: str = ""
    modes: tuple[str, ...] = ()
    mount_flags: Sequence[str] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    stage_secret: tuple[str, str] | None = None
    publish_secret: tuple[str, str] | None = None
    expand_secret: tuple[str, str] | None = None
    capacity: str = "0"
    claim: str = ""


def persistent(volume: VolumeView, claim: ClaimView, *, read_only: bool) -> Wanted:
    """The volume behind a claim. It must have a CSI source."""
    spec, csi = volume.spec, volume.spec.csi
    if csi is None:
        raise ValueError(f"volume {volume.metadata.name} has no CSI source")
    return Wanted(
        name=volume.metadata.name,
        driver=csi.driver,
        handle=csi.volume_handle,
        block=claim.spec.volume_mode == "Block",
        read_only=read_only,
        fs_type=csi.fs_type,
        modes=spec.access_modes or (),
        mount_flags=spec.mount_options or (),
        context=csi.volume_attributes or {},
        stage_secret=_secret(csi.node_stage_secret_ref),
        publish_secret=_secret(csi.node_publish_secret_ref),
        expand_secret=_secret(csi.node_expand_secret_ref),
        capacity=str((spec.capacity or {}).get("storage", 0)),
        claim=claim.metadata.name,
    )


def inline(pod: Pod, name: str, source: CsiVolume) -> Wanted:
    """The volume `name` that the pod brings itself."""
    meta = pod.metadata
    secret = source.node_publish_secret_ref
    return Wanted(
        name=name,
        driver=source.driver,
        handle=f"csi-{hashlib.sha256(f'{meta.uid}{name}'.encode()).hexdigest()}",
        inline=True,
        read_only=bool(source.read_only),
        fs_type=source.fs_type or "",
        context=source.volume_attributes or {},
        publish_secret=(meta.namespace, secret.name) if secret is not None and secret.name else None,
    )


def _secret(reference: SecretReference | None) -> tuple[str, str] | None:
    return (reference.namespace, reference.name) if reference is not None and reference.name else None


def attachment_name(handle: str, driver: str, node: str) -> str:
    """What the attachment of a volume to a node is called."""
    return f"csi-{hashlib.sha256(f'{handle}{driver}{node}'.encode()).hexdigest()}"


def unique_name(driver: str, handle: str) -> str:
    """What `Node.status.volumesInUse` calls a volume."""
    return f"kubernetes.io/csi/{driver}^{handle}"


def refusal(wanted: Wanted, options: DriverSpec) -> str:
    """Why the driver does not serve such volumes, or an empty string."""
    mode = "Ephemeral" if wanted.inline else "Persistent"
    modes = options.volume_lifecycle_modes or ("Persistent",)
    if mode in modes:
        return ""
    listed = " ".join(f'"{each}"' for each in modes)
    return f'volume mode "{mode}" not supported by driver {wanted.driver} (only supports [{listed}])'


def access(wanted: Wanted, capabilities: Collection[int], fs_group: int | None) -> Access:
    """How the driver is to make the volume available. The first access mode counts, as upstream has it."""
    mode = _mode(wanted.modes[0] if wanted.modes else "", NodeCapability.SINGLE_NODE_MULTI_WRITER in capabilities)
    if wanted.block:
        return Access(mode, block=True)
    by_driver = fs_group is not None and NodeCapability.VOLUME_MOUNT_GROUP in capabilities
    return Access(mode, wanted.fs_type, wanted.mount_flags, str(fs_group) if by_driver else "")


def _mode(mode: str, tells_writers: bool) -> AccessMode:
    match mode:
        case "ReadOnlyMany":
            return AccessMode.MULTI_NODE_READER_ONLY
        case "ReadWriteMany":
            return AccessMode.MULTI_NODE_MULTI_WRITER
        case "ReadWriteOncePod":
            return AccessMode.SINGLE_NODE_SINGLE_WRITER if tells_writers else AccessMode.SINGLE_NODE_WRITER
        case _:
            return AccessMode.SINGLE_NODE_MULTI_WRITER if tells_writers else AccessMode.SINGLE_NODE_WRITER


def owned_by_group(wanted: Wanted, options: DriverSpec, capabilities: Collection[int]) -> bool:
    """Whether the node is to give the mounted files to the pod's fsGroup (`CSIDriver.spec.fsGroupPolicy`)."""
    if wanted.block or wanted.read_only or NodeCapability.VOLUME_MOUNT_GROUP in capabilities:
        return False
    match options.fs_group_policy:
        case "File":
            return True
        case "None":
            return False
        case _:
            once = wanted.inline or any(mode in _READ_WRITE_ONCE for mode in wanted.modes)
            return bool(wanted.fs_type) and once


def pod_info(pod: Pod, *, inline: bool) -> dict[str, str]:
    """What a driver with `podInfoOnMount` is told in the volume's context."""
    meta = pod.metadata
    return {
        f"{_PREFIX}/pod.name": meta.name,
        f"{_PREFIX}/pod.namespace": meta.namespace,
        f"{_PREFIX}/pod.uid": meta.uid,
        f"{_PREFIX}/serviceAccount.name": pod.spec.service_account_name,
        f"{_PREFIX}/ephemeral": "true" if inline else "false",
    }


TOKENS = f"{_PREFIX}/serviceAccount.tokens"


def outgrown(wanted: Wanted, claim: ClaimView, capabilities: Collection[int]) -> bool:
    """Whether the volume is larger than its claim knows, and the driver wants to be told on the node."""
    known = (claim.status.capacity or {}).get("storage")
    if NodeCapability.EXPAND_VOLUME not in capabilities or known is None or wanted.read_only:
        return False
    return quantity.parse(wanted.capacity) > quantity.parse(known)
