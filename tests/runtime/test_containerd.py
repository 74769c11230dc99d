"""The conformance suite on a real containerd, and what only a real one can show."""

import asyncio
import contextlib
import dataclasses
import os
import shutil
import signal
from pathlib import Path

import pytest

from motet.runtime import demolition, pause
from motet.runtime.cgroups import Cgroups, Limits
from motet.runtime.containerd import Containerd
from motet.runtime.interface import (
    ContainerConfig,
    ContainerState,
    DnsConfig,
    EventKind,
    ImageNotFound,
    Mount,
    Resources,
    RuntimeFailure,
    RuntimeUnavailable,
    SandboxConfig,
    Security,
)
from runtime.conformance import PATIENCE, RuntimeConformance, Subject, until
from support.images import busybox_image, docker_archive
from support.node import IMAGE, LiveNode, leaked, live_node

pytestmark = pytest.mark.node


class ContainerdSubject(Subject):
    image = IMAGE

    def __init__(self, node: LiveNode) -> None:
        self.node = node
        self.runtime = node.connect()
        self.cgroups = Cgroups()

    def sandbox(self, name: str = "pod") -> SandboxConfig:
        cgroup = f"{self.node.pods_cgroup}/{name}"
        return SandboxConfig(name, "default", f"uid-{name}", 0, name, str(self.node.logs / name), cgroup)

    def container(self, script: str, **fields: object) -> ContainerConfig:
        return ContainerConfig("main", 0, IMAGE, "main.log", command=("sh", "-c", script), **fields)  # type: ignore[arg-type]

    def lasting(self, name: str = "main") -> ContainerConfig:
        return ContainerConfig(name, 0, IMAGE, f"{name}.log", command=("pause",))

    def ending(self, code: int) -> ContainerConfig:
        return self.container(f"exit {code}")

    def stubborn(self) -> ContainerConfig:
        return self.container("trap '' TERM; sleep 1000 & wait")

    async def run(self, script: str, timeout: float = 10, **fields: object) -> tuple[int, str]:
        """(exit code, log without time stamps) of a container running `script`."""
        _, container_id = await self.started(self.container(script, **fields))
        code = await self.exited(container_id)
        return code, "\n".join(line.split(" ", 3)[3] for line in self.log().splitlines())

    def log(self, pod: str = "pod") -> str:
        return (self.node.logs / pod / "main.log").read_text()

    async def exec(self, container_id: str, script: str) -> str:
        return (await self.runtime.exec_sync(container_id, ["sh", "-c", script], 10)).stdout.decode().strip()

    async def main_process(self, container_id: str) -> int:
        """The host's process ID of a container's first process."""
        return min(self.cgroups.processes(f"{self.sandbox().cgroup_parent}/{container_id}"))

    async def clear(self) -> None:
        await super().clear()
        for name in self.cgroups.children(self.node.pods_cgroup):
            await self.cgroups.remove(f"{self.node.pods_cgroup}/{name}")
        shutil.rmtree(self.node.logs, ignore_errors=True)


@pytest.fixture(scope="module")
def node():
    live = LiveNode()
    try:
        asyncio.run(live.start())
        yield live
    finally:
        asyncio.run(live.destroy())


@pytest.fixture
async def subject(node):
    made = ContainerdSubject(node)
    yield made
    await made.clear()
    await made.runtime.close()


class TestContainerd(RuntimeConformance):
    pass


# -- what a container sees ---------------------------------------------------------------------------------------------


async def test_output_is_logged_line_by_line_with_its_stream(subject):
    _, container_id = await subject.started(subject.container("echo out; echo err >&2; printf unfinished"))
    await subject.exited(container_id)

    async def complete() -> bool:
        return subject.log().count("\n") == 3

    await until(complete)
    lines = sorted(line.split(" ", 1)[1] for line in subject.log().splitlines())
    assert lines == ["stderr F err", "stdout F out", "stdout P unfinished"]


async def test_a_reopened_log_goes_on_in_a_new_file(subject):
    _, container_id = await subject.started(subject.container("while true; do echo line; usleep 10000; done"))
    log = subject.node.logs / "pod" / "main.log"
    await until(lambda: _holds(log.exists))
    log.rename(log.with_suffix(".1"))
    await subject.runtime.reopen_log(container_id)
    await until(lambda: _holds(lambda: log.exists() and log.stat().st_size > 0))


async def _holds(condition) -> bool:
    return bool(condition())


