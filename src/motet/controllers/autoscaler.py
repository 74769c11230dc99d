"""HorizontalPodAutoscalers: the loop that measures, lets `autoscaling` decide, and writes the scale of the target.

Every autoscaler is looked at every 15 s, and when it changes. Usage comes from whoever serves the resource metrics; the manager
hands over what `metrics.k8s.io` answers. Other metrics are what the servers behind their APIs say (`custommetrics`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.api import scale
from motet.base import quantity, selectors
from motet.base.clock import Clock
from motet.base.errors import ApiError, NotFound
from motet.base.selectors import Selector
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import autoscaling, podview, proposals, scalingrules
from motet.controllers.autoscaling import AutoscalerStatus, AutoscalerView, Measured, Memory, Plan, Reference, Told
from motet.controllers.custommetrics import Ask, CustomMetrics, nobody
from motet.controllers.loop import Controller, ObjectKey
from motet.controllers.proposals import NoMetrics, Sample, ScaledPod, Tolerances
from motet.kinds import horizontalpodautoscaler as kind_module
from motet.kinds import pod as pod_kind
from motet.kinds.catalogue import Catalogue
from motet.kinds.horizontalpodautoscaler import SOURCES
from motet.kinds.kind import Kind
from motet.store.document import Document
from motet.store.table import Table

# PodMetrics documents of the pods a selector matches in a namespace.
PodMetrics = Callable[[str, Selector], Awaitable[Sequence[Mapping[str, Any]]]]

_EVERY = 15.0
_KIND = kind_module.KIND
_UNCOMPUTED = "the HPA was unable to compute the replica count"


async def no_metrics(namespace: str, selector: Selector) -> Sequence[Mapping[str, Any]]:
    """The source of a manager that has none. Raises NoMetrics."""
    raise NoMetrics("unable to fetch metrics from resource metrics API: it is not served here")


@dataclass(frozen=True, slots=True)
class Target:
    """What is scaled: the document, and its scale."""

    kind: Kind
    name: str
    replicas: int
    selector: Selector


class Autoscalers:
    """The loop over HorizontalPodAutoscalers. `catalogue` has the kinds that can be scaled."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        events: EventRecorder,
        catalogue: Catalogue,
        metrics: PodMetrics = no_metrics,
        ask: Ask = nobody,
    ) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._catalogue = catalogue
        self._metrics = metrics
        self._others = CustomMetrics(catalogue, ask)
        self._autoscalers: Table
        self._pods: Table
        self._memories: dict[str, Memory] = {}  # by uid
        # Which pods each was found to scale when it was looked at last.
        self._selectors: dict[ObjectKey, Selector] = {}

    async def run(self) -> None:
        """Scale until cancelled."""
        self._autoscalers = await self._client.table(_KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[ObjectKey] = Controller("autoscaler", self.reconcile, clock=self._clock, parallelism=5)
        loop.watch(self._autoscalers, self._changed)
        await loop.run()

    def _changed(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """What its owner changed; the status is ours."""
        if new is None:
            if old is not None:
                self._memories.pop(old.meta.uid, None)
                self._selectors.pop((old.namespace, old.name), None)
        elif old is None or old.meta.generation != new.meta.generation:
            yield new.namespace, new.name

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one autoscaler, and the next one soon."""
        namespace, name = key
        document = self._autoscalers.get(name, namespace)
        if document is None or document.meta.deletion_timestamp is not None:
            return None
        view, now = document.view(AutoscalerView), self._clock.now()
        try:
            target = await self._target(view)
        except ApiError as error:
            message = f"the HPA controller was unable to get the target's current scale: {error.message}"
            self._tell(document, Told(WARNING, "FailedGetScale", error.message))
            await self._write(document, autoscaling.unscalable(view, "FailedGetScale", message, now))
            return _EVERY
        if not target.selector:
            message = "the HPA target's scale is missing a selector"
            status = autoscaling.unscalable(view, "InvalidSelector", message, now, "ScalingActive")
            await self._write(document, status)
            return _EVERY
        self._selectors[key] = target.selector
        if rivals := self._rivals(key, target):
            message = f"pods by selector {target.selector} are controlled by multiple HPAs: [{' '.join(rivals)}]"
            self._tell(document, Told(WARNING, "AmbiguousSelector", message))
            status = autoscaling.unscalable(view, "AmbiguousSelector", message, now, "ScalingActive")
            await self._write(document, status)
            return _EVERY
        measured = [await self._measure(view, target, metric) for metric in view.spec.metrics]
        memory = self._memories.get(document.meta.uid, Memory())
        plan = autoscaling.decide(view, target.replicas, measured, memory, self._clock.now())
        status = await self._scale(document, target, plan)
        await self._write(document, status)
        return _EVERY

    def _rivals(self, key: ObjectKey, target: Target) -> list[str]:
        """The autoscalers that this one's pods would obey, as NAMESPACE/NAME, when it is not the only one."""
        namespace = key[0]
        pods = [pod.meta.labels for pod in self._pods.select(namespace, target.selector)]
        others = [
            other
            for other, selector in self._selectors.items()
            if other != key and other[0] == namespace and any(selector.matches(labels) for labels in pods)
        ]
        return sorted(f"{where}/{name}" for where, name in (key, *others)) if others else []

    async def _target(self, view: AutoscalerView) -> Target:
        """Raises NotFound when there is no such thing, or nothing that can be scaled."""
        reference = view.spec.scale_target_ref
        kind = self._catalogue.by_kind(reference.api_version, reference.kind)
        if kind is None:
            raise NotFound(
                f'no matches for kind "{reference.kind}" in group "{reference.api_version.rpartition("/")[0]}"'
            )
        found = await self._client.get(kind, reference.name, view.metadata.namespace)
        shown = scale.show(kind, found.decode())
        selector = selectors.parse(shown["status"].get("selector", ""))
        return Target(kind, reference.name, shown["spec"].get("replicas", 0), selector)

    async def _scale(self, document: Document, target: Target, plan: Plan) -> AutoscalerStatus:
        """Write the new size, if there is one; the status with what came of it."""
        for told in plan.events:
            self._tell(document, told)
        if plan.replicas is None:
            self._memories[document.meta.uid] = plan.memory
            return plan.status
        failure = ""
        try:
            patch = {"spec": {"replicas": plan.replicas}}
            await self._client.patch(target.kind, target.name, patch, document.namespace, subresource="scale")
        except ApiError as error:
            failure = error.message
        else:
            self._memories[document.meta.uid] = plan.memory
        self._tell(document, autoscaling.told(plan, failure))
        return autoscaling.rescaled(plan.status, plan.replicas, self._clock.now(), failure)

    async def _measure(self, view: AutoscalerView, target: Target, metric: Mapping[str, Any]) -> Measured:
        type = metric["type"]
        source = metric[SOURCES[type]]
        measure = {"Pods": self._by_pods, "Object": self._by_object, "External": self._by_external}.get(type)
        try:
            if measure is not None:
                return await measure(view, target, source)
            return await self._by_resource(view, target, type, source)
        except (ApiError, NoMetrics) as error:
            return Measured(reason=f"FailedGet{type}Metric", message=f"{_UNCOMPUTED}: {_failed(type, source)}: {error}")

    async def _by_resource(
        self, view: AutoscalerView, target: Target, type: str, source: Mapping[str, Any]
    ) -> Measured:
        goal, container = proposals.goal_of(source["target"]), source.get("container", "")
        documents = await self._metrics(view.metadata.namespace, target.selector)
        samples = dict(_samples(documents, source["name"], container))
        proposal = self._propose(view, target, samples, goal, source["name"], container)
        current: dict[str, Any] = {"averageValue": quantity.format_millis(proposal.average)}
        if proposal.utilization is not None:
            current["averageUtilization"] = proposal.utilization
        status = {"type": type, SOURCES[type]: {**_named(source), "current": current}}
        return Measured(_title(type, source["name"], goal), proposal.replicas, status)

    async def _by_pods(self, view: AutoscalerView, target: Target, source: Mapping[str, Any]) -> Measured:
        metric, goal = source["metric"], proposals.goal_of(source["target"])
        samples = await self._others.of_pods(view.metadata.namespace, target.selector, metric)
        proposal = self._propose(view, target, samples, goal)
        current = {"averageValue": quantity.format_millis(proposal.average)}
        status = {"type": "Pods", "pods": {"metric": metric, "current": current}}
        return Measured(f"pods metric {metric['name']}", proposal.replicas, status)

    async def _by_object(self, view: AutoscalerView, target: Target, source: Mapping[str, Any]) -> Measured:
        about, metric = source["describedObject"], source["metric"]
        reference = msgspec.convert(about, Reference)
        total = await self._others.of_object(view.metadata.namespace, reference, metric)
        replicas, current = self._of_total(view, target, source["target"], total)
        status = {"type": "Object", "object": {"metric": metric, "describedObject": about, "current": current}}
        return Measured(f"{reference.kind} metric {metric['name']}", replicas, status)

    async def _by_external(self, view: AutoscalerView, target: Target, source: Mapping[str, Any]) -> Measured:
        metric = source["metric"]
        total = await self._others.external(view.metadata.namespace, metric)
        replicas, current = self._of_total(view, target, source["target"], total)
        status = {"type": "External", "external": {"metric": metric, "current": current}}
        return Measured(f"external metric {metric['name']}", replicas, status)

    def _of_total(
        self, view: AutoscalerView, target: Target, goal: Mapping[str, Any], total: int
    ) -> tuple[int, dict[str, str]]:
        """(size, what to show) for a value that is not any pod's own; for the shares of pods where those are the goal."""
        tolerances = _tolerances(view)
        if goal.get("averageValue") is not None:
            proposal = proposals.by_share(target.replicas, total, quantity.millis(goal["averageValue"]), tolerances)
            return proposal.replicas, {"averageValue": quantity.format_millis(proposal.average)}
        pods = (pod.view(podview.PodView) for pod in self._pods.select(view.metadata.namespace, target.selector))
        ready = sum(pod.status.phase == "Running" and podview.is_ready(pod) for pod in pods)
        replicas = proposals.by_whole(target.replicas, ready, total, quantity.millis(goal["value"]), tolerances)
        return replicas, {"value": quantity.format_millis(total)}

    def _propose(
        self,
        view: AutoscalerView,
        target: Target,
        samples: Mapping[str, Sample],
        goal: proposals.Goal,
        resource: str = "",
        container: str = "",
    ) -> proposals.Proposal:
        """What the pods' own values ask for; `resource` is empty for metrics that are no resources."""
        pods = [pod.view(ScaledPod) for pod in self._pods.select(view.metadata.namespace, target.selector)]
        now, tolerances = self._clock.now(), _tolerances(view)
        return proposals.propose(
            target.replicas, pods, samples, goal, resource, now, container=container, tolerances=tolerances
        )

    def _tell(self, document: Document, told: Told) -> None:
        about = About.document(document, _KIND.api_version, _KIND.kind)
        self._events.event(about, told.type, told.reason, told.message)

    async def _write(self, document: Document, status: AutoscalerStatus) -> None:
        if document.view(AutoscalerView).status == status:
            return
        current = self._autoscalers.get(document.name, document.namespace)
        if current is None or current.meta.generation != document.meta.generation:
            return
        changed = current.decode()
        shown = msgspec.to_builtins(status)
        always = ("currentReplicas", "desiredReplicas")
        changed["status"] = {key: value for key, value in shown.items() if value or key in always}
        with contextlib.suppress(NotFound):
            await self._client.update(_KIND, changed, subresource="status")


def _tolerances(view: AutoscalerView) -> Tolerances:
    behavior = view.behavior()
    return Tolerances(scalingrules.tolerance(behavior.scale_up), scalingrules.tolerance(behavior.scale_down))


def _failed(type: str, source: Mapping[str, Any]) -> str:
    """What could not be had, in upstream's words."""
    if type in ("Pods", "Object", "External"):
        return f"unable to get metric {source['metric']['name']}"
    utilization = proposals.goal_of(source["target"]).utilization is not None
    return f"failed to get {source['name']} {'utilization' if utilization else 'resource metric value'}"


def _named(source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: source[key] for key in ("name", "container") if key in source}


def _title(type: str, resource: str, goal: proposals.Goal) -> str:
    what = "container resource" if type == "ContainerResource" else "resource"
    return f"{resource} {what}{' utilization (percentage of request)' if goal.utilization is not None else ''}"


def _samples(documents: Iterable[Mapping[str, Any]], resource: str, container: str) -> Iterable[tuple[str, Sample]]:
    """By pod: what its containers, or the one named, use of a resource. Pods that do not say are left out."""
    for document in documents:
        usages = [each["usage"] for each in document["containers"] if container in ("", each["name"])]
        if not usages or any(resource not in usage for usage in usages):
            continue
        value = sum(quantity.millis(usage[resource]) for usage in usages)
        window = float(document["window"].removesuffix("s"))
        yield document["metadata"]["name"], Sample(value, podview.instant(document["timestamp"]), window)
