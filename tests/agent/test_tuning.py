from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from motet.agent.config import AgentConfig
from motet.agent.tuning import apply, shown, tuned
from motet.base.errors import MotetError
from motet.pods import eviction

NOTHING = Path("/nonexistent")
CONFIG = AgentConfig(server="", ca=NOTHING, certificate=NOTHING, key=NOTHING, address="192.168.0.9", node_name="n1")


def test_a_node_without_a_file_is_as_it_was(tmp_path: Path):
    assert apply(CONFIG, tmp_path / "kubelet.yaml") is CONFIG


def test_a_file_changes_what_it_names(tmp_path: Path):
    path = tmp_path / "kubelet.yaml"
    path.write_text("""
kind: KubeletConfiguration
apiVersion: kubelet.config.k8s.io/v1beta1
maxPods: 20
podPidsLimit: -1
evictionHard: {memory.available: 1Gi}
evictionSoft: {nodefs.available: 20%}
evictionSoftGracePeriod: {nodefs.available: 1m30s}
imageGCHighThresholdPercent: 70
imageGCLowThresholdPercent: 60
containerLogMaxSize: 1Mi
systemReserved: {cpu: 500m, memory: 512Mi}
""")
    made = apply(CONFIG, path)
    assert (made.max_pods, made.pids_per_pod, made.rotate_logs_at) == (20, 0, 1 << 20)
    assert made.thresholds == (
        eviction.parse("memory.available<1Gi"), eviction.parse("nodefs.available<20%", 90),
    )  # fmt: skip
    assert (made.images.high, made.images.low, made.reserved_cpu_millis) == (70, 60, 500)


def test_soft_thresholds_leave_the_hard_ones_as_they_are():
    made = tuned(CONFIG, {"evictionSoft": {"pid.available": "10%"}, "evictionSoftGracePeriod": {"pid.available": "1m"}})
    assert made.thresholds == (*eviction.DEFAULTS, eviction.parse("pid.available<10%", 60))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"maxPod": 1}, "maxPod: not a setting of this node"),
        ({"maxPods": "many"}, "maxPods: must be a whole number"),
        ({"evictionHard": {"memory.free": "1Gi"}}, "is not an eviction signal"),
        ({"evictionSoft": {"memory.available": "1Gi"}}, "evictionSoftGracePeriod: memory.available needs one"),
        ({"imageGCLowThresholdPercent": 90}, "must be less than imageGCHighThresholdPercent"),
        ({"imageMinimumGCAge": "long"}, "imageMinimumGCAge: 'long' is not a duration"),
        ({"systemReserved": {"disk": "1Gi"}}, "systemReserved: disk cannot be kept"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(document: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        tuned(CONFIG, document)


def test_a_file_that_is_no_mapping_is_named(tmp_path: Path):
    path = tmp_path / "kubelet.yaml"
    path.write_text("- a list")
    with pytest.raises(MotetError, match="KubeletConfiguration"):
        apply(CONFIG, path)


def test_what_is_shown_can_be_read_again():
    document = {"evictionHard": {"nodefs.available": "7.5%", "memory.available": "1Gi"}, "maxPods": 7}
    made = tuned(
        CONFIG, document | {"evictionSoft": {"pid.available": "5"}, "evictionSoftGracePeriod": {"pid.available": "9s"}}
    )
    told = {key: value for key, value in shown(made).items() if key not in ("clusterDNS", "clusterDomain", "port")}
    assert told["evictionHard"]["nodefs.available"] == "7.5%"
    assert shown(tuned(CONFIG, told)) == shown(made)
