"""Pods and what stamps them out, held against the labels of their namespace (Kubernetes "Pod Security Admission").

`enforce` refuses pods; `warn` tells their author, and the author of a template; `audit` leaves a note. Labels that say nothing
known are refused where they are written.
"""

from __future__ import annotations

import re
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any

import msgspec

from motet.api.admission import Lookup, Plugin, Request, refusal
from motet.api.deletion import NAMESPACES
from motet.api.podsecurity.spec import Forbidden, Pod
from motet.api.podsecurity.standards import LATEST, LEVELS, PRIVILEGED, Policy, evaluate, told
from motet.base.errors import FieldError, invalid, invalid_object
from motet.kinds.kind import Json
from motet.kinds.shape import mapping
from motet.store.document import Document

PREFIX = "pod-security.kubernetes.io/"
_MODES = ("enforce", "audit", "warn")
_VERSION = re.compile(r"v1\.(0|[1-9]\d{0,2})")
_PODS = "core/pods"
# Where each kind keeps the pods it makes.
_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "core/podtemplates": ("template",),
    "core/replicationcontrollers": ("spec", "template"),
    "apps/replicasets": ("spec", "template"),
    "apps/deployments": ("spec", "template"),
    "apps/statefulsets": ("spec", "template"),
    "apps/daemonsets": ("spec", "template"),
    "batch/jobs": ("spec", "template"),
    "batch/cronjobs": ("spec", "jobTemplate", "spec", "template"),
    "motet.dev/apps": ("spec", "template"),
}
# Upstream's bounds on looking at pods that are there already.
_MOST_PODS = 3000
_SECONDS = 1.0
_REMEMBERED = 512
_remembered: OrderedDict[tuple[Policy, bytes], list[Forbidden]] = OrderedDict()


def policies(labels: Mapping[str, str] | None) -> dict[str, Policy]:
    """What a namespace's labels say in each mode; what cannot be understood is strict, as upstream has it."""
    found = {}
    for mode in _MODES:
        level = (labels or {}).get(PREFIX + mode, PRIVILEGED)
        version = (labels or {}).get(f"{PREFIX}{mode}-version", LATEST)
        known = level if level in LEVELS else LEVELS[-1] if mode == "enforce" else PRIVILEGED
        found[mode] = Policy(known, version if version == LATEST or _VERSION.fullmatch(version) else LATEST)
    return found


def label_errors(labels: Mapping[str, Any]) -> list[FieldError]:
    """What is wrong with a namespace's labels."""
    errors = []
    for mode in _MODES:
        level, version = labels.get(PREFIX + mode), labels.get(f"{PREFIX}{mode}-version")
        if level is not None and level not in LEVELS:
            detail = f"must be one of {', '.join(LEVELS)}"
            errors.append(invalid(f"metadata.labels[{PREFIX}{mode}]", level, detail))
        if version is not None and version != LATEST and not _VERSION.fullmatch(str(version)):
            detail = 'must be "latest" or "v1.x"'
            errors.append(invalid(f"metadata.labels[{PREFIX}{mode}-version]", version, detail))
    return errors


def check_pod(request: Request) -> None:
    """Raises Forbidden with all that the namespace forbids."""
    found = _policies(request)
    if found is None or not _significant(request):
        return
    pod = _pod(request.new or {})
    enforced = found["enforce"]
    request.annotations[f"{PREFIX}enforce-policy"] = str(enforced)
    if problems := _evaluate(enforced, pod):
        raise refusal(request, f'violates PodSecurity "{enforced}": {told(problems)}')
    _tell(request, found, pod)


def check_template(request: Request) -> None:
    """Tells, but does not refuse: the pods will be asked about when they come."""
    found = _policies(request)
    template = mapping(request.new or {}, *_TEMPLATES[request.kind.resource])
    if found is None or not template or template == mapping(request.old or {}, *_TEMPLATES[request.kind.resource]):
        return
    _tell(request, found, _pod(template))


