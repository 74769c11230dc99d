"""Docker's Python SDK, unmodified, doing what programs do with a swarm."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from dialects.docker.conftest import Manager
from dialects.docker.test_conversations import NODE
from motet.kinds import node as node_kind

docker: Any = importlib.import_module("docker")

IMAGE = "localhost/motet-test/busybox:1"


@pytest.fixture(params=["socket", "tls"])
def client(request: pytest.FixtureRequest, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # The SDK's HTTP library believes these before the authority that it is given.
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    manager.make((node_kind.KIND, NODE))
    if request.param == "socket":
        made = docker.DockerClient(base_url=manager.host)
    else:
        pki = manager.machine.pki
        keys = docker.tls.TLSConfig(
            client_cert=(str(pki / "admin.crt"), str(pki / "admin.key")), ca_cert=str(pki / "ca.crt"), verify=True
        )
        made = docker.DockerClient(base_url=f"tcp://127.0.0.1:{manager.docker_port}", tls=keys)
    yield made
    made.close()


def test_the_system_tells_what_it_is(client: Any) -> None:
    assert client.ping()
    assert client.version()["ApiVersion"] == client.api.api_version
    assert client.info()["Swarm"]["LocalNodeState"] == "active"


def test_the_swarm_is_there_and_its_tokens_turn(client: Any) -> None:
    client.swarm.reload()
    before = client.swarm.attrs["JoinTokens"]["Worker"]
    assert client.swarm.update(rotate_worker_token=True)
    client.swarm.reload()
    assert client.swarm.attrs["JoinTokens"]["Worker"] != before
    with pytest.raises(docker.errors.APIError, match="already part of a swarm"):
        client.swarm.init()


def test_a_node_is_labelled_and_drained(client: Any) -> None:
    (node,) = client.nodes.list(filters={"name": "n1"})
    node.update({"Availability": "drain", "Role": node.attrs["Spec"]["Role"], "Labels": {"zone": "a"}})
    node.reload()
    assert (node.attrs["Spec"]["Availability"], node.attrs["Spec"]["Labels"]) == ("drain", {"zone": "a"})
    node.update({"Availability": "active", "Role": node.attrs["Spec"]["Role"]})


@pytest.mark.parametrize("what", ["secrets", "configs"])
def test_secrets_and_configs_come_and_go(client: Any, what: str) -> None:
    held = getattr(client, what)
    made = held.create(name=f"sdk-{what}", data=b"hush", labels={"by": "sdk"})
    (found,) = held.list(filters={"label": "by=sdk"})
    assert (found.id, found.name) == (made.id, f"sdk-{what}")
    with pytest.raises(docker.errors.APIError) as refused:
        held.create(name=f"sdk-{what}", data=b"other")
    assert refused.value.status_code == 409
    assert held.get(made.id).remove()
    with pytest.raises(docker.errors.NotFound):
        held.get(made.id)


def test_networks_and_volumes_come_and_go(client: Any) -> None:
    network = client.networks.create("sdk-net", driver="overlay", attachable=True, labels={"by": "sdk"})
    assert [each.id for each in client.networks.list(names=["sdk-net"])] == [network.id]
    assert client.networks.get("sdk-net").attrs["Attachable"] is True
    network.remove()
    assert client.networks.list(filters={"label": "by=sdk"}) == []
    volume = client.volumes.create("sdk-vol", labels={"by": "sdk"})
    assert client.volumes.get("sdk-vol").attrs["Labels"] == {"by": "sdk"}
    volume.remove()
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("sdk-vol")


@pytest.fixture
def service(client: Any) -> Iterator[Any]:
    types = docker.types
    network = client.networks.create("sdk-front", driver="overlay")
    secret = client.secrets.create(name="sdk-key", data=b"hush")
    made = client.services.create(
        IMAGE,
        ["sleep", "60"],
        name="sdk-web",
        labels={"by": "sdk"},
        container_labels={"inner": "yes"},
        env={"A": "b"},
        mode=types.ServiceMode("replicated", replicas=2),
        networks=[types.NetworkAttachmentConfig("sdk-front", aliases=["web"])],
        secrets=[types.SecretReference(secret.id, "sdk-key", mode=0o400)],
        mounts=[types.Mount("/scratch", None, type="tmpfs", tmpfs_size=1024 * 1024)],
        endpoint_spec=types.EndpointSpec(ports={30877: 80}),
        resources=types.Resources(cpu_limit=500_000_000, mem_limit=64 * 1024 * 1024),
        restart_policy=types.RestartPolicy("on-failure", delay=1_000_000_000, max_attempts=3),
        update_config=types.UpdateConfig(parallelism=1, delay=1_000_000_000, order="start-first"),
        healthcheck=types.Healthcheck(test=["CMD", "true"], interval=1_000_000_000),
        stop_grace_period=2_000_000_000,
        user="7:8",
    )
    yield made
    made.remove()
    network.remove()
    secret.remove()


def test_a_service_is_made_as_it_was_described(client: Any, service: Any) -> None:
    (found,) = client.services.list(filters={"label": "by=sdk"})
    spec = found.attrs["Spec"]
    assert (found.id, spec["Mode"]) == (service.id, {"Replicated": {"Replicas": 2}})
    container = spec["TaskTemplate"]["ContainerSpec"]
    assert (container["Command"], container["Env"], container["Labels"]) == (["sleep", "60"], ["A=b"], {"inner": "yes"})
    assert container["Secrets"][0]["File"]["Mode"] == 0o400
    assert spec["EndpointSpec"]["Ports"][0]["PublishedPort"] == 30877


def test_a_service_is_scaled_updated_and_its_tasks_are_told(client: Any, service: Any) -> None:
    assert service.scale(3)
    service.reload()
    assert service.attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 3
    assert service.update(env=["A=c"])
    service.reload()
    spec = service.attrs["Spec"]
    assert spec["TaskTemplate"]["ContainerSpec"]["Env"] == ["A=c"]
    # What was not mentioned stays.
    assert spec["Mode"]["Replicated"]["Replicas"] == 3
    assert spec["TaskTemplate"]["ContainerSpec"]["Command"] == ["sleep", "60"]
    assert service.force_update()
    with pytest.raises(docker.errors.APIError, match="out of sequence"):
        client.api.update_service(service.id, 1, name="sdk-web", task_template=spec["TaskTemplate"])
    assert all(task["ServiceID"] == service.id for task in service.tasks())


def test_what_is_not_there_is_not_found(client: Any) -> None:
    for held in (client.services, client.nodes, client.networks, client.volumes, client.secrets, client.configs):
        with pytest.raises(docker.errors.NotFound):
            held.get("nothing-of-this-name")
