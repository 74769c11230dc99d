"""What may be wrong with a machine or a project: one clear sentence, an exit code, and nothing half-made left."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import IMAGE, Cluster
from e2e.conftest import fresh_cluster
from support.images import busybox_image


def project(folder: Path, text: str) -> str:
    """Write a Compose file; returns the project's name."""
    name = f"faulty-{uuid.uuid4().hex[:6]}"
    (folder / "compose.yaml").write_text(f"name: {name}\n{text}")
    return name


def refused(cluster: Cluster, folder: Path, *says: str, words: tuple[str, ...] = ("motet", "up")) -> str:
    """Run and expect a refusal that says all of `says`; gives what it said."""
    done = cluster.run(*words, cwd=folder, check=False, timeout=120)
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr
    for text in says:
        assert text in done.stderr, done.stderr
    return done.stderr


def absent(cluster: Cluster, name: str) -> bool:
    return name not in cluster.kubectl("get", "namespaces", "-o", "name")


def test_a_port_that_a_process_has_is_refused(cluster: Cluster, tmp_path: Path):
    name = project(tmp_path, f"services: {{web: {{image: {IMAGE}, command: pause, ports: ['18090:80']}}}}")
    taken = cluster.inside(lambda: socket.create_server(("0.0.0.0", 18090)))
    with taken:
        refused(cluster, tmp_path, "18090")
    assert absent(cluster, name)


@pytest.mark.parametrize(
    ("containerfile", "says"),
    [
        ("FROM scratch\nCOPY no-such-file /\n", "no-such-file"),
        (None, "Containerfile"),
        ("FRM scratch\n", "no FROM statement"),
    ],
)
def test_an_image_that_cannot_be_built_creates_nothing(cluster: Cluster, tmp_path: Path, containerfile: str, says: str):
    name = project(tmp_path, "services: {web: {build: ./web}}")
    (tmp_path / "web").mkdir()
    if containerfile:
        (tmp_path / "web/Containerfile").write_text(containerfile)
    refused(cluster, tmp_path, "service web", says)
    assert absent(cluster, name)


def test_nobody_but_root(cluster: Cluster, tmp_path: Path):
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "motet", "up")
    data = Path("/tmp/motet-of-nobody")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project(folder, f"services: {{web: {{image: {IMAGE}}}}}")
        ask = lambda: cluster.run(*nobody, name, check=False, cwd=Path("/"), env={"MOTET_DATA_DIR": str(data)})  # noqa: E731
        unreadable = ask()
        folder.chmod(0o755)
        not_root = ask()
    assert (unreadable.returncode, not_root.returncode) == (2, 1)
    assert "is not readable" in unreadable.stderr
    assert "sudo motet up" in not_root.stderr
    assert not data.exists()


@pytest.fixture
def bare(no_leftovers: None) -> Iterator[Cluster]:
    """A namespace and a data directory, and nothing started."""
    with fresh_cluster(started=False) as made:
        yield made


def test_without_containerd_it_says_what_to_install(bare: Cluster, tmp_path: Path):
    project(tmp_path, f"services: {{web: {{image: {IMAGE}}}}}")
    hidden = 'mount --bind /dev/null "$(command -v containerd)" && exec motet up'
    text = refused(bare, tmp_path, "containerd", words=("unshare", "-m", "sh", "-c", hidden))
    assert "install" in text or "doctor" in text


def test_a_full_disk_is_named(bare: Cluster, tmp_path: Path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "motet-full", str(bare.directory)], check=True)
    try:
        bare.start()
        filler = bare.directory / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], check=False, capture_output=True)
        archive = busybox_image(tmp_path / "image.tar", IMAGE)
        done = bare.motet("image", "import", str(archive), check=False)
        assert done.returncode == 1
        assert "no space left" in done.stderr.lower()
        filler.unlink()
        bare.motet("image", "import", str(archive))
        bare.kubectl("create", "configmap", "works", "--from-literal=a=b")
        bare.remove(keep_data=True)
    finally:
        subprocess.run(["umount", "-l", str(bare.directory)], check=True)
