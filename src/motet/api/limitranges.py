"""What a namespace's LimitRanges give to pods that say nothing, and what they refuse (Kubernetes admission plugin LimitRanger)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction

import msgspec

from motet.api.admission import Lookup, Plugin, Request, refusal
from motet.base import quantity
from motet.kinds import limitrange
from motet.kinds.kind import Json
from motet.kinds.limitrange import CLAIM, CONTAINER, POD
from motet.kinds.shape import made, mapping, objects, text

Amount = str | int | float
Amounts = Mapping[str, Amount]
_LIMITS = limitrange.KIND.resource
_NOTE = "kubernetes.io/limit-ranger"


class Limit(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    type: str = ""
    max: dict[str, Amount] = {}
    min: dict[str, Amount] = {}
    default: dict[str, Amount] = {}
    default_request: dict[str, Amount] = {}
    max_limit_request_ratio: dict[str, Amount] = {}


class _Spec(msgspec.Struct, gc=False, frozen=True):
    limits: tuple[Limit, ...] = ()


class _View(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()


def limits_of(lookup: Lookup, namespace: str) -> list[Limit]:
    """Everything the namespace's ranges say, in the order of their names."""
    return [limit for each in lookup(_LIMITS).select(namespace) for limit in each.view(_View).spec.limits]


def salt(pod: Json, namespace: str, lookup: Lookup) -> bytes | None:
    """The ranges as they are now: each state of one has a revision of its own."""
    return ",".join(f"{each.name}@{each.revision}" for each in lookup(_LIMITS).select(namespace)).encode()


def fill(request: Request) -> None:
    """Requests and limits for containers that say nothing."""
    pod = request.new or {}
    limits = [limit for limit in limits_of(request.lookup, request.namespace) if limit.type == CONTAINER]
    if not limits or not isinstance(pod.get("spec"), dict):
        return
    notes: list[str] = []
    for what, key in (("container", "containers"), ("init container", "initContainers")):
        for container in objects(pod, "spec", key):
            for limit in limits:
                notes += _fill(container, limit, what)
    if notes:
        made(pod, "metadata", "annotations")[_NOTE] = "LimitRanger plugin set: " + "; ".join(notes)


def _fill(container: Json, limit: Limit, what: str) -> list[str]:
    notes = []
    resources = made(container, "resources")
    for kind, field, given in (("request", "requests", limit.default_request), ("limit", "limits", limit.default)):
        if not given:
            continue
        own = made(resources, field)
        missing = sorted(name for name in given if name not in own)
        own.update((name, given[name]) for name in missing)
        if missing:
            notes.append(f"{', '.join(missing)} {kind} for {what} {text(container, 'name')}")
    return notes


def check_pod(request: Request) -> None:
    """Raises Forbidden naming every rule that is broken. A spec that is bytes has been let in by these same ranges before."""
    limits = limits_of(request.lookup, request.namespace)
    if not limits:
        return
    problems = [problem for limit in limits for problem in pod_problems(limit, request.new or {})]
    _refuse(request, problems)


def check_resize(request: Request) -> None:
    """A pod that is to be given more or less. Raises Forbidden naming every rule that is broken."""
    if request.subresource == "resize":
        check_pod(request)


def check_claim(request: Request) -> None:
    """Raises Forbidden naming every rule that is broken."""
    asked = mapping(request.new or {}, "spec", "resources", "requests")
    problems = []
    for limit in limits_of(request.lookup, request.namespace):
        if limit.type == CLAIM:
            problems += [*_below(limit, asked, {}), *_above_request(limit, asked)]
    _refuse(request, problems)


def _refuse(request: Request, problems: list[str]) -> None:
    if problems:
        # Upstream says the same thing only once.
        once = list(dict.fromkeys(problems))
        raise refusal(request, once[0] if len(once) == 1 else f"[{', '.join(once)}]")


def pod_problems(limit: Limit, pod: Json) -> list[str]:
    """What of a pod a limit forbids."""
    if limit.type == CONTAINER:
        containers = (*objects(pod, "spec", "containers"), *objects(pod, "spec", "initContainers"))
        return [problem for each in containers for problem in _problems(limit, _asked(each), _limited(each))]
    if limit.type == POD:
        asked, limited = (_of_pod(pod, pick) for pick in (_asked, _limited))
        return _problems(limit, asked, limited)
    return []


