"""What a node may show of the pods that it runs of its own accord, and that it can make no others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.http.conftest import Api

PODS = "/api/v1/namespaces/default/pods"
MIRROR = "kubernetes.io/config.mirror"


async def mirror(api: Api, **changes: Any) -> dict[str, Any]:
    """A mirror pod as the agent of n1 makes it; `changes` replace its annotations, owner or parts of its spec."""
    code, node = await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    assert code == 201
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": node["metadata"]["uid"], "controller": True}
    return {
        "metadata": {
            "name": "web-n1",
            "annotations": changes.pop("annotations", {MIRROR: "x"}),
            "ownerReferences": [{**owner, **changes.pop("owner", {})}],
        },
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], **changes},
    }


async def test_a_node_shows_what_it_runs_and_takes_it_back(api: Api) -> None:
    code, made = await api.ask("POST", PODS, await mirror(api), who="node")
    assert (code, "serviceAccountName" in made.get("spec", {})) == (201, False)
    assert (await api.ask("DELETE", f"{PODS}/web-n1", {"gracePeriodSeconds": 0}, who="node"))[0] == 200


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": {}}, "can only create mirror pods"),
        ({"nodeName": "n2"}, "spec.nodeName set to itself"),
        ({"owner": {"name": "n2"}}, "owner reference set to itself"),
        ({"owner": {"uid": "other"}}, "owner reference set to itself"),
        ({"serviceAccountName": "robot"}, "reference a service account"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "secret"),
        ({"volumes": [{"name": "v", "configMap": {"name": "s"}}]}, "a volume of configMap"),
    ],
)
async def test_a_node_makes_no_other_pods(api: Api, changes: dict[str, Any], words: str) -> None:
    body = await mirror(api, **changes)
    # Of a template that is known already, too.
    await api.ask("POST", PODS, {"metadata": {"name": "known"}, "spec": body["spec"]})
    code, status = await api.ask("POST", PODS, body, who="node")
    assert code == 403
    assert words in status["message"]