async def test_environment_arguments_and_working_directory_reach_the_command(subject):
    config = ContainerConfig(
        *("main", 0, IMAGE, "main.log"),
        command=("sh", "-c"),
        args=('echo "$GREETING from $PWD"',),
        working_dir="/tmp",
        env=(("GREETING", "hello"),),
    )
    _, container_id = await subject.started(config)
    await subject.exited(container_id)
    assert "hello from /tmp" in subject.log()


async def test_a_pod_has_its_own_name_and_resolver(subject):
    sandbox = dataclasses.replace(
        subject.sandbox(), hostname="alto", dns=DnsConfig(("10.43.0.10",), ("svc.cluster.local",), ("ndots:5",))
    )
    sandbox_id = await subject.runtime.run_sandbox(sandbox)
    container_id = await subject.runtime.create_container(sandbox_id, subject.lasting(), sandbox)
    await subject.runtime.start_container(container_id)
    seen = await subject.exec(container_id, "hostname; cat /etc/resolv.conf")
    assert seen.split("\n") == ["alto", "search svc.cluster.local", "nameserver 10.43.0.10", "options ndots:5"]


async def test_containers_of_a_pod_reach_each_other_on_localhost(subject):
    sandbox = subject.sandbox()
    server = subject.container("echo found >/www/index.html; exec httpd -f -p 80 -h /www")
    sandbox_id, _ = await subject.started(server)
    client_id = await subject.runtime.create_container(sandbox_id, subject.lasting("client"), sandbox)
    await subject.runtime.start_container(client_id)

    async def answered() -> bool:
        return await subject.exec(client_id, "timeout 2 wget -q -O - http://127.0.0.1/") == "found"

    await until(answered)


async def test_files_of_the_host_are_mounted_read_only_when_asked(subject, tmp_path):
    (tmp_path / "note").write_text("from the host")
    mount = Mount(str(tmp_path), "/data", read_only=True)
    code, log = await subject.run("cat /data/note; touch /data/new", mounts=(mount,))
    assert code == 1
    assert "from the host" in log
    assert "Read-only file system" in log


async def test_a_host_network_pod_is_in_the_nodes_network(subject):
    sandbox = dataclasses.replace(subject.sandbox(), host_network=True)
    sandbox_id = await subject.runtime.run_sandbox(sandbox)
    container_id = await subject.runtime.create_container(sandbox_id, subject.lasting(), sandbox)
    await subject.runtime.start_container(container_id)
    own = os.stat(f"/run/netns/{subject.node.name}").st_ino
    assert await subject.exec(container_id, "readlink /proc/self/ns/net") == f"net:[{own}]"


async def test_a_shared_process_namespace_shows_the_whole_pod_and_pause_reaps_orphans(subject):
    sandbox = dataclasses.replace(subject.sandbox(), share_processes=True)
    sandbox_id = await subject.runtime.run_sandbox(sandbox)
    config = dataclasses.replace(subject.lasting(), pid_of_pod=True)
    container_id = await subject.runtime.create_container(sandbox_id, config, sandbox)
    await subject.runtime.start_container(container_id)
    assert await subject.exec(container_id, "cat /proc/1/cmdline") == "/pause\0"
    await subject.exec(container_id, "(true & exec sh -c 'true') & sleep 0.1")

    async def nothing_dead() -> bool:
        return "Z" not in await subject.exec(container_id, "cat /proc/[0-9]*/stat | sed 's/.*) //;s/ .*//'")

    await until(nothing_dead)


# -- security and limits -----------------------------------------------------------------------------------------------


async def _status(subject, security: Security) -> dict[str, str]:
    _, log = await subject.run("cat /proc/self/status", security=security)
    return {key: value.strip() for key, _, value in (line.partition(":") for line in log.splitlines())}


async def test_a_container_is_confined_by_default(subject):
    status = await _status(subject, Security())
    assert status["Seccomp"] == "2"
    assert status["NoNewPrivs"] == "1"
    assert status["CapBnd"] == "00000000a80425fb"


async def test_capabilities_are_dropped_and_added(subject):
    status = await _status(subject, Security(drop_capabilities=("ALL",), add_capabilities=("NET_BIND_SERVICE",)))
    assert status["CapBnd"] == f"{1 << 10:016x}"


async def test_a_user_and_its_groups_are_taken_on(subject):
    _, log = await subject.run(
        "id", security=Security(run_as_user=1000, run_as_group=2000, supplemental_groups=(3000,))
    )
    assert log == "uid=1000 gid=2000 groups=2000,3000"


