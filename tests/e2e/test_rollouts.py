"""Deployments on real containers, seen through the Service's address."""

from e2e.cluster import until
from e2e.space import WEB, Space, deployment, service


def versions(space: Space) -> list[str]:
    return sorted(pod["spec"]["containers"][0]["env"][0]["value"] for pod in space.pods("app=web"))


def test_a_rollout_and_its_undo_lose_no_request(space):
    space.apply(deployment("web", 3, WEB), service("web"))
    space.rolled_out("web")
    with space.cluster.load(space.address("web"), 80) as load:
        space.kubectl("set", "env", "deployment/web", "VERSION=v2")
        space.rolled_out("web")
        assert versions(space) == ["v2", "v2", "v2"]
        until(lambda: any(body.startswith("v2") for body in load.bodies))
        space.kubectl("rollout", "undo", "deployment/web")
        space.rolled_out("web")
        assert versions(space) == ["v1", "v1", "v1"]
        load.go_on()
    assert load.failures == []
    history = space.kubectl("rollout", "history", "deployment/web")
    assert history.split()[-2:] == ["3", "<none>"]


def test_a_rollout_that_never_becomes_ready_keeps_the_old_pods_serving(space):
    space.apply(
        deployment("web", 2, WEB, strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}), service("web")
    )
    space.rolled_out("web")
    space.kubectl("patch", "deployment", "web", "--type=json", "-p",
        '[{"op":"replace","path":"/spec/template/spec/containers/0/readinessProbe/httpGet/port","value":9}]')  # fmt: skip
    with space.cluster.load(space.address("web"), 80) as load:
        space.wait("apps/v1/deployments", "web", lambda found: found["status"]["updatedReplicas"] == 1)
        until(lambda: len(space.pods("app=web")) == 3)
        load.go_on(50)
        assert space.get("apps/v1/deployments", "web")["status"]["availableReplicas"] == 2
        space.kubectl("rollout", "undo", "deployment/web")
        space.rolled_out("web")
    assert load.failures == []


def test_scaling_up_and_down(space):
    space.apply(deployment("web", 1, WEB), service("web"))
    space.rolled_out("web")
    space.kubectl("scale", "deployment/web", "--replicas=4")
    space.rolled_out("web")
    names = {pod["metadata"]["name"] for pod in space.pods("app=web")}
    assert len(names) == 4
    with space.cluster.load(space.address("web"), 80) as load:
        until(lambda: len(load.bodies) == 4, what="not every replica answers")
        space.kubectl("scale", "deployment/web", "--replicas=1")
        until(lambda: len(space.list("pods", "app=web")) == 1)
    assert load.failures == []


def test_recreate_ends_the_old_before_it_starts_the_new(space):
    space.apply(deployment("one", 1, {**WEB, "name": "web"}, strategy={"type": "Recreate"}))
    space.rolled_out("one")
    before = space.pods("app=one")[0]
    space.kubectl("set", "env", "deployment/one", "VERSION=v2")
    space.rolled_out("one")
    after = space.pods("app=one")[0]
    assert after["metadata"]["creationTimestamp"] >= before["metadata"]["creationTimestamp"]
    assert after["metadata"]["name"] != before["metadata"]["name"]
    assert len(space.list("pods", "app=one")) == 1


def test_a_deleted_pod_is_replaced(space):
    space.apply(deployment("web", 2, WEB))
    space.rolled_out("web")
    victim = space.pods("app=web")[0]["metadata"]["name"]
    space.kubectl("delete", "pod", victim, "--wait=false")
    space.wait("apps/v1/deployments", "web", lambda found: found["status"]["readyReplicas"] == 2)
    assert victim not in {pod["metadata"]["name"] for pod in space.pods("app=web")}
