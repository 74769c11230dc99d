"""APIServices (apiregistration.k8s.io/v1): which server answers for a group and version, this one or one in the cluster."""

from __future__ import annotations

from motet.base import names
from motet.base.errors import FieldError, invalid, required
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, column
from motet.kinds.kind import Json, Kind
from motet.kinds.shape import mapping, number, objects, text

GROUP = "apiregistration.k8s.io"
AVAILABLE = "Available"
DEFAULT_PORT = 443
# On those that this server registers itself: `true` are kept as they were made, `onstart` may be changed.
AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
_HIGHEST_GROUP, _HIGHEST_VERSION = 20_000, 1_000
# Whoever gave these away could not take them back.
_OURS = ("", GROUP)


def name_of(group: str, version: str) -> str:
    """`v1.apps`; `v1.` for the core group."""
    return f"{version}.{group}"


def default(document: Json) -> None:
    service = mapping(document, "spec").get("service")
    if isinstance(service, dict) and service.get("port") is None:
        service["port"] = DEFAULT_PORT


def prepare_create(document: Json) -> None:
    document["status"] = {}


def validate(document: Json, old: Json | None) -> list[FieldError]:
    spec, name = mapping(document, "spec"), text(document, "metadata", "name")
    group, version = text(spec, "group"), text(spec, "version")
    errors: list[FieldError] = []
    if name != name_of(group, version):
        wanted = name_of(group, version)
        errors.append(invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: "{wanted}"'))
    if group:
        errors += checks.named("spec.group", group, names.subdomain_error)
    elif version != "v1":
        errors.append(required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    errors += checks.named("spec.version", version, names.label_1035_error)
    errors += _priority("spec.groupPriorityMinimum", number(spec, "groupPriorityMinimum"), _HIGHEST_GROUP)
    errors += _priority("spec.versionPriority", number(spec, "versionPriority"), _HIGHEST_VERSION)
    return [*errors, *(_remote(spec, group) if spec.get("service") is not None else _local(spec))]


def _priority(path: str, value: int, highest: int) -> list[FieldError]:
    if 0 < value <= highest:
        return []
    return [invalid(path, value, f"must be positive and less than {highest}")]


def _local(spec: Json) -> list[FieldError]:
    errors = []
    if text(spec, "caBundle"):
        errors.append(invalid("spec.caBundle", "<bytes>", "local APIServices may not have a caBundle"))
    if spec.get("insecureSkipTLSVerify"):
        detail = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(invalid("spec.insecureSkipTLSVerify", True, detail))
    return errors


def _remote(spec: Json, group: str) -> list[FieldError]:
    service = mapping(spec, "service")
    errors = []
    if group in _OURS:
        shown = group or "the core group"
        errors.append(invalid("spec.service", text(service, "name"), f"{shown} is always answered by this server"))
    errors += [required(f"spec.service.{part}") for part in ("namespace", "name") if not text(service, part)]
    port = service.get("port", DEFAULT_PORT)
    if not 1 <= int(port) <= 65535:
        errors.append(invalid("spec.service.port", port, f"port is not valid: {checks.PORT_RANGE}"))
    if spec.get("insecureSkipTLSVerify") and text(spec, "caBundle"):
        errors.append(invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errors


def _service(document: Json) -> str:
    service = mapping(document, "spec").get("service")
    return f"{text(service, 'namespace')}/{text(service, 'name')}" if isinstance(service, dict) else "Local"


def _available(document: Json) -> str:
    found = (each for each in objects(document, "status", "conditions") if each.get("type") == AVAILABLE)
    told = next(found, None)
    if told is None:
        return "Unknown"
    status, reason = text(told, "status"), text(told, "reason")
    return status if status == "True" or not reason else f"{status} ({reason})"


KIND = Kind(
    group=GROUP,
    version="v1",
    kind="APIService",
    plural="apiservices",
    singular="apiservice",
    categories=("api-extensions",),
    namespaced=False,
    schema="io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService",
    default=default,
    prepare_create=prepare_create,
    validate=validate,
    name_error=names.segment_error,
    any_finalizers=True,
    status=True,
    columns=(
        NAME,
        column("Service", _service, about="Who answers: Local, or the Service of another server."),
        column("Available", _available, about="Whether it answers."),
        AGE,
    ),
)