async def test_a_read_only_root_cannot_be_written(subject):
    code, _ = await subject.run("touch /new", security=Security(read_only_root=True))
    assert code != 0


async def test_kernel_switches_are_read_only(subject):
    code, log = await subject.run("echo 1 > /proc/sys/kernel/pid_max")
    assert code != 0
    assert "Read-only" in log


async def test_an_unknown_seccomp_profile_is_refused(subject):
    with pytest.raises(RuntimeFailure, match="seccomp"):
        await subject.started(subject.container("true", security=Security(seccomp="nonsense")))


async def test_memory_beyond_the_limit_is_an_oom_kill(subject):
    limited = subject.container("x=1; while true; do x=$x$x; done", resources=Resources(memory_limit=16 * 1024 * 1024))
    async with subject.listening() as seen:
        _, container_id = await subject.started(limited)
        await subject.saw(seen, EventKind.OOM, container_id)
        assert await subject.exited(container_id) == 137
    assert (await subject.runtime.container(container_id)).reason == "OOMKilled"


async def test_resources_change_while_a_container_runs(subject):
    _, container_id = await subject.started()
    await subject.runtime.update_resources(container_id, Resources(cpu_shares=512, memory_limit=64 * 1024 * 1024))
    pid = await subject.main_process(container_id)
    assert _limit_of(pid) == 64 * 1024 * 1024


