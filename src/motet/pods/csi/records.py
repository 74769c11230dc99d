"""What a node has asked of CSI drivers, written down before it is asked, so that the next agent can take it back.

Below the kubelet's root, with its names and its `vol_data.json`, because drivers in pods have these very directories mounted:

    pods/UID/volumes/kubernetes.io~csi/NAME/        vol_data.json, mount    a volume of one pod
    plugins/kubernetes.io/csi/DRIVER/SHA/           vol_data.json, globalmount    a staged volume
    plugins/kubernetes.io/csi/volumeDevices/        staging/NAME, publish/NAME/UID    where devices come to be
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from motet.base import files
from motet.pods import mounts

_log = logging.getLogger("motet.pods.csi")
_FILE = "vol_data.json"
_PLUGIN = "kubernetes.io/csi"
_T = TypeVar("_T")


class Publication(msgspec.Struct, frozen=True, gc=False):
    """A volume of one pod: asked for, and `published` once the driver has said yes. `attachmentID` is empty if there is none."""

    driver: str = msgspec.field(name="driverName")
    handle: str = msgspec.field(name="volumeHandle")
    name: str = msgspec.field(name="specVolID")
    attachment: str = msgspec.field(default="", name="attachmentID")
    # The pod's own word for the volume, and its claim in the pod's namespace.
    volume: str = ""
    claim: str = ""
    block: bool = False
    published: bool = False


class Staging(msgspec.Struct, frozen=True, gc=False):
    """A volume that is, or may be, staged on this node."""

    driver: str = msgspec.field(name="driverName")
    handle: str = msgspec.field(name="volumeHandle")
    name: str = msgspec.field(default="", name="specVolID")
    block: bool = False
    staged: bool = False


class Records:
    """The records of one node, below the kubelet's `root`. Blocks on the disk; raises OSError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    # --- volumes of pods ----------------------------------------------------------------------------------------------

    def target(self, uid: str, record: Publication) -> Path:
        """Where the driver is to make the volume appear for the pod `uid`."""
        if record.block:
            return self._root / "plugins" / _PLUGIN / "volumeDevices" / "publish" / record.name / uid
        return self._of_pod(uid) / record.name / "mount"

    def publications(self) -> Iterator[tuple[str, Publication]]:
        """Every one with the uid of its pod."""
        for uid in self.uids():
            for record in self.of_pod(uid):
                yield uid, record

    def of_pod(self, uid: str) -> list[Publication]:
        found = (_read(path, Publication) for path in sorted(self._of_pod(uid).glob(f"*/{_FILE}")))
        return [record for record in found if record is not None]

    def uids(self) -> list[str]:
        """The pods that have a directory here."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(path.name for path in (self._root / "pods").iterdir())
        return []

    def keep(self, uid: str, record: Publication) -> None:
        """Durable when this returns."""
        files.keep(self._of_pod(uid) / record.name / _FILE, msgspec.json.encode(record))

    def drop(self, uid: str, record: Publication) -> None:
        """Forget it. Only empty directories are removed: what a driver left mounted is never walked into."""
        target = self.target(uid, record)
        _remove_target(target)
        if record.block:
            _prune(target.parent, 1)
        (self._of_pod(uid) / record.name / _FILE).unlink(missing_ok=True)
        _prune(self._of_pod(uid) / record.name, 4)

    def _of_pod(self, uid: str) -> Path:
        return self._root / "pods" / uid / "volumes" / "kubernetes.io~csi"

    # --- staged volumes -----------------------------------------------------------------------------------------------

    def staging(self, record: Staging) -> Path:
        """Where the driver is to stage a volume."""
        if record.block:
            return self._root / "plugins" / _PLUGIN / "volumeDevices" / "staging" / record.name
        return self._staged(record.driver, record.handle) / "globalmount"

    def staged(self, driver: str, handle: str) -> Staging | None:
        return _read(self._staged(driver, handle) / _FILE, Staging)

    def keep_staging(self, record: Staging) -> None:
        """Durable when this returns; the directory for the volume is there then."""
        files.keep(self._staged(record.driver, record.handle) / _FILE, msgspec.json.encode(record))
        self.staging(record).mkdir(parents=True, exist_ok=True, mode=0o750)

    def drop_staging(self, record: Staging) -> None:
        _remove_target(self.staging(record))
        (self._staged(record.driver, record.handle) / _FILE).unlink(missing_ok=True)
        _prune(self._staged(record.driver, record.handle), 1)

    def _staged(self, driver: str, handle: str) -> Path:
        return self._root / "plugins" / _PLUGIN / driver / hashlib.sha256(handle.encode()).hexdigest()


def _read(path: Path, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        # Written in one step, so this is none of ours.
        _log.error("%s is not a record of a volume: %s", path, error)
        return None


def _remove_target(path: Path) -> None:
    """What a driver left of its target: an empty directory or a file. Raises OSError when something is still mounted there."""
    if mounts.mounted(path):
        raise OSError(f"{path} is still mounted")
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def _prune(path: Path, levels: int) -> None:
    """Remove `path` and its parents, so many, as far as they are empty."""
    for _ in range(levels):
        try:
            path.rmdir()
        except OSError:
            return
        path = path.parent
