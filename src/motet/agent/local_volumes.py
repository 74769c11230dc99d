"""The data of local-path volumes on this node: taken away when their PersistentVolume goes.

A PersistentVolume that the provisioner made carries the finalizer `motet.dev/local-path`; only the agent of the node where
the data is can take it off, after the directory is gone. Directories are made at the first mount (`pods.volumes`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

import msgspec

from motet.base.clock import Clock
from motet.base.errors import ApiError, Conflict, NotFound
from motet.base.selectors import from_map
from motet.client.interface import Client
from motet.kinds import persistentvolume as volume_kind
from motet.pods.volumes import LOCAL_PATH_FINALIZER
from motet.store.document import Document

_log = logging.getLogger("motet.agent.volumes")
_LOOK_EVERY = 30.0
_HOSTNAME = "kubernetes.io/hostname"


class _Path(msgspec.Struct, gc=False, frozen=True):
    path: str = ""


class _Expression(msgspec.Struct, gc=False, frozen=True):
    key: str = ""
    operator: str = ""
    values: tuple[str, ...] | None = None


class _Term(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    match_expressions: tuple[_Expression, ...] | None = None


class _Required(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    node_selector_terms: tuple[_Term, ...] | None = None


class _Affinity(msgspec.Struct, gc=False, frozen=True):
    required: _Required | None = None


class _Spec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    host_path: _Path | None = None
    local: _Path | None = None
    node_affinity: _Affinity | None = None
    persistent_volume_reclaim_policy: str = "Retain"


class VolumeView(msgspec.Struct, gc=False, frozen=True):
    spec: _Spec = _Spec()


def path_on(node_name: str, document: Document) -> Path | None:
    """Where on this node the data of a local-path volume is; None when it is not such a volume or not here."""
    spec = document.view(VolumeView).spec
    source = spec.local or spec.host_path
    if source is None or LOCAL_PATH_FINALIZER not in (document.meta.finalizers or ()):
        return None
    required = spec.node_affinity.required if spec.node_affinity is not None else None
    expressions = [
        expression
        for term in (required.node_selector_terms or () if required is not None else ())
        for expression in term.match_expressions or ()
    ]
    here = any(
        expression.key == _HOSTNAME and expression.operator == "In" and node_name in (expression.values or ())
        for expression in expressions
    )
    return Path(source.path) if here else None


class LocalVolumes:
    """Takes away the data of volumes that go."""

    def __init__(self, client: Client, clock: Clock, node_name: str, volumes_dir: Path, pods_dir: Path) -> None:
        self._client = client
        self._clock = clock
        self._node = node_name
        self._volumes = volumes_dir
        self._pods = pods_dir

    async def run(self) -> None:
        """Until cancelled."""
        table = await self._client.table(volume_kind.KIND, labels=from_map({volume_kind.NODE_LABEL: self._node}))
        news = asyncio.Event()
        unlisten = table.listen(lambda old, new: news.set())
        try:
            while True:
                news.clear()
                for document in list(table):
                    await self._look(document)
                waiting = asyncio.ensure_future(news.wait())
                timer = asyncio.ensure_future(self._clock.sleep(_LOOK_EVERY))
                await asyncio.wait((waiting, timer), return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                timer.cancel()
        finally:
            unlisten()

    async def _look(self, document: Document) -> None:
        path = path_on(self._node, document)
        if path is None or document.meta.deletion_timestamp is None:
            return
        policy = document.view(VolumeView).spec.persistent_volume_reclaim_policy
        try:
            if await asyncio.to_thread(self._removed, path, policy):
                await self._release(document)
        except (NotFound, Conflict):
            # Gone, or changed meanwhile: the change is on its way here.
            return
        except (ApiError, OSError) as error:
            _log.warning("volume %s: %s", document.name, error)

    def _removed(self, path: Path, policy: str) -> bool:
        """Whether the data is gone, or is to stay. False while a pod here still has it mounted."""
        if policy != "Delete" or not path.exists():
            return True
        if not path.resolve().is_relative_to(self._volumes.resolve()) or path.resolve() == self._volumes.resolve():
            _log.error("not removing %s: it is not below %s", path, self._volumes)
            return True
        for link in self._pods.glob("*/volumes/*"):
            if link.is_symlink() and os.readlink(link) == str(path):
                return False
        shutil.rmtree(path)
        return True

    async def _release(self, document: Document) -> None:
        rest = [name for name in document.meta.finalizers or () if name != LOCAL_PATH_FINALIZER]
        patch = {"metadata": {"resourceVersion": document.meta.resource_version, "finalizers": rest or None}}
        await self._client.patch(volume_kind.KIND, document.name, patch)
