"""What a container may use and do: limits that hold, and least privilege without being asked."""

from pathlib import Path

from e2e.cluster import until
from e2e.space import Space, pause, pod, shell, state

CGROUPS = Path("/sys/fs/cgroup")


def group_of(space: Space, controller: str, name: str) -> Path:
    """The pod's own group."""
    uid = space.get("pods", name)["metadata"]["uid"]
    return next((CGROUPS / controller).glob(f"{space.cluster.machine.cgroup_root.strip('/')}/pods/**/*{uid}*"))


def limits(**values: str) -> dict[str, object]:
    return {"resources": {"limits": values}}


def test_too_much_memory_is_the_end(space: Space):
    hog = shell("exec tail -c 100000000 /dev/zero", **limits(memory="16Mi"))
    space.apply(pod("hog", hog, restartPolicy="Never"))
    ended = state(space.ended("hog"))["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    assert space.kubectl("get", "pod", "hog", "--no-headers").split()[2] == "OOMKilled"


def test_cpu_quota_shares_and_processes_are_in_the_cgroups(space: Space):
    bounded = pause(resources={"limits": {"cpu": "250m", "memory": "32Mi"}, "requests": {"cpu": "100m"}})
    space.apply(pod("bounded", bounded))
    space.running("bounded")
    cpu, memory, pids = (group_of(space, controller, "bounded") for controller in ("cpu", "memory", "pids"))
    assert (cpu / "cpu.cfs_quota_us").read_text() == "25000\n"
    inner = [path for path in cpu.iterdir() if path.is_dir()]
    assert any((path / "cpu.shares").read_text() == "102\n" for path in inner)
    assert (memory / "memory.limit_in_bytes").read_text() == f"{32 << 20}\n"
    assert int((pids / "pids.max").read_text()) > 0


def test_the_cpu_quota_holds(space: Space):
    space.apply(pod("busy", shell("while true; do :; done", **limits(cpu="200m"))))
    space.running("busy")
    stat = group_of(space, "cpu", "busy") / "cpu.stat"
    throttled = lambda: int(next(line for line in stat.read_text().splitlines() if "nr_throttled" in line).split()[1])  # noqa: E731
    until(lambda: throttled() >= 3, what="never throttled")


def test_a_fork_bomb_stays_in_its_pod(space: Space):
    space.apply(pod("bomb", pause()))
    space.running("bomb")
    allowed = int((group_of(space, "pids", "bomb") / "pids.max").read_text())
    script = f"i=0; while [ $i -lt {allowed + 50} ]; do sleep 30 & i=$((i+1)); done 2>&1 | head -1"
    done = space.cluster.run("kubectl", "-n", space.namespace, "exec", "bomb", "--", "sh", "-c", script, check=False)
    assert "fork" in done.stdout + done.stderr
    space.kubectl("delete", "pod", "bomb", "--grace-period=1")


def test_least_privilege_without_being_asked(space: Space):
    space.apply(pod("plain", pause()))
    space.running("plain")
    facts = dict(line.split(":", 1) for line in space.exec("plain", "cat", "/proc/1/status").splitlines())
    facts = {key: value.strip() for key, value in facts.items()}
    assert facts["Seccomp"] == "2"
    assert facts["NoNewPrivs"] == "1"
    capabilities = int(facts["CapBnd"], 16)
    for forbidden, name in (
        (21, "SYS_ADMIN"),
        (12, "NET_ADMIN"),
        (16, "SYS_MODULE"),
        (19, "SYS_PTRACE"),
        (25, "SYS_TIME"),
    ):
        assert not capabilities >> forbidden & 1, name
    mounting = ("exec", "plain", "--", "mount", "-t", "tmpfs", "x", "/tmp")
    assert "denied" in space.cluster.kubectl_fails("-n", space.namespace, *mounting).stderr


def test_what_the_security_context_says_is_done(space: Space):
    secure = pause(
        securityContext={
            "runAsUser": 1234,
            "runAsGroup": 2345,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        }
    )
    space.apply(
        pod("secure", secure, securityContext={"fsGroup": 3456}),
        pod("root", pause(securityContext={"runAsNonRoot": True})),
        pod("mighty", pause(securityContext={"privileged": True, "allowPrivilegeEscalation": True})),
    )
    space.running("secure")
    assert space.exec("secure", "id", "-u") == "1234\n"
    assert space.exec("secure", "id", "-G").split() == ["2345", "3456"]
    assert (
        "Read-only" in space.cluster.kubectl_fails("-n", space.namespace, "exec", "secure", "--", "touch", "/x").stderr
    )
    status = space.exec("secure", "cat", "/proc/1/status")
    assert "CapBnd:\t0000000000000400" in status
    found = space.wait(
        "pods", "root", lambda found: state(found)["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    )
    assert "root" in state(found)["state"]["waiting"]["message"]
    space.running("mighty")
    assert "Seccomp:\t0" in space.exec("mighty", "cat", "/proc/1/status")
    space.exec("mighty", "mount", "-t", "tmpfs", "x", "/tmp")
