"""What each node's pods use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from motet.api.http.nodegraph import NodeGraph
from motet.api.podreferences import references
from motet.kinds import pod as pod_kind
from motet.store.cache import Cache, Resource
from motet.store.document import Document, Key, encode
from motet.store.sqlite import SqliteStore

RESOURCES = (
    "core/pods",
    "core/persistentvolumeclaims",
    "core/persistentvolumes",
    "core/events",
    "core/secrets",
    "networking.k8s.io/ingresses",
    "networking.k8s.io/ingressclasses",
    "storage.k8s.io/volumeattachments",
)


@pytest.fixture
async def cache(tmp_path: Path) -> AsyncIterator[Cache]:
    store = SqliteStore(tmp_path / "state.db", synchronous="NORMAL")
    await store.open()
    made = Cache(store, [Resource(name) for name in RESOURCES])
    await made.start()
    yield made
    await made.close()
    await store.close()


def put(cache: Cache, resource: str, name: str, revision: int, *, namespace: str = "a", **parts: Any) -> Document:
    metadata = {"name": name, "namespace": namespace, "uid": f"u-{name}", **parts.pop("metadata", {})}
    key = Key(resource, namespace, name)
    document = Document(key, encode({"metadata": metadata, **parts}), revision)
    cache.table(resource).apply(key, document, revision)
    return document


def drop(cache: Cache, resource: str, name: str, revision: int, namespace: str = "a") -> None:
    cache.table(resource).apply(Key(resource, namespace, name), None, revision)


POD: dict[str, Any] = {
    "nodeName": "n1",
    "serviceAccountName": "robot",
    "imagePullSecrets": [{"name": "pull"}],
    "containers": [
        {"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "k"}}}]},
        {"name": "d", "envFrom": [{"configMapRef": {"name": "from-map"}}, {"secretRef": {"name": "from-secret"}}]},
    ],
    "initContainers": [
        {"name": "i", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env-map", "key": "k"}}}]}
    ],
    "ephemeralContainers": [{"name": "e", "envFrom": [{"secretRef": {"name": "debug-secret"}}]}],
    "volumes": [
        {"name": "1", "secret": {"secretName": "vol-secret"}},
        {"name": "2", "configMap": {"name": "vol-map"}},
        {"name": "3", "projected": {"sources": [{"secret": {"name": "p-secret"}}, {"configMap": {"name": "p-map"}}]}},
        {"name": "4", "persistentVolumeClaim": {"claimName": "claim"}},
        {"name": "5", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "6", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi-secret"}}},
        {"name": "7", "emptyDir": {}},
    ],
}


async def test_every_way_to_name_something_counts(cache: Cache) -> None:
    pod = put(cache, "core/pods", "p", 1, spec=POD)
    found = {f"{resource}/{name}" for resource, _, name in references(pod)}
    assert found == {
        "serviceaccounts/robot",
        *(f"secrets/{name}" for name in ("pull", "env-secret", "from-secret", "debug-secret", "vol-secret")),
        *(f"secrets/{name}" for name in ("p-secret", "csi-secret")),
        *(f"configmaps/{name}" for name in ("from-map", "env-map", "vol-map", "p-map")),
        "persistentvolumeclaims/claim",
        "persistentvolumeclaims/p-5",
    }


async def test_what_was_there_before_the_graph_is_in_it(cache: Cache) -> None:
    put(cache, "core/pods", "p", 1, spec=POD)
    graph = NodeGraph(cache)
    assert graph.uses("n1", "secrets", "a", "vol-secret")
    assert not graph.uses("n2", "secrets", "a", "vol-secret")
    assert not graph.uses("n1", "secrets", "b", "vol-secret")


async def test_a_volume_opens_to_the_node_whose_pod_uses_its_claim(cache: Cache) -> None:
    graph = NodeGraph(cache)
    put(cache, "core/persistentvolumes", "pv", 1, namespace="", spec={"claimRef": {"namespace": "a", "name": "claim"}})
    put(cache, "core/persistentvolumeclaims", "claim", 2, spec={"volumeName": "pv"})
    assert not graph.volume_of("n1", "pv")
    put(cache, "core/pods", "p", 3, spec=POD)
    assert graph.volume_of("n1", "pv")
    # A volume that claims to be the claim's, which the claim knows nothing of, stays closed.
    put(cache, "core/persistentvolumes", "x", 4, namespace="", spec={"claimRef": {"namespace": "a", "name": "claim"}})
    assert not graph.volume_of("n1", "x")


async def test_the_secrets_that_a_driver_needs_on_a_node_open_to_the_node_that_has_the_volume(cache: Cache) -> None:
    graph = NodeGraph(cache)
    csi = {
        "nodeStageSecretRef": {"namespace": "vault", "name": "stage"},
        "controllerPublishSecretRef": {"namespace": "vault", "name": "control"},
    }
    spec = {"claimRef": {"namespace": "a", "name": "claim"}, "csi": csi}
    put(cache, "core/persistentvolumes", "pv", 1, namespace="", spec=spec)
    put(cache, "core/persistentvolumeclaims", "claim", 2, spec={"volumeName": "pv"})
    assert not graph.opens("n1", "vault", "stage")
    put(cache, "core/pods", "p", 3, spec=POD)
    assert graph.opens("n1", "vault", "stage")
    assert not graph.opens("n2", "vault", "stage")
    assert not graph.opens("n1", "vault", "control")
    put(cache, "core/persistentvolumes", "pv", 4, namespace="", spec={**spec, "csi": {}})
    assert not graph.opens("n1", "vault", "stage")


async def test_an_attachment_opens_to_its_node(cache: Cache) -> None:
    graph = NodeGraph(cache)
    put(cache, "storage.k8s.io/volumeattachments", "at", 1, namespace="", spec={"nodeName": "n1"})
    assert graph.attachment_of("n1", "at")
    assert not graph.attachment_of("n2", "at")


async def test_a_volume_that_lies_on_one_node_is_that_nodes(cache: Cache) -> None:
    graph = NodeGraph(cache)
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}
    there = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1", "n2"]}]}
    for name, terms in (("one", [here]), ("two", [here, there])):
        spec = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
        put(cache, "core/persistentvolumes", name, 1, namespace="", spec=spec)
    assert graph.volume_of("n1", "one")
    assert not graph.leaving_volume_of("n1", "one")
    assert not graph.volume_of("n2", "one")
    assert not graph.volume_of("n1", "two")


async def test_an_event_is_that_of_the_node_that_told_it(cache: Cache) -> None:
    graph = NodeGraph(cache)
    put(cache, "core/events", "e", 1, source={"host": "n1"})
    assert graph.event_from("n1", "a", "e") is True
    assert graph.event_from("n2", "a", "e") is False
    assert graph.event_from("n1", "a", "none") is None


STEPS = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from(["", "n1", "n2", None]), st.frozensets(st.sampled_from("xyz"))),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
@given(steps=STEPS)
async def test_whatever_happens_the_graph_says_what_a_walk_over_all_pods_would(cache: Cache, steps: Any) -> None:
    for name in "pqr":
        drop(cache, "core/pods", name, 1)
    graph = NodeGraph(cache)
    for number, (name, node, secrets) in enumerate(steps, 2):
        if node is None:
            drop(cache, "core/pods", name, number)
            continue
        volumes = [{"name": each, "secret": {"secretName": each}} for each in secrets]
        put(cache, "core/pods", name, number, spec={"nodeName": node, "volumes": volumes})
    for node in ("n1", "n2"):
        wanted = {
            reference
            for pod in cache.table("core/pods")
            if graph.node_of("a", pod.name) == node
            for reference in references(pod)
        }
        for secret in "xyz":
            assert graph.uses(node, "secrets", "a", secret) == (("secrets", "a", secret) in wanted)
    graph.close()


def test_the_pod_kind_is_where_the_graph_looks() -> None:
    assert pod_kind.KIND.resource in RESOURCES


async def test_certificates_of_ingresses_that_nodes_serve_are_read_by_nodes_and_nothing_else_is(cache: Cache) -> None:
    graph = NodeGraph(cache)
    put(cache, "core/secrets", "cert", 1, type="kubernetes.io/tls")
    put(cache, "core/secrets", "password", 2, type="Opaque")
    assert not graph.serves("a", "cert")
    put(cache, "networking.k8s.io/ingressclasses", "motet", 3, namespace="", spec={"controller": "motet.dev/ingress"})
    put(cache, "networking.k8s.io/ingressclasses", "theirs", 4, namespace="", spec={"controller": "example.com/x"})
    tls = [{"secretName": "cert"}, {"secretName": "password"}]
    put(cache, "networking.k8s.io/ingresses", "i", 5, spec={"ingressClassName": "theirs", "tls": tls})
    assert not graph.serves("a", "cert")
    put(cache, "networking.k8s.io/ingresses", "i", 6, spec={"ingressClassName": "motet", "tls": tls})
    assert (graph.serves("a", "cert"), graph.serves("a", "password"), graph.serves("b", "cert")) == (True, False, False)
