"""StatefulSets: the loop that carries out what `stateful` decides, and keeps the revisions of their templates."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, ApiError, NotFound, namespace_terminates
from motet.base.selectors import Selector
from motet.client.events import NORMAL, WARNING, About, EventRecorder
from motet.client.interface import Client
from motet.controllers import ownership, stateful, statefulclaims
from motet.controllers.loop import Controller, ObjectKey, TryAgain, own_key, owner_key
from motet.controllers.ownedpods import OwnedPods
from motet.controllers.podview import PodView
from motet.controllers.revisions import REVISION_LABEL, History, RevisionView
from motet.controllers.revisionstore import RevisionStore
from motet.controllers.stateful import Scene, StatefulSetStatus, StatefulSetView
from motet.kinds import persistentvolumeclaim as claim_kind
from motet.kinds import pod as pod_kind
from motet.kinds import statefulset as statefulset_kind
from motet.store.document import Document, Meta
from motet.store.table import Table

_PACE = 0.05
# Where a revision carries the hash of its template.
_HASH_LABEL = "controller.kubernetes.io/hash"


def pod_of(owner: Document, template: Mapping[str, Any], revision: str, ordinal: int) -> dict[str, Any]:
    """The pod with a number, made from `template`, which is that of `revision`."""
    view = owner.view(StatefulSetView)
    name = f"{owner.name}-{ordinal}"
    metadata = template.get("metadata") or {}
    own = {REVISION_LABEL: revision, stateful.NAME_LABEL: name, stateful.INDEX_LABEL: str(ordinal)}
    made: dict[str, Any] = {
        "name": name,
        "namespace": owner.namespace,
        "labels": {**(metadata.get("labels") or {}), **own},
        "ownerReferences": [ownership.reference(owner, statefulset_kind.KIND)],
    }
    for key in ("annotations", "finalizers"):
        if metadata.get(key):
            made[key] = metadata[key]
    spec = {**template["spec"], "hostname": name}
    if view.spec.service_name:
        spec["subdomain"] = view.spec.service_name
    volumes = statefulclaims.volumes(view.spec.volume_claim_templates, name, spec.get("volumes") or ())
    if volumes:
        spec["volumes"] = volumes
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": spec}


class StatefulSets:
    """The loop over StatefulSets."""

    def __init__(self, client: Client, clock: Clock, events: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._events = events
        self._history = RevisionStore(client, statefulset_kind.KIND, _HASH_LABEL)
        self._sets: Table
        self._pods: Table
        self._claims: Table
        self._owned: OwnedPods

    async def run(self) -> None:
        """Keep every StatefulSet until cancelled."""
        self._sets = await self._client.table(statefulset_kind.KIND)
        self._pods = await self._client.table(pod_kind.KIND)
        self._claims = await self._client.table(claim_kind.KIND)
        await self._history.open()
        self._owned = OwnedPods(statefulset_kind.KIND, self._sets, self._pods, _selects)
        loop: Controller[ObjectKey] = Controller(
            "statefulset", self.reconcile, clock=self._clock, parallelism=8, pace=_PACE
        )
        loop.watch(self._sets, own_key)
        loop.watch(self._pods, self._owned.concerned)
        loop.watch(self._claims, self._sets_of_claim)
        loop.watch(self._history.table, owner_key(statefulset_kind.KIND.kind))
        await loop.run()

    def _sets_of_claim(self, old: Document | None, new: Document | None) -> Iterable[ObjectKey]:
        claim = new or old
        for document in self._sets.select(claim.namespace) if claim else ():
            for template in document.view(StatefulSetView).spec.volume_claim_templates:
                if claim and claim.name.startswith(f"{template['metadata']['name']}-{document.name}-"):
                    yield document.namespace, document.name
                    break

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One look at one set."""
        namespace, name = key
        document = self._sets.get(name, namespace)
        if document is None:
            return None
        spec, status = document.view(StatefulSetView).spec, document.view(StatefulSetView).status
        await self._history.adopt(document, _selects(document))
        history = self._history.decide(document, spec.template, status.collision_count or 0)
        failure, look_again = "", None
        if document.meta.deletion_timestamp is None:
            await self._history.settle(document, history)
            await self._settle_pods(document)
            scene = self._scene(document, history)
            plan = stateful.decide(scene)
            look_again = plan.look_again
            for write in plan.writes:
                if failure := await self._apply(document, scene, history, write):
                    break
            live = {scene.current, scene.update, *(scene.revision(pod) for pod in scene.pods)}
            await self._history.clean(history, spec.revision_history_limit, live, lambda each: each.metadata.name)
        await self._write_status(document, history)
        if failure:
            raise TryAgain(failure)
        return look_again

    async def _settle_pods(self, document: Document) -> None:
        """Take the pods that match and are named like ours, let go of those that no longer match."""
        view = document.view(StatefulSetView)
        pods = [pod.view(PodView) for pod in self._owned.of(document) if view.ordinal(pod.name) is not None]
        claims = ownership.claim(document.meta, _selects(document), pods)
        await ownership.settle(self._client, pod_kind.KIND, document, statefulset_kind.KIND, claims)

    def _scene(self, document: Document, history: History) -> Scene:
        view = document.view(StatefulSetView)
        pods = [
            pod.view(PodView)
            for pod in self._pods.owned_by(document.meta.uid)
            if (owner := pod.meta.controller()) and owner.uid == document.meta.uid
        ]
        wanted = {f"{document.name}-{ordinal}" for ordinal in view.ordinals()}
        claims: dict[str, Meta] = {}
        for pod_name in wanted | {pod.metadata.name for pod in pods}:
            for name in statefulclaims.names(view.spec.volume_claim_templates, pod_name):
                if (claim := self._claims.get(name, document.namespace)) is not None:
                    claims[name] = claim.meta
        current = view.status.current_revision
        if self._revision(history, current) is None:
            current = history.name
        return Scene(view, current, history.name, pods, claims, self._clock.now())

    @staticmethod
    def _revision(history: History, name: str) -> RevisionView | None:
        return next((each for each in (*history.older, *history.same) if each.metadata.name == name), None)

    async def _apply(self, owner: Document, scene: Scene, history: History, write: stateful.Write) -> str:
        """Carry one write out; why it failed, or an empty string."""
        match write:
            case stateful.CreatePod():
                return await self._create(owner, scene, history, write)
            case stateful.DeletePod():
                return await self._delete(owner, write)
            case stateful.MakeClaims():
                return await self._make_claims(owner, scene, f"{owner.name}-{write.ordinal}")
            case stateful.Relabel():
                meta = write.pod.metadata
                patch: dict[str, Any] = {"metadata": {"uid": meta.uid, "labels": write.labels}}
                with contextlib.suppress(NotFound):
                    await self._client.patch(pod_kind.KIND, meta.name, patch, meta.namespace)
            case stateful.OwnClaim():
                meta = write.claim
                references = [msgspec.to_builtins(each) for each in write.references] or None
                patch = {"metadata": {"resourceVersion": meta.resource_version, "ownerReferences": references}}
                with contextlib.suppress(NotFound):
                    await self._client.patch(claim_kind.KIND, meta.name, patch, meta.namespace)
        return ""

    async def _create(self, owner: Document, scene: Scene, history: History, write: stateful.CreatePod) -> str:
        template, revision = scene.set.spec.template, scene.update
        if not write.updated and scene.current != scene.update:
            older = self._revision(history, scene.current)
            assert older is not None
            template, revision = older.template(), scene.current
        pod = pod_of(owner, template, revision, write.ordinal)
        name = pod["metadata"]["name"]
        if failure := await self._make_claims(owner, scene, name):
            return failure
        try:
            await self._client.create(pod_kind.KIND, pod, owner.namespace)
        except ApiError as error:
            return self._failed(owner, "Create", f"create Pod {name} in StatefulSet {owner.name}", error)
        self._tell(owner, NORMAL, "SuccessfulCreate", f"create Pod {name} in StatefulSet {owner.name} successful")
        return ""

    async def _make_claims(self, owner: Document, scene: Scene, pod_name: str) -> str:
        spec = scene.set.spec
        for claim in statefulclaims.documents(spec.volume_claim_templates, pod_name, owner.namespace, spec.selector):
            name = claim["metadata"]["name"]
            if self._claims.get(name, owner.namespace) is not None:
                continue
            what = f"create Claim {name} Pod {pod_name} in StatefulSet {owner.name}"
            try:
                await self._client.create(claim_kind.KIND, claim, owner.namespace)
            except AlreadyExists:
                continue
            except ApiError as error:
                return self._failed(owner, "Create", what, error)
            self._tell(owner, NORMAL, "SuccessfulCreate", f"{what} success")
        return ""

    async def _delete(self, owner: Document, write: stateful.DeletePod) -> str:
        meta = write.pod.metadata
        if write.ended:
            failed = write.pod.status.phase == "Failed"
            reason, kind = ("RecreatingFailedPod", "failed") if failed else ("RecreatingTerminatedPod", "terminated")
            message = f"StatefulSet {owner.namespace}/{owner.name} is recreating {kind} Pod {meta.name}"
            self._tell(owner, WARNING if failed else NORMAL, reason, message)
        what = f"delete Pod {meta.name} in StatefulSet {owner.name}"
        try:
            await self._client.delete(pod_kind.KIND, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return ""
        except ApiError as error:
            return self._failed(owner, "Delete", what, error)
        self._tell(owner, NORMAL, "SuccessfulDelete", f"{what} successful")
        return ""

    def _failed(self, owner: Document, verb: str, what: str, error: ApiError) -> str:
        """Raises the error, and tells nobody, when the namespace is being deleted."""
        if namespace_terminates(error):
            raise error
        self._tell(owner, WARNING, f"Failed{verb}", f"{what} failed error: {error.message}")
        return error.message

    def _tell(self, owner: Document, type: str, reason: str, message: str) -> None:
        kind = statefulset_kind.KIND
        self._events.event(About.document(owner, kind.api_version, kind.kind), type, reason, message)

    async def _write_status(self, document: Document, history: History) -> None:
        current = self._sets.get(document.name, document.namespace)
        if current is None or current.meta.generation != document.meta.generation:
            return
        status = stateful.status(self._scene(current, history), history.collisions)
        if status == current.view(StatefulSetView).status:
            return
        changed = current.decode()
        changed["status"] = status_document(status)
        with contextlib.suppress(NotFound):
            await self._client.update(statefulset_kind.KIND, changed, subresource="status")


def status_document(status: StatefulSetStatus) -> dict[str, Any]:
    """As stored: what is zero is left out unless the API always has it."""
    always = ("replicas", "availableReplicas")
    return {key: value for key, value in msgspec.to_builtins(status).items() if value or key in always}


def _selects(document: Document) -> Selector:
    return selectors.from_document(document.view(StatefulSetView).spec.selector)
