"""A ServiceSpec and an App, both ways. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from motet.dialects.docker import constraints, containerspec, extras, objects
from motet.dialects.docker.containerspec import TASK
from motet.dialects.docker.errors import bad, unsupported
from motet.dialects.docker.fields import Fields, is_zero
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import app as app_kind
from motet.store.document import Document

Json = dict[str, Any]

# On an App: its EndpointSpec; and the whole ServiceSpec before the last change.
ENDPOINT = "docker.motet.dev/endpoint"
PREVIOUS = "docker.motet.dev/previous"

_NANOSECONDS = 1_000_000_000
_MODES = {
    "Replicated": app_kind.REPLICATED,
    "Global": app_kind.GLOBAL,
    "ReplicatedJob": app_kind.REPLICATED_JOB,
    "GlobalJob": app_kind.GLOBAL_JOB,
}
_OF_THE_APP = ("Placement", "RestartPolicy", "ForceUpdate")
_ISOLATION = "default"


def app_document(spec: Fields, namespace: str, around: Surroundings, nodes: Mapping[str, str]) -> Json:
    """The App of a ServiceSpec. `nodes`: names by identifiers and addresses. Raises DockerError for what cannot be honoured."""
    name = spec.text("Name")
    labels = spec.map("Labels")
    metadata = objects.metadata(name, labels, namespace, "service")
    task = spec.fields("TaskTemplate")
    mode, counts = _mode(spec.fields("Mode"))
    around.everywhere = mode in (app_kind.GLOBAL, app_kind.GLOBAL_JOB)
    # The older place for networks, which still counts when the newer is empty.
    if spec.raw("Networks") is not None and task.raw("Networks") is None:
        task = Fields({**task.items, "Networks": spec.items["Networks"]}, task.path)
    spec.ignore("Networks")
    endpoint = spec.fields("EndpointSpec")
    around.host_ports = tuple(_host_ports(endpoint))
    template = containerspec.pod_template(task, around)
    template["metadata"]["annotations"][TASK] = _encoded(_said(task.items))
    made: Json = {"mode": {mode: counts}, "template": template, "restart": _restart(task.fields("RestartPolicy"), mode)}
    extras.add(labels, Fields(task.items.get("ContainerSpec"), "ContainerSpec").map("Labels"), made)
    if "autoscale" in made and not spec.fields("Mode").fields("Replicated").given("Replicas"):
        # What the autoscaler has set stays.
        del counts["replicas"]
    if placement := _placement(task.fields("Placement"), template["spec"], nodes):
        made["placement"] = placement
    if force := task.natural("ForceUpdate"):
        made["forceUpdate"] = force
    if containerspec.has_placeholders(task.items):
        made["expandTemplates"] = True
    if hostname := containerspec.hostname_template(task.items):
        made["hostnameTemplate"] = hostname
    for member, key in (("UpdateConfig", "update"), ("RollbackConfig", "rollback")):
        given = spec.given(member)
        policy = _update(spec.fields(member), rollback=key == "rollback")
        if given and mode not in app_kind.JOBS:
            made[key] = policy
    task.finish()
    spec.finish()
    if endpoint.items:
        metadata["annotations"][ENDPOINT] = _encoded(endpoint.items)
    return {
        "apiVersion": app_kind.KIND.api_version,
        "kind": app_kind.KIND.kind,
        "metadata": metadata,
        "spec": made,
    }


def _said(task: Mapping[str, Any]) -> Json:
    """What a TaskTemplate says beyond what is shown of every one.

    A client that asks for a service, changes its replicas and sends it back means the same tasks: they must stay.
    """
    found = {key: value for key, value in task.items() if key not in _OF_THE_APP and value is not None}
    found.pop("Runtime", None)
    if is_zero(found.get("Resources")):
        found.pop("Resources", None)
    if isinstance(container := found.get("ContainerSpec"), Mapping) and container.get("Isolation") == _ISOLATION:
        found["ContainerSpec"] = {key: value for key, value in container.items() if key != "Isolation"}
    return found


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _mode(given: Fields) -> tuple[str, Json]:
    chosen = [name for name in _MODES if given.given(name)]
    if len(chosen) > 1:
        raise bad(f"Mode: more than one: {', '.join(chosen)}")
    name = chosen[0] if chosen else "Replicated"
    inner = given.fields(name)
    counts: Json = {}
    if name == "Replicated":
        counts["replicas"] = inner.natural("Replicas", 0 if inner.given("Replicas") else 1)
    elif name == "ReplicatedJob":
        most, total = inner.natural("MaxConcurrent"), inner.natural("TotalCompletions")
        if most:
            counts["maxConcurrent"] = most
        if total or inner.given("TotalCompletions"):
            counts["totalCompletions"] = total
    inner.finish()
    given.finish()
    return _MODES[name], counts


def _restart(policy: Fields, mode: str) -> Json:
    job = mode in app_kind.JOBS
    condition = policy.choice("Condition", ("none", "on-failure", "any"), "on-failure" if job else "any")
    if job and condition == "any":
        raise bad("rpc error: code = InvalidArgument desc = RestartPolicy: any is not for jobs, use on-failure or none")
    found: Json = {"condition": condition}
    found["delaySeconds"] = _seconds(policy, "Delay") if policy.given("Delay") else 5
    if attempts := policy.natural("MaxAttempts"):
        found["maxAttempts"] = attempts
    if window := _seconds(policy, "Window"):
        found["windowSeconds"] = window
    policy.finish()
    return found


def _seconds(fields: Fields, name: str) -> float:
    value = fields.natural(name) / _NANOSECONDS
    return int(value) if value.is_integer() else value


def _placement(placement: Fields, pod: Json, nodes: Mapping[str, str]) -> Json:
    found: Json = {}
    path = placement.at("Constraints")
    if asked := [_constraint(each, nodes, path) for each in placement.texts("Constraints")]:
        found["constraints"] = asked
    preferences = []
    for each in placement.each("Preferences"):
        spread = each.fields("Spread")
        preferences.append({"spread": spread.text("SpreadDescriptor")})
        spread.finish()
        each.finish()
    if preferences:
        found["preferences"] = preferences
    if most := placement.natural("MaxReplicas"):
        found["maxReplicasPerNode"] = most
    platforms = [_platform(each) for each in placement.each("Platforms")]
    terms = [term for term in platforms if term]
    if terms and len(terms) == len(platforms):
        required = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
        pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    placement.finish()
    return found


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


def _platform(platform: Fields) -> list[Json]:
    """What a node must be labelled with to run images of a platform."""
    architecture, system = platform.text("Architecture"), platform.text("OS")
    platform.finish()
    wanted = {"kubernetes.io/arch": _ARCHITECTURES.get(architecture, architecture), "kubernetes.io/os": system}
    return [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items() if value]


def _constraint(text: str, nodes: Mapping[str, str], path: str) -> str:
    if text.strip().startswith("engine.labels."):
        raise unsupported(f"{path} {text!r}", "label the nodes (docker node update --label-add) and use node.labels")
    try:
        return constraints.by_name(text, nodes)
    except ValueError as error:
        raise unsupported(f"{path} {text!r}", str(error)) from error
    except LookupError as error:
        raise bad(f"{path}: {error.args[0]}") from error


def _update(config: Fields, *, rollback: bool) -> Json:
    found: Json = {
        "parallelism": config.natural("Parallelism"),
        "delaySeconds": _seconds(config, "Delay"),
        "order": config.choice("Order", app_kind.ORDERS, "stop-first"),
        "failureAction": config.choice(
            "FailureAction", ("pause", "continue") if rollback else ("pause", "continue", "rollback"), "pause"
        ),
        "monitorSeconds": _seconds(config, "Monitor") or 5,
        "maxFailureRatio": config.ratio("MaxFailureRatio"),
    }
    config.finish()
    return found


def _host_ports(endpoint: Fields) -> list[Json]:
    """Ports that each task takes on its own node; the others are `endpoints`' business."""
    found = []
    for port in endpoint.each("Ports"):
        if port.text("PublishMode", "ingress") != "host":
            continue
        target, published = port.natural("TargetPort"), port.natural("PublishedPort")
        if not published:
            raise unsupported(port.at("PublishedPort"), "with mode=host, name the port")
        found.append({"containerPort": target, "hostPort": published, "protocol": port.text("Protocol", "tcp").upper()})
    return found