def _asked(container: Json) -> Amounts:
    return mapping(container, "resources", "requests")


def _limited(container: Json) -> Amounts:
    return mapping(container, "resources", "limits")


def _of_pod(pod: Json, pick: Callable[[Json], Amounts]) -> Amounts:
    """What the containers have together, or the largest init container; of resources that every one of them names."""
    given = [pick(each) for each in objects(pod, "spec", "containers")]
    found = {name: sum((quantity.parse(each[name]) for each in given), Fraction(0)) for name in _in_all(given)}
    for container in objects(pod, "spec", "initContainers"):
        for name, amount in pick(container).items():
            found[name] = max(found.get(name, Fraction(0)), quantity.parse(amount))
    return {name: _shown(name, amount) for name, amount in found.items()}


def _in_all(given: Iterable[Amounts]) -> set[str]:
    names = [set(each) for each in given]
    return set.intersection(*names) if names else set()


def _shown(name: str, amount: Fraction) -> str:
    if name == "cpu":
        return quantity.format_millis(-(-amount.numerator * 1000 // amount.denominator))
    return quantity.canonical(str(-(-amount.numerator // amount.denominator)))


def _problems(limit: Limit, asked: Amounts, limited: Amounts) -> list[str]:
    return [*_below(limit, asked, limited), *_above(limit, asked, limited), *_ratio(limit, asked, limited)]


def _below(limit: Limit, asked: Amounts, limited: Amounts) -> list[str]:
    found = []
    for name, least in sorted(limit.min.items()):
        start = f"minimum {name} usage per {limit.type} is {least}"
        if name not in asked:
            found.append(f"{start}.  No request is specified")
        elif _less(asked[name], least):
            found.append(f"{start}, but request is {asked[name]}")
        elif name in limited and _less(limited[name], least):
            found.append(f"{start}, but limit is {limited[name]}")
    return found


def _above(limit: Limit, asked: Amounts, limited: Amounts) -> list[str]:
    found = []
    for name, most in sorted(limit.max.items()):
        start = f"maximum {name} usage per {limit.type} is {most}"
        if name not in limited:
            found.append(f"{start}.  No limit is specified")
        elif _less(most, limited[name]):
            found.append(f"{start}, but limit is {limited[name]}")
        elif name in asked and _less(most, asked[name]):
            found.append(f"{start}, but request is {asked[name]}")
    return found


def _above_request(limit: Limit, asked: Amounts) -> Iterator[str]:
    for name, most in sorted(limit.max.items()):
        start = f"maximum {name} usage per {limit.type} is {most}"
        if name not in asked:
            yield f"{start}.  No request is specified"
        elif _less(most, asked[name]):
            yield f"{start}, but request is {asked[name]}"


def _ratio(limit: Limit, asked: Amounts, limited: Amounts) -> list[str]:
    found = []
    for name, most in sorted(limit.max_limit_request_ratio.items()):
        start = f"{name} max limit to request ratio per {limit.type} is {most}"
        request, top = quantity.parse(asked.get(name, 0)), quantity.parse(limited.get(name, 0))
        if not request:
            found.append(f"{start}, but no request is specified or request is 0")
        elif not top:
            found.append(f"{start}, but no limit is specified or limit is 0")
        elif top / request > quantity.parse(most):
            found.append(f"{start}, but provided ratio is {float(top / request):f}")
    return found


def _less(one: Amount, other: Amount) -> bool:
    return quantity.parse(one) < quantity.parse(other)


_PODS, _CLAIMS = ("core/pods",), ("core/persistentvolumeclaims",)
LIMIT_RANGER = (
    Plugin("LimitRanger", fill, mutating=True, resources=_PODS, verbs=("CREATE",), salt=salt),
    # Pods that came by a template are in namespaces without ranges.
    Plugin("LimitRanger", check_pod, resources=_PODS, verbs=("CREATE",), template_safe=True),
    Plugin("LimitRanger", check_resize, resources=_PODS, verbs=("UPDATE",), subresources=True, template_safe=True),
    Plugin("LimitRanger", check_claim, resources=_CLAIMS),
)