def _tell(request: Request, found: Mapping[str, Policy], pod: Pod) -> None:
    if problems := _evaluate(found["audit"], pod):
        request.annotations[f"{PREFIX}audit-violations"] = _would(found["audit"], problems)
    if problems := _evaluate(found["warn"], pod):
        request.warnings.append(_would(found["warn"], problems))


def _would(policy: Policy, problems: list[Forbidden]) -> str:
    return f'would violate PodSecurity "{policy}": {told(problems)}'


def _policies(request: Request) -> Mapping[str, Policy] | None:
    """None where nothing is forbidden, which is most namespaces."""
    namespace = request.lookup(NAMESPACES).get(request.namespace)
    labels = namespace.meta.labels if namespace is not None else None
    if not labels or not any(PREFIX + mode in labels for mode in _MODES):
        return None
    return policies(labels)


def _significant(request: Request) -> bool:
    """Whether an update brings containers or images that were not there."""
    if request.verb == "CREATE":
        return True
    return _running(request.new) != _running(request.old)


def _running(document: Json | None) -> list[list[tuple[Any, Any]]]:
    spec = mapping(document or {}, "spec")
    return [
        [(each.get("name"), each.get("image")) for each in spec.get(kind) or ()]
        for kind in ("initContainers", "containers", "ephemeralContainers")
    ]


def _pod(document: Json) -> Pod:
    spec = document.get("spec")
    if isinstance(spec, msgspec.Raw):
        spec = msgspec.json.decode(spec)
    return Pod(spec if isinstance(spec, dict) else {}, mapping(document, "metadata", "annotations"))


def _evaluate(policy: Policy, pod: Pod) -> list[Forbidden]:
    if policy.level == PRIVILEGED:
        return []
    # Pods of one template are judged once.
    key = (policy, msgspec.json.encode((pod.spec, pod.annotations)))
    known = _remembered.get(key)
    if known is None:
        known = _remembered[key] = evaluate(policy, pod)
        if len(_remembered) > _REMEMBERED:
            _remembered.popitem(last=False)
    return known


def check_namespace(request: Request) -> None:
    """Raises Invalid for labels that say nothing known; tells which pods a new level would not have let in."""
    labels = mapping(request.new or {}, "metadata", "labels")
    before = mapping(request.old or {}, "metadata", "labels")
    errors = label_errors(labels)
    if errors and (request.old is None or errors != label_errors(before)):
        raise invalid_object("", request.kind.kind, request.name, errors)
    policy = policies(labels)["enforce"]
    if request.old is not None and policy != policies(before)["enforce"] and policy.level != PRIVILEGED:
        request.warnings.extend(_existing(request.lookup, request.name, policy))


def _existing(lookup: Lookup, namespace: str, policy: Policy) -> list[str]:
    broken: Counter[str] = Counter()
    first: dict[str, str] = {}
    until = time.monotonic() + _SECONDS
    pods: list[Document] = lookup(_PODS).select(namespace)
    for number, document in enumerate(pods):
        if number >= _MOST_PODS or time.monotonic() > until:
            break
        if problems := evaluate(policy, _pod(document.decode())):
            reasons = ", ".join(each.reason for each in problems)
            first.setdefault(reasons, document.name)
            broken[reasons] += 1
    if not broken:
        return []
    told_of = [f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{policy}"']
    for reasons, name in sorted(first.items(), key=lambda each: each[1]):
        others = broken[reasons] - 1
        more = f" (and {others} other pod{'s' if others > 1 else ''})" if others else ""
        told_of.append(f"{name}{more}: {reasons}")
    return told_of


POD_SECURITY = (
    Plugin("PodSecurity", check_pod, resources=(_PODS,), verbs=("CREATE",), template_safe=True),
    Plugin("PodSecurity", check_pod, resources=(_PODS,), verbs=("UPDATE",), subresources=True, template_safe=True),
    Plugin("PodSecurity", check_template, resources=tuple(_TEMPLATES)),
    Plugin("PodSecurity", check_namespace, resources=(NAMESPACES,)),
)
