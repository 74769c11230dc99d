"""Docker's networks between nodes: who reaches whom, by which names, and what is published to whom."""

from __future__ import annotations

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.testbed.load import fetch

from e2e.swarm import IMAGE, NODES, Json, Stage, Swarm, until
from motet.testbed import plan as plans
from motet.testbed.switch import Switch
from support.capture import Tap, tap

TWO = ("--replicas", "2", "--replicas-max-per-node", "1")


def serving(stage: Stage, name: str, *words: str, version: str = "") -> str:
    """A service that says its name."""
    return stage.service(name, "--env", f"VERSION={version or name}", *words, IMAGE, "/serve")


def heard(swarm: Swarm, task: Json, hosts: Iterable[str]) -> list[str]:
    """Which of the hosts answer a task on port 8080, and what they say they are; all are asked at once."""
    ask = "".join(f"(said=$(timeout 3 wget -q -O - http://{host}:8080/) && echo {host} $said) & " for host in hosts)
    lines = swarm.inside(task, f"({ask}wait) 2> /dev/null").splitlines()
    return sorted(" ".join(line.split()[:2]) for line in lines)


def address(swarm: Swarm, task: Json) -> str:
    return swarm.inside(task, "hostname -i").split()[0]


def found(swarm: Swarm, task: Json, *names: str) -> list[int]:
    """How many addresses each name has for a task."""
    ask = "".join(f"nslookup {name}.default.svc.cluster.local. 2> /dev/null | grep -c '^Address: '; " for name in names)
    return [int(line) for line in swarm.inside(task, ask).split()]


def test_two_networks_do_not_reach_each_other_and_an_internal_one_has_no_way_out(swarm: Swarm, stage: Stage):
    for name in ("left", "right"):
        stage.network(name)
    stage.network("inner", "--internal")
    serving(stage, "ann", *TWO, "--network", "name=left,alias=first,alias=Second")
    serving(stage, "bob", *TWO, "--network", "right", "--endpoint-mode", "dnsrr")
    serving(stage, "shut", *TWO, "--network", "inner", "--publish", "30260:8080")
    serving(stage, "both", "--network", "left", "--network", "right", "--publish", "30261:8080")
    until(swarm.settled)
    tasks = {name: swarm.tasks(name) for name in ("ann", "bob", "shut", "both")}
    addresses = {name: [address(swarm, task) for task in found] for name, found in tasks.items()}
    assert all(len({task["Node"] for task in tasks[name]}) == 2 for name in ("ann", "bob", "shut"))
    (both,) = tasks["both"]
    ann, bob, shut = (tasks[name][0] for name in ("ann", "bob", "shut"))

    # By name: the service's address, every task, aliases; by dnsrr the name is every task's.
    names = ("ann", "tasks.ann", "first", "second", "tasks.first", "bob", "tasks.bob")
    until(lambda: found(swarm, both, *names) == [1, 2, 1, 1, 2, 2, 2])
    assert swarm.service("bob")["Endpoint"].get("VirtualIPs", []) == []
    assert found(swarm, ann, "ann", "first", "bob", "tasks.bob", "shut") == [1, 1, 0, 0, 0]
    assert found(swarm, bob, "bob", "first", "ann", "tasks.ann", "both") == [2, 0, 0, 0, 1]

    # By address: whoever is on both reaches everybody, and nobody else anybody.
    everybody = [*addresses["ann"], *addresses["bob"]]
    until(lambda: len(heard(swarm, both, [*everybody, "first", "bob"])) == 6)
    # Shut in: each other, and nothing beyond, be it by the mesh. From outside the published port leads in.
    inside = [*addresses["shut"], "shut"]
    asked = (
        (ann, everybody),
        (bob, everybody),
        (both, addresses["shut"]),
        (shut, [*inside, *addresses["both"], *everybody]),
    )
    with ThreadPoolExecutor() as at_once:
        answers = list(at_once.map(lambda each: heard(swarm, *each), asked))
    assert answers[0] == sorted(f"{each} ann" for each in addresses["ann"])
    assert answers[1] == sorted(f"{each} bob" for each in addresses["bob"])
    assert answers[2] == []
    assert answers[3] == sorted(f"{each} shut" for each in inside)
    mesh = f"timeout 3 wget -q -O - http://{swarm.testbed.address('n2')}:30261/"
    assert "both" in swarm.inside(ann, mesh)
    assert "both" not in swarm.inside(shut, mesh)
    assert "REFUSED" in swarm.inside(shut, "nslookup www.example.com. 2>&1")
    pinged = f"ping -c 1 -W 2 {swarm.testbed.plan.gateway} > /dev/null 2>&1; echo $?"
    assert (swarm.inside(both, pinged), swarm.inside(shut, pinged)) == ("0", "1")
    assert swarm.versions(30260) == {"shut"}


