"""Container images for tests, made on the spot from Debian's static busybox: no registry, no download."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from motet.runtime import pause

BUSYBOX = Path("/bin/busybox")
_APPLETS = (
    *("sh", "cat", "cp", "date", "dd", "df", "echo", "env", "false", "grep", "head", "hostname", "httpd", "id", "ip"),
    *("kill", "ln", "ls", "mkdir", "mkfifo", "mount", "mv", "nc", "nslookup", "ping", "printf", "ps", "pwd", "rm"),
    *(
        "route",
        "sed",
        "seq",
        "sleep",
        "stat",
        "stty",
        "sync",
        "tail",
        "tar",
        "tee",
        "test",
        "timeout",
        "top",
        "touch",
        "tr",
    ),
    *("true", "tty", "umount", "uname", "unshare", "usleep", "vi", "wc", "wget", "which", "whoami", "xargs", "yes"),
)
_PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    tar.addfile(member, io.BytesIO(content))


def _directory(tar: tarfile.TarFile, name: str, mode: int = 0o755) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, mode
    tar.addfile(member)


def busybox_layer(extra_files: Mapping[str, str | bytes | tuple[str | bytes, int]] | None = None) -> bytes:
    """A root file system as a tar: busybox with its applets and `pause` in /bin, /etc/passwd, /tmp and `extra_files`.

    An extra file is path -> content, or (content, mode); scripts (`#!`) are executable by default.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("bin", "etc", "dev", "proc", "sys", "root", "var", "run", "www"):
            _directory(tar, name)
        _directory(tar, "tmp", 0o1777)
        _add(tar, "bin/busybox", BUSYBOX.read_bytes(), 0o755)
        for applet in _APPLETS:
            link = tarfile.TarInfo(f"bin/{applet}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        # Lasts until SIGTERM, which it heeds from its first microsecond (a shell's trap comes later).
        _add(tar, "bin/pause", pause.program(pause.architecture()), 0o755)
        _add(tar, "etc/passwd", _PASSWD.encode())
        _add(tar, "etc/group", _GROUP.encode())
        for path, value in (extra_files or {}).items():
            content, mode = value if isinstance(value, tuple) else (value, 0)
            data = content.encode() if isinstance(content, str) else content
            _add(tar, path.lstrip("/"), data, mode or (0o755 if data.startswith(b"#!") else 0o644))
    return buffer.getvalue()


def _config(layer: bytes, config: Mapping[str, Any] | None, arch: str) -> bytes:
    inner = {"Env": ["PATH=/bin"], "Cmd": ["sh"], "WorkingDir": "/", **(config or {})}
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    return json.dumps(
        {
            "architecture": arch or pause.architecture(),
            "os": "linux",
            "config": inner,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        }
    ).encode()


def busybox_image(
    path: Path,
    name: str = "localhost/motet-test/busybox:1",
    extra_files: Mapping[str, str | bytes | tuple[str | bytes, int]] | None = None,
    config: Mapping[str, Any] | None = None,
    *,
    compress: bool = False,
) -> Path:
    """Write an OCI image layout tar to `path`. `config` overrides the image's Env, Cmd, Entrypoint, User, ...

    The uncompressed default is quickest to make; the image is about 2 MB.
    """
    layer = busybox_layer(extra_files)
    kind = "application/vnd.oci.image.layer.v1.tar"
    stored, kind = (gzip.compress(layer, 1, mtime=0), f"{kind}+gzip") if compress else (layer, kind)
    oci_layout(path, [(name, [(stored, kind)], _config(layer, config, ""), None)])
    return path


def oci_layout(path: Path, images: Sequence[tuple[str, list[tuple[bytes, str]], bytes, str | None]]) -> None:
    """Write a layout of (name, [(layer, media type)], config, architecture). With architectures the entries of one
    name become one multi-platform index."""
    blobs: dict[str, bytes] = {}

    def put(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    top: list[dict[str, Any]] = []
    platforms: dict[str, list[dict[str, Any]]] = {}
    for name, layers, config, arch in images:
        manifest = {
            "schemaVersion": 2,
            "config": put(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [put(layer, kind) for layer, kind in layers],
        }
        entry = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        if arch:
            platforms.setdefault(name, []).append(entry | {"platform": {"os": "linux", "architecture": arch}})
        else:
            top.append(entry | {"annotations": {"org.opencontainers.image.ref.name": name}})
    for name, entries in platforms.items():
        kind = "application/vnd.oci.image.index.v1+json"
        index = put(json.dumps({"schemaVersion": 2, "manifests": entries}).encode(), kind)
        top.append(index | {"annotations": {"io.containerd.image.name": name}})
    with tarfile.open(path, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": top}).encode())
        for digest, content in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", content)


def docker_archive(path: Path, name: str, extra_files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write what `docker save` (before version 25) and buildah's `docker-archive:` write."""
    layer = busybox_layer(extra_files)
    config = _config(layer, None, "")
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    with tarfile.open(path, "w") as tar:
        _add(tar, "0123/layer.tar", layer)
        _add(tar, config_name, config)
        manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["0123/layer.tar"]}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    return path
