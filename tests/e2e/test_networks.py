"""Networks: services of a Compose file kept apart, projects kept apart, and what a cluster's user sees of them."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from e2e.cluster import ADDRESS, IMAGE, Cluster, Json, until
from e2e.space import Space, pause, pod, service, shell
from e2e.test_cli_verbs import Shop

SERVE = 'command: sh -c "echo $$HOSTNAME > /www/index.html; exec httpd -f -p 80 -h /www"'
SHOP = f"""
services:
  gate: {{image: {IMAGE}, networks: [front], ports: ["18090:80"], PAGE}}
  my_app: {{image: {IMAGE}, networks: [front, back], PAGE}}
  db: {{image: {IMAGE}, networks: {{back: {{aliases: [Store]}}}}, deploy: {{replicas: 2}}, PAGE}}
networks:
  front: {{attachable: true}}
  back: {{internal: true}}
""".replace("PAGE", SERVE)
BLOG = f"""
services:
  home: {{image: {IMAGE}, PAGE}}
  guest: {{image: {IMAGE}, networks: [theirs], PAGE}}
networks:
  theirs: {{external: true, name: SHOP_front}}
""".replace("PAGE", SERVE)


@pytest.fixture(scope="module")
def shop(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(cluster, tmp_path_factory.mktemp("shop"), SHOP)
    made.motet("up")
    yield made
    made.motet("down", "-q")


def gets(shop: Shop, of: str, url: str) -> str:
    """What a service gets from a URL; empty when nothing."""
    done = shop.motet("exec", of, "--", "timeout", "2", "wget", "-q", "-O", "-", url, check=False)
    return done.stdout.strip()


def addresses(shop: Shop, name: str) -> list[str]:
    found = shop.cluster.read(f"/api/v1/namespaces/{shop.name}/pods?labelSelector=motet.dev/service%3D{name}")
    return [each["status"]["podIP"] for each in found["items"]]


def test_services_reach_by_every_name_whom_they_share_a_network_with(shop: Shop):
    assert gets(shop, "gate", "http://my_app").startswith("my-app-")
    for name in ("db", "store", "tasks.db", "Store"):
        assert gets(shop, "my_app", f"http://{name}").startswith("db-")
    assert gets(shop, "db", "http://my-app").startswith("my-app-")
    names = shop.motet("exec", "my_app", "--", "nslookup", f"tasks.db.{shop.name}.svc.cluster.local.").stdout
    assert all(address in names for address in addresses(shop, "db"))


def test_nobody_else_knows_the_name_nor_gets_through_to_the_address(shop: Shop):
    for name in ("db", "store", "tasks.db"):
        done = shop.motet("exec", "gate", "--", "nslookup", f"{name}.{shop.name}.svc.cluster.local.", check=False)
        assert "NXDOMAIN" in done.stdout + done.stderr
    for one, other in (("gate", "db"), ("db", "gate")):
        assert not any(gets(shop, one, f"http://{address}") for address in addresses(shop, other))


def test_the_published_port_answers_outside_and_every_pod_but_those_shut_in(shop: Shop):
    assert until(lambda: answer(shop.cluster, 18090)).startswith("gate-")
    assert gets(shop, "my_app", f"http://{ADDRESS}:18090").startswith("gate-")
    assert not gets(shop, "db", f"http://{ADDRESS}:18090")
    refused = shop.motet("exec", "db", "--", "nslookup", "www.example.com.", check=False)
    assert "REFUSED" in refused.stdout + refused.stderr


def test_projects_reach_each_other_only_by_a_network_that_lets_them_in(shop: Shop, tmp_path: Path):
    blog = Shop(shop.cluster, tmp_path, BLOG.replace("SHOP", shop.name))
    try:
        blog.motet("up")
        (gate,) = addresses(shop, "gate")
        assert not gets(blog, "home", f"http://{gate}")
        assert gets(blog, "guest", "http://gate").startswith("gate-")
        assert gets(blog, "guest", f"http://gate.{shop.name}").startswith("gate-")
        assert gets(blog, "home", f"http://{ADDRESS}:18090").startswith("gate-")
        refused = shop.cluster.kubectl_fails("delete", "network", "front", "-n", shop.name)
        assert f"network {shop.name}/front is in use by pod" in refused.stderr
        blog.write(BLOG.replace("SHOP_front", f"{shop.name}_back"))
        failed = blog.motet("up", check=False)
        assert failed.returncode == 1
        assert f"{shop.name}/back) lets no other project in" in failed.stderr
    finally:
        blog.motet("down", "-q")
    assert blog.gone()


def answer(cluster: Cluster, port: int) -> str:
    try:
        return cluster.http(ADDRESS, port, timeout=2)
    except (OSError, http.client.HTTPException) as error:
        raise AssertionError(f"{port}: {error!r}") from error


# --- as documents ---------------------------------------------------------------------------------------------------


def on(networks: str, document: Json) -> Json:
    document["metadata"]["annotations"] = {"motet.dev/networks": networks}
    return document


def network(name: str, **spec: object) -> Json:
    return {"apiVersion": "motet.dev/v1", "kind": "Network", "metadata": {"name": name}, "spec": spec}


def reaches(space: Space, of: str, address: str) -> bool:
    words = ("exec", of, "--", "timeout", "1", "nc", address, "8080")
    done = space.cluster.run("kubectl", "-n", space.namespace, *words, check=False)
    return done.returncode == 0 and "here" in done.stdout


def server(name: str) -> Json:
    return pod(name, shell("while true; do echo here | nc -l -p 8080 >/dev/null; done"))


def test_kubectl_shows_networks_and_policies_hold_beside_them(space: Space):
    space.apply(network("open", attachable=True), network("closed"))
    assert space.kubectl("get", "networks").split()[:5] == ["NAME", "INTERNAL", "ATTACHABLE", "ENCRYPTED", "AGE"]
    assert "Attachable:" in space.kubectl("describe", "network", "open")
    refused = space.cluster.kubectl_fails(
        "apply", "-n", space.namespace, "-f", "-", stdin=yaml.safe_dump(on("closed", server("a")))
    )
    assert "not manually attachable" in refused.stderr
    space.apply(on("open", server("server")), on("open", pod("friend", pause())), pod("stranger", pause()))
    address = space.running("server")["status"]["podIP"]
    for name in ("friend", "stranger"):
        space.running(name)
    own = ("nft", "list", "set", "bridge", f"{space.cluster.settings.table}_policy", "own")
    assert f". {address}" in space.cluster.run(*own).stdout, "what it sends under another address is dropped"
    until(lambda: reaches(space, "friend", address))
    assert not reaches(space, "stranger", address)
    space.kubectl("annotate", "pod", "stranger", "motet.dev/networks=open")
    until(lambda: reaches(space, "stranger", address))
    only = {"from": [{"podSelector": {"matchLabels": {"app": "friend"}}}]}
    spec = {"podSelector": {"matchLabels": {"app": "server"}}, "ingress": [only]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    space.apply(policy)
    until(lambda: not reaches(space, "stranger", address))
    assert reaches(space, "friend", address)
    space.kubectl("annotate", "pod", "friend", "motet.dev/networks-")
    until(lambda: not reaches(space, "friend", address))


@pytest.fixture
def tried(space: Space) -> Space:
    """Two pods that try to reach a third from their first instruction on: one on a Network, one under a policy."""
    space.apply(server("server"), pod("witness", pause()), network("apart", attachable=True))
    address = space.running("server")["status"]["podIP"]
    space.running("witness")
    until(lambda: reaches(space, "witness", address))
    spec = {"podSelector": {"matchLabels": {"app": "under"}}, "policyTypes": ["Egress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    space.apply(policy)
    # 143 is what a program that waited in vain ends with; whoever is answered, if only by a refusal, ends otherwise.
    attempts = shell(f"exec 2>/dev/null; while true; do timeout 0.4 nc {address} 8080 < /dev/null; echo $?; done")
    quiet = {"automountServiceAccountToken": False, "enableServiceLinks": False}
    space.apply(on("apart", pod("early", attempts, **quiet)), pod("under", attempts, **quiet))
    return space


def test_a_pod_is_isolated_from_its_first_packet_on_though_the_api_does_not_know_its_address(tried: Space):
    pids, before = {}, {}
    for name in ("early", "under"):
        found = tried.running(name)
        uid, before[name] = found["metadata"]["uid"], found["status"]["podIP"]
        until(lambda uid=uid: set(attempts(tried, uid, 0)) == {"143"})
        pids[uid] = pause_of(tried, uid)
    manager = tried.cluster.part_pid("server")
    os.kill(manager, signal.SIGSTOP)
    try:
        # A pod whose sandbox has died gets another, with another address, of which now nobody but its node can know.
        for pid in pids.values():
            os.kill(pid, signal.SIGKILL)
        for uid in pids:
            assert set(until(lambda uid=uid: attempts(tried, uid, 1)[:4])) == {"143"}
        # Nor does it need the agent that knew: the next one finds the pod running, and the API still in the dark.
        os.kill(tried.cluster.part_pid("agent"), signal.SIGKILL)
    finally:
        os.kill(manager, signal.SIGCONT)
    for name, old in before.items():
        tried.wait("pods", name, lambda found, old=old: found["status"]["podIP"] not in ("", old))
    for uid in pids:
        so_far = len(attempts(tried, uid, 1))
        assert set(until(lambda uid=uid, count=so_far: attempts(tried, uid, 1)[: count + 3][count:])) == {"143"}
        assert set(attempts(tried, uid, 1)) == {"143"}


def attempts(space: Space, uid: str, attempt: int) -> list[str]:
    """How the tries of a container's run ended, from its log on the node."""
    found = list(space.cluster.machine.pod_logs.glob(f"*_{uid}/app/{attempt}.log"))
    return [line.split()[-1] for file in found for line in file.read_text().splitlines()]


