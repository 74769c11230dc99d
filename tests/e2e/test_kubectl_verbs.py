"""kubectl against real pods: the verbs that go through to the container."""

import fcntl
import http.client
import os
import pty
import select
import socket
import struct
import subprocess
import termios
import time

import pytest

from e2e.cluster import until
from e2e.space import Space, pause, pod, ready, shell, state


@pytest.fixture
def counter(space: Space) -> Space:
    """A namespace with pod `counter`, which logs a number 20 times a second."""
    space.apply(pod("counter", shell("i=0; while true; do i=$((i+1)); echo line $i; usleep 50000; done")))
    space.running("counter")
    return space


def popen(space: Space, *words: str, **options: object) -> subprocess.Popen[bytes]:
    command = space.cluster.command("kubectl", "-n", space.namespace, *words)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
    return subprocess.Popen(command, env=space.cluster.environment(), **pipes)  # type: ignore[call-overload]


def test_logs_follow_what_is_written(counter):
    with popen(counter, "logs", "-f", "counter") as following:
        lines = [following.stdout.readline() for _ in range(30)]
        following.kill()
    assert lines == [f"line {number}\n".encode() for number in range(1, 31)]
    assert counter.logs("counter", "--tail=2").count("\n") == 2
    assert counter.logs("counter", "--timestamps", "--tail=1").startswith("20")


def test_logs_of_the_container_before_the_restart(space):
    space.apply(pod("twice", shell("[ -e /v/again ] && exec pause; echo first life; touch /v/again; exit 3",
        volumeMounts=[{"name": "v", "mountPath": "/v"}]), volumes=[{"name": "v", "emptyDir": {}}]))  # fmt: skip
    found = space.wait("pods", "twice", lambda found: state(found)["restartCount"] == 1 and ready(found))
    assert state(found)["lastState"]["terminated"]["exitCode"] == 3
    assert state(found)["lastState"]["terminated"]["reason"] == "Error"
    assert space.logs("twice", "--previous") == "first life\n"
    assert space.logs("twice") == ""


def test_exec_carries_input_output_and_the_exit_code(space):
    space.apply(pod("box", pause()))
    space.running("box")
    assert space.exec("box", "echo", "hello") == "hello\n"
    assert space.kubectl("exec", "-i", "box", "--", "tr", "a-z", "A-Z", stdin="shout") == "SHOUT"
    failed = space.cluster.kubectl_fails("-n", space.namespace, "exec", "box", "--", "sh", "-c", "echo no >&2; exit 7")
    assert failed.returncode == 7
    assert failed.stderr.startswith("no\n")
    missing = space.cluster.kubectl_fails("-n", space.namespace, "exec", "box", "--", "nonesuch")
    assert "nonesuch" in missing.stderr
    big = "0123456789abcdef" * 65536
    assert space.kubectl("exec", "-i", "box", "--", "cat", stdin=big) == big


def test_exec_with_a_terminal_and_its_size(space):
    space.apply(pod("box", pause()))
    space.running("box")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    session = popen(space, "exec", "-it", "box", "--", "sh", stdin=theirs, stdout=theirs, start_new_session=True)
    os.close(theirs)
    try:
        seen = _read_until(ours, b"# ")
        os.write(ours, b"tty; stty size; exit 5\n")
        seen += _read_until(ours, b"33 99")
        assert b"/dev/pts/" in seen
        assert session.wait(10) == 5
    finally:
        session.kill()
        session.wait()
        os.close(ours)


def _read_until(handle: int, end: bytes, seconds: float = 15.0) -> bytes:
    seen, deadline = b"", time.monotonic() + seconds
    while end not in seen:
        assert select.select([handle], [], [], max(0.0, deadline - time.monotonic()))[0], seen
        seen += os.read(handle, 4096)
    return seen


def test_cp_goes_both_ways(space, tmp_path):
    space.apply(pod("box", pause()))
    space.running("box")
    there, back = tmp_path / "there", tmp_path / "back"
    there.mkdir()
    (there / "one").write_bytes(bytes(range(256)) * 400)
    (there / "two").write_text("two\n")
    space.kubectl("cp", str(there), "box:/tmp/copied")
    assert space.exec("box", "wc", "-c", "/tmp/copied/one").split()[0] == "102400"
    space.kubectl("cp", "box:/tmp/copied", str(back))
    assert (back / "one").read_bytes() == (there / "one").read_bytes()
    assert (back / "two").read_text() == "two\n"


def test_port_forward_reaches_the_pod(space):
    space.apply(pod("web", shell("echo through > /www/index.html; exec httpd -f -p 8080 -h /www")))
    space.running("web")
    with popen(space, "port-forward", "pod/web", ":8080") as forwarding:
        line = forwarding.stdout.readline().decode()
        port = int(line.split("127.0.0.1:")[1].split(" ")[0])
        try:
            for _ in range(3):
                assert space.cluster.http("127.0.0.1", port) == "through\n"
        finally:
            forwarding.kill()


def test_port_forward_to_a_closed_port_says_so_and_lives_on(space):
    space.apply(pod("web", shell("echo up > /www/index.html; exec httpd -f -p 8080 -h /www")))
    space.running("web")
    with popen(space, "port-forward", "pod/web", "18080:8080", "18081:9999") as forwarding:
        until(lambda: _listening(space, 18081))
        with pytest.raises((OSError, http.client.HTTPException)):
            space.cluster.http("127.0.0.1", 18081)
        forwarding.kill()
        assert b"connection refused" in forwarding.stdout.read().lower()


def _listening(space: Space, port: int) -> bool:
    def connect() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return space.cluster.inside(connect)


def test_attach_speaks_to_the_container_itself(space):
    space.apply(pod("talker", shell("while read line; do echo got $line; done", stdin=True)))
    space.running("talker")
    with popen(space, "attach", "-i", "talker") as attached:
        attached.stdin.write(b"one\ntwo\n")
        attached.stdin.flush()
        seen = b""
        while b"got two" not in seen:
            line = attached.stdout.readline()
            assert line, seen
            seen += line
        attached.kill()
    assert "got one\ngot two\n" in space.logs("talker")


def test_run_with_rm_leaves_nothing(space):
    words = ("run", "job", "--image=localhost/motet-test/busybox:1", "--restart=Never", "--rm", "-i", "--", "cat")
    assert space.kubectl(*words, stdin="echo\n").startswith("echo\n")
    until(lambda: not space.list("pods"))


def test_describe_tells_the_story(space):
    space.apply(pod("box", pause()))
    space.running("box")
    text = space.kubectl("describe", "pod", "box")
    for word in ("Status:           Running", "Scheduled", "Pulled", "Created", "Started"):
        assert word in text


def test_top_level_lists(space):
    space.apply(pod("box", pause()))
    space.running("box")
    header, row = space.kubectl("get", "pods", "-o", "wide").splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row.split()[:4] == ["box", "1/1", "Running", "0"]
    node = space.kubectl("get", "nodes").splitlines()[1].split()
    assert node[1] == "Ready"
