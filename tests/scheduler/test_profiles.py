"""Profiles: what a file may say, and what it does to placing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.scheduler.builders import document, node, pod, snapshot

from motet.scheduler import profiles
from motet.scheduler.classes import Classes, PodClass
from motet.scheduler.place import place
from motet.scheduler.profiles import BadConfiguration


def written(*told: dict[str, Any]) -> str:
    head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    return yaml.safe_dump({**head, "profiles": list(told)})


def tight(name: str = "tight", **more: Any) -> dict[str, Any]:
    config = [{"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "MostAllocated"}}}]
    disabled = {"score": {"disabled": [{"name": "PodTopologySpread"}]}}
    return {"schedulerName": name, "plugins": disabled, "pluginConfig": config, **more}


def classified(text: str, **spec: Any) -> PodClass:
    return Classes(profiles.parse(text)).of(document("core/pods", pod(**spec)))


def test_a_profile_that_packs_fills_one_node_before_it_takes_another():
    nodes, text = snapshot(node("n1"), node("n2"), node("n3")), written(tight())
    packed = classified(text, owner="web", schedulerName="tight", requests={"cpu": "1"})
    assert place(nodes, packed, 5).nodes == ["n1"] * 4 + ["n2"]
    spread = classified(text, owner="db", schedulerName="default-scheduler", requests={"cpu": "500m"})
    assert place(nodes, spread, 1).nodes == ["n3"]


def test_pods_of_a_profile_stay_on_the_nodes_that_are_added_to_their_affinity():
    expressions = [{"key": "pool", "operator": "In", "values": ["batch"]}]
    required = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    }
    text = written(
        {"schedulerName": "batch", "pluginConfig": [{"name": "NodeAffinity", "args": {"addedAffinity": required}}]}
    )
    nodes = snapshot(node("n1"), node("n2", labels={"pool": "batch"}))
    assert place(nodes, classified(text, schedulerName="batch"), 2).nodes == ["n2", "n2"]
    full = snapshot(node("n1"))
    refusal = place(full, classified(text, schedulerName="batch"), 1).refusal
    assert str(refusal) == "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity."


def test_weights_are_upstreams_unless_said_otherwise():
    found = profiles.parse(
        written(
            {"plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeAffinity", "weight": 6}]}}}
        )
    )
    default = found["default-scheduler"]
    assert default is found["motet"]
    assert (default.preferred, default.room, default.spread, default.local) == (6.0, 0, 0, 0)
    assert profiles.parse(written(tight()))["default-scheduler"] == profiles.DEFAULT


def test_without_a_file_there_is_the_default_profile(tmp_path: Path):
    assert profiles.load(tmp_path / profiles.FILE) is profiles.USUAL


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"extenders": []}, "extenders"),
        ({"plugins": {"filter": {"disabled": [{"name": "*"}]}}}, "filter"),
        ({"plugins": {"score": {"enabled": [{"name": "Mine"}]}}}, "Mine: no score of this scheduler"),
        ({"plugins": {"score": {"enabled": [{"name": "ImageLocality", "weight": 101}]}}}, "between 0 and 100"),
        (
            {"plugins": {"score": {"disabled": [{"name": "NodeResourcesBalancedAllocation"}]}}},
            "part of NodeResourcesFit",
        ),
        ({"pluginConfig": [{"name": "InterPodAffinity"}]}, "pluginConfig\\[0\\].name"),
        ({"pluginConfig": [{"name": "NodeResourcesFit", "args": {"ignoredResources": ["a"]}}]}, "ignoredResources"),
        (
            {
                "pluginConfig": [
                    {"name": "NodeResourcesFit", "args": {"scoringStrategy": {"type": "RequestedToCapacityRatio"}}}
                ]
            },
            "scoringStrategy.type",
        ),
    ],
)
def test_what_is_not_done_is_refused_by_name(told: dict[str, Any], words: str):
    with pytest.raises(BadConfiguration, match=words):
        profiles.parse(written(told))


def test_two_profiles_of_one_name_are_refused():
    with pytest.raises(BadConfiguration, match=r"profiles\[1\].schedulerName"):
        profiles.parse(written(tight(), tight()))
    with pytest.raises(BadConfiguration, match="KubeSchedulerConfiguration"):
        profiles.parse("apiVersion: v1\nkind: Policy\n")
