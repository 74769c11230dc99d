"""Discovery, in both forms."""

from __future__ import annotations

import re

import pytest
from tests.api.http.conftest import Api

from motet.api.http.discovery import Discovery
from motet.kinds.catalogue import Catalogue
from motet.kinds.kind import Kind

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList,application/json"


async def test_the_legacy_form_lists_groups_versions_and_resources(api: Api) -> None:
    _, versions = await api.ask("GET", "/api/")
    assert versions["versions"] == ["v1"]
    _, groups = await api.ask("GET", "/apis")
    names = [group["name"] for group in groups["groups"]]
    assert {"apps", "policy", "authorization.k8s.io", "motet.dev"} <= set(names)
    assert "" not in names
    _, group = await api.ask("GET", "/apis/apps")
    assert group["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    _, resources = await api.ask("GET", "/apis/apps/v1")
    by_name = {resource["name"]: resource for resource in resources["resources"]}
    assert by_name["deployments"]["shortNames"] == ["deploy"]
    assert by_name["deployments/scale"]["kind"] == "Scale"
    assert by_name["deployments/scale"]["group"] == "autoscaling"
    assert by_name["deployments/status"]["verbs"] == ["get", "patch", "update"]


async def test_eviction_shows_up_where_drain_looks_for_it(api: Api) -> None:
    _, resources = await api.ask("GET", "/api/v1")
    (eviction,) = [resource for resource in resources["resources"] if resource["name"] == "pods/eviction"]
    assert (eviction["kind"], eviction["group"], eviction["version"]) == ("Eviction", "policy", "v1")


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_the_aggregated_form_is_one_document(api: Api, version: str) -> None:
    async with api.session() as session:
        async with session.get("/apis", headers={"Accept": AGGREGATED.format(version)}) as answer:
            assert answer.headers["Content-Type"] == (
                f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            )
            document, etag = await answer.json(), answer.headers["ETag"]
        headers = {"Accept": AGGREGATED.format(version), "If-None-Match": etag}
        async with session.get("/apis", headers=headers) as answer:
            assert answer.status == 304
    assert document["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    (apps,) = [item for item in document["items"] if item["metadata"]["name"] == "apps"]
    (deployments,) = [item for item in apps["versions"][0]["resources"] if item["resource"] == "deployments"]
    assert deployments["scope"] == "Namespaced"
    assert [item["subresource"] for item in deployments["subresources"]] == ["scale", "status"]


def test_a_kind_added_later_is_discovered() -> None:
    catalogue = Catalogue()
    discovery = Discovery(catalogue, "localhost:1")
    assert discovery.answer("/apis/example.com/v1", "", "") is None
    catalogue.add(Kind(group="example.com", version="v1", kind="Gizmo", plural="gizmos"))
    assert discovery.answer("/apis/example.com/v1", "", "") is not None


async def test_the_version_tells_one_state_of_the_code_from_another(api: Api) -> None:
    _, told = await api.ask("GET", "/version")
    assert re.fullmatch("[0-9a-f]{40}", told["gitCommit"])
