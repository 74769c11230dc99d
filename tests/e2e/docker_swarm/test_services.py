"""Docker's services on real nodes, by the real command line: stacks, updates, what fails and what is lost meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from tests.testbed.load import load

from e2e.swarm import HEALTHY, IMAGE, NODES, Swarm, until

READ = "cat /greeting; cd /run/secrets; stat -c '%n %a %u %g' *; cat password; df password | grep -c tmpfs"
# A name is one address; behind it are two tasks, by a name of their own.
COUNT = "nslookup $$1.default.svc.cluster.local 2> /dev/null | grep -c '^Address: '"
NAMES = f"""count() {{ {COUNT}; }}; until [ \\"$$(count tasks.web)\\" = 2 ]; do sleep 0.2; done; echo addresses $$(count web), $$(id -un)"""
STACK = f"""
x-quick: &quick {{monitor: 1s}}
services:
  web:
    image: {IMAGE}
    command: ["/serve"]
    environment: {{VERSION: one}}
    configs:
      - source: motd
        target: /etc/motd
        mode: 0440
    networks: [front]
    ports: ["30210:8080"]
    deploy: {{replicas: 2, labels: {{com.example.tier: front}}, update_config: *quick}}
  reader:
    image: {IMAGE}
    command: ["sh", "-c", "{READ}; cat /proc/1/comm; (for i in $$(seq 30); do sleep 5 > /dev/null 2>&1 & done) 2>&1 | grep -c fork; exec pause"]
    init: true
    environment: {{VERSION: two}}
    configs: [{{source: greeting, target: /greeting}}]
    secrets:
      - {{source: password, mode: 0400}}
      - {{source: password, target: theirs, mode: 0440, uid: "1000", gid: "2000"}}
    networks: [front]
    deploy:
      placement: {{constraints: [node.role == manager]}}
      resources: {{limits: {{pids: 12}}}}
      update_config: *quick
  client:
    image: {IMAGE}
    command: ["sh", "-c", "until wget -q -O - http://web:8080/ 2> /dev/null; do sleep 0.2; done; {NAMES}; exec pause"]
    user: nobody
    networks: [front]
    deploy: {{mode: global, update_config: *quick}}
