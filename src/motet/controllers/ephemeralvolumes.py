"""Generic ephemeral volumes: a pod's claims that are made from its own spec and go when it goes.

A volume with `ephemeral.volumeClaimTemplate` gets the claim POD-VOLUME, controlled by the pod, so that the garbage collector
takes it away. A claim of that name that is not the pod's is never used, and the pod waits (KEP-1698).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, ApiError, namespace_terminates
from motet.client.events import WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import podview
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key
from motet.controllers.podview import PodView
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.store.document import Document, Meta
from motet.store.table import Table


class _Template(msgspec.Struct, gc=False, frozen=True):
    metadata: dict[str, Any] | None = None
    spec: dict[str, Any] | None = None


class _Ephemeral(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    volume_claim_template: _Template = _Template()


class _Volume(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    ephemeral: _Ephemeral | None = None


class _Spec(msgspec.Struct, gc=False, frozen=True):
    volumes: tuple[_Volume, ...] | None = None


class VolumesView(msgspec.Struct, gc=False, frozen=True):
    """What this loop reads of a pod."""

    metadata: Meta
    spec: _Spec = _Spec()

    def ephemeral(self) -> Iterable[tuple[str, _Template]]:
        """The names of its generic ephemeral volumes, each with what its claim is made from."""
        for each in self.spec.volumes or ():
            if each.ephemeral is not None:
                yield each.name, each.ephemeral.volume_claim_template


@dataclass(frozen=True, slots=True)
class Plan:
    """Claims to make, each with the volume it is for, and what is wrong with those that are there."""

    create: tuple[tuple[str, dict[str, Any]], ...] = ()
    problems: tuple[str, ...] = ()


def decide(pod: VolumesView, found: Callable[[str], Meta | None]) -> Plan:
    """What a pod lacks, given the claims of its namespace by name."""
    meta = pod.metadata
    if meta.deletion_timestamp is not None:
        return Plan()
    create, problems = [], []
    for volume, template in pod.ephemeral():
        name = f"{meta.name}-{volume}"
        claim = found(name)
        if claim is None:
            create.append((volume, _claim(meta, name, template)))
        elif (owner := claim.controller()) is None or owner.uid != meta.uid:
            where = meta.namespace
            whose = f"PVC {where}/{name} was not created for pod {where}/{meta.name} (pod is not owner)"
            problems.append(f"ephemeral volume {volume}: {whose}")
    return Plan(tuple(create), tuple(problems))


def _claim(pod: Meta, name: str, template: _Template) -> dict[str, Any]:
    given = template.metadata or {}
    metadata: dict[str, Any] = {key: given[key] for key in ("labels", "annotations") if given.get(key)}
    metadata |= {
        "name": name,
        "namespace": pod.namespace,
        "ownerReferences": [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "uid": pod.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template.spec or {},
    }


class EphemeralVolumes:
    """The loop over pods that have such volumes."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._pods: Table
        self._claims: Table

    async def run(self) -> None:
        """Make claims until cancelled."""
        self._pods = await self._client.table(pod_kind.KIND)
        self._claims = await self._client.table(claim_kind.KIND)
        loop: Controller[ObjectKey] = Controller("ephemeral-volume", self.reconcile, clock=self._clock)
        loop.watch(self._pods, _concerned)
        loop.watch(self._claims, self._claim_gone)
        await loop.run()

    def _claim_gone(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """Whoever waited for the name of a claim can have it now."""
        if new is None and old is not None:
            for pod in self._pods.select(old.namespace):
                names = (volume for volume, _ in pod.view(VolumesView).ephemeral())
                if any(f"{pod.name}-{volume}" == old.name for volume in names):
                    yield pod.namespace, pod.name

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one pod."""
        namespace, name = key
        document = self._pods.get(name, namespace)
        if document is None or podview.is_finished(document.view(PodView)):
            return None
        plan = decide(document.view(VolumesView), lambda claim: self._meta(claim, namespace))
        about = About.document(document, "v1", "Pod")
        for problem in plan.problems:
            self._events.event(about, WARNING, "FailedBinding", problem)
        for volume, claim in plan.create:
            try:
                await self._client.create(claim_kind.KIND, claim, namespace)
            except AlreadyExists:
                raise  # not seen yet; perhaps another's: the next look tells
            except ApiError as error:
                if namespace_terminates(error):
                    raise
                problem = f"ephemeral volume {volume}: create PVC {claim['metadata']['name']}: {error}"
                self._events.event(about, WARNING, "FailedBinding", problem)
                raise TryAgain(problem) from error
        return None

    def _meta(self, claim: str, namespace: str) -> Meta | None:
        found = self._claims.get(claim, namespace)
        return found.meta if found is not None else None


def _concerned(old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
    if old is None and new is not None and any(new.view(VolumesView).ephemeral()):
        yield from own_key(old, new)
