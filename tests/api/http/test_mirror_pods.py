"""What a node may show of the pods that it runs of its own accord, and that it can make no others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.http.conftest import Api

PODS = "/api/v1/namespaces/default/pods"
MIRROR = "kubernetes.io/config.mirror"
CONTAINER = {"name": "c", "image": "i"}
KEY_OF_MAP = {"configMapKeyRef": {"name": "s", "key": "k"}}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


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
        ({"serviceAccountName": "robot"}, "reference serviceaccounts, as serviceAccountName does"),
        ({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}, "secret"),
        ({"volumes": [{"name": "v", "configMap": {"name": "s"}}]}, 'reference configmaps, as volume "v" does'),
        ({"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]}, "secrets"),
        ({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": CLAIM}}}]}, "persistentvolumeclaims"),
        ({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "s"}}]}}]}, "configmaps"),
        ({"containers": [{**CONTAINER, "envFrom": [{"configMapRef": {"name": "s"}}]}]}, "configmaps"),
        ({"containers": [{**CONTAINER, "env": [{"name": "A", "valueFrom": KEY_OF_MAP}]}]}, "configmaps"),
        ({"initContainers": [{**CONTAINER, "name": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}, "secrets"),
        ({"imagePullSecrets": [{"name": "s"}]}, "secrets"),
    ],
)
async def test_a_node_makes_no_other_pods(api: Api, changes: dict[str, Any], words: str) -> None:
    body = await mirror(api, **changes)
    # Of a template that is known already, too.
    await api.ask("POST", PODS, {"metadata": {"name": "known"}, "spec": body["spec"]})
    code, status = await api.ask("POST", PODS, body, who="node")
    assert code == 403
    assert words in status["message"]


async def test_a_mirror_pod_opens_no_secret_to_its_node(api: Api) -> None:
    await api.ask("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "victim"}})
    opened = [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "victim"}}}]
    code, _ = await api.ask("POST", PODS, await mirror(api, volumes=opened), who="node")
    assert code == 403
    assert (await api.ask("GET", "/api/v1/namespaces/default/secrets/victim", who="node"))[0] == 403


@pytest.mark.parametrize("spec", [{"volumes": "x"}, {"containers": [{**CONTAINER, "envFrom": "x"}]}, {"volumes": [7]}])
async def test_a_mirror_pod_of_the_wrong_form_is_told_so(api: Api, spec: dict[str, Any]) -> None:
    code, _ = await api.ask("POST", PODS, await mirror(api, **spec), who="node")
    assert code in (400, 422)


async def test_names_of_nothing_are_as_none(api: Api) -> None:
    empty = {"env": None, "envFrom": [{"configMapRef": None}]}
    code, _ = await api.ask("POST", PODS, await mirror(api, containers=[{**CONTAINER, **empty}]), who="node")
    assert code in (201, 422)
