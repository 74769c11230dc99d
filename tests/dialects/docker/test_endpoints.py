"""How services are reached, in the kernel's words."""

from __future__ import annotations

from typing import Any

from dialects.docker.test_servicespec import app_of, spec
from motet.dialects.docker import endpoints, entrances
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds.attachments import ANNOTATION
from motet.kinds.service import EVERY_PORT

Json = dict[str, Any]
AROUND = Surroundings("default", "/v", networks={"back": "back"}, host_network=frozenset({"host"}))


def services(endpoint: Json, *networks: Json, name: str = "web") -> list[Json]:
    body = {**spec(), "Name": name, "EndpointSpec": endpoint}
    body["TaskTemplate"]["Networks"] = list(networks)
    app, ports = app_of(body), endpoints.ports_of(Fields(endpoint, "EndpointSpec"))
    return endpoints.services(app, body["TaskTemplate"], ports, AROUND)


def test_a_name_has_one_address_that_leads_to_every_port() -> None:
    (found,) = services({})
    assert found["metadata"]["annotations"] == {EVERY_PORT: "true"}
    assert found["spec"] == {"selector": {"motet.dev/app": "web"}}


def test_in_dnsrr_mode_and_on_the_hosts_network_a_name_leads_to_each_task() -> None:
    for found in (services({"Mode": "dnsrr"})[0], services({}, {"Target": "host"})[0]):
        assert found["spec"]["clusterIP"] == "None"
        assert "annotations" not in found["metadata"]


def test_a_service_is_known_on_its_networks_by_its_true_name_and_its_aliases() -> None:
    (found,) = services({}, {"Target": "back", "Aliases": ["db"]}, name="shop_web")
    assert found["metadata"]["name"] == "shop-web"
    assert found["metadata"]["annotations"][ANNOTATION] == "back=shop_web,db"


def test_inspect_shows_the_address_on_each_network() -> None:
    service = {"metadata": {"annotations": {EVERY_PORT: "true"}}, "spec": {"clusterIP": "10.43.0.9"}}
    published = {"metadata": {}, "spec": {"clusterIP": "10.43.0.10"}}
    task = {"Networks": [{"Target": "back"}]}
    assert endpoints.virtual_addresses(task, [service, published]) == [{"NetworkID": "back", "Addr": "10.43.0.9/32"}]
    assert endpoints.virtual_addresses({}, [service]) == []


def test_a_service_keeps_its_address_as_long_as_it_has_one() -> None:
    (wanted,) = services({})
    wanted["metadata"]["ownerReferences"] = []
    current = {**wanted, "spec": {**wanted["spec"], "clusterIP": "10.43.0.9"}}
    assert (entrances.service_changed(current, wanted) or {})["spec"]["clusterIP"] == "10.43.0.9"
