"""A pod's volumes on the node: making them, keeping them current, mounting them into containers, taking them away.

Everything of one pod is below one directory. `volumes/NAME` is the volume itself, or a symbolic link to it where the data
lives elsewhere (hostPath, claims), so containers can be restarted while the API is away. Secrets are only ever written to
a tmpfs. subPath mounts are pinned through a file descriptor, so a container cannot swap the path for a link to the host.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from motet.base import quantity
from motet.kinds import podmarks
from motet.pods import env, filetemplates, mounts, ownership, payload
from motet.pods.csi import request
from motet.pods.csi.request import Wanted
from motet.pods.csi.volumes import CsiVolumes, VolumeUsage
from motet.pods.payload import File, Payload
from motet.pods.security import ConfigError
from motet.pods.sources import ClaimView, Sources, VolumeView
from motet.pods.spec import (
    ContainerSpec,
    DownwardVolume,
    HostPath,
    KeyToPath,
    Pod,
    Projection,
    TokenProjection,
    Volume,
    VolumeMount,
)  # fmt: skip
from motet.runtime.interface import Mount, RuntimeFailure

LOCAL_PATH_FINALIZER = "motet.dev/local-path"
_DEFAULT_MODE = 0o644
# PATH_MAX of Linux.
_LONGEST_PATH = 4096
_PROPAGATION = {
    None: "private",
    "None": "private",
    "HostToContainer": "host-to-container",
    "Bidirectional": "bidirectional",
}


class MountFailure(RuntimeFailure):
    """A volume cannot be had (now)."""

    def __init__(self, volume: str, why: str) -> None:
        super().__init__(f'MountVolume.SetUp failed for volume "{volume}" : {why}', "FailedMount")


class Volumes:
    """The volumes of all pods of the node, below `root`/UID."""

    def __init__(self, root: Path, sources: Sources, place: env.Place, csi: CsiVolumes | None = None) -> None:
        self._root = root
        self._sources = sources
        self._place = place
        self._csi = csi

    def directory(self, uid: str) -> Path:
        """Where everything of one pod is kept."""
        return self._root / uid

    def at(self, pod: Pod, name: str) -> Path:
        return self.directory(pod.metadata.uid) / "volumes" / name

    async def prepare(self, pod: Pod) -> None:
        """Make every volume. Safe to repeat. Raises MountFailure, ApiError."""
        for volume in pod.spec.volumes or ():
            if (files := await self._files(pod, volume)) is not None:
                await asyncio.to_thread(self._write, pod, volume, files)
            elif volume.persistent_volume_claim is not None:
                await self._claim(pod, volume, volume.persistent_volume_claim.claim_name)
            elif volume.ephemeral is not None:
                await self._claim(pod, volume, f"{pod.metadata.name}-{volume.name}", own=True)
            elif volume.csi is not None:
                await self._from_driver(pod, volume, request.inline(pod, volume.name, volume.csi), None)
            elif volume.host_path is not None:
                await asyncio.to_thread(self._host_path, pod, volume, volume.host_path)
            else:
                await asyncio.to_thread(self._empty, pod, volume)

    async def refresh(self, pod: Pod) -> None:
        """Bring what may change while the pod runs up to date: files from the API, CSI volumes.

        Raises MountFailure, ApiError, RuntimeFailure.
        """
        for volume in pod.spec.volumes or ():
            if not self.at(pod, volume.name).exists():
                continue
            if (files := await self._files(pod, volume)) is not None:
                await asyncio.to_thread(self._write, pod, volume, files)
            elif volume.csi is not None and self._csi is not None:
                await self._csi.refresh(pod, volume.name, request.inline(pod, volume.name, volume.csi))
            elif (name := claim_name(pod, volume)) and self._csi is not None and self._csi.has(pod, volume.name):
                claim, backing = await self._bound(pod, volume, name)
                if backing.spec.csi is not None:
                    await self._csi.refresh(pod, volume.name, _behind(volume, backing, claim), claim)

    async def mounts(self, pod: Pod, container: ContainerSpec, variables: Mapping[str, str]) -> tuple[Mount, ...]:
        """What to bind into `container`. `variables` are its environment, for subPathExpr. Raises ConfigError."""
        found = []
        for index, mount in enumerate(container.volume_mounts or ()):
            found.append(await asyncio.to_thread(self._mount, pod, container, index, mount, variables))
        return tuple(found)

    def devices(self, pod: Pod, container: ContainerSpec) -> tuple[tuple[str, str, str], ...]:
        """Block volumes, and devices of the node, for `container`: path there, path inside, permissions. Raises ConfigError.

        A hostPath is a device by its type, CharDevice or BlockDevice; upstream has none in `volumeDevices`.
        """
        found = []
        for device in container.volume_devices or ():
            name, inside = device["name"], device["devicePath"]
            source = self.at(pod, name)
            volume = next(each for each in pod.spec.volumes or () if each.name == name)
            of_node = volume.host_path is not None and volume.host_path.type in ("CharDevice", "BlockDevice")
            if not source.is_block_device() and not (of_node and source.is_char_device()):
                raise ConfigError(f'volume "{name}" is no device: it belongs into volumeMounts, not volumeDevices')
            found.append((os.readlink(source), inside, "r" if _read_only(volume) else "mrw"))
        return tuple(found)

    async def teardown(self, uid: str, *, everything: bool) -> None:
        """Unmount and remove a pod's volumes; with `everything` its whole directory. Data behind links stays."""
        directory = self.directory(uid)
        self._sources.forget(uid)

        def unmount() -> None:
            for point in mounts.below(directory):
                mounts.unmount(point)

        def remove() -> None:
            for part in [directory] if everything else [directory / "volumes", directory / "subpaths"]:
                if part.is_dir():
                    shutil.rmtree(part)

        await asyncio.to_thread(unmount)
        if self._csi is not None:
            # After what is pinned of them: a driver cannot take back what is mounted elsewhere too.
            await self._csi.unmount(uid)
        await asyncio.to_thread(remove)

    def on_disk(self) -> list[str]:
        """The uids of pods that have a directory here, or something of a CSI driver."""
        own = [path.name for path in self._root.iterdir()] if self._root.is_dir() else []
        return own if self._csi is None else sorted({*own, *self._csi.uids()})

    async def usage(self, uid: str) -> list[VolumeUsage]:
        """Of those of a pod's volumes whose drivers can say."""
        return [] if self._csi is None else await self._csi.usage(uid)

    # --- volumes of each kind -----------------------------------------------------------------------------------------

    def _empty(self, pod: Pod, volume: Volume) -> None:
        target = self.at(pod, volume.name)
        new = not target.exists()
        target.mkdir(parents=True, exist_ok=True)
        if volume.empty_dir is not None and volume.empty_dir.medium == "Memory" and not mounts.mounted(target):
            limit = volume.empty_dir.size_limit
            self._tmpfs(volume, target, quantity.whole(limit) if limit is not None else None)
            new = True
        if new:
            target.chmod(0o777)
            ownership.give(target, pod.spec.security_context.fs_group)

    def _host_path(self, pod: Pod, volume: Volume, source: HostPath) -> None:
        problem = check_host_path(Path(source.path), source.type or "")
        if problem:
            raise MountFailure(volume.name, f"hostPath type check failed: {source.path} {problem}")
        self._point(pod, volume, source.path)

    async def _claim(self, pod: Pod, volume: Volume, name: str, *, own: bool = False) -> None:
        """Where a claim's data is; with `own` the claim must have been made for this pod."""
        claim = await self._sources.claim(pod.metadata.namespace, name)
        if claim is None:
            raise MountFailure(volume.name, f'persistentvolumeclaim "{name}" not found')
        if own and ((owner := claim.metadata.controller()) is None or owner.uid != pod.metadata.uid):
            where = pod.metadata.namespace
            whose = f"PVC {where}/{name} was not created for pod {where}/{pod.metadata.name} (pod is not owner)"
            raise MountFailure(volume.name, whose)
        if claim.metadata.deletion_timestamp and not self.at(pod, volume.name).is_symlink():
            where = pod.metadata.namespace
            raise MountFailure(volume.name, f"can't start pod because PVC {where}/{name} is being deleted")
        _, backing = await self._bound(pod, volume, name, claim)
        if backing.spec.csi is not None:
            await self._from_driver(pod, volume, _behind(volume, backing, claim), claim)
        else:
            await asyncio.to_thread(self._backing, pod, volume, claim, backing)

    async def _bound(
        self, pod: Pod, volume: Volume, name: str, claim: ClaimView | None = None
    ) -> tuple[ClaimView, VolumeView]:
        """A claim with its volume."""
        claim = claim or await self._sources.claim(pod.metadata.namespace, name)
        if claim is None:
            raise MountFailure(volume.name, f'persistentvolumeclaim "{name}" not found')
        if claim.status.phase != "Bound" or not claim.spec.volume_name:
            raise MountFailure(volume.name, f'persistentvolumeclaim "{name}" is not bound to a volume yet')
        backing = await self._sources.volume(claim.spec.volume_name)
        if backing is None:
            raise MountFailure(volume.name, f'persistentvolume "{claim.spec.volume_name}" not found')
        return claim, backing

    async def _from_driver(self, pod: Pod, volume: Volume, wanted: Wanted, claim: ClaimView | None) -> None:
        if self._csi is None:
            raise MountFailure(volume.name, "this node has no place for CSI drivers")
        try:
            target = await self._csi.mount(pod, volume.name, wanted, claim)
        except (RuntimeFailure, OSError) as error:
            raise MountFailure(wanted.name, str(error)) from error
        await asyncio.to_thread(self._point, pod, volume, str(target))

    def _backing(self, pod: Pod, volume: Volume, claim: ClaimView, backing: VolumeView) -> None:
        if claim.spec.volume_mode != "Filesystem":
            why = "volumeMode Block is only to be had of a CSI driver"
            raise MountFailure(volume.name, f'persistentvolumeclaim "{claim.metadata.name}": {why}')
        source = backing.spec.local or backing.spec.host_path
        if source is None:
            raise MountFailure(
                volume.name,
                f'persistentvolume "{backing.metadata.name}" has no source that this node knows (csi, local, hostPath)',
            )
        path = Path(source.path)
        ours = LOCAL_PATH_FINALIZER in (backing.metadata.finalizers or ())
        if ours and not path.exists():
            path.mkdir(parents=True)
            # Like any fresh volume: images run as users of their own choice.
            path.chmod(0o777)
        problem = check_host_path(path, source.type or ("Directory" if backing.spec.local else ""))
        if problem:
            raise MountFailure(volume.name, f"path {source.path} {problem}")
        if ours or backing.spec.local is not None:
            context = pod.spec.security_context
            ownership.give(path, context.fs_group, always=context.fs_group_change_policy != "OnRootMismatch")
        self._point(pod, volume, source.path)

    def _point(self, pod: Pod, volume: Volume, path: str) -> None:
        link = self.at(pod, volume.name)
        link.parent.mkdir(parents=True, exist_ok=True)
        if link.is_symlink() and os.readlink(link) == path:
            return
        link.unlink(missing_ok=True)
        link.symlink_to(path)

    def _tmpfs(self, volume: Volume, target: Path, size: int | None) -> None:
        try:
            mounts.tmpfs(target, size)
        except OSError as error:
            raise MountFailure(volume.name, str(error)) from error

    def _write(self, pod: Pod, volume: Volume, files: Payload) -> None:
        target = self.at(pod, volume.name)
        target.mkdir(parents=True, exist_ok=True)
        # What is filled in may be a secret's content.
        hidden = _secret(volume) or volume.name in podmarks.expanded(pod.metadata.annotations)
        if hidden and not mounts.mounted(target):
            self._tmpfs(volume, target, None)
        target.chmod(0o755)
        if (owner := _owners(pod, volume).get(volume.name)) is not None:
            files = {name: replace(file, owner=owner[0], group=owner[1]) for name, file in files.items()}
        try:
            payload.write(target, files, pod.spec.security_context.fs_group)
        except OSError as error:
            raise MountFailure(volume.name, str(error)) from error

    # --- files from the API -------------------------------------------------------------------------------------------

    async def _files(self, pod: Pod, volume: Volume) -> Payload | None:
        """The files of a volume that comes from the API, filled in where that is asked for; None for any other volume."""
        files = await self._raw(pod, volume)
        if files is None or volume.name not in podmarks.expanded(pod.metadata.annotations):
            return files
        try:
            return await filetemplates.expand(pod, files, self._sources, self._place)
        except ConfigError as error:
            raise MountFailure(volume.name, str(error)) from error

    async def _raw(self, pod: Pod, volume: Volume) -> Payload | None:
        if volume.config_map is not None:
            source = volume.config_map
            mode = _DEFAULT_MODE if source.default_mode is None else source.default_mode
            return await self._keys(pod, volume, "configmap", source.name, source.items, mode, bool(source.optional))
        if volume.secret is not None:
            secret = volume.secret
            mode = _DEFAULT_MODE if secret.default_mode is None else secret.default_mode
            return await self._keys(
                pod, volume, "secret", secret.secret_name, secret.items, mode, bool(secret.optional)
            )
        if volume.downward_api is not None:
            own = volume.downward_api.default_mode
            return self._downward(pod, volume, volume.downward_api, _DEFAULT_MODE if own is None else own)
        if volume.projected is not None:
            own = volume.projected.default_mode
            files: dict[str, File] = {}
            for projection in volume.projected.sources or ():
                files.update(await self._projection(pod, volume, projection, _DEFAULT_MODE if own is None else own))
            return files
        return None

    async def _projection(self, pod: Pod, volume: Volume, source: Projection, mode: int) -> Payload:
        if source.config_map is not None:
            ref = source.config_map
            return await self._keys(pod, volume, "configmap", ref.name, ref.items, mode, bool(ref.optional))
        if source.secret is not None:
            ref = source.secret
            return await self._keys(pod, volume, "secret", ref.name, ref.items, mode, bool(ref.optional))
        if source.downward_api is not None:
            return self._downward(pod, volume, source.downward_api, mode)
        if source.service_account_token is not None:
            return await self._token(pod, volume, source.service_account_token, mode)
        raise MountFailure(volume.name, "projected.sources has an entry with no source that this node knows")

    async def _token(self, pod: Pod, volume: Volume, source: TokenProjection, mode: int) -> Payload:
        if problem := payload.path_problem(source.path):
            raise MountFailure(volume.name, f"path {source.path!r} {problem}")
        owner = common_user(pod)
        if owner is not None or pod.spec.security_context.fs_group is not None:
            # Only those who run the pod read it; upstream's rule.
            mode = 0o600
        return {source.path: File(await self._sources.token(pod, source), mode, owner)}

    async def _keys(
        self,
        pod: Pod,
        volume: Volume,
        resource: str,
        name: str,
        items: Sequence[KeyToPath] | None,
        mode: int,
        optional: bool,
    ) -> Payload:
        namespace = pod.metadata.namespace
        read = self._sources.secret if resource == "secret" else self._sources.config_map
        data = await read(namespace, name)
        if data is None:
            if optional:
                return {}
            raise MountFailure(volume.name, f'{resource} "{name}" not found')
        if items is None:
            return {key: File(content, mode) for key, content in data.items()}
        files = {}
        for item in items:
            if problem := payload.path_problem(item.path):
                raise MountFailure(volume.name, f"path {item.path!r} {problem}")
            if item.key in data:
                files[item.path] = File(data[item.key], mode if item.mode is None else item.mode)
            elif not optional:
                raise MountFailure(volume.name, f"references non-existent {resource} key: {item.key}")
        return files

    def _downward(self, pod: Pod, volume: Volume, source: DownwardVolume, mode: int) -> Payload:
        files = {}
        for item in source.items or ():
            if problem := payload.path_problem(item.path):
                raise MountFailure(volume.name, f"path {item.path!r} {problem}")
            try:
                if item.field_ref is not None:
                    text = env.field(pod, item.field_ref, self._place, ())
                elif item.resource_field_ref is not None:
                    text = env.resource_field(pod, pod.spec.containers[0], item.resource_field_ref, self._place)
                else:
                    text = ""
            except ConfigError as error:
                raise MountFailure(volume.name, str(error)) from error
            files[item.path] = File(text.encode(), mode if item.mode is None else item.mode)
        return files

    # --- into a container ---------------------------------------------------------------------------------------------

    def _mount(
        self, pod: Pod, container: ContainerSpec, index: int, mount: VolumeMount, variables: Mapping[str, str]
    ) -> Mount:
        volume = next((volume for volume in pod.spec.volumes or () if volume.name == mount.name), None)
        if volume is None:
            raise ConfigError(
                f'volumeMounts[{index}] of container {container.name} names volume "{mount.name}", which the pod does not have'
            )
        source = self.at(pod, mount.name)
        if source.is_symlink():
            source = Path(os.readlink(source))
        if claim_name(pod, volume) and source.is_block_device():
            raise ConfigError(f'volume "{mount.name}" is a device: it belongs into volumeDevices, not volumeMounts')
        sub_path = env.expand(mount.sub_path_expr, variables, _LONGEST_PATH) if mount.sub_path_expr else mount.sub_path
        if sub_path:
            pinned = self.directory(pod.metadata.uid) / "subpaths" / container.name / str(index)
            source = _pin(source, sub_path, pinned)
        read_only = bool(mount.read_only) or _read_only(volume) or _from_api(volume)
        return Mount(str(source), mount.mount_path, read_only, _PROPAGATION[mount.mount_propagation])


