"""The priority of pods, from their class (Kubernetes admission plugin Priority), and the two classes every cluster has."""

from __future__ import annotations

import msgspec

from motet.api.admission import Lookup, Plugin, Request, refusal
from motet.api.registry import Registry
from motet.api.users import MASTERS, User
from motet.base.errors import AlreadyExists
from motet.kinds import priorityclass
from motet.kinds.kind import Json
from motet.kinds.priorityclass import PREEMPT
from motet.store.document import Document

CLASSES = priorityclass.KIND.resource
_SYSTEM = User("system:apiserver", (MASTERS,))
_ABOUT = {
    "system-cluster-critical": "For pods that the cluster cannot do without, wherever they run.",
    "system-node-critical": "For pods that their node cannot do without.",
}


class ClassView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    value: int = 0
    global_default: bool = False
    preemption_policy: str = PREEMPT


async def ensure(registry: Registry) -> None:
    """Make the two system classes where they are missing. Raises ApiError."""
    for name, value in priorityclass.SYSTEM.items():
        if registry.table(priorityclass.KIND).get(name) is None:
            document = {"metadata": {"name": name}, "value": value, "description": _ABOUT[name]}
            try:
                await registry.create(priorityclass.KIND, "", document, _SYSTEM)
            except AlreadyExists:
                continue


def _default(lookup: Lookup) -> Document | None:
    """The class of pods that name none: should there be several, the least important of them."""
    found = [each for each in lookup(CLASSES) if each.view(ClassView).global_default]
    return min(found, key=lambda each: (each.view(ClassView).value, each.name), default=None)


def salt(pod: Json, namespace: str, lookup: Lookup) -> bytes | None:
    spec = pod.get("spec")
    name = spec.get("priorityClassName") if isinstance(spec, dict) else None
    found = lookup(CLASSES).get(str(name)) if name else _default(lookup)
    if found is None:
        return None if name else b""
    view = found.view(ClassView)
    return f"{found.name}={view.value}{view.preemption_policy}".encode()


def prioritize(request: Request) -> None:
    """Raises Forbidden for a class that is not there, or numbers that are not the class's."""
    spec = (request.new or {}).get("spec")
    if not isinstance(spec, dict):
        return
    name = spec.get("priorityClassName")
    found = request.lookup(CLASSES).get(str(name)) if name else _default(request.lookup)
    if found is None and name:
        raise refusal(request, f"no PriorityClass with name {name} was found")
    view = ClassView()
    if found is not None:
        view = found.view(ClassView)
        spec["priorityClassName"] = found.name
    given, policy = spec.get("priority"), spec.get("preemptionPolicy")
    if given is not None and given != view.value:
        why = (
            f"the integer value of priority ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {view.value} from the given PriorityClass name"
        )
        raise refusal(request, why)
    if policy is not None and policy != view.preemption_policy:
        why = (
            f"the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; "
            f"priority admission controller computed {view.preemption_policy} from the given PriorityClass name"
        )
        raise refusal(request, why)
    spec["priority"], spec["preemptionPolicy"] = view.value, view.preemption_policy


def one_default(request: Request) -> None:
    """At most one class is that of pods that name none. Raises Forbidden."""
    if (request.new or {}).get("globalDefault") is not True:
        return
    for other in request.lookup(CLASSES):
        if other.name != request.name and other.view(ClassView).global_default:
            why = f"PriorityClass {other.name} is already marked as default. Only one default can exist"
            raise refusal(request, why)


PRIORITY = (
    Plugin("Priority", prioritize, mutating=True, resources=("core/pods",), verbs=("CREATE",), salt=salt),
    Plugin("Priority", one_default, resources=(CLASSES,)),
)
