"""Pods that a file on the node describes, and what kubectl sees of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import Json, until
from e2e.space import Space, pod, shell, state


@pytest.fixture
def file(space: Space) -> Iterator[Path]:
    """A manifest of the node's, not there yet."""
    path = space.cluster.machine.agent_dir / "manifests" / f"{space.namespace}.yaml"
    path.parent.mkdir(exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def write(file: Path, says: str) -> None:
    told = pod("web", shell(f"echo {says}; exec pause"))
    told["metadata"]["namespace"] = file.stem
    # As an editor does it: never half a file under the name.
    draft = file.with_suffix(".draft")
    draft.write_text(yaml.safe_dump(told))
    draft.rename(file)


def shown(space: Space, name: str, says: str) -> Json:
    """The reflection, of a pod that runs and has said that."""
    return space.wait("pods", name, lambda found: state(found)["state"]["running"] and says in space.logs(name))


def test_a_file_on_the_node_is_a_pod_that_only_the_file_ends(space: Space, file: Path):
    write(file, "first")
    name = "web-" + space.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    before = shown(space, name, "first")
    assert before["metadata"]["annotations"]["kubernetes.io/config.source"] == "file"
    # Deleting the picture changes nothing but the picture.
    space.kubectl("delete", "pod", name, "--force", "--grace-period=0")
    until(lambda: any(found["metadata"]["uid"] != before["metadata"]["uid"] for found in space.pods()))
    after = shown(space, name, "first")
    assert state(after)["containerID"] == state(before)["containerID"]
    write(file, "second")
    assert state(shown(space, name, "second"))["containerID"] != state(before)["containerID"]
    file.unlink()
    until(lambda: not space.list("pods"), what="still there")
