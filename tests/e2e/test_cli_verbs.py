"""The verbs a person types, on real containers: up, ps, logs, exec, scale, status, doctor, down."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import IMAGE, Cluster, until
from e2e.shop import Shop

SHOP = f"""
services:
  db:
    image: {IMAGE}
    command: sh -c "cat /data/kept; date >> /data/kept; touch /tmp/ok; echo db is up; exec pause"
    healthcheck: {{test: "test -e /tmp/ok"}}
    volumes: ["data:/data"]
  init:
    image: {IMAGE}
    command: echo prepared
    depends_on: {{db: {{condition: service_healthy}}}}
  web:
    image: {IMAGE}
    command: sh -c "echo $$GREETING > /tmp/index.html; echo serving; exec httpd -f -p 80 -h /tmp"
    environment: {{GREETING: "hello from web"}}
    ports: ["18080:80"]
    depends_on: {{init: {{condition: service_completed_successfully}}}}
    stop_grace_period: 1s
volumes: {{data: }}
"""


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(cluster, tmp_path_factory.mktemp("shop"), SHOP)
    made.motet("up")
    yield made
    made.motet("down", "--volumes", "-q")
    assert made.gone()


@pytest.fixture
def other(cluster: Cluster, tmp_path: Path) -> Iterator[Shop]:
    """A project that the test itself brings up, or fails to."""
    made = Shop(cluster, tmp_path, "")
    yield made
    made.motet("down", "--volumes", "-q")


def test_a_project_comes_up_and_answers_on_its_port(shop: Shop) -> None:
    address = shop.cluster.settings.address

    def answers() -> bool:
        try:  # without a health check a container counts as ready before its process listens
            return shop.cluster.http(address, 18080).strip() == "hello from web"
        except ConnectionRefusedError:
            return False

    until(answers, what="the answer on the published port")


def test_up_again_changes_nothing_and_says_so(shop: Shop) -> None:
    pods = {row["name"] for row in shop.rows("ps", "-a")}
    told = shop.motet("up").stdout
    assert "nothing to do" in told
    assert f"http://{shop.cluster.settings.address}:18080" in told
    assert {row["name"] for row in shop.rows("ps", "-a")} == pods


def test_ps_lists_services_with_their_ports(shop: Shop) -> None:
    states = {row["name"]: (row["state"], row["ready"], row["ports"]) for row in shop.rows("ps")}
    assert states == {
        "db": ("ready", "1/1", []),
        "init": ("completed", "-", []),
        "web": ("ready", "1/1", ["18080->80/tcp"]),
    }


def test_logs_of_all_services_come_together_in_order(shop: Shop) -> None:
    lines = [line.split("|")[1].strip() for line in shop.motet("logs").stdout.splitlines()]
    assert [line for line in lines if line in ("db is up", "prepared", "serving")] == [
        "db is up",
        "prepared",
        "serving",
    ]


def test_followed_logs_show_pods_that_come_later(shop: Shop) -> None:
    command = shop.cluster.command("motet", "logs", "-f", "web")
    following = subprocess.Popen(
        command, cwd=shop.folder, env=shop.cluster.environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert following.stdout is not None
        assert "serving" in following.stdout.readline()
        shop.motet("scale", "web=2", "-q")
        assert following.stdout.readline().startswith("web-2")
    finally:
        following.send_signal(signal.SIGINT)
        following.wait(10)
        if following.stdout is not None:
            following.stdout.close()
        shop.motet("scale", "web=1", "-q")


def test_exec_passes_input_outputs_and_the_exit_code_on(shop: Shop) -> None:
    done = shop.motet("exec", "web", "sh", "-c", "cat; echo wrong >&2; exit 7", stdin="right", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("right", "wrong\n", 7)
    assert shop.motet("exec", "web", "no-such-program", check=False).returncode == 127


def test_exec_on_a_terminal_is_a_terminal(shop: Shop) -> None:
    ours, theirs = pty.openpty()
    command = shop.cluster.command(
        "motet", "exec", "web", "sh", "-c", "test -t 0 && read line && echo got $line; exit 3"
    )
    child = subprocess.Popen(
        command, cwd=shop.folder, env=shop.cluster.environment(), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        os.write(ours, b"this\r")
        seen = b""

        def answered() -> bool:
            nonlocal seen
            if select.select([ours], [], [], 0.1)[0]:
                seen += os.read(ours, 1024)
            return b"got this" in seen

        until(answered, what="the answer of the process on the terminal")
        assert child.wait(10) == 3
    finally:
        child.kill()
        child.wait()
        os.close(ours)


def test_status_and_doctor_find_everything_in_order(shop: Shop) -> None:
    status = json.loads(shop.motet("status", "-o", "json").stdout)
    assert shop.name in status["projects"]
    assert [node["state"] for node in status["nodes"]] == ["ready"]
    assert shop.motet("doctor").returncode == 0


def test_volumes_outlive_down(shop: Shop) -> None:
    assert "volumes kept: data" in shop.motet("down", "-q").stdout
    assert shop.rows("ps") == []
    shop.motet("up", "-q")
    kept = shop.motet("exec", "db", "cat", "/data/kept").stdout.splitlines()
    assert len(kept) == 2


def test_a_change_that_fails_is_taken_back(shop: Shop) -> None:
    before = [row["name"] for row in shop.rows("ps", "-a", "-p", shop.name) if row["name"].startswith("db")]
    shop.write(SHOP.replace("exec httpd -f -p 80 -h /tmp", "echo cannot serve; exit 9"))
    failed = shop.motet("up", check=False)
    shop.write(SHOP)
    assert failed.returncode == 1
    assert "CrashLoopBackOff" in failed.stderr
    assert "cannot serve" in failed.stderr
    assert "put back as before" in failed.stderr
    assert "nothing to do" in shop.motet("up", "-q").stdout
    assert [row["name"] for row in shop.rows("ps", "-a") if row["name"].startswith("db")] == before
    assert shop.cluster.http(shop.cluster.settings.address, 18080).strip() == "hello from web"


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (f"{{image: {IMAGE}, command: /no/such/program}}", "RunContainerError"),
        ("{image: 'localhost:1/nothing:here'}", "the registry cannot be reached"),
        (f"{{image: {IMAGE}, command: pause, ports: ['18080:80']}}", "is taken by service web of shop-"),
        (f"{{image: {IMAGE}, command: pause, healthcheck: {{test: 'false'}}}}", "not ready after 4 s"),
    ],
)
def test_a_project_that_cannot_come_up_leaves_nothing(shop: Shop, other: Shop, service: str, reason: str) -> None:
    other.write(f"services:\n  good: {{image: {IMAGE}, command: pause}}\n  bad: {service}\n")
    failed = other.motet("up", "--timeout", "4" if "false" in service else "60", check=False)
    assert failed.returncode == 1
    assert reason in failed.stderr
    assert "next:" in failed.stderr
    assert other.gone()


def test_ctrl_c_takes_back_what_was_begun(other: Shop) -> None:
    other.write(f"services: {{slow: {{image: {IMAGE}, command: pause, healthcheck: {{test: 'false'}}}}}}")
    command = other.cluster.command("motet", "up")
    going = subprocess.Popen(
        command, cwd=other.folder, env=other.cluster.environment(), stderr=subprocess.PIPE, text=True
    )
    assert going.stderr is not None
    while "not ready yet" not in (line := going.stderr.readline()):
        assert line, "motet up ended too early"
    going.send_signal(signal.SIGINT)
    assert going.wait(30) == 130
    going.stderr.close()
    assert other.gone()


def test_a_broken_file_creates_nothing(other: Shop) -> None:
    other.write("services:\n  a: {image: x, prots: [80]}\n")
    failed = other.motet("up", check=False)
    assert failed.returncode == 1
    assert "compose.yaml:3: services.a.prots: there is no such key; did you mean `ports`?" in failed.stderr
    assert other.gone()