# --- and back ---------------------------------------------------------------------------------------------------------


def task_of(template: Mapping[str, Any]) -> Json:
    """The TaskTemplate that a pod template was made of; empty when it was made by others."""
    text = ((template.get("metadata") or {}).get("annotations") or {}).get(TASK)
    try:
        return msgspec.json.decode(text, type=dict[str, Any]) if text else {}
    except msgspec.MsgspecError:
        return {}


def is_ours(app: Document) -> bool:
    """Whether all of the App can be said in Docker's words."""
    return bool(task_of(app.decode()["spec"].get("template") or {}))


def service_spec(app: Document) -> Json:
    """The ServiceSpec of an App, whoever made or changed it."""
    document = app.decode()
    spec = document["spec"]
    found: Json = {
        "Name": objects.name_of(app.meta),
        "Labels": extras.shown(objects.labels_of(app.meta), spec),
        "TaskTemplate": task_template(spec),
        "Mode": _shown_mode(spec.get("mode") or {}),
    }
    for member, key in (("UpdateConfig", "update"), ("RollbackConfig", "rollback")):
        if isinstance(spec.get(key), dict):
            found[member] = _shown_update(spec[key])
    found["EndpointSpec"] = endpoint_of(app)
    return found


def endpoint_of(app: Document) -> Json:
    text = (app.meta.annotations or {}).get(ENDPOINT)
    return {"Mode": "vip", **(msgspec.json.decode(text, type=dict[str, Any]) if text else {})}