def claim_name(pod: Pod, volume: Volume) -> str:
    """The claim that a volume of a pod is, or an empty string."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


def _behind(volume: Volume, backing: VolumeView, claim: ClaimView) -> Wanted:
    return request.persistent(backing, claim, read_only=_read_only(volume))


def _read_only(volume: Volume) -> bool:
    return any(source is not None and bool(source.read_only) for source in (volume.persistent_volume_claim, volume.csi))


def _from_api(volume: Volume) -> bool:
    return any((volume.config_map, volume.secret, volume.downward_api, volume.projected))


def _owners(pod: Pod, volume: Volume) -> Mapping[str, podmarks.Owner]:
    try:
        return podmarks.file_owners(pod.metadata.annotations)
    except ValueError as error:
        raise MountFailure(volume.name, f"annotation {podmarks.FILE_OWNERS}: {error}") from error


def _secret(volume: Volume) -> bool:
    projected = volume.projected.sources or () if volume.projected is not None else ()
    return volume.secret is not None or any(source.secret or source.service_account_token for source in projected)


def common_user(pod: Pod) -> int | None:
    """The user that all containers of a pod are told to run as; None when they differ or any is told nothing."""
    users = {
        each.security_context.run_as_user
        if each.security_context.run_as_user is not None
        else pod.spec.security_context.run_as_user
        for each in pod.everything
    }
    return users.pop() if len(users) == 1 else None


def _pin(volume: Path, sub_path: str, target: Path) -> Path:
    """Bind `volume`/`sub_path` to `target` so that nobody can redirect it meanwhile. Makes a missing directory."""
    if problem := payload.path_problem(sub_path):
        raise ConfigError(f"subPath {sub_path!r} {problem}")
    wanted = volume / sub_path
    if not wanted.exists():
        _check_inside(volume, wanted.parent if wanted.parent.exists() else volume, sub_path)
        wanted.mkdir(parents=True, mode=0o750)
        wanted.chmod(stat.S_IMODE(volume.stat().st_mode))
    descriptor = os.open(wanted, os.O_PATH)
    try:
        _check_inside(volume, Path(os.readlink(f"/proc/self/fd/{descriptor}")), sub_path)
        mounts.unmount(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if wanted.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.touch()
        mounts.bind(f"/proc/self/fd/{descriptor}", target)
    except OSError as error:
        raise ConfigError(f"failed to prepare subPath {sub_path!r}: {error}") from error
    finally:
        os.close(descriptor)
    return target


def _check_inside(volume: Path, path: Path, sub_path: str) -> None:
    if not path.resolve().is_relative_to(volume.resolve()):
        raise ConfigError(f"subPath {sub_path!r} leads outside its volume")


_TYPES = {
    "Directory": (stat.S_ISDIR, "is not a directory"),
    "DirectoryOrCreate": (stat.S_ISDIR, "is not a directory"),
    "File": (stat.S_ISREG, "is not a file"),
    "FileOrCreate": (stat.S_ISREG, "is not a file"),
    "Socket": (stat.S_ISSOCK, "is not a socket file"),
    "CharDevice": (stat.S_ISCHR, "is not a character device"),
    "BlockDevice": (stat.S_ISBLK, "is not a block device"),
}


def check_host_path(path: Path, kind: str) -> str:
    """Make what `OrCreate` asks for; then why the path is not of this kind, or an empty string. Raises nothing."""
    try:
        if kind == "DirectoryOrCreate":
            path.mkdir(parents=True, exist_ok=True)
        elif kind == "FileOrCreate" and not path.exists():
            path.touch(mode=0o644)
        elif kind == "" and not path.exists():
            # What a container runtime does with a bind mount of nothing.
            path.mkdir(parents=True)
        if kind == "":
            return ""
        is_kind, problem = _TYPES[kind]
        return "" if is_kind(path.stat().st_mode) else problem
    except OSError as error:
        return f"cannot be used: {error.strerror}"
