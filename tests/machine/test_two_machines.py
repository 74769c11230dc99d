"""Two machines, typed into as a person would: init on one, join on the other, and what follows."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import shutil
import ssl
from collections.abc import Iterator

import msgspec
import pytest

from motet.identity import tls
from motet.runtime.cri import CriRuntime
from support.machines import IMAGE, Machines, import_image, plugged, until

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with plugged() as made:
        yield made


def sandboxes(machines: Machines, name: str) -> set[str]:
    """The pods that really run on a machine, by their sandboxes."""

    async def work() -> set[str]:
        runtime = CriRuntime(machines.boxes[name].machine.containerd_socket)
        try:
            return {sandbox.id for sandbox in await runtime.sandboxes()}
        finally:
            await runtime.close()

    return asyncio.run(work())


def test_two_machines_become_a_cluster_and_part_again(machines: Machines) -> None:
    begun = json.loads(
        machines.motet("m1", "init", "--advertise-addr", machines.address("m1"), "--node-name", "m1", "-o", "json")
    )
    assert begun["server"] == f"https://{machines.address('m1')}:6443"

    # Somebody else's token does not even get its secret out; a manager's token is understood, and refused.
    server = f"{machines.address('m1')}:6443"
    strange = f"MOTET-1-{'a' * 52}-{'b' * 26}"
    assert "Nothing secret was sent" in machines.motet("m2", "join", "--token", strange, server, fails=True)
    manager = machines.motet("m2", "join", "--token", begun["manager"], server, fails=True)
    assert "several managers are not supported yet" in manager

    # A rotated token is of no use any more; the new one is.
    fresh = machines.motet("m1", "join-token", "worker", "--rotate", "-q").strip()
    stale = machines.motet("m2", "join", "--token", begun["worker"], server, "--node-name", "m2", fails=True)
    assert "the join token is not valid" in stale
    taken = machines.motet("m2", "join", "--token", fresh, server, "--node-name", "m1", fails=True)
    assert "cannot prove to be it" in taken
    machines.motet("m2", "join", "--token", fresh, server, "--node-name", "m2")
    nodes = machines.nodes()
    assert {name: (node["state"], node["role"]) for name, node in nodes.items()} == {
        "m1": ("ready", "manager"),
        "m2": ("ready", "worker"),
    }
    assert nodes["m2"]["address"] == machines.address("m2")
    assert "already" in machines.motet("m2", "join", "--token", fresh, server, fails=True)

    a_pod_runs_there_with_a_secret_and_drains_away(machines)
    the_root_is_replaced_and_no_pod_notices(machines)
    fresh = machines.motet("m1", "join-token", "worker", "-q").strip()
    a_removed_machine_is_shut_out_and_may_come_back(machines, fresh, server)

    machines.motet("m2", "stop")
    assert "a worker" in machines.motet("m2", "start")
    machines.motet("m2", "leave")
    assert list(machines.nodes()) == ["m1"]
    assert not machines.boxes["m2"].machine.data_dir.exists()
    assert "the cluster ends" in machines.motet("m1", "leave", fails=True)


def a_pod_runs_there_with_a_secret_and_drains_away(machines: Machines) -> None:
    import_image(machines, "m1")
    import_image(machines, "m2")
    machines.motet("m1", "node", "pause", "m1")
    machines.kubectl("create", "secret", "generic", "word", "--from-literal=word=xyzzy")
    env = [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "word", "key": "word"}}}]
    container = {"name": "app", "image": IMAGE, "command": ["sh", "-c", "echo $WORD; sleep 1000"], "env": env}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    machines.kubectl("apply", "-f", "-", stdin=msgspec.json.encode(deployment).decode())
    machines.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
    there = json.loads(machines.motet("m1", "node", "ps", "m2", "-o", "json"))
    assert [row["state"] for row in there] == ["Running", "Running"]
    assert "xyzzy" in machines.kubectl("logs", "deployment/web")
    machines.motet("m1", "node", "activate", "m1")
    assert "drained (2 pods left it)" in machines.motet("m1", "node", "drain", "m2")
    machines.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
    assert len(json.loads(machines.motet("m1", "node", "ps", "m1", "-o", "json"))) == 2
    assert machines.nodes()["m2"]["availability"] == "drain"
    machines.motet("m1", "node", "update", "m2", "--availability", "active", "--label-add", "disk=fast")
    assert "disk=fast" in machines.motet("m1", "node", "inspect", "m2")


def the_root_is_replaced_and_no_pod_notices(machines: Machines) -> None:
    machines.kubectl("scale", "deployment/web", "--replicas=4")
    machines.kubectl("rollout", "status", "deployment/web", "--timeout=40s")
    pki = machines.boxes["m1"].machine.pki
    before = {name: sandboxes(machines, name) for name in ("m1", "m2")}
    root, front = (pki / "ca.crt").read_bytes(), (pki / "front-proxy" / "ca.crt").read_bytes()
    old = tuple(shutil.copy(pki / f"admin.{part}", machines.directory / f"old.{part}") for part in ("crt", "key"))
    told = machines.motet("m1", "ca", "rotate")
    assert "The root is new" in told
    assert (pki / "ca.crt").read_bytes() != root
    assert (pki / "front-proxy" / "ca.crt").read_bytes() != front
    told = machines.kubectl("get", "configmap", "extension-apiserver-authentication", "-n", "kube-system", "-o", "yaml")
    assert told.count("BEGIN CERTIFICATE") == 2
    for box in machines.boxes.values():
        roots = (box.machine.node_pki / "ca.crt").read_bytes()
        assert roots == (pki / "ca.crt").read_bytes()
    assert {name: sandboxes(machines, name) for name in ("m1", "m2")} == before
    assert all(before.values())
    # The agents begin anew at the very end, to forget the old root; their pods do not notice that either.
    until(lambda: "xyzzy" in machines.kubectl("logs", "deployment/web", check=False))
    assert {node["state"] for node in machines.nodes().values()} == {"ready"}
    with pytest.raises((OSError, http.client.HTTPException)):
        answer_to(tls.client_context(pki / "ca.crt", *old), machines.address("m1"))
    new = tls.client_context(pki / "ca.crt", pki / "admin.crt", pki / "admin.key")
    assert answer_to(new, machines.address("m1")) == 200


def answer_to(context: ssl.SSLContext, host: str) -> int:
    """The code of an answer to whoever `context` shows."""
    with contextlib.closing(http.client.HTTPSConnection(host, 6443, context=context, timeout=10)) as connection:
        connection.request("GET", "/version")
        return connection.getresponse().status


def a_removed_machine_is_shut_out_and_may_come_back(machines: Machines, token: str, server: str) -> None:
    assert "is alive" in machines.motet("m1", "node", "rm", "m2", fails=True)
    assert sandboxes(machines, "m2")
    machines.motet("m1", "node", "rm", "--force", "m2")
    log = machines.boxes["m2"].machine.logs / "agent.log"
    until(lambda: "not a member of this cluster" in log.read_text())
    # It ends the pods that are replaced elsewhere, so that none runs twice.
    until(lambda: not sandboxes(machines, "m2"))
    machines.motet("m2", "stop")
    machines.motet("m2", "join", "--token", token, server, "--node-name", "m2")
    assert machines.nodes()["m2"]["state"] == "ready"