networks: {{front: {{}}}}
configs: {{motd: {{file: ./motd}}, greeting: {{file: ./greeting, template_driver: golang}}}}
secrets: {{password: {{file: ./password}}}}
"""


def web(swarm: Swarm, name: str, port: int, *words: str) -> None:
    """A service of two tasks."""
    swarm.docker(
        *("service", "create", "--name", name, "--replicas", "2", "--publish", f"{port}:8080"),
        *("--env", "VERSION=v1", "--update-monitor", "1s", "--rollback-monitor", "1s", *HEALTHY, *words),
        *(IMAGE, "/serve"),
    )


def test_a_stack_is_deployed_and_deployed_again_without_a_change(swarm: Swarm):
    (swarm.directory / "motd").write_text("good morning\n")
    (swarm.directory / "password").write_text("s3cret\n")
    (swarm.directory / "greeting").write_text(
        '{{.Node.Hostname}}: {{.Task.Slot}} {{env "VERSION"}} {{secret "password"}}'
    )
    swarm.deploy(STACK, "shop")
    until(lambda: [swarm.replicas(f"shop_{name}") for name in ("web", "reader", "client")] == ["2/2", "1/1", "3/3"])
    # One line each: on a tmpfs, whose they are, some processes were too many; the first process is the pod's own.
    read = ["1", "1", "n1: 1 two s3cret", "password 400 0 0", "pause", "s3cret", "theirs 440 1000 2000"]
    until(lambda: swarm.logs("shop_reader") == read)
    until(lambda: len(swarm.logs("shop_client")) == 6)
    assert {line for line in swarm.logs("shop_client") if "one" not in line} == {"addresses 1, nobody"}
    assert len(swarm.service("shop_web")["Endpoint"]["VirtualIPs"]) == 1
    assert "s3cret" not in swarm.docker("service", "inspect", "shop_reader") + swarm.docker(
        "secret", "inspect", "shop_password"
    )
    assert [task["Node"] for task in swarm.tasks("shop_reader")] == ["n1"]
    refused = swarm.docker("secret", "rm", "shop_password", code=1)
    assert "is in use by the following service: shop_reader" in refused
    assert "Replicas:\t2" in swarm.docker("service", "inspect", "--pretty", "shop_web")
    before = {name: (swarm.service(name)["Version"], swarm.tasks(name)) for name in ("shop_web", "shop_client")}
    ids = {name: {task["ID"] for task in tasks} for name, (_, tasks) in before.items()}
    swarm.deploy(STACK, "shop")
    assert {name: {task["ID"] for task in swarm.tasks(name)} for name in ids} == ids
    assert swarm.service("shop_web")["Version"] == before["shop_web"][0]
    smaller = STACK.replace(STACK[STACK.index("  client:") : STACK.index("networks: {front: {}}")], "")
    swarm.deploy(smaller, "shop", "--prune")
    assert swarm.docker("stack", "services", "--format", "{{.Name}}", "shop").split() == ["shop_reader", "shop_web"]
    swarm.docker("stack", "rm", "shop")
    assert swarm.docker("stack", "ls", "--format", "{{.Name}}") == ""


def test_updates_rollbacks_and_scaling_lose_no_request(swarm: Swarm, service: str):
    web(swarm, service, 30220, "--update-order", "start-first", "--rollback-order", "start-first")
    hosts = [swarm.testbed.address(name) for name in NODES]
    until(lambda: swarm.versions(30220) == {"v1"})
    with load(hosts, 30220) as clients:
        swarm.docker("service", "update", "--env-add", "VERSION=v2", service)
        assert swarm.versions(30220) == {"v2"}
        swarm.docker("service", "rollback", service)
        assert swarm.versions(30220) == {"v1"}
        scaled = swarm.docker("service", "scale", f"{service}=3")
        swarm.docker("service", "scale", f"{service}=2")
    assert "converged" in scaled
    assert swarm.update_state(service) == "rollback_completed"
    assert swarm.replicas(service) == "2/2"
    assert clients.failures == []
    assert clients.answers > 100


def test_an_update_that_fails_goes_back_with_labels_and_ports(swarm: Swarm, service: str):
    web(swarm, service, 30230, "--update-failure-action", "rollback", "--label", "com.example.release=1")
    swarm.docker(
        *("service", "update", "--args", "sh -c 'exit 3'", "--label-add", "com.example.release=2"),
        *("--publish-add", "30231:8080", service),
    )
    # The command line has ended with 0 (docker/cli#6752). Who wants to know asks so.
    assert swarm.motet("rollout", "status", "--namespace", "default", service) == 3
    until(lambda: swarm.update_state(service) == "rollback_completed")
    found = swarm.service(service)
    assert found["Spec"]["TaskTemplate"]["ContainerSpec"]["Args"] == ["/serve"]
    assert found["Spec"]["Labels"] == {"com.example.release": "1"}
    assert [port["PublishedPort"] for port in found["Endpoint"]["Ports"]] == [30230]
    assert until(lambda: swarm.versions(30230)) == {"v1"}
    assert "exit code 3" in swarm.docker("service", "ps", "--no-trunc", service)
    with pytest.raises(ConnectionRefusedError):
        swarm.versions(30231)


def test_jobs_run_to_their_end_before_the_command_line_does(swarm: Swarm, service: str):
    swarm.docker(
        *("service", "create", "--name", service, "--mode", "global-job", "--restart-condition", "none", IMAGE),
        *("sh", "-c", "sleep 1; echo done"),
    )
    assert swarm.logs(service) == ["done"] * 3
    swarm.docker("service", "rm", service)
    swarm.docker(
        *(
            "service",
            "create",
            "--name",
            service,
            "--mode",
            "replicated-job",
            "--replicas",
            "4",
            "--max-concurrent",
            "2",
        ),
        *("--restart-condition", "none", IMAGE, "echo", "done"),
    )
    assert swarm.logs(service) == ["done"] * 4
    assert swarm.docker("service", "ps", service, "--format", "{{.CurrentState}}").count("Complete") == 4


def test_an_update_goes_on_when_its_manager_is_killed(swarm: Swarm, service: str):
    web(swarm, service, 30240, "--update-delay", "2s")
    swarm.docker("service", "update", "--detach", "--env-add", "VERSION=v2", service)
    until(lambda: swarm.versions(30240) == {"v1", "v2"})
    os.kill(swarm.manager_process(), signal.SIGKILL)
    until(lambda: swarm.update_state(service) == "completed")
    assert swarm.versions(30240) == {"v2"}
    assert swarm.replicas(service) == "2/2"


def test_an_update_goes_on_when_a_node_is_lost(swarm: Swarm, service: str):
    web(swarm, service, 30250, "--update-delay", "2s", "--constraint", "node.hostname!=n1")
    swarm.docker("service", "update", "--detach", "--env-add", "VERSION=v2", service)
    until(lambda: swarm.versions(30250) == {"v1", "v2"})
    try:
        swarm.testbed.kill("n3")
        until(lambda: swarm.docker("node", "inspect", "n3", "--format", "{{.Status.State}}").strip() == "down")
        until(lambda: swarm.versions(30250) == {"v2"})
        until(lambda: swarm.update_state(service) == "completed")
        until(lambda: [task["Node"] for task in swarm.tasks(service)] == ["n2", "n2"])
        until(lambda: swarm.replicas(service) == "2/2")
    finally:
        asyncio.run(swarm.testbed.start("n3"))
        asyncio.run(swarm.testbed.until_ready(["n3"]))
