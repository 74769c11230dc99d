"""Apps whose pods are tasks, on a real node: what fails goes back by itself, and what ended can still be looked at."""

import json
from collections.abc import Iterator

import pytest

from dialects.docker.transcript import clients
from e2e.cluster import IMAGE, Json, resource_path, until
from e2e.space import Space, pause, shell


def app(name: str, container: Json, **spec: object) -> Json:
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}
    return {
        "apiVersion": "motet.dev/v1",
        "kind": "App",
        "metadata": {"name": name},
        "spec": {"template": template, **spec},
    }


def state(space: Space, name: str) -> str:
    status = space.get("motet.dev/v1/apps", name).get("status") or {}
    return str((status.get("update") or {}).get("state", ""))


def test_an_update_that_fails_goes_back_and_leaves_its_history(space: Space):
    rules = {"update": {"failureAction": "rollback", "monitorSeconds": 2}, "restart": {"delaySeconds": 0}}
    space.apply(app("web", pause(), **rules))
    until(lambda: space.get("motet.dev/v1/apps", "web").get("status", {}).get("readyReplicas") == 1)
    space.apply(app("web", shell("exit 3"), **rules))
    followed = space.cluster.motet("rollout", "status", "web", "-n", space.namespace, check=False, timeout=60)
    assert (followed.returncode, "1 of 1 failed within 2 s" in followed.stdout) == (3, True), followed
    assert state(space, "web") == "rollback_completed"
    history = space.cluster.motet("rollout", "history", "web", "-n", space.namespace, "-o", "json").stdout
    kept = json.loads(history)[0]["revisions"]
    assert [(each["number"], each["changes"][:1]) for each in kept] == [(2, []), (3, ["command.0 sh -> pause"])]
    assert space.get("motet.dev/v1/apps", "web")["spec"]["template"]["spec"]["containers"][0]["command"] == ["pause"]
    tasks = space.list("pods", "motet.dev/app=web")
    phases = sorted(each["status"]["phase"] for each in tasks)
    assert "Running" in phases
    assert any(
        each["status"].get("containerStatuses", [{}])[0].get("state", {}).get("terminated", {}).get("exitCode") == 3
        for each in tasks
    )
    stopped = [each for each in tasks if "motet.dev/task-history" in each["metadata"].get("finalizers", ())]
    assert [each["status"]["phase"] in ("Failed", "Succeeded") for each in stopped][:1] == [True]
    assert "rollback_completed" in space.kubectl("get", "app", "web")
    space.kubectl("delete", "app", "web")
    until(lambda: not space.list("pods"))


def test_a_job_runs_to_its_end_and_placeholders_are_filled_in(space: Space):
    script = '[ "$WHO" = "job on $HOSTNAME" ] && [ "$NODE" = "$(hostname)" ]'
    variables = [{"name": "WHO", "value": "{{.Service.Name}} on {{.Node.Hostname}}"}]
    variables += [{"name": "NODE", "value": "{{.Node.Hostname}}"}]
    spec = {"expandTemplates": True, "hostnameTemplate": "{{.Node.Hostname}}", "restart": {"condition": "none"}}
    mode = {"replicatedJob": {"totalCompletions": 2, "maxConcurrent": 1}}
    space.apply(app("job", shell(script, env=variables), mode=mode, **spec))
    until(lambda: "completedAt" in (space.get("motet.dev/v1/apps", "job").get("status", {}).get("job") or {}))
    assert space.get("motet.dev/v1/apps", "job")["status"]["job"]["completed"] == 2


class Docker:
    """The docker command line on the shared cluster."""

    def __init__(self, space: Space) -> None:
        found = clients()
        self._client = found.get("new") or found["old"]
        self._cluster = space.cluster
        self.suffix = space.namespace

    def __call__(self, *words: str) -> str:
        host = {"DOCKER_HOST": f"unix://{self._cluster.machine.docker_socket}"}
        return self._cluster.run(str(self._client), *words, env=host, timeout=60).stdout.strip()

    def create(self, name: str, *words: str, command: str = "exec pause") -> None:
        self("service", "create", "-d", "--no-resolve-image", "--name", name, *words, IMAGE, "sh", "-c", command)


@pytest.fixture
def docker(space: Space) -> Iterator[Docker]:
    made = Docker(space)
    yield made
    names = made("service", "ls", "--filter", f"name={made.suffix}", "--format", "{{.Name}}").split()
    if names:
        made("service", "rm", *names)


def test_docker_asks_by_labels_for_what_swarm_never_had(space: Space, docker: Docker):
    db, job = f"{docker.suffix}-db", f"{docker.suffix}-job"
    wishes = {"schedule": "@every 2s", "depends-on": f"{db}:healthy", "devices": "/dev/loop-control:/dev/mine"}
    labels = [word for key, value in wishes.items() for word in ("--label", f"motet.dev/{key}={value}")]
    script = "[ -c /dev/mine ] && exec 3</dev/mine"
    docker.create(job, "--mode", "replicated-job", "--restart-condition", "none", *labels, command=script)

    def condition(name: str) -> str:
        found = space.cluster.read(resource_path("motet.dev/v1/apps", name, "default")).get("status") or {}
        return next((each["message"] for each in found.get("conditions", ()) if each["type"] == "DependenciesMet"), "")

    until(lambda: condition(job) == f"there is no App {db} yet")
    docker.create(db)
    # Two runs, which could only end well with the device.
    until(lambda: docker("service", "ps", job, "--format", "{{.CurrentState}}").count("Complete ") >= 2)
    assert docker("service", "inspect", job, "--format", '{{index .Spec.Labels "motet.dev/schedule"}}') == "@every 2s"
    space.cluster.kubectl("scale", f"apps.motet.dev/{db}", "--replicas=2")
    until(lambda: docker("service", "ls", "--filter", f"name={db}", "--format", "{{.Replicas}}") == "2/2")
