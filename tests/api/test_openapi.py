import asyncio
import sys
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from motet.api import openapi
from motet.kinds.catalogue import KINDS, Catalogue

KUBECTL = Path(sys.executable).parent / "kubectl"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue()


@pytest.fixture(scope="module")
def v3(catalogue):
    return openapi.v3(catalogue, "apps", "v1")


@pytest.fixture(scope="module")
def v2(catalogue):
    return openapi.v2(catalogue)


def references(value):
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def query(operation):
    return {parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"}


def test_the_index_has_every_group_served_under_a_hashed_url(catalogue):
    index = msgspec.json.decode(openapi.v3_index(catalogue))["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/motet.dev/v1"} <= index.keys()
    assert index["apis/apps/v1"]["serverRelativeURL"].startswith("/openapi/v3/apis/apps/v1?hash=")


def test_the_hash_is_that_of_the_content(catalogue):
    few = Catalogue(kind for kind in KINDS if kind.kind != "ReplicaSet")
    one, other = (msgspec.json.decode(openapi.v3_index(served))["paths"] for served in (catalogue, few))
    assert one["apis/apps/v1"] != other["apis/apps/v1"]
    assert one["apis/motet.dev/v1"] == other["apis/motet.dev/v1"]


def test_motets_own_kinds_explain_every_field_in_their_own_words(catalogue):
    schemas = openapi.v3(catalogue, "motet.dev", "v1")["components"]["schemas"]
    ours = {
        name: schema
        for name, schema in schemas.items()
        if name.startswith("dev.motet.v1.App") and not name.endswith("List")
    }
    assert all(schema["description"] for schema in ours.values())
    fields = (
        (name, field, value)
        for name, schema in ours.items()
        for field, value in schema.get("properties", {}).items()
        if field not in ("apiVersion", "kind", "metadata", "items")
    )
    assert [(name, field) for name, field, value in fields if not value.get("description")] == []


def test_every_reference_has_its_definition(v3, v2):
    assert {ref.removeprefix("#/components/schemas/") for ref in references(v3)} <= v3["components"]["schemas"].keys()
    assert {ref.removeprefix("#/definitions/") for ref in references(v2)} <= v2["definitions"].keys()


def test_only_what_is_reachable_is_published(v3):
    assert DEPLOYMENT in v3["components"]["schemas"]
    assert "io.k8s.api.core.v1.Node" not in v3["components"]["schemas"]


def test_patching_says_which_kind_it_is_about_and_that_the_server_validates(v3, v2):
    path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    for document in (v3, v2):
        patch = document["paths"][path]["patch"]
        assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
        assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= query(patch)


def test_the_patch_types_are_listed(v3, v2):
    path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}"
    types = {"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"}
    assert types <= v3["paths"][path]["patch"]["requestBody"]["content"].keys()
    assert types <= set(v2["paths"][path]["patch"]["consumes"])


def test_subresources_are_about_their_own_kind(v3):
    scale = v3["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"]
    assert scale["put"]["x-kubernetes-group-version-kind"]["kind"] == "Scale"
    assert "io.k8s.api.autoscaling.v1.Scale" in v3["components"]["schemas"]


def test_operation_ids_are_unique(v2):
    ids = [
        operation["operationId"]
        for item in v2["paths"].values()
        for name, operation in item.items()
        if name != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_merge_keys_and_list_types_are_published(v3):
    conditions = v3["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentStatus"]["properties"]["conditions"]
    assert conditions["x-kubernetes-patch-merge-key"] == "type"
    assert conditions["x-kubernetes-list-type"] == "map"


def test_facts_beside_a_reference_are_kept(v3, v2):
    spec = "io.k8s.api.apps.v1.DeploymentSpec"
    strategy = v3["components"]["schemas"][spec]["properties"]["strategy"]
    assert strategy["allOf"][0]["$ref"].endswith("DeploymentStrategy")
    assert strategy["x-kubernetes-patch-strategy"] == "retainKeys"
    assert v2["definitions"][spec]["properties"]["strategy"]["$ref"].endswith("DeploymentStrategy")


def test_own_kinds_are_published_with_their_list(catalogue):
    schemas = openapi.v3(catalogue, "motet.dev", "v1")["components"]["schemas"]
    assert schemas["dev.motet.v1.App"]["x-kubernetes-group-version-kind"] == [
        {"group": "motet.dev", "version": "v1", "kind": "App"}
    ]
    assert schemas["dev.motet.v1.AppList"]["properties"]["items"]["type"] == "array"


def test_version_2_has_no_unions(v2):
    assert v2["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"
    assert b'"oneOf":[' not in msgspec.json.encode(v2)


def test_the_protobuf_form_begins_with_the_version(catalogue):
    assert openapi.v2_document(catalogue, protobuf=True).startswith(b"\x0a\x032.0")


def _resources(catalogue, group, version):
    served = [kind for kind in catalogue if (kind.group, kind.version) == (group, version)]
    return {
        "kind": "APIResourceList",
        "groupVersion": f"{group}/{version}" if group else version,
        "resources": [
            {
                "name": k.plural,
                "singularName": k.singular,
                "namespaced": k.namespaced,
                "kind": k.kind,
                "verbs": list(k.verbs),
            }
            for k in served
        ],
    }


@pytest.fixture
async def server(catalogue):
    """Discovery and OpenAPI, no objects."""

    def discover(path):
        groups = {group: versions[0] for group, versions in catalogue.groups().items() if group}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/api/v1":
            return _resources(catalogue, "", "v1")
        if path == "/apis":
            versions = {
                group: {"groupVersion": f"{group}/{version}", "version": version} for group, version in groups.items()
            }
            listed = [{"name": group, "versions": [one], "preferredVersion": one} for group, one in versions.items()]
            return {"kind": "APIGroupList", "groups": listed}
        group = path.split("/")[2] if path.count("/") == 3 else ""
        return _resources(catalogue, group, groups[group]) if group in groups else None

    async def handle(request):
        path = request.path
        if path == "/openapi/v3":
            return web.Response(body=openapi.v3_index(catalogue), content_type="application/json")
        if path.startswith("/openapi/v3/"):
            *_, group, version = path.split("/")
            body = openapi.v3_document(catalogue, "" if group == "api" else group, version)
            return web.Response(body=body, content_type="application/json")
        if path == "/openapi/v2":
            headers = {"Content-Type": openapi.V2_PROTOBUF_TYPE}
            return web.Response(body=openapi.v2_document(catalogue, protobuf=True), headers=headers)
        found = discover(path)
        return web.json_response(found or {"kind": "Status", "code": 404}, status=200 if found else 404)

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed in this environment")
@pytest.mark.parametrize("output", ["plaintext", "plaintext-openapiv2"])
async def test_kubectl_explains_from_it(server, tmp_path, output):
    process = await asyncio.create_subprocess_exec(
        str(KUBECTL), "explain", "deployment.spec.strategy.rollingUpdate", f"--output={output}", f"--server={server}",
        "--kubeconfig=/dev/null", f"--cache-dir={tmp_path}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed = (await process.communicate())[0].decode()
    assert "maxSurge" in printed, printed
    assert "maxUnavailable" in printed
