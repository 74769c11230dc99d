"""kill -9 of each part, while pods run and requests flow. Pods must not notice."""

import os
import signal
import time

import pytest

from e2e.cluster import Cluster, start_time, until
from e2e.space import WEB, Space, deployment, pause, pod, service, shell, state


def processes_of_pods(space: Space) -> dict[int, str]:
    """pid -> time of birth of every process in the cgroups of the namespace's pods."""
    from pathlib import Path

    uids = {found["metadata"]["uid"] for found in space.pods()}
    root = Path(f"/sys/fs/cgroup/memory{space.cluster.machine.cgroup_root}/pods")
    found = {}
    for file in root.rglob("cgroup.procs"):
        if any(uid in str(file) for uid in uids):
            for word in file.read_text().split():
                # Probes and hooks come and go; what counts is what is PID 1 of a container.
                if _inner_pid(int(word)) == 1:
                    found[int(word)] = start_time(int(word))
    return found


def _inner_pid(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status") as file:
            return next(int(line.split()[-1]) for line in file if line.startswith("NSpid:"))
    except OSError:
        return 0


def restarts(space: Space) -> list[int]:
    return [status["restartCount"] for found in space.pods() for status in found["status"]["containerStatuses"]]


def takes_work(space: Space, name: str) -> None:
    """The cluster makes a new pod, and lets itself be asked about it."""
    until(lambda: space.cluster.run("kubectl", "-n", space.namespace, "run", name, "--image=localhost/motet-test/busybox:1",
        "--command", "--", "pause", check=False).returncode == 0, what="the API does not come back", every=0.3)  # fmt: skip
    space.running(name)
    assert space.exec(name, "echo", "alive") == "alive\n"


def kill(*pids: int) -> None:
    for pid in pids:
        assert pid > 1
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def web(space: Space) -> Space:
    space.apply(deployment("web", 2, WEB), service("web"), pod("plain", pause()))
    space.rolled_out("web")
    space.running("plain")
    return space


@pytest.mark.parametrize("victims", ["manager", "agent", "containerd", "daemon", "manager+agent+containerd+daemon"])
def test_pods_do_not_notice_when_a_part_is_killed(web: Space, victims: str):
    cluster = web.cluster
    find = {"manager": lambda: cluster.part_pid("server"), "agent": lambda: cluster.part_pid("agent"),
        "containerd": cluster.containerd_pid, "daemon": cluster.daemon_pid}  # fmt: skip
    before = processes_of_pods(web)
    assert len(before) >= 3
    with cluster.load(web.address("web"), 80) as load:
        pids = [find[part]() for part in reversed(victims.split("+"))]
        kill(*pids)
        load.go_on(30)
        if "daemon" in victims:
            cluster.start()
        takes_work(web, "after")
        load.go_on(30)
    assert load.failures == []
    after = processes_of_pods(web)
    assert {pid: after.get(pid) for pid in before} == before
    assert set(restarts(web)) == {0}
    for part in victims.split("+"):
        until(lambda part=part: find[part]() not in (0, *pids), what=f"no new {part}")
    for part in ("daemon", "server", "agent"):
        until(lambda part=part: len(cluster.part_pids(part)) == 1, what=f"more than one {part}")


def test_what_ends_while_the_agent_is_dead_is_noticed(space: Space):
    space.apply(
        pod("ends", shell("while [ ! -e /v/go ]; do usleep 50000; done; exit 7",
            volumeMounts=[{"name": "v", "mountPath": "/v"}]), restartPolicy="Never", volumes=[{"name": "v", "emptyDir": {}}]))  # fmt: skip
    uid = space.running("ends")["metadata"]["uid"]
    agent = space.cluster.part_pid("agent")
    daemon = space.cluster.daemon_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        kill(agent)
        scratch = next(space.cluster.machine.agent_dir.rglob(f"{uid}/**/v"))
        (scratch / "go").touch()
        time.sleep(0.5)
    finally:
        os.kill(daemon, signal.SIGCONT)
    ended = state(space.ended("ends"))["state"]["terminated"]
    assert ended["exitCode"] == 7


def test_a_manager_killed_in_a_rollout_finishes_it(web: Space):
    web.kubectl("set", "env", "deployment/web", "VERSION=v2")
    until(lambda: len(web.pods("app=web")) > 2)
    kill(web.cluster.part_pid("server"))
    until(lambda: web.cluster.run("kubectl", "get", "nodes", check=False).returncode == 0, every=0.3)
    web.rolled_out("web")
    values = [found["spec"]["containers"][0]["env"][0]["value"] for found in web.pods("app=web")]
    assert values == ["v2", "v2"]


def test_stop_leaves_the_containers_and_start_takes_them_over(web: Space):
    before = processes_of_pods(web)
    address = web.address("web")
    with web.cluster.load(address, 80) as load:
        web.cluster.stop()
        assert web.cluster.part_pid("server") == web.cluster.part_pid("agent") == 0
        load.go_on(50)
        web.cluster.start()
        takes_work(web, "after")
    assert load.failures == []
    after = processes_of_pods(web)
    assert {pid: after.get(pid) for pid in before} == before
    assert set(restarts(web)) == {0}


def test_a_second_daemon_or_manager_on_the_same_data_is_refused(cluster: Cluster):
    daemon = cluster.daemon_pid()
    for words in (("daemon",), ("server", "--listen", "127.0.0.1:7443")):
        refused = cluster.motet(*words, check=False, timeout=20)
        assert refused.returncode != 0, words
        assert str(cluster.directory) in refused.stderr or "already" in refused.stderr, refused.stderr
        assert "Traceback" not in refused.stderr
    assert cluster.daemon_pid() == daemon
    cluster.kubectl("get", "nodes")