def test_published_ports_are_a_nodes_own_or_everybodys_and_nobody_gets_one_twice(swarm: Swarm, stage: Stage):
    host = ("--publish", "mode=host,published=30270,target=8080", "--constraint", "node.hostname==n2")
    serving(stage, "mine", *host, "--env", "LOUD=vv")
    serving(stage, "ours", "--publish", "30271:8080", "--env", "LOUD=vv", "--constraint", "node.hostname==n3")
    until(swarm.settled)
    hosts = {name: swarm.testbed.address(name) for name in NODES}
    until(lambda: fetch(hosts["n2"], 30270).startswith("mine"))
    for name in ("n1", "n3"):
        with pytest.raises(ConnectionRefusedError):
            fetch(hosts[name], 30270)
    until(lambda: swarm.versions(30271) == {"ours"})

    # Whoever asked is known by the address he has, though his task is on another node than the one he asked.
    client = re.compile(rf"\b{re.escape(str(swarm.testbed.plan.gateway))}\b")
    for name in ("mine", "ours"):
        asked = until(lambda name=name: swarm.logs(name))
        assert all(map(client.search, asked)), asked

    refused = swarm.docker("service", "create", "--detach", "--name", "late", "--publish", "30271:80", IMAGE, code=1)
    assert "port '30271' is already in use by service 'ours'" in refused
    refused = swarm.docker("service", "update", "--detach", "--publish-add", "30271:8080", "mine", code=1)
    assert "port '30271' is already in use by service 'ours'" in refused
    assert "late" not in swarm.docker("service", "ls")
    serving(stage, "other", *host)
    until(lambda: [task["CurrentState"].split()[0] for task in swarm.tasks("other")] == ["Pending"])
    until(lambda: "ports" in swarm.tasks("other")[0]["Error"])
    swarm.docker("service", "rm", "mine")
    until(lambda: fetch(hosts["n2"], 30270).startswith("other"))


def test_what_an_encrypted_network_says_between_nodes_is_not_overheard(swarm: Swarm, stage: Stage):
    stage.network("secret", "--opt", "encrypted")
    stage.network("clear")
    apart = (*TWO, "--constraint", "node.hostname!=n3")
    for name in ("secret", "clear"):
        serving(stage, f"{name}-web", *apart, "--network", name)
    until(swarm.settled)

    def said(name: str, words: str) -> None:
        """The task on n1 asks the one on n2 for something."""
        tasks = {task["Node"]: task for task in swarm.tasks(f"{name}-web")}
        target = address(swarm, tasks["n2"])
        until(lambda: heard(swarm, tasks["n1"], [target]))
        swarm.inside(tasks["n1"], f"timeout 3 wget -q -O - http://{target}:8080/{words}")

    with _seen(swarm) as seen:
        said("secret", "said-in-secret")
        said("clear", "said-in-clear")
        until(lambda: seen.shows(b"said-in-clear"))
        assert not seen.shows(b"said-in-secret")
        assert not seen.shows(b"secret-web")


def _seen(swarm: Swarm) -> Tap:
    return tap(Switch(plans.tag(swarm.testbed.directory)).namespace, "port1")  # type: ignore[return-value]
