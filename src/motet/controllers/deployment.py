"""Deployments: the loop that carries out what `rollout` decides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import msgspec

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import NotFound
from motet.client.events import NORMAL, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import ownership, podview, rollout
from motet.controllers.loop import Controller, ObjectKey, own_key, owner_key
from motet.controllers.podview import PodView
from motet.controllers.replicaset import ReplicaSetView
from motet.controllers.rollout_status import DeploymentStatus, DeploymentView
from motet.kinds import deployment as deployment_kind
from motet.kinds import pod as pod_kind
from motet.kinds import replicaset as replicaset_kind
from motet.store.document import Document
from motet.store.table import Table

_PACE = 0.05


class Deployments:
    """The loop over Deployments."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._deployments: Table
        self._sets: Table
        self._pods: Table

    async def run(self) -> None:
        """Keep every Deployment until cancelled."""
        self._deployments = await self._client.table(deployment_kind.KIND)
        self._sets = await self._client.table(replicaset_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        loop: Controller[ObjectKey] = Controller(
            "deployment", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE
        )
        loop.watch(self._deployments, own_key)
        loop.watch(self._sets, self._deployments_of)
        loop.watch(self._pods, self._waiting_for)
        await loop.run()

    def _deployments_of(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        yield from owner_key("Deployment")(old, new)
        if new is not None and new.meta.controller() is None:
            for deployment in self._deployments.select(new.namespace):
                selector = selectors.from_document(deployment.view(DeploymentView).spec.selector)
                if selector.matches(new.meta.labels):
                    yield deployment.namespace, deployment.name

    def _waiting_for(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        """The Recreate deployment that waits for this pod to end, now that it has."""
        pod = new or old
        if old is None or pod is None or (new is not None and not podview.is_finished(new.view(PodView))):
            return
        owner = pod.meta.controller()
        if owner is None or owner.kind != "ReplicaSet":
            return
        replicaset = self._sets.get(owner.name, pod.namespace)
        if replicaset is not None:
            yield from owner_key("Deployment")(None, replicaset)

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one deployment: the next writes of its rollout, then its status."""
        namespace, name = key
        document = self._deployments.get(name, namespace)
        if document is None:
            return None
        deployment = document.view(DeploymentView)
        claims = self._claims(document, deployment)
        if claims.adopt or claims.release:
            kinds = replicaset_kind.KIND, document, deployment_kind.KIND
            await ownership.settle(self._client, *kinds, claims)
            claims = self._claims(document, deployment)
        owned = {view.metadata.name for view in claims.mine}
        plan = rollout.decide(
            deployment,
            claims.mine,
            self._clock.now(),
            taken=lambda name: name not in owned and self._sets.get(name, namespace) is not None,
            unfinished=self._unfinished,
        )
        for write in plan.writes:
            await self._apply(document, write)
        await self._write_status(document, plan.status)
        return plan.look_again

    def _claims(self, document: Document, deployment: DeploymentView) -> ownership.Claims[ReplicaSetView]:
        selector = selectors.from_document(deployment.spec.selector)
        found = {each.name: each for each in self._sets.owned_by(document.meta.uid)}
        found |= {each.name: each for each in self._sets.select(document.namespace, selector)}
        return ownership.claim(document.meta, selector, [each.view(ReplicaSetView) for each in found.values()])

    def _unfinished(self, uid: str) -> int:
        pods = (pod.view(PodView) for pod in self._pods.owned_by(uid))
        return sum(not podview.is_finished(pod) for pod in pods)

    async def _apply(self, document: Document, write: rollout.Write) -> None:
        client, namespace = self._client, document.namespace
        match write:
            case rollout.CreateSet():
                await client.create(replicaset_kind.KIND, write.document, namespace)
                if write.replicas:
                    self._tell(document, write.name, 0, write.replicas)
            case rollout.ChangeSet():
                await client.patch(replicaset_kind.KIND, write.name, write.patch, namespace)
                if write.before != write.after:
                    self._tell(document, write.name, write.before, write.after)
            case rollout.DeleteSet():
                with contextlib.suppress(NotFound):
                    await client.delete(replicaset_kind.KIND, write.name, namespace, uid=write.uid)
            case rollout.Annotate():
                patch = {"metadata": {"uid": document.meta.uid, "annotations": write.annotations}}
                await client.patch(deployment_kind.KIND, document.name, patch, namespace)

    def _tell(self, document: Document, name: str, before: int, after: int) -> None:
        verb = "up" if after > before else "down"
        message = f"Scaled {verb} replica set {name} from {before} to {after}"
        self._events.event(About.document(document, "apps/v1", "Deployment"), NORMAL, "ScalingReplicaSet", message)

    async def _write_status(self, document: Document, status: DeploymentStatus) -> None:
        if document.view(DeploymentView).status == status:
            return
        current = self._deployments.get(document.name, document.namespace)
        if current is None or current.meta.uid != document.meta.uid:
            return
        # Our own note of the revision may have changed it; anybody else's change means deciding again.
        if current.meta.generation != document.meta.generation:
            return
        changed = current.decode()
        changed["status"] = _status_document(status)
        await self._client.update(deployment_kind.KIND, changed, subresource="status")


def _status_document(status: DeploymentStatus) -> dict[str, Any]:
    """As stored: what is zero or empty is left out, as upstream does."""
    return {key: value for key, value in msgspec.to_builtins(status).items() if value}
