"""Fields of a pod that this node cannot honour. A pod that uses one is not started, and its status names the field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SELINUX = Path("/sys/fs/selinux/enforce")
APPARMOR = Path("/sys/kernel/security/apparmor/profiles")
_VOLUMES = frozenset(
    [
        "name",
        "emptyDir",
        "hostPath",
        "configMap",
        "secret",
        "downwardAPI",
        "projected",
        "persistentVolumeClaim",
        "csi",
        "ephemeral",
    ]
)


_PROJECTED = frozenset(["configMap", "secret", "downwardAPI", "serviceAccountToken"])


def find(document: Mapping[str, Any]) -> str:
    """An empty string, or one sentence that names every unsupported field of this decoded Pod."""
    fields = sorted(set(_walk(document.get("spec") or {})))
    return f"not supported by this node yet: {', '.join(fields)}" if fields else ""


def find_ephemeral(document: Mapping[str, Any], name: str) -> str:
    """The same for one ephemeral container, which may have come long after the rest of the pod."""
    found = (document.get("spec") or {}).get("ephemeralContainers") or ()
    fields = [
        field
        for index, container in enumerate(found)
        if container["name"] == name
        for field in _container(container, f"spec.ephemeralContainers[{index}]")
    ]
    return f"not supported by this node yet: {', '.join(sorted(set(fields)))}" if fields else ""


def _walk(spec: Mapping[str, Any]) -> Iterator[str]:
    if spec.get("hostUsers") is False:
        yield "spec.hostUsers=false"
    for name in ("resourceClaims", "schedulingGroup", "evictionResponders"):
        if spec.get(name):
            yield f"spec.{name}"
    if (spec.get("os") or {}).get("name", "linux") != "linux":
        yield "spec.os.name (only linux)"
    yield from _security(spec.get("securityContext") or {}, "spec.securityContext")
    for index, volume in enumerate(spec.get("volumes") or ()):
        for name in sorted(set(volume) - _VOLUMES):
            yield f"spec.volumes[{index}].{name}"
        yield from _volume(volume, f"spec.volumes[{index}]")
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"spec.{kind}[{index}]")


def _volume(volume: Mapping[str, Any], path: str) -> Iterator[str]:
    medium = (volume.get("emptyDir") or {}).get("medium", "")
    if medium not in ("", "Memory"):
        yield f"{path}.emptyDir.medium={medium}"
    if (volume.get("emptyDir") or {}).get("mode") is not None:
        yield f"{path}.emptyDir.mode"
    for index, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
        for name in sorted(set(source) - _PROJECTED):
            yield f"{path}.projected.sources[{index}].{name}"
        for name in _PROJECTED & source.keys():
            yield from _owners(source[name] or {}, f"{path}.projected.sources[{index}].{name}")
    for name in ("configMap", "secret", "downwardAPI", "projected"):
        yield from _owners(volume.get(name) or {}, f"{path}.{name}")


def _owners(files: Mapping[str, Any], path: str) -> Iterator[str]:
    """Users that files were to belong to: here they are root's, and readable by the pod's fsGroup."""
    for name in ("defaultUser", "user"):
        if files.get(name) is not None:
            yield f"{path}.{name}"
    for index, item in enumerate(files.get("items") or ()):
        if item.get("user") is not None:
            yield f"{path}.items[{index}].user"


def _container(container: Mapping[str, Any], path: str) -> Iterator[str]:
    for index, rule in enumerate(container.get("restartPolicyRules") or ()):
        if rule.get("action") != "Restart":
            yield f"{path}.restartPolicyRules[{index}].action={rule.get('action')}"
    if (container.get("resources") or {}).get("claims"):
        yield f"{path}.resources.claims"
    for resource in sorted((container.get("resources") or {}).get("limits") or {}):
        # Others with a slash are counted by the scheduler and nothing to the node.
        if resource.startswith("hugepages-"):
            yield f"{path}.resources.limits[{resource}]"
    for index, variable in enumerate(container.get("env") or ()):
        if (variable.get("valueFrom") or {}).get("fileKeyRef"):
            yield f"{path}.env[{index}].valueFrom.fileKeyRef"
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("recursiveReadOnly") == "Enabled":
            yield f"{path}.volumeMounts[{index}].recursiveReadOnly=Enabled"
        if mount.get("bindMountOptions"):
            yield f"{path}.volumeMounts[{index}].bindMountOptions"
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _handler(container.get(name) or {}, f"{path}.{name}")
    for name in ("postStart", "preStop"):
        yield from _handler((container.get("lifecycle") or {}).get(name) or {}, f"{path}.lifecycle.{name}")
    yield from _security(container.get("securityContext") or {}, f"{path}.securityContext")


def _handler(handler: Mapping[str, Any], path: str) -> Iterator[str]:
    if protocol := (handler.get("httpGet") or {}).get("protocol"):
        yield f"{path}.httpGet.protocol={protocol}"
    if (mode := (handler.get("grpc") or {}).get("mode", "Plaintext")) != "Plaintext":
        yield f"{path}.grpc.mode={mode}"


def _security(context: Mapping[str, Any], path: str) -> Iterator[str]:
    if context.get("windowsOptions"):
        yield f"{path}.windowsOptions"
    # Without SELinux they mean nothing, there as here; where it is, containers would run without their label.
    if context.get("seLinuxOptions") and SELINUX.exists():
        yield f"{path}.seLinuxOptions"
    # The others come to the same where there is no AppArmor.
    if (context.get("appArmorProfile") or {}).get("type") == "Localhost" and not APPARMOR.exists():
        yield f"{path}.appArmorProfile.type=Localhost"
    if context.get("supplementalGroupsPolicy") == "Strict":
        yield f"{path}.supplementalGroupsPolicy=Strict"