def _limit_of(pid: int) -> int:
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return int(Path(f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes").read_text())
        if controllers == "" and Path(f"/sys/fs/cgroup{path}/memory.max").exists():
            return int(Path(f"/sys/fs/cgroup{path}/memory.max").read_text())
    raise AssertionError("the process has no memory group")


async def test_a_pods_own_group_limits_its_processes_and_tells_its_usage(subject):
    group = subject.sandbox().cgroup_parent
    subject.cgroups.create(group, Limits(pids=20, memory=256 * 1024 * 1024))
    await subject.started(subject.container("for i in $(seq 50); do sleep 1000 & done; wait"))
    # Whether or not the shell survives the refusal, the limit held.
    usage = subject.cgroups.usage(group)
    assert usage is not None
    assert usage.pids <= 20
    assert usage.cpu > 0
    assert usage.memory >= usage.working_set > 0
    await subject.clear()
    assert not subject.cgroups.exists(group)


async def test_a_command_that_is_not_there_fails_at_the_start(subject):
    config = dataclasses.replace(subject.lasting(), command=("/no/such/command",))
    sandbox = subject.sandbox()
    sandbox_id = await subject.runtime.run_sandbox(sandbox)
    container_id = await subject.runtime.create_container(sandbox_id, config, sandbox)
    with pytest.raises(RuntimeFailure, match="no such file"):
        await subject.runtime.start_container(container_id)
    assert (await subject.runtime.container(container_id)).state is ContainerState.EXITED


# -- exec --------------------------------------------------------------------------------------------------------------


async def test_a_command_inside_returns_both_streams_and_its_code(subject):
    _, container_id = await subject.started()
    result = await subject.runtime.exec_sync(container_id, ["sh", "-c", "echo out; echo err >&2; exit 3"], 10)
    assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)


async def test_a_command_inside_is_killed_at_its_timeout(subject):
    _, container_id = await subject.started()
    with pytest.raises(TimeoutError):
        await subject.runtime.exec_sync(container_id, ["sleep", "999"], 0.2)

    async def gone() -> bool:
        return "sleep 999" not in await subject.exec(container_id, "ps")

    await until(gone)


async def test_many_commands_at_once_do_not_stall_the_pod(subject):
    _, container_id = await subject.started()
    async with asyncio.timeout(PATIENCE):
        results = await asyncio.gather(*(subject.runtime.exec_sync(container_id, ["true"], 15) for _ in range(24)))
    assert [result.exit_code for result in results] == [0] * 24


async def test_interactive_streams_are_offered_on_loopback(subject):
    sandbox_id, container_id = await subject.started()
    runtime = subject.runtime
    flags = {"stdin": True, "stdout": True, "stderr": True, "tty": False}
    urls = [
        await runtime.exec_url(container_id, ["sh"], **flags),
        await runtime.attach_url(container_id, **flags),
        await runtime.port_forward_url(sandbox_id, [80]),
    ]
    assert all(url.startswith("http://127.0.0.1:") for url in urls)
    port = int(urls[0].split(":")[2].split("/")[0])
    with subject.node.dial("127.0.0.1", port) as connection:
        connection.sendall(b"GET /nothing HTTP/1.0\r\n\r\n")
        assert b"404" in connection.recv(100)


async def test_a_stop_signal_of_ones_own_is_sent_first(subject):
    script = "trap 'exit 9' USR1; trap '' TERM; echo ready; while true; do sleep 1000 & wait; done"
    config = dataclasses.replace(subject.container(script), stop_signal="SIGUSR1")
    _, container_id = await subject.started(config)
    await until(lambda: _holds(lambda: "ready" in subject.log()))
    await subject.runtime.stop_container(container_id, 30)
    assert await subject.exited(container_id) == 9


# -- images ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [False, True])
async def test_an_imported_layout_runs(subject, tmp_path, compress):
    name = f"localhost/motet-test/layout:{compress}"
    archive = busybox_image(
        tmp_path / "i.tar", name, {"/hello": f"hi {compress}"}, {"User": "65534"}, compress=compress
    )
    assert await subject.runtime.import_image(str(archive)) == [name]
    image = await subject.runtime.image(name)
    assert image.uid == 65534
    _, container_id = await subject.started(dataclasses.replace(subject.container("cat /hello; id -u"), image=name))
    await subject.exited(container_id)
    assert f"hi {compress}" in subject.log()
    await subject.runtime.remove_image(name)
    assert await subject.runtime.image(name) is None


async def test_an_imported_docker_archive_runs_and_can_be_imported_again(subject, tmp_path):
    archive = docker_archive(tmp_path / "i.tar", "old:1", {"/hello": "hi"})
    for _ in range(2):
        assert await subject.runtime.import_image(str(archive)) == ["docker.io/library/old:1"]
    _, container_id = await subject.started(dataclasses.replace(subject.container("cat /hello"), image="old:1"))
    assert await subject.exited(container_id) == 0


async def test_an_archive_whose_blob_does_not_match_its_digest_is_refused(subject, tmp_path):
    archive = busybox_image(tmp_path / "i.tar", "localhost/motet-test/torn:1", {"/x": "original content"})
    archive.write_bytes(archive.read_bytes().replace(b"original content", b"tampered content"))
    with pytest.raises(RuntimeFailure, match="digest"):
        await subject.runtime.import_image(str(archive))
    assert await subject.runtime.image("localhost/motet-test/torn:1") is None


async def test_an_image_is_pulled_from_a_registry(subject, tmp_path):
    with subject.node.registry(busybox_image(tmp_path / "i.tar", "x:1", {"/p": "pulled"})) as host:
        reference = f"{host}/some/image:1"
        image_id = await subject.runtime.pull(reference)
    image = await subject.runtime.image(reference)
    assert image.id == image_id
    assert image.digests[0].startswith(f"{host}/some/image@sha256:")


async def test_an_image_the_registry_lacks_is_said_to_be_missing(subject, tmp_path):
    archive = busybox_image(tmp_path / "i.tar", "x:1")
    with subject.node.registry(archive) as host, pytest.raises(ImageNotFound, match="does not have it"):
        await subject.runtime.pull(f"{host}/some/image:2")


async def test_credentials_are_used_and_their_absence_is_named(subject, tmp_path):
    archive = busybox_image(tmp_path / "i.tar", "x:1", {"/p": "private"})
    with subject.node.registry(archive, ("ann", "secret")) as host:
        reference = f"{host}/private/image:1"
        with pytest.raises(ImageNotFound, match="credentials"):
            await subject.runtime.pull(reference)
        with pytest.raises(ImageNotFound, match="credentials"):
            await subject.runtime.pull(reference, {"username": "ann", "password": "wrong"})
        assert await subject.runtime.pull(reference, {"username": "ann", "password": "secret"})


async def test_a_registry_nobody_answers_for_is_said_to_be_unreachable(subject):
    with pytest.raises(RuntimeFailure, match="cannot be reached") as caught:
        await subject.runtime.pull("127.0.0.1:1/some/image:1")
    assert caught.value.reason == "RegistryUnavailable"


async def test_what_is_no_reference_is_said_not_to_be_one(subject):
    with pytest.raises(RuntimeFailure) as caught:
        await subject.runtime.pull("Not A Reference")
    assert caught.value.reason == "InvalidImageName"


# -- containerd's own life ---------------------------------------------------------------------------------------------


async def test_pods_survive_the_death_of_containerd_with_the_same_processes(subject):
    containerd = Containerd(subject.node.config)
    sandbox = subject.sandbox()
    sandbox_id, container_id = await subject.started()
    dying = dataclasses.replace(
        subject.container("while [ ! -e /tmp/go ]; do usleep 10000; done; exit 9"), name="dying"
    )
    dying_id = await subject.runtime.create_container(sandbox_id, dying, sandbox)
    await subject.runtime.start_container(dying_id)
    process, dying_process = await subject.main_process(container_id), await subject.main_process(dying_id)
    async with subject.listening() as seen:
        old = containerd.pid
        os.kill(old, signal.SIGKILL)
        await until(lambda: _holds(lambda: containerd.pid == 0))
        with pytest.raises(RuntimeUnavailable):
            await subject.runtime.containers()
        # Ends while nobody watches.
        Path(f"/proc/{dying_process}/root/tmp/go").touch()
        await until(lambda: _holds(lambda: not Path(f"/proc/{dying_process}").exists()))
        seen.clear()
        await containerd.ensure()
        assert containerd.pid not in (0, old)
        await subject.saw(seen, EventKind.LOST)
        assert await subject.exited(dying_id) == 9
        assert (await subject.runtime.container(container_id)).state is ContainerState.RUNNING
        assert await subject.main_process(container_id) == process
        assert await subject.exec(container_id, "echo alive") == "alive"
        await subject.runtime.stop_container(container_id, 5)
        await subject.saw(seen, EventKind.EXITED, container_id)


async def test_a_dead_containerd_is_started_again_by_itself(subject):
    containerd = Containerd(subject.node.config)
    keeping = asyncio.create_task(containerd.run())
    try:
        old = containerd.pid
        os.kill(old, signal.SIGKILL)

        async def back() -> bool:
            with contextlib.suppress(RuntimeFailure):
                await subject.runtime.version()
                return containerd.pid not in (0, old)
            return False

        await until(back)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def test_a_running_containerd_is_adopted(subject):
    containerd = Containerd(subject.node.config)
    before = containerd.pid
    await containerd.ensure()
    assert containerd.pid == before


async def test_a_containerd_with_another_configuration_is_restarted_under_its_pods(subject):
    _, container_id = await subject.started()
    process = await subject.main_process(container_id)
    changed = Containerd(dataclasses.replace(subject.node.config, log_line_bytes=8192))
    before = changed.pid
    await changed.ensure()
    assert changed.pid != before
    assert await subject.main_process(container_id) == process
    assert (await subject.runtime.container(container_id)).state is ContainerState.RUNNING
    await Containerd(subject.node.config).ensure()


async def test_containerd_has_a_group_of_its_own(subject):
    processes = subject.cgroups.processes(f"{subject.node.config.cgroup_root}/system")
    assert subject.node.containerd.pid in processes


async def test_a_node_whose_containerd_and_shims_were_killed_is_still_removed_completely():
    async with live_node() as node:
        subject = ContainerdSubject(node)
        sandbox_id, _ = await subject.started()
        sockets = demolition.shim_sockets(node.config.state)
        assert sockets
        os.kill(node.containerd.pid, signal.SIGKILL)
        for pid in demolition.shims(node.config.socket):
            os.kill(pid, signal.SIGKILL)
        await subject.runtime.close()
        await node.containerd.destroy()
        assert leaked(node.config) == []
        assert not any(path.exists() for path in sockets)
        assert not list(Path("/var/lib/cni/results").glob(f"*{sandbox_id}*"))


async def test_a_containerd_that_cannot_start_quotes_its_log():
    node = LiveNode()
    broken = Containerd(dataclasses.replace(node.config, launcher=(), log_line_bytes="many"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeFailure, match="containerd"):
        await broken.ensure()
    await broken.destroy()
    assert leaked(node.config) == []
    shutil.rmtree(node.directory)


async def test_the_pause_program_ends_when_told_to():
    pausing = Path("/tmp/motet-pause-test")
    pausing.write_bytes(pause.program(pause.architecture()))
    pausing.chmod(0o755)
    process = await asyncio.create_subprocess_exec("unshare", "--pid", "--fork", "--kill-child", str(pausing))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    await until(lambda: _holds(children.read_text))
    child = int(children.read_text())
    await until(lambda: _holds(lambda: Path(f"/proc/{child}/comm").read_text().startswith("motet-pause")))
    # Blocked signals of the first process wait for it, so there is no moment too early.
    os.kill(child, signal.SIGTERM)
    assert await process.wait() == 0
    pausing.unlink()
