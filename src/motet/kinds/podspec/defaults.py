"""Defaults of a pod specification (upstream: core/v1 defaulting)."""

from __future__ import annotations

from motet.kinds.kind import Json
from motet.kinds.shape import each, fill_absent, fill_empty, made, mapping, objects, text

_FILE_MODE = 0o644


def default_template(template: Json) -> None:
    """Fill a PodTemplateSpec."""
    made(template, "metadata")
    default_spec(made(template, "spec"))


def default_spec(spec: Json) -> None:
    """Fill what both pods and templates get. Pods get more: `default_pod_only`."""
    fill_empty(spec, "restartPolicy", "Always")
    fill_absent(spec, "terminationGracePeriodSeconds", 30)
    fill_empty(spec, "dnsPolicy", "ClusterFirst")
    fill_absent(spec, "securityContext", {})
    fill_empty(spec, "schedulerName", "default-scheduler")
    # The older name of the field is kept equal to the newer one, for clients that still read it.
    if account := text(spec, "serviceAccountName") or text(spec, "serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for key in ("initContainers", "containers", "ephemeralContainers"):
        each(spec, key, _default_container)
    each(spec, "volumes", _default_volume)


def default_pod_only(spec: Json) -> None:
    """Fill what only a Pod gets, not a template."""
    fill_absent(spec, "enableServiceLinks", True)
    for key in ("initContainers", "containers"):
        for container in objects(spec, key):
            _requests_from_limits(container)
            if spec.get("hostNetwork") is True:
                for port in objects(container, "ports"):
                    fill_empty(port, "hostPort", port.get("containerPort"))


def pull_policy(image: str) -> str:
    """Always for `latest` (said or meant), IfNotPresent for any other tag and for digests."""
    if "@" in image:
        return "IfNotPresent"
    _, colon, tag = image.rpartition("/")[2].partition(":")
    return "Always" if not colon or tag == "latest" else "IfNotPresent"


def _default_container(container: Json) -> None:
    fill_absent(container, "resources", {})
    fill_empty(container, "terminationMessagePath", "/dev/termination-log")
    fill_empty(container, "terminationMessagePolicy", "File")
    fill_empty(container, "imagePullPolicy", pull_policy(text(container, "image")))
    for port in objects(container, "ports"):
        fill_empty(port, "protocol", "TCP")
    for variable in objects(container, "env"):
        if reference := mapping(variable, "valueFrom", "fieldRef"):
            fill_empty(reference, "apiVersion", "v1")
        if reference := mapping(variable, "valueFrom", "resourceFieldRef"):
            fill_empty(reference, "divisor", "0")
        if reference := mapping(variable, "valueFrom", "fileKeyRef"):
            fill_absent(reference, "optional", False)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(probe), dict):
            _default_probe(container[probe])
    for hook in ("postStart", "preStop"):
        _default_http_get(mapping(container, "lifecycle", hook))


def _default_probe(probe: Json) -> None:
    fill_empty(probe, "timeoutSeconds", 1)
    fill_empty(probe, "periodSeconds", 10)
    fill_empty(probe, "successThreshold", 1)
    fill_empty(probe, "failureThreshold", 3)
    _default_http_get(probe)
    if isinstance(probe.get("grpc"), dict):
        fill_absent(probe["grpc"], "service", "")


def _default_http_get(handler: Json) -> None:
    action = handler.get("httpGet")
    if isinstance(action, dict):
        fill_empty(action, "path", "/")
        fill_empty(action, "scheme", "HTTP")


def _requests_from_limits(container: Json) -> None:
    limits = mapping(container, "resources", "limits")
    if limits:
        requests = made(container, "resources", "requests")
        for name, quantity in limits.items():
            requests.setdefault(name, quantity)


def _default_volume(volume: Json) -> None:
    if not any(key != "name" and source is not None for key, source in volume.items()):
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if isinstance(volume.get(kind), dict):
            fill_absent(volume[kind], "defaultMode", _FILE_MODE)
    if isinstance(volume.get("hostPath"), dict):
        fill_absent(volume["hostPath"], "type", "")
    if isinstance(volume.get("image"), dict):
        fill_empty(volume["image"], "pullPolicy", pull_policy(text(volume["image"], "reference")))
    _default_downward(mapping(volume, "downwardAPI"))
    for source in objects(volume, "projected", "sources"):
        if isinstance(source.get("serviceAccountToken"), dict):
            fill_absent(source["serviceAccountToken"], "expirationSeconds", 3600)
        _default_downward(mapping(source, "downwardAPI"))
    _default_remote(volume)
    if isinstance(template := mapping(volume, "ephemeral", "volumeClaimTemplate").get("spec"), dict):
        fill_absent(template, "volumeMode", "Filesystem")


def _default_downward(source: Json) -> None:
    for item in objects(source, "items"):
        if reference := mapping(item, "fieldRef"):
            fill_empty(reference, "apiVersion", "v1")
        if reference := mapping(item, "resourceFieldRef"):
            fill_empty(reference, "divisor", "0")


def _default_remote(volume: Json) -> None:
    """Network volumes whose defaults show in `kubectl get -o yaml`, accepted here and refused by nodes that lack them."""
    if isinstance(iscsi := volume.get("iscsi"), dict):
        fill_empty(iscsi, "iscsiInterface", "default")
    if isinstance(rbd := volume.get("rbd"), dict):
        for key, value in (("pool", "rbd"), ("user", "admin"), ("keyring", "/etc/ceph/keyring")):
            fill_empty(rbd, key, value)
    if isinstance(azure := volume.get("azureDisk"), dict):
        for key, value in (("cachingMode", "ReadWrite"), ("fsType", "ext4"), ("kind", "Shared")):
            fill_absent(azure, key, value)
        fill_absent(azure, "readOnly", False)
    if isinstance(scale := volume.get("scaleIO"), dict):
        for key, value in (("storageMode", "ThinProvisioned"), ("fsType", "xfs")):
            fill_empty(scale, key, value)
