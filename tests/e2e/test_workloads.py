"""The other workloads on real containers, with kubectl's words for them."""

from e2e.cluster import IMAGE, until
from e2e.space import WEB, Space, deployment, pause, service, shell


def template(name: str, *containers, **spec):
    given = {"terminationGracePeriodSeconds": 1, "containers": list(containers), **spec}
    return {"metadata": {"labels": {"app": name}}, "spec": given}


def replication_controller(name: str, replicas: int):
    spec = {"replicas": replicas, "template": template(name, pause())}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name}, "spec": spec}


def daemon_set(name: str, *containers, **spec):
    body = {"selector": {"matchLabels": {"app": name}}, "template": template(name, *containers), **spec}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name}, "spec": body}


def test_a_replication_controller_is_scaled_and_takes_its_pods_with_it(space: Space) -> None:
    space.apply(replication_controller("old", 1))
    space.kubectl("scale", "rc/old", "--replicas=2")
    space.wait("replicationcontrollers", "old", lambda found: found["status"]["readyReplicas"] == 2)
    assert "replicationcontroller/old" in space.kubectl("get", "all", "-o", "name")
    space.kubectl("delete", "rc/old", "--wait=false")
    until(lambda: not space.list("pods", "app=old"))


def test_a_daemon_set_rolls_out_and_back(space: Space) -> None:
    space.apply(daemon_set("logs", {**WEB, "name": "web"}))
    space.kubectl("rollout", "status", "ds/logs", "--timeout=60s", timeout=70)
    (node,) = space.cluster.read("/api/v1/nodes")["items"]
    assert [pod["spec"]["nodeName"] for pod in space.pods("app=logs")] == [node["metadata"]["name"]]
    space.kubectl("set", "env", "ds/logs", "VERSION=v2")
    space.kubectl("rollout", "status", "ds/logs", "--timeout=60s", timeout=70)
    assert "VERSION:\tv2" in space.kubectl("rollout", "history", "ds/logs", "--revision=2")
    space.kubectl("rollout", "undo", "ds/logs")
    space.kubectl("rollout", "status", "ds/logs", "--timeout=60s", timeout=70)
    (pod,) = space.pods("app=logs")
    assert pod["spec"]["containers"][0]["env"][0]["value"] == "v1"
    assert space.kubectl("rollout", "history", "ds/logs").split()[-4:] == ["2", "<none>", "3", "<none>"]


def test_a_stateful_set_keeps_names_and_data(space: Space) -> None:
    keeper = shell(
        "echo $HOSTNAME >> /data/starts; exec sleep 1000", volumeMounts=[{"name": "data", "mountPath": "/data"}]
    )
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}}
    body = {
        "serviceName": "db",
        "replicas": 2,
        "selector": {"matchLabels": {"app": "db"}},
        "template": template("db", keeper),
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
    }
    names = service("db", clusterIP="None")
    space.apply(names, {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"}, "spec": body})
    space.kubectl("rollout", "status", "sts/db", "--timeout=60s", timeout=70)
    until(lambda: "Address" in space.exec("db-0", "nslookup", f"db-1.db.{space.namespace}.svc.cluster.local"))
    space.kubectl("set", "env", "sts/db", "VERSION=v2")
    space.kubectl("rollout", "status", "sts/db", "--timeout=60s", timeout=70)
    assert space.exec("db-1", "cat", "/data/starts") == "db-1\ndb-1\n"
    space.kubectl("rollout", "undo", "sts/db")
    space.kubectl("rollout", "status", "sts/db", "--timeout=60s", timeout=70)
    assert space.exec("db-0", "cat", "/data/starts") == "db-0\ndb-0\ndb-0\n"
    space.kubectl("scale", "sts/db", "--replicas=1")
    until(lambda: [pod["metadata"]["name"] for pod in space.list("pods", "app=db")] == ["db-0"])


def job(name: str, *containers, **spec):
    body = {"template": template(name, *containers, restartPolicy="Never"), **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": body}


def test_an_indexed_job_counts_what_succeeds_and_says_which_index_failed(space: Space) -> None:
    by_index = shell('echo "$HOSTNAME $JOB_COMPLETION_INDEX"; [ $JOB_COMPLETION_INDEX != 1 ]')
    limits = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0}
    space.apply(job("work", by_index, **limits))
    space.kubectl("wait", "--for=condition=Failed", "job/work", "--timeout=60s", timeout=70)
    status = space.get("batch/v1/jobs", "work")["status"]
    assert (status["completedIndexes"], status["failedIndexes"], status["succeeded"], status["failed"]) == (
        "0,2",
        "1",
        2,
        1,
    )
    assert "work-2 2" in space.kubectl("logs", "-l", "batch.kubernetes.io/job-completion-index=2")
    space.kubectl("delete", "job", "work", "--wait=false")
    until(lambda: not space.list("pods"))


def test_a_job_made_by_hand_runs_to_completion(space: Space) -> None:
    space.kubectl("create", "job", "hello", f"--image={IMAGE}", "--", "echo", "hi")
    space.kubectl("wait", "--for=condition=Complete", "job/hello", "--timeout=60s", timeout=70)
    assert space.kubectl("logs", "job/hello") == "hi\n"
    assert "1/1" in space.kubectl("get", "job", "hello")


def test_a_cron_job_makes_jobs_and_is_asked_for_one_at_once(space: Space) -> None:
    space.kubectl("create", "cronjob", "tick", f"--image={IMAGE}", "--schedule=@every 3s", "--", "echo", "tick")
    made = space.wait("batch/v1/cronjobs", "tick", lambda found: found["status"]["lastSuccessfulTime"])
    assert made["status"]["lastScheduleTime"]
    space.kubectl("patch", "cronjob", "tick", "-p", '{"spec":{"suspend":true}}')
    space.kubectl("create", "job", "now", "--from=cronjob/tick")
    space.kubectl("wait", "--for=condition=Complete", "job/now", "--timeout=60s", timeout=70)
    assert space.kubectl("logs", "job/now") == "tick\n"
    assert "@every 3s" in space.kubectl("get", "cronjobs")


def test_a_busy_deployment_grows_by_itself(space: Space) -> None:
    resources = {"requests": {"cpu": "50m"}, "limits": {"cpu": "200m"}}
    space.apply(deployment("busy", 1, shell("while :; do :; done", resources=resources)))
    space.kubectl("autoscale", "deployment", "busy", "--cpu=50%", "--min=1", "--max=2")
    space.wait("autoscaling/v2/horizontalpodautoscalers", "busy", lambda it: it["status"]["desiredReplicas"] == 2, 90)
    space.wait("apps/v1/deployments", "busy", lambda found: found["spec"]["replicas"] == 2)
    assert "Deployment/busy" in space.kubectl("get", "hpa", "busy")
    old = space.get("autoscaling/v1/horizontalpodautoscalers", "busy")
    assert old["spec"]["targetCPUUtilizationPercentage"] == 50
