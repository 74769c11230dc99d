"""Where pods go, why some go nowhere, and what goes with what when it is deleted."""

from e2e.cluster import until
from e2e.space import Space, deployment, pause, pod


def test_a_pod_that_fits_nowhere_says_why(space: Space):
    space.apply(
        pod("huge", pause(resources={"requests": {"cpu": "1000"}})),
        pod("picky", pause(), nodeSelector={"disk": "none-has-this"}),
    )
    assert "0/1 nodes are available: 1 Insufficient cpu" in space.event("huge", "FailedScheduling")
    assert "didn't match Pod's node affinity/selector" in space.event("picky", "FailedScheduling")
    condition = space.get("pods", "huge")["status"]["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("PodScheduled", "Unschedulable")
    node = space.get("pods", "huge")["spec"].get("nodeName")
    assert node is None
    name = space.kubectl("get", "nodes", "-o", "name").strip()
    space.kubectl("label", name, "disk=none-has-this")
    space.running("picky")
    space.kubectl("label", name, "disk-")


def test_taints_keep_pods_away_until_they_are_tolerated(space: Space):
    name = space.cluster.settings.node_name
    space.kubectl("taint", "node", name, f"{space.namespace}=x:NoSchedule")
    try:
        tolerant = {"tolerations": [{"key": space.namespace, "operator": "Exists"}]}
        space.apply(pod("shy", pause()), pod("bold", pause(), **tolerant))
        space.running("bold")
        assert "untolerated taint" in space.event("shy", "FailedScheduling")
    finally:
        space.kubectl("taint", "node", name, f"{space.namespace}-")
    space.running("shy")


def test_a_cordoned_node_takes_nothing_new(space: Space):
    name = space.kubectl("get", "nodes", "-o", "name").strip()
    space.kubectl("cordon", name)
    try:
        space.apply(pod("late", pause()))
        assert "unschedulable" in space.event("late", "FailedScheduling")
    finally:
        space.kubectl("uncordon", name)
    space.running("late")


def test_a_deleted_namespace_takes_everything_with_it(space: Space):
    inner = Space(space.cluster, f"{space.namespace}-inner")
    space.kubectl("create", "namespace", inner.namespace)
    inner.apply(deployment("web", 2, pause()), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})  # fmt: skip
    inner.rolled_out("web")
    space.kubectl("delete", "namespace", inner.namespace, "--timeout=30s")
    for resource in ("pods", "configmaps", "secrets", "events", "apps/v1/replicasets", "apps/v1/deployments"):
        assert inner.list(resource) == []
    assert "NotFound" in space.cluster.kubectl_fails("get", "namespace", inner.namespace).stderr


def test_dependants_go_with_their_owner_or_stay_as_orphans(space: Space):
    space.apply(deployment("one", 2, pause()), deployment("two", 1, pause()))
    space.rolled_out("one")
    space.rolled_out("two")
    space.kubectl("delete", "deployment", "one", "--cascade=foreground", "--timeout=30s")
    assert space.list("pods", "app=one") == []
    assert space.list("apps/v1/replicasets", "app=one") == []
    space.kubectl("delete", "deployment", "two", "--cascade=orphan")
    left = space.list("apps/v1/replicasets", "app=two")
    assert len(left) == 1
    until(lambda: not space.list("apps/v1/replicasets", "app=two")[0]["metadata"].get("ownerReferences"))
    space.kubectl("delete", "replicaset", left[0]["metadata"]["name"])
    until(lambda: not space.list("pods"))


def app(name: str, **spec: object) -> dict[str, object]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [pause()]},
    }
    return {
        "apiVersion": "motet.dev/v1",
        "kind": "App",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def test_apps_run_replicated_or_on_every_node(space: Space):
    space.apply(app("three", mode={"replicated": {"replicas": 3}}), app("every", mode={"global": {}}))
    until(lambda: len([p for p in space.pods("app=three") if p["status"]["phase"] == "Running"]) == 3)
    until(lambda: len([p for p in space.pods("app=every") if p["status"]["phase"] == "Running"]) == 1)
    space.kubectl("scale", "app/three", "--replicas=1")
    until(lambda: len(space.list("pods", "app=three")) == 1)
    space.kubectl("delete", "app", "three", "every")
    until(lambda: not space.list("pods"))
