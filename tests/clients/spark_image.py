"""An image for Spark's executors, out of the Java and the pyspark that are installed here.

    python tests/clients/spark_image.py PYSPARK JAVA_HOME OUT.tar

PYSPARK is the installed package's folder. Only what a JVM executor needs is in it: no Python, no shell but busybox's.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

IMAGE = "localhost/motet-test/spark:1"
_ENTRY = """#!/bin/sh
# What Spark's own image does for `executor`: environment -> the executor's command line.
set -e
[ "$1" = executor ] || exec "$@"
options=$(env | sed -n 's/^SPARK_JAVA_OPT_[0-9]*=//p')
exec /java/bin/java $options -Xms$SPARK_EXECUTOR_MEMORY -Xmx$SPARK_EXECUTOR_MEMORY -cp '/opt/spark/jars/*' \\
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend --driver-url "$SPARK_DRIVER_URL" \\
    --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" --app-id "$SPARK_APPLICATION_ID" \\
    --hostname "$SPARK_EXECUTOR_POD_IP" --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \\
    --podName "$SPARK_EXECUTOR_POD_NAME"
"""


def files(pyspark: Path, java: Path) -> Iterator[tuple[str, Path]]:
    """(path in the image, file here); links are followed."""
    for jar in sorted((pyspark / "jars").glob("*.jar")):
        yield f"opt/spark/jars/{jar.name}", jar
    libraries: set[Path] = set()
    for path in sorted(java.rglob("*")):
        inside = f"java/{path.relative_to(java)}"
        if path.is_file() and not inside.startswith(("java/legal", "java/man", "java/docs")):
            yield inside, path
            if path.suffix == ".so" or path.parent.name == "bin":
                told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
                libraries.update(Path(found) for found in re.findall(r"(/\S+)", told) if not found.endswith(":"))
    # Asked for by name at run time: names and users, and what libraries inside jars are linked with.
    for pattern in ("libnss_*.so.2", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libm.so.6", "libgcc_s.so.1"):
        libraries.update(Path("/lib/x86_64-linux-gnu").glob(pattern))
    for library in sorted(libraries):
        if library.is_file() and java not in library.parents:
            yield str(library).lstrip("/"), library


def layer(pyspark: Path, java: Path, out: Path) -> None:
    seen: set[str] = set()
    with tarfile.open(out, "w") as tar:

        def add(
            name: str, content: bytes = b"", mode: int = 0o755, kind: bytes = tarfile.REGTYPE, link: str = ""
        ) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.type, member.linkname = len(content), mode, kind, link
            tar.addfile(member, io.BytesIO(content))

        for name in ("bin", "etc", "dev", "proc", "sys", "opt", "opt/spark", "opt/spark/work-dir", "var", "root"):
            add(name, kind=tarfile.DIRTYPE)
        add("tmp", mode=0o1777, kind=tarfile.DIRTYPE)
        add("bin/busybox", Path("/bin/busybox").read_bytes())
        for applet in ("sh", "env", "sed", "sleep", "ls", "cat"):
            add(f"bin/{applet}", kind=tarfile.SYMTYPE, link="busybox")
        add("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nspark:x:185:0:spark:/opt/spark:/bin/sh\n", 0o644)
        add("etc/nsswitch.conf", b"hosts: files dns\n", 0o644)
        add("opt/entrypoint.sh", _ENTRY.encode())
        for name, path in files(pyspark, java):
            if name not in seen:
                seen.add(name)
                add(name, path.read_bytes(), path.stat().st_mode & 0o777 | 0o444)


def image(rootfs: Path, out: Path) -> None:
    """A `docker save` archive with the one layer."""
    digest = hashlib.sha256(rootfs.read_bytes()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {
            "Entrypoint": ["/opt/entrypoint.sh"],
            "WorkingDir": "/opt/spark/work-dir",
            "Env": ["PATH=/bin:/java/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    text = json.dumps(config).encode()
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(out, "w") as tar:
        for name, content in (("config.json", text), ("manifest.json", json.dumps(manifest).encode())):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        tar.add(rootfs, "layer.tar")


def main() -> None:
    pyspark, java, out = (Path(word).resolve() for word in sys.argv[1:4])
    rootfs = out.with_suffix(".layer")
    layer(pyspark, java, rootfs)
    image(rootfs, out)
    rootfs.unlink()


if __name__ == "__main__":
    main()