def pause_of(space: Space, uid: str) -> int:
    """The process that holds a pod's sandbox."""
    root = Path(f"/sys/fs/cgroup/memory{space.cluster.machine.cgroup_root}/pods")
    pids = {int(word) for file in root.rglob("cgroup.procs") if uid in str(file) for word in file.read_text().split()}
    return next(pid for pid in pids if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] == b"/pause")


def test_a_service_goes_by_its_name_on_the_networks_of_its_pods(space: Space):
    space.apply(network("net", attachable=True), service("server"))
    space.apply(on("net=my_alias", server("server")), on("net", pod("friend", pause())), pod("stranger", pause()))
    for name in ("server", "friend", "stranger"):
        space.running(name)
    address, mine = space.address("server"), f"server.{space.namespace}.svc.cluster.local."

    def lookup(of: str, name: str) -> str:
        words = ("exec", of, "--", "nslookup", name)
        done = space.cluster.run("kubectl", "-n", space.namespace, *words, check=False)
        return done.stdout + done.stderr

    until(lambda: address in lookup("friend", mine))
    pod_address = space.get("pods", "server")["status"]["podIP"]
    assert pod_address in lookup("friend", f"tasks.{mine}")
    assert pod_address in lookup("friend", f"my_alias.{space.namespace}.svc.cluster.local.")
    assert "NXDOMAIN" in lookup("stranger", mine)
