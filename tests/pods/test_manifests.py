from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motet.pods import manifests
from motet.pods.spec import Pod

WEB = """
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers: [{name: app, image: web:1, ports: [{containerPort: 80}]}]
"""


def read(directory: Path) -> tuple[list[dict[str, Any]], list[str]]:
    found, problems = manifests.read(directory, "n1")
    return [document.decode() for document in found], [problem.message for problem in problems]


def test_a_file_is_a_pod_of_this_node_with_upstreams_marks_and_defaults(tmp_path: Path):
    (tmp_path / "web.yaml").write_text(WEB)
    [pod], problems = read(tmp_path)
    meta, spec = pod["metadata"], pod["spec"]
    assert problems == []
    assert (meta["name"], meta["namespace"], spec["nodeName"]) == ("web-n1", "default", "n1")
    assert meta["annotations"]["kubernetes.io/config.source"] == "file"
    assert meta["annotations"]["kubernetes.io/config.hash"] == meta["uid"]
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert {"operator": "Exists", "effect": "NoExecute"} in spec["tolerations"]


def test_the_same_file_is_the_same_pod_and_a_changed_one_another(tmp_path: Path):
    path = tmp_path / "web.yaml"
    path.write_text(WEB)
    [first], _ = manifests.read(tmp_path, "n1")
    [again], _ = manifests.read(tmp_path, "n1")
    path.write_text(WEB.replace("web:1", "web:2"))
    [changed], _ = manifests.read(tmp_path, "n1")
    assert first.meta.uid == again.meta.uid != changed.meta.uid
    assert first.view(Pod).static


def test_several_pods_may_be_in_one_file_and_other_files_are_left_alone(tmp_path: Path):
    (tmp_path / "two.yml").write_text(f"{WEB}---{WEB.replace('name: web', 'name: db')}")
    (tmp_path / ".hidden.yaml").write_text("nonsense: [")
    (tmp_path / "notes.txt").write_text("nonsense: [")
    found, problems = read(tmp_path)
    assert ([pod["metadata"]["name"] for pod in found], problems) == (["web-n1", "db-n1"], [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Deployment", "only documents of kind Pod"),
        ("a: [", "flow node"),
        (WEB.replace("image: web:1", "imago: web:1"), "spec.containers[0].imago: unknown field"),
        (WEB.replace("image: web:1, ", ""), "spec.containers[0].image: Required value"),
        (WEB.replace("name: web,", "name: W_eb,"), "metadata.name: "),
        (WEB + "  serviceAccountName: robot", "spec.serviceAccountName: a static pod cannot have it"),
        (WEB + "  volumes: [{name: v, secret: {secretName: s}}]", "spec.volumes[0].secret: a static pod cannot refer"),
        (WEB.replace("ports:", "envFrom: [{secretRef: {name: s}}], ports:"), "spec.containers[0].envFrom: a static"),
        (WEB.replace("[{containerPort: 80}]", "80"), "ports"),
    ],
)
def test_a_file_that_is_no_pod_we_can_run_is_named_and_others_run(tmp_path: Path, text: str, words: str):
    (tmp_path / "bad.yaml").write_text(text)
    (tmp_path / "good.yaml").write_text(WEB)
    found, problems = read(tmp_path)
    assert len(found) == 1
    assert words in problems[0]


def test_its_reflection_belongs_to_the_node_and_says_whose_it_is(tmp_path: Path):
    (tmp_path / "web.yaml").write_text(WEB)
    [document], _ = manifests.read(tmp_path, "n1")
    shown = manifests.reflection(document, "n1", "node-uid")
    assert shown["metadata"]["annotations"]["kubernetes.io/config.mirror"] == document.meta.uid
    assert shown["metadata"]["ownerReferences"][0]["uid"] == "node-uid"
    assert "uid" not in shown["metadata"]
    assert "status" not in shown
