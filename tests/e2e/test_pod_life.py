"""Probes, restarts, hooks, endings: the life of a pod as people see it with kubectl."""

import subprocess
import time
from pathlib import Path

from e2e.cluster import until
from e2e.space import Space, container, pause, pod, ready, service, shell, state

SCRATCH = {"volumes": [{"name": "v", "emptyDir": {}}]}
MOUNTED = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}


def test_a_pod_that_is_not_ready_gets_no_traffic(space: Space):
    probe = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1}
    web = shell("echo in > /www/index.html; exec httpd -f -p 8080 -h /www", readinessProbe=probe)
    space.apply(pod("web", web), service("web"))
    found = space.wait("pods", "web", lambda found: found["status"]["phase"] == "Running")
    assert not ready(found)
    slices = "discovery.k8s.io/v1/endpointslices"

    def ready_of() -> list[bool]:
        return [end["conditions"]["ready"] for part in space.list(slices) for end in part.get("endpoints") or []]

    until(lambda: ready_of() == [False])
    assert "Readiness probe failed" in space.event("web", "Unhealthy")
    try:
        space.cluster.http(space.address("web"), 80, timeout=1)
        raise RuntimeError("an unready pod answered")
    except OSError:
        pass
    space.exec("web", "touch", "/tmp/ready")
    until(lambda: ready_of() == [True])
    assert until(lambda: _try(space, "web")) == "in\n"
    space.exec("web", "rm", "/tmp/ready")
    until(lambda: ready_of() == [False], what="still ready")
    assert state(space.get("pods", "web"))["restartCount"] == 0


def _try(space: Space, name: str) -> str:
    try:
        return space.cluster.http(space.address(name), 80, timeout=1)
    except OSError:
        return ""


def test_a_failing_liveness_probe_restarts_the_container(space: Space):
    probe = {"exec": {"command": ["test", "!", "-e", "/tmp/sick"]}, "periodSeconds": 1, "failureThreshold": 1}
    space.apply(pod("app", pause(livenessProbe=probe)))
    space.running("app")
    space.exec("app", "touch", "/tmp/sick")
    space.wait("pods", "app", lambda found: state(found)["restartCount"] == 1 and ready(found))
    assert "failed liveness probe, will be restarted" in space.event("app", "Killing")


def test_a_startup_probe_holds_the_others_back(space: Space):
    start = {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1, "failureThreshold": 30}
    live = {"exec": {"command": ["test", "-e", "/tmp/started"]}, "periodSeconds": 1, "failureThreshold": 1}
    space.apply(pod("slow", pause(startupProbe=start, livenessProbe=live)))
    space.wait("pods", "slow", lambda found: "running" in state(found)["state"])
    space.event("slow", "Unhealthy")
    assert state(space.get("pods", "slow"))["started"] is False
    space.exec("slow", "touch", "/tmp/started")
    found = space.running("slow")
    assert (state(found)["started"], state(found)["restartCount"]) == (True, 0)


def test_a_crashing_container_backs_off(space: Space):
    space.apply(pod("crash", shell("echo dying; exit 42")))
    found = space.wait(
        "pods",
        "crash",
        lambda found: (
            state(found)["state"]["waiting"]["reason"] == "CrashLoopBackOff" and state(found)["restartCount"] >= 1
        ),
    )
    assert state(found)["lastState"]["terminated"]["exitCode"] == 42
    assert "Back-off restarting failed container app in pod crash" in space.event("crash", "BackOff")
    assert "CrashLoopBackOff" in space.kubectl("get", "pods")


def test_restart_policies(space: Space):
    space.apply(
        pod("never-bad", shell("exit 3"), restartPolicy="Never"),
        pod("never-good", shell("exit 0"), restartPolicy="Never"),
        pod("onfailure-good", shell("exit 0"), restartPolicy="OnFailure"),
        pod("onfailure-bad", shell("[ -e /v/x ] && exit 0; touch /v/x; exit 1", **MOUNTED), restartPolicy="OnFailure", **SCRATCH),
        pod("always", shell("[ -e /v/x ] && exec pause; touch /v/x; exit 0", **MOUNTED), **SCRATCH),
    )  # fmt: skip
    bad = space.ended("never-bad")
    assert bad["status"]["phase"] == "Failed"
    assert state(bad)["state"]["terminated"]["exitCode"] == 3
    good = space.ended("never-good")
    assert (good["status"]["phase"], state(good)["state"]["terminated"]["reason"]) == ("Succeeded", "Completed")
    assert state(space.ended("onfailure-good"))["restartCount"] == 0
    again = space.ended("onfailure-bad")
    assert (again["status"]["phase"], state(again)["restartCount"]) == ("Succeeded", 1)
    space.wait("pods", "always", lambda found: state(found)["restartCount"] == 1 and ready(found))
    rows = {line.split()[0]: line.split()[2] for line in space.kubectl("get", "pods", "--no-headers").splitlines()}
    assert rows["never-bad"] == "Error"
    assert rows["never-good"] == "Completed"


