"""What Compose files say beyond Swarm's reach, on real containers: one project that says as much as it can."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest
from tests.network.dns import messages

from e2e.cluster import ADDRESS, IMAGE, Cluster, until
from e2e.shop import Shop

FILE = f"""
services:
  confined:
    image: {IMAGE}
    command: sh -c "trap 'echo told to go; exit' USR1; while :; do sleep 0.1; done"
    init: true
    shm_size: 3m
    tmpfs: /scratch:size=2m
    group_add: [4242]
    user: "7:8"
    sysctls: {{net.ipv4.ip_unprivileged_port_start: "79"}}
    devices: ["/dev/loop-control:/dev/mine"]
    pids_limit: 30
    stop_signal: SIGUSR1
    hostname: someone
    secrets: [{{source: theirs, mode: 0400, uid: "7", gid: "8"}}]
    configs: [{{source: written, target: /etc/written}}, {{source: filled, target: /etc/filled}}]
    deploy: {{labels: {{org.example.tier: front row}}}}
    dns: {ADDRESS}
    post_start: [{{command: [sh, -c, "echo hooked in $$PWD with $$MORE > /scratch/hook"], working_dir: /scratch, environment: {{MORE: more}}}}]
    networks: {{default: {{aliases: [alias]}}}}
    container_name: the_one
    stop_grace_period: 5s
  host:
    image: {IMAGE}
    command: pause
    network_mode: host
    pid: host
    ipc: host
  flaky:
    image: {IMAGE}
    command: sh -c "test -e /kept/begun || {{ touch /kept/begun; exit 3; }}; exec pause"
    restart: on-failure:2
    volumes: ["here:/kept"]
    depends_on: {{work: {{condition: service_completed_successfully}}}}
  work:
    image: {IMAGE}
    command: sh -c "echo worked as $$HOSTNAME"
    deploy: {{mode: replicated-job, replicas: 2}}
  chatty:
    image: {IMAGE}
    command: sh -c "while echo all work and no play makes a dull log; do sleep 0.02; done"
    logging: {{options: {{max-size: 4k, max-file: 2}}}}
    deploy: {{endpoint_mode: vip}}
    stop_grace_period: 1s
  asleep: {{image: {IMAGE}, command: pause, profiles: [debug]}}
volumes: {{here: {{driver_opts: {{type: none, o: bind, device: ./here}}}}}}
secrets: {{theirs: {{external: true, name: NAME}}}}
configs:
  written: {{content: "in the file"}}
  filled: {{template_driver: golang, content: '{{{{.Service.Name}}}} in the {{{{index .Service.Labels "org.example.tier"}}}}'}}
"""
OVER = """
services:
  confined: {tmpfs: !override "/scratch:size=1m", environment: {LATER: "yes"}}
"""


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("project")
    made = Shop(cluster, folder, "")
    secret = f"theirs-of-{made.name}"
    made.write(FILE.replace("NAME", secret))
    (folder / "compose.override.yaml").write_text(OVER)
    (folder / "here").mkdir()
    cluster.kubectl("create", "secret", "generic", secret, "--from-literal=content=hush")
    made.motet("up")
    yield made
    made.motet("down", "--volumes", "-q")
    cluster.kubectl("delete", "secret", secret)


def inside(shop: Shop, service: str, script: str) -> list[str]:
    return shop.motet("exec", service, "sh", "-c", script).stdout.splitlines()


def test_all_of_it_is_up(shop: Shop) -> None:
    states = {row["name"]: row["state"] for row in shop.rows("ps")}
    assert states == {"chatty": "ready", "confined": "ready", "flaky": "ready", "host": "ready", "work": "completed"}
    assert "nothing to do" in shop.motet("up", "-q").stdout


def test_a_container_is_confined_as_the_file_says(shop: Shop) -> None:
    script = """
id -u; id -g; id -G
cat /proc/1/comm
hostname
cat /proc/sys/net/ipv4/ip_unprivileged_port_start
stat -c '%t:%T %F' /dev/mine
cat /scratch/hook /run/secrets/theirs /etc/written
echo; echo $LATER
"""
    assert inside(shop, "confined", script) == [
        *("7", "8", "8 4242", "pause", "someone", "79", "a:ed character special file"),
        "hooked in /scratch with more",
        "hushin the file",
        "yes",
    ]
    mounts = {line.split()[1]: line.split()[3].split(",") for line in inside(shop, "confined", "cat /proc/mounts")}
    assert "size=1024k" in mounts["/scratch"]
    assert "size=3072k" in mounts["/dev/shm"]


def test_a_container_has_no_more_processes_than_the_file_says(shop: Shop) -> None:
    assert inside(shop, "confined", "for each in $(seq 60); do sleep 1 & done 2>&1 | grep -c 'an.t fork'")[0] != "0"


def test_a_container_is_found_by_all_its_names(shop: Shop) -> None:
    (own,) = inside(shop, "confined", "hostname -i")
    for name in ("confined", "alias", "the_one"):
        found = inside(shop, "confined", f"nslookup {name}; true")
        assert any(own in line for line in found), found


@contextlib.contextmanager
def name_server(cluster: Cluster) -> Iterator[None]:
    """One on the machine, to which every name is of 198.51.100.7."""

    def bound() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((ADDRESS, 53))
        return made

    def serve() -> None:
        while True:
            asked, asker = server.recvfrom(512)
            # Nothing at all is how it is told to end.
            if not asked:
                return
            server.sendto(messages.answer(asked, ("A", bytes((198, 51, 100, 7)), 0)), asker)

    server = cluster.inside(bound)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        server.sendto(b"", (ADDRESS, 53))
        thread.join()
        server.close()


def test_given_name_servers_are_asked_about_what_is_not_the_clusters(shop: Shop) -> None:
    (own,) = inside(shop, "confined", "hostname -i")
    with name_server(shop.cluster):
        assert any("198.51.100.7" in line for line in inside(shop, "confined", "nslookup www.example.com.; true"))
        found = inside(shop, "confined", f"nslookup confined.{shop.name}.svc.cluster.local.; true")
        assert any(own in line for line in found), found


def test_templates_are_filled_in_with_labels_of_any_form(shop: Shop) -> None:
    assert inside(shop, "confined", "cat /etc/filled") == ["confined in the front row"]


def test_a_service_shares_what_the_node_has(shop: Shop) -> None:
    links = inside(shop, "host", "readlink /proc/self/ns/ipc; readlink /proc/self/ns/pid")
    assert links == [os.readlink(f"/proc/self/ns/{name}") for name in ("ipc", "pid")]


def test_one_address_stands_for_all_tasks(shop: Shop) -> None:
    found = inside(shop, "confined", "nslookup chatty; true")
    (service,) = shop.cluster.kubectl(
        "-n", shop.name, "get", "service", "chatty", "-o", "jsonpath={.spec.clusterIP}"
    ).split()
    assert any(service in line for line in found), found


def test_logs_stay_as_small_as_the_file_says(shop: Shop) -> None:
    def rotated() -> bool:
        files = list(shop.cluster.directory.glob(f"pod-logs/{shop.name}_chatty*/chatty/0.log*"))
        return len(files) == 2 and any(file.name != "0.log" for file in files)

    until(rotated, what="the log is set aside")


def test_a_profile_wakes_a_service(shop: Shop) -> None:
    told = shop.motet("up", "--profile", "debug").stdout
    assert "1 created" in told
    # Without it the service is asleep, and no orphan.
    assert "no longer in" not in shop.motet("up").stderr
    shop.motet("up", "--remove-orphans", "-q")
    assert "asleep" in {row["name"] for row in shop.rows("ps")}
