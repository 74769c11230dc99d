import gzip
import json
import tarfile

import pytest

from motet.runtime import images, pause
from motet.runtime.interface import RuntimeFailure
from support.images import busybox_image, docker_archive, oci_layout

OTHER = "arm64" if pause.architecture() == "amd64" else "amd64"


def test_a_layout_is_loaded_layers_first_and_manifest_last(tmp_path):
    (image,) = images.inspect(busybox_image(tmp_path / "i.tar", "localhost/x:1"))
    assert image.names == ("localhost/x:1",)
    assert image.image.size > 1_000_000


def test_a_docker_archive_gets_the_manifest_it_lacks(tmp_path):
    (image,) = images.inspect(docker_archive(tmp_path / "i.tar", "old:1"))
    assert image.names == ("docker.io/library/old:1",)


def test_an_archive_that_is_gzipped_as_a_whole_is_read(tmp_path):
    plain = docker_archive(tmp_path / "i.tar", "old:1")
    packed = tmp_path / "i.tar.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1))
    assert images.inspect(packed) == images.inspect(plain)


def _config(arch: str) -> bytes:
    return json.dumps({"architecture": arch, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()


def test_of_several_platforms_this_machines_is_taken(tmp_path):
    entries = [("localhost/multi:1", [], _config(arch), arch) for arch in (OTHER, pause.architecture())]
    oci_layout(tmp_path / "i.tar", entries)
    (multi,) = images.inspect(tmp_path / "i.tar")
    oci_layout(tmp_path / "one.tar", [("localhost/multi:1", [], _config(pause.architecture()), None)])
    (single,) = images.inspect(tmp_path / "one.tar")
    assert multi.names == single.names == ("localhost/multi:1",)
    assert multi.image.id == single.image.id


def test_an_image_for_other_platforms_only_says_which(tmp_path):
    oci_layout(tmp_path / "i.tar", [("localhost/multi:1", [], _config(OTHER), OTHER)])
    with pytest.raises(RuntimeFailure, match=f"linux/{OTHER}"):
        images.inspect(tmp_path / "i.tar")


def test_a_bare_tag_names_nothing(tmp_path):
    (image,) = images.inspect(_layout_named(tmp_path, "latest"))
    assert image.names == ()


def _layout_named(tmp_path, name):
    oci_layout(tmp_path / "i.tar", [(name, [], _config(pause.architecture()), None)])
    return tmp_path / "i.tar"


@pytest.mark.parametrize("content", [b"", b"not a tar", b"\x1f\x8b broken gzip"])
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    path = tmp_path / "junk.tar"
    path.write_bytes(content)
    with pytest.raises(RuntimeFailure, match=r"junk\.tar") as caught:
        images.inspect(path)
    assert caught.value.reason == "InvalidImage"


def test_a_missing_archive_is_refused_by_name(tmp_path):
    with pytest.raises(RuntimeFailure, match=r"absent\.tar"):
        images.inspect(tmp_path / "absent.tar")


@pytest.mark.parametrize(
    "files",
    [
        {"readme": b"hello"},
        {"index.json": b"not json"},
        {"index.json": b"[]"},
        {"index.json": b'{"manifests": [{"digest": "sha256:00"}]}'},
        {"manifest.json": b'[{"Config": "gone.json", "Layers": []}]'},
        {"manifest.json": b'{"a": 1}'},
    ],
)
def test_an_archive_without_a_usable_image_is_refused_by_name(tmp_path, files):
    path = tmp_path / "odd.tar"
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
            tar.add(tmp_path / name, name)
    with pytest.raises(RuntimeFailure, match=r"odd\.tar") as caught:
        images.inspect(path)
    assert caught.value.reason == "InvalidImage"


def test_the_pause_image_is_an_image(tmp_path):
    path = tmp_path / "pause.tar"
    path.write_bytes(pause.archive())
    (image,) = images.inspect(path)
    assert image.names == (pause.REFERENCE,)