def previous_of(app: Document) -> Json | None:
    """The ServiceSpec before the last change."""
    text = (app.meta.annotations or {}).get(PREVIOUS)
    return msgspec.json.decode(text, type=dict[str, Any]) if text else None


def task_template(spec: Mapping[str, Any]) -> Json:
    """The TaskTemplate of an App's spec."""
    template = spec.get("template") or {}
    task = task_of(template)
    found: Json = {
        **task,
        "ContainerSpec": containerspec.shown(template, task),
        "Placement": _shown_placement(spec.get("placement") or {}),
        "ForceUpdate": int(spec.get("forceUpdate") or 0),
        "Runtime": "container",
    }
    if isinstance(spec.get("restart"), dict):
        found["RestartPolicy"] = _shown_restart(spec["restart"])
    found.setdefault("Resources", {"Limits": {}, "Reservations": {}})
    return found


def _shown_mode(mode: Mapping[str, Any]) -> Json:
    for name, key in _MODES.items():
        counts = mode.get(key)
        if not isinstance(counts, dict):
            continue
        match name:
            case "Replicated":
                return {name: {"Replicas": counts.get("replicas", 1)}}
            case "ReplicatedJob":
                return {
                    name: {
                        "MaxConcurrent": counts.get("maxConcurrent", 1),
                        "TotalCompletions": counts.get("totalCompletions", 1),
                    }
                }
        return {name: {}}
    return {"Replicated": {"Replicas": 1}}


def _nanoseconds(seconds: Any) -> int:
    return round(float(seconds or 0) * _NANOSECONDS)


def _shown_restart(policy: Mapping[str, Any]) -> Json:
    return {
        "Condition": policy.get("condition", "any"),
        "Delay": _nanoseconds(policy.get("delaySeconds", 5)),
        "MaxAttempts": policy.get("maxAttempts", 0),
        **({"Window": _nanoseconds(policy["windowSeconds"])} if policy.get("windowSeconds") else {}),
    }


def _shown_update(policy: Mapping[str, Any]) -> Json:
    return {
        "Parallelism": policy.get("parallelism", 1),
        **({"Delay": _nanoseconds(policy["delaySeconds"])} if policy.get("delaySeconds") else {}),
        "FailureAction": policy.get("failureAction", "pause"),
        "Monitor": _nanoseconds(policy.get("monitorSeconds", 5)),
        "MaxFailureRatio": policy.get("maxFailureRatio", 0),
        "Order": policy.get("order", "stop-first"),
    }


def _shown_placement(placement: Mapping[str, Any]) -> Json:
    found: Json = {}
    if placement.get("constraints"):
        found["Constraints"] = list(placement["constraints"])
    if placement.get("preferences"):
        found["Preferences"] = [{"Spread": {"SpreadDescriptor": each["spread"]}} for each in placement["preferences"]]
    if placement.get("maxReplicasPerNode"):
        found["MaxReplicas"] = placement["maxReplicasPerNode"]
    return found


def is_job(spec: Mapping[str, Any]) -> bool:
    """Whether an App's spec is a job's."""
    return any(isinstance((spec.get("mode") or {}).get(name), dict) for name in app_kind.JOBS)


def without_zeros(value: Any) -> Any:
    """What a ServiceSpec says, without the members that say nothing: clients leave them out or not as they like."""
    if isinstance(value, Mapping):
        found = {key: without_zeros(each) for key, each in value.items()}
        return {key: each for key, each in found.items() if not is_zero(each)}
    if isinstance(value, list):
        return [without_zeros(each) for each in value]
    return value