def test_init_containers_run_one_after_the_other(space: Space):
    space.apply(
        pod(
            "app",
            shell("cat /v/log; exec pause", **MOUNTED),
            initContainers=[
                shell("sleep 0.5; echo one >> /v/log", name="one", **MOUNTED),
                shell("echo two >> /v/log", name="two", **MOUNTED),
            ],
            **SCRATCH,
        ),
        pod("stuck", pause(), initContainers=[shell("exit 1", name="bad")], restartPolicy="Never"),
    )
    space.running("app")
    assert space.logs("app", "-c", "app") == "one\ntwo\n"
    assert space.ended("stuck")["status"]["phase"] == "Failed"
    assert space.kubectl("get", "pod", "stuck", "--no-headers").split()[2] == "Init:Error"


def test_a_container_gets_its_grace_and_its_last_words(space: Space):
    polite = "trap 'echo bye; exit 0' TERM; echo up; while true; do usleep 100000; done"
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /proc/1/fd/1"]}}}
    space.apply(
        pod("polite", shell(polite, lifecycle=hook), terminationGracePeriodSeconds=30),
        pod("stubborn", shell("trap '' TERM; while true; do usleep 100000; done"), terminationGracePeriodSeconds=2),
    )
    space.running("polite")
    space.running("stubborn")
    command = space.cluster.command("kubectl", "-n", space.namespace, "logs", "-f", "polite")
    with subprocess.Popen(command, env=space.cluster.environment(), stdout=subprocess.PIPE, text=True) as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "up\n"
        began = time.monotonic()
        space.kubectl("delete", "pod", "polite")
        assert time.monotonic() - began < 10
        assert logs.communicate(timeout=10)[0] == "hook\nbye\n"
    began = time.monotonic()
    space.kubectl("delete", "pod", "stubborn")
    assert 1.5 < time.monotonic() - began < 12


def test_a_deleted_pod_counts_as_terminating_while_it_ends(space: Space):
    space.apply(pod("slow", shell("trap '' TERM; while true; do usleep 100000; done"), terminationGracePeriodSeconds=3))
    space.running("slow")
    space.kubectl("delete", "pod", "slow", "--wait=false")
    assert space.kubectl("get", "pod", "slow", "--no-headers").split()[2] == "Terminating"
    space.kubectl("wait", "--for=delete", "pod/slow", "--timeout=20s")


def test_forced_deletion_is_at_once_and_still_ends_the_container(space: Space):
    space.apply(
        pod("slow", shell("trap '' TERM; while true; do usleep 100000; done"), terminationGracePeriodSeconds=60)
    )
    uid = space.running("slow")["metadata"]["uid"]
    group = f"{space.cluster.machine.cgroup_root}/pods"
    groups = lambda: list(Path(f"/sys/fs/cgroup/memory{group}").rglob(f"*{uid}*"))  # noqa: E731
    assert groups()
    space.kubectl("delete", "pod", "slow", "--force", "--grace-period=0")
    until(lambda: not groups(), what="the pod's cgroup is still there")


def test_a_missing_image_is_told_and_tried_again_more_slowly(space: Space):
    space.apply(pod("lost", container("x", image="127.0.0.1:1/no/such:1") | {"image": "127.0.0.1:1/no/such:1"}),
        pod("never", container("x") | {"image": "localhost/not/here:1", "imagePullPolicy": "Never"}))  # fmt: skip
    waiting = lambda found: state(found)["state"]["waiting"]  # noqa: E731
    seen = space.wait("pods", "lost", lambda found: waiting(found)["reason"] in ("ErrImagePull", "ImagePullBackOff"))
    assert seen["status"]["phase"] == "Pending"
    space.wait("pods", "lost", lambda found: waiting(found)["reason"] == "ImagePullBackOff")
    assert "127.0.0.1:1/no/such:1" in space.event("lost", "Failed")
    assert "127.0.0.1:1/no/such:1" in waiting(space.get("pods", "lost"))["message"]
    space.wait("pods", "never", lambda found: waiting(found)["reason"] == "ErrImageNeverPull")


def test_a_command_that_does_not_exist_is_told(space: Space):
    space.apply(pod("bad", container("/no/such/program"), restartPolicy="Never"))
    found = space.ended("bad")
    ended = state(found)["state"]["terminated"]
    assert ended["reason"] in ("StartError", "ContainerCannotRun")
    assert "/no/such/program" in ended["message"]


def test_the_last_words_in_the_termination_message(space: Space):
    said = {"terminationMessagePolicy": "FallbackToLogsOnError"}
    space.apply(
        pod("file", shell("echo -n from the file > /dev/termination-log; exit 1"), restartPolicy="Never"),
        pod("log", shell("echo from the log; exit 1", **said), restartPolicy="Never"),
    )
    assert state(space.ended("file"))["state"]["terminated"]["message"] == "from the file"
    assert "from the log" in state(space.ended("log"))["state"]["terminated"]["message"]


def test_a_poststart_hook_runs_before_the_pod_is_ready(space: Space):
    hook = {"postStart": {"exec": {"command": ["sh", "-c", "echo made > /tmp/made"]}}}
    space.apply(pod("app", pause(lifecycle=hook)))
    space.running("app")
    assert space.exec("app", "cat", "/tmp/made") == "made\n"
