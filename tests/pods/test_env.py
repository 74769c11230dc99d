from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from motet.pods import env
from motet.pods.env import Place, expand
from motet.pods.security import ConfigError
from motet.pods.sources import ClaimView, ServiceView, VolumeView
from support.pods import app, pod

PLACE = Place("n1", ("192.168.0.9",), 2000, 4 << 30)


class Given:
    """Sources from plain values."""

    def __init__(self, **found: dict[str, bytes]) -> None:
        self.found = found
        self.known_services: list[ServiceView] = []

    async def config_map(self, namespace: str, name: str) -> dict[str, bytes] | None:
        return self.found.get(name)

    secret = config_map

    async def claim(self, namespace: str, name: str) -> ClaimView | None:
        return None

    async def volume(self, name: str) -> VolumeView | None:
        return None

    async def services(self, namespace: str, *, wait: bool = True) -> Sequence[ServiceView]:
        return [service for service in self.known_services if service.metadata.namespace == namespace]


async def variables(container: dict[str, Any], sources: Given | None = None, **spec: Any) -> dict[str, str]:
    made = pod(container, **spec)
    return await env.of_container(made, made.spec.containers[0], sources or Given(), PLACE, ("10.42.0.5",))


def service(name: str, ip: str, *ports: dict[str, Any], namespace: str = "default") -> ServiceView:
    document = {"metadata": {"name": name, "namespace": namespace}, "spec": {"clusterIP": ip, "ports": list(ports)}}
    return msgspec.convert(document, ServiceView)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)/$(B)", "1/2"), ("$$(A)", "$(A)"), ("$(C)", "$(C)"), ("$A $", "$A $"), ("$$$(A)", "$1")],
)
def test_references_are_expanded(text: str, expected: str):
    assert expand(text, {"A": "1", "B": "2"}) == expected


async def test_later_sources_win_and_references_see_what_came_before():
    container = app(
        env=[{"name": "A", "value": "mine"}, {"name": "B", "value": "$(A)-$(K)"}],
        envFrom=[{"configMapRef": {"name": "one"}}, {"secretRef": {"name": "two"}}],
    )
    found = await variables(container, Given(one={"A": b"1", "K": b"1"}, two={"K": b"2", "not a name": b"x"}))
    assert found == {"A": "mine", "B": "mine-2", "K": "2"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "no", "key": "k"}}, 'configmap "no" not found'),
        ({"secretKeyRef": {"name": "yes", "key": "k"}}, "couldn't find key k in Secret default/yes"),
        ({"fieldRef": {"fieldPath": "spec.nope"}}, "unsupported fieldPath: spec.nope"),
    ],
)
async def test_what_is_missing_is_named(source: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        await variables(app(env=[{"name": "A", "valueFrom": source}]), Given(yes={}))


async def test_an_optional_reference_may_be_missing():
    ref = {"name": "no", "key": "k", "optional": True}
    assert await variables(app(env=[{"name": "A", "valueFrom": {"secretKeyRef": ref}}])) == {}


async def test_fields_of_the_pod_and_its_node():
    paths = [
        "metadata.labels['app']",
        "spec.nodeName",
        "status.hostIP",
        "status.podIPs",
        "metadata.annotations['none']",
    ]
    refs = [{"name": f"F{index}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for index, path in enumerate(paths)]
    found = await variables(app(env=refs), meta={"labels": {"app": "web"}})
    assert list(found.values()) == ["web", "n1", "192.168.0.9", "10.42.0.5", ""]


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ({"resource": "limits.cpu"}, "1"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "500"),
        ({"resource": "limits.memory"}, str(4 << 30)),
        ({"resource": "requests.memory", "divisor": "1Mi"}, "10"),
    ],
)
async def test_resources_are_rounded_up_in_units_of_the_divisor(ref: dict[str, str], expected: str):
    limits = {"limits": {"cpu": "500m"}, "requests": {"memory": "9.5Mi"}}
    found = await variables(app(resources=limits, env=[{"name": "R", "valueFrom": {"resourceFieldRef": ref}}]))
    assert found["R"] == expected


async def test_services_are_linked_unless_the_pod_says_no():
    sources = Given()
    sources.known_services = [
        service("my-db", "10.43.0.7", {"port": 5432, "name": "sql"}, {"port": 80}),
        service("headless", "None", {"port": 1}),
        service("kubernetes", "10.43.0.1", {"port": 443}),
        service("other", "10.43.0.8", {"port": 1}, namespace="else"),
    ]
    found = await variables(app(), sources)
    assert found["MY_DB_SERVICE_HOST"] == "10.43.0.7"
    assert found["MY_DB_SERVICE_PORT_SQL"] == "5432"
    assert found["MY_DB_PORT_80_TCP"] == "tcp://10.43.0.7:80"
    assert not [name for name in found if name.startswith(("HEADLESS", "OTHER"))]
    unlinked = await variables(app(), sources, enableServiceLinks=False)
    assert {name.split("_")[0] for name in unlinked} == {"KUBERNETES"}


async def test_variables_that_double_each_other_come_to_an_end():
    doubling = [{"name": "A0", "value": "x" * 1000}]
    doubling += [{"name": f"A{at + 1}", "value": f"$(A{at})$(A{at})"} for at in range(60)]
    with pytest.raises(ConfigError, match="longer than the kernel takes"):
        await variables(app(env=doubling))


async def test_variables_of_one_map_taken_many_times_come_to_an_end():
    many = [{"prefix": f"P{at}_", "configMapRef": {"name": "m"}} for at in range(100)]
    assert len(await variables(app(envFrom=many[:5]), Given(m={"A": b"x" * 2**20}))) == 5
    with pytest.raises(ConfigError, match="longer than the kernel takes"):
        await variables(app(envFrom=many), Given(m={"A": b"x" * 2**20}))


def test_the_words_of_a_command_are_bounded_together():
    assert env.expand_all(("a", "$(A)", "$$(A)"), {"A": "1"}) == ("a", "1", "$(A)")
    with pytest.raises(ConfigError, match="longer than the kernel takes"):
        env.expand_all(("$(A)",) * 100, {"A": "x" * 2**20})
    with pytest.raises(ConfigError, match="longer than the kernel takes"):
        expand("$(A)" * 1000, {"A": "x" * 2**20})


def test_openings_without_end_are_no_references():
    assert expand("$(A)" + "$(" * 500_000 + "$$", {"A": "1"}) == "1" + "$(" * 500_000 + "$"
