"""Services are found by their names, without anybody's DNS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support import webhook

from motet.api.webhooks.client import Address, WebhookClient, WebhookFailure
from motet.api.webhooks.services import NoBackend, Target, targets
from motet.store.document import Document, Key, encode, stamp
from motet.store.table import Table

Json = dict[str, Any]


def lookup(*documents: Json) -> Any:
    tables = {name: Table(name) for name in ("core/services", "discovery.k8s.io/endpointslices")}
    for number, document in enumerate(documents, 1):
        resource = "core/services" if document["kind"] == "Service" else "discovery.k8s.io/endpointslices"
        key = Key(resource, "team", document["metadata"]["name"])
        tables[resource].apply(key, Document(key, stamp(encode(document), number), number), number)
    return tables.__getitem__


def service(port: int = 443, **spec: Any) -> Json:
    ports = [{"port": port, "protocol": "TCP"}]
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hook"}, "spec": {"ports": ports, **spec}}


def endpoints(port: int, *addresses: str, ready: bool = True) -> Json:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "hook-1", "labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"port": port, "name": ""}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}} for address in addresses],
    }


def test_a_services_backends_are_its_ready_endpoints() -> None:
    found = targets(lookup(service(), endpoints(8443, "10.0.0.1", "10.0.0.2")), "team", "hook", 443)
    assert sorted(found, key=lambda target: target.host) == [Target("10.0.0.1", 8443), Target("10.0.0.2", 8443)]


@pytest.mark.parametrize(
    ("documents", "said"),
    [
        ([], 'service "hook" not found'),
        ([service(80)], 'no service port 443 found for service "hook"'),
        ([service(), endpoints(8443, "10.0.0.1", ready=False)], 'no endpoints available for service "hook"'),
    ],
)
def test_a_service_without_backends_says_why(documents: list[Json], said: str) -> None:
    with pytest.raises(NoBackend, match=said):
        targets(lookup(*documents), "team", "hook", 443)


async def test_a_service_is_asked_by_its_name_and_certified_for_it(tmp_path: Path) -> None:
    config = {"service": {"namespace": "team", "name": "hook", "path": "/check"}}
    async with webhook.serving(tmp_path, lambda asked: {"seen": asked}, "hook.team.svc") as running:
        client = WebhookClient(lookup(service(), endpoints(running.port, "127.0.0.1")))
        try:
            address = Address.of({**config, "caBundle": running.ca})
            assert await client.post(address, b'{"a":1}', 5) == b'{"seen": {"a": 1}}'
        finally:
            await client.close()


async def test_somebody_else_at_a_services_address_is_not_believed(tmp_path: Path) -> None:
    async with webhook.serving(tmp_path, lambda asked: {}, "other.team.svc") as running:
        client = WebhookClient(lookup(service(), endpoints(running.port, "127.0.0.1")))
        try:
            config = {"service": {"namespace": "team", "name": "hook"}, "caBundle": running.ca}
            with pytest.raises(WebhookFailure, match="Hostname mismatch"):
                await client.post(Address.of(config), b"{}", 5)
        finally:
            await client.close()
