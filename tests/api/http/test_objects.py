"""The verbs, as any HTTP client meets them."""

from __future__ import annotations

import gzip
import io
import json

import pytest
from tests.api.http.conftest import Api

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def configmap(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def test_what_is_created_can_be_read(api: Api) -> None:
    code, made = await api.ask("POST", CONFIGMAPS, configmap("a", k="v"))
    assert (code, made["data"]) == (201, {"k": "v"})
    code, read = await api.ask("GET", f"{CONFIGMAPS}/a")
    assert (code, read) == (200, made)


async def test_kind_and_version_are_filled_in_from_the_url(api: Api) -> None:
    code, made = await api.ask("POST", CONFIGMAPS, {"metadata": {"name": "a"}})
    assert (code, made["kind"], made["apiVersion"]) == (201, "ConfigMap", "v1")


async def test_a_document_of_another_kind_is_refused(api: Api) -> None:
    code, status = await api.ask("POST", CONFIGMAPS, {**configmap("a"), "kind": "Secret"})
    assert (code, status["reason"]) == (400, "BadRequest")
    code, status = await api.ask("POST", CONFIGMAPS, {**configmap("a"), "apiVersion": "v2"})
    assert "does not match the expected API version (v1)" in status["message"]


async def test_what_is_not_there_is_a_status_with_details(api: Api) -> None:
    code, status = await api.ask("GET", f"{CONFIGMAPS}/nope")
    assert code == 404
    assert status["kind"] == "Status"
    assert status["message"] == 'configmaps "nope" not found'
    assert status["details"] == {"name": "nope", "kind": "configmaps"}


@pytest.mark.parametrize("path", ["/api/v1/namespaces/default/gizmos", "/apis/nope/v1/things", "/nope", "/api/v2"])
async def test_an_unknown_path_is_not_found(api: Api, path: str) -> None:
    code, status = await api.ask("GET", path)
    assert (code, status["reason"]) == (404, "NotFound")


async def test_a_method_a_resource_does_not_have_is_refused(api: Api) -> None:
    for method, path in [("PUT", CONFIGMAPS), ("POST", f"{CONFIGMAPS}/a"), ("DELETE", "/api/v1/namespaces")]:
        code, status = await api.ask(method, path, configmap("a") if method != "DELETE" else None)
        assert (method, code, status["reason"]) == (method, 405, "MethodNotAllowed")


async def test_a_body_may_be_yaml(api: Api) -> None:
    headers = {"Content-Type": "application/yaml"}
    code, _ = await api.ask("POST", CONFIGMAPS, b"metadata:\n  name: y\ndata: {a: b}\n", headers=headers)
    assert code == 201


async def test_a_broken_body_is_a_bad_request(api: Api) -> None:
    code, status = await api.ask("POST", CONFIGMAPS, b"{")
    assert (code, status["reason"]) == (400, "BadRequest")


async def test_a_body_of_unknown_type_is_refused(api: Api) -> None:
    code, status = await api.ask("POST", CONFIGMAPS, b"x", headers={"Content-Type": "text/csv"})
    assert (code, status["reason"]) == (415, "UnsupportedMediaType")


async def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    code, status = await api.ask("POST", CONFIGMAPS, io.BytesIO(b"x" * (3 * 1024 * 1024 + 1)))
    assert (code, status["reason"]) == (413, "RequestEntityTooLarge")


async def test_an_answer_nobody_can_give_is_refused(api: Api) -> None:
    code, status = await api.ask("GET", CONFIGMAPS, headers={"Accept": "text/html"})
    assert (code, status["reason"]) == (406, "NotAcceptable")


async def test_unknown_fields_warn_or_fail_as_asked(api: Api) -> None:
    broken = {**configmap("a"), "dta": {}}
    async with api.session() as session:
        answer = await session.post(CONFIGMAPS, json=broken)
        await answer.read()
        assert answer.status == 201
        assert answer.headers["Warning"].startswith('299 - "unknown field')
    code, status = await api.ask("POST", f"{CONFIGMAPS}?fieldValidation=Strict", {**broken, "metadata": {"name": "b"}})
    assert code == 400
    assert "dta" in status["message"]


async def test_a_dry_run_leaves_nothing_behind(api: Api) -> None:
    code, _ = await api.ask("POST", f"{CONFIGMAPS}?dryRun=All", configmap("a"))
    assert code == 201
    code, _ = await api.ask("GET", f"{CONFIGMAPS}/a")
    assert code == 404


async def test_a_stale_update_is_a_conflict(api: Api) -> None:
    _, first = await api.ask("POST", CONFIGMAPS, configmap("a"))
    first["data"] = {"k": "1"}
    code, _ = await api.ask("PUT", f"{CONFIGMAPS}/a", first)
    assert code == 200
    code, status = await api.ask("PUT", f"{CONFIGMAPS}/a", first | {"data": {"k": "2"}})
    assert (code, status["reason"]) == (409, "Conflict")


async def test_a_merge_patch_changes_what_it_names(api: Api) -> None:
    await api.ask("POST", CONFIGMAPS, configmap("a", x="1", y="2"))
    headers = {"Content-Type": "application/merge-patch+json"}
    code, patched = await api.ask("PATCH", f"{CONFIGMAPS}/a", {"data": {"x": None}}, headers=headers)
    assert (code, patched["data"]) == (200, {"y": "2"})


async def test_a_patch_of_unknown_type_is_refused(api: Api) -> None:
    code, status = await api.ask("PATCH", f"{CONFIGMAPS}/a", {})
    assert (code, status["reason"]) == (415, "UnsupportedMediaType")


async def test_a_delete_answers_success_and_honours_preconditions(api: Api) -> None:
    await api.ask("POST", CONFIGMAPS, configmap("a"))
    code, status = await api.ask("DELETE", f"{CONFIGMAPS}/a", {"preconditions": {"uid": "other"}})
    assert (code, status["reason"]) == (409, "Conflict")
    code, status = await api.ask("DELETE", f"{CONFIGMAPS}/a")
    assert (code, status["status"]) == (200, "Success")


async def test_a_collection_is_deleted_by_selector(api: Api) -> None:
    for name in ("a", "b"):
        await api.ask("POST", CONFIGMAPS, {**configmap(name), "metadata": {"name": name, "labels": {"n": name}}})
    code, _ = await api.ask("DELETE", f"{CONFIGMAPS}?labelSelector=n%3Da")
    _, left = await api.ask("GET", CONFIGMAPS)
    assert code == 200
    assert [item["metadata"]["name"] for item in left["items"]] == ["b"]


async def test_a_list_comes_in_pages(api: Api) -> None:
    for number in range(5):
        await api.ask("POST", CONFIGMAPS, configmap(f"c{number}"))
    names, token = [], ""
    while True:
        _, page = await api.ask("GET", f"{CONFIGMAPS}?limit=2&continue={token}")
        names += [item["metadata"]["name"] for item in page["items"]]
        token = page["metadata"].get("continue", "")
        if not token:
            break
    assert names == [f"c{number}" for number in range(5)]


async def test_a_broken_selector_is_a_bad_request(api: Api) -> None:
    for query in ("labelSelector=a+in", "fieldSelector=x", "fieldSelector=spec.nope%3D1"):
        code, status = await api.ask("GET", f"{CONFIGMAPS}?{query}")
        assert (code, status["reason"]) == (400, "BadRequest")


async def test_only_metadata_is_sent_when_asked_for(api: Api) -> None:
    await api.ask("POST", CONFIGMAPS, configmap("a", k="v"))
    accept = {"Accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"}
    _, one = await api.ask("GET", f"{CONFIGMAPS}/a", headers=accept)
    assert one["kind"] == "PartialObjectMetadata"
    assert "data" not in one
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
    _, many = await api.ask("GET", CONFIGMAPS, headers=accept)
    assert many["kind"] == "PartialObjectMetadataList"
    assert many["items"] == [one]


async def test_answers_can_be_yaml_or_indented(api: Api) -> None:
    await api.ask("POST", CONFIGMAPS, configmap("a", k="v"))
    _, text = await api.ask("GET", f"{CONFIGMAPS}/a", headers={"Accept": "application/yaml"})
    assert "kind: ConfigMap\n" in text
    async with api.session() as session:
        answer = await session.get(f"{CONFIGMAPS}/a?pretty=true")
        assert "\n  " in await answer.text()


async def test_a_large_answer_is_compressed_for_those_who_ask(api: Api) -> None:
    await api.ask("POST", CONFIGMAPS, configmap("a", k="v" * 200_000))
    async with api.session() as session:
        session._auto_decompress = False
        answer = await session.get(CONFIGMAPS, headers={"Accept-Encoding": "gzip"})
        assert answer.headers["Content-Encoding"] == "gzip"
        assert json.loads(gzip.decompress(await answer.read()))["kind"] == "ConfigMapList"
        answer = await session.get(CONFIGMAPS, headers={"Accept-Encoding": "identity"})
        await answer.read()
        assert "Content-Encoding" not in answer.headers


async def test_a_node_ends_its_pods_with_options_in_the_body(api: Api) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}]}}
    _, made = await api.ask("POST", "/api/v1/namespaces/default/pods", pod)
    options = {"kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}}
    await api.ask("DELETE", "/api/v1/namespaces/default/pods/p", options, who="node")
    code, _ = await api.ask("GET", "/api/v1/namespaces/default/pods/p")
    assert code == 404


APPLY = {"Content-Type": "application/apply-patch+yaml"}


async def test_an_apply_creates_then_changes_and_names_conflicts(api: Api) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v}\n"
    code, made = await api.ask("PATCH", f"{CONFIGMAPS}/a?fieldManager=one", body, headers=APPLY)
    assert (code, made["metadata"]["managedFields"][0]["manager"]) == (201, "one")
    code, again = await api.ask("PATCH", f"{CONFIGMAPS}/a?fieldManager=one", body, headers=APPLY)
    assert (code, again) == (200, made)
    other = body.replace(b"k: v", b"k: w")
    code, status = await api.ask("PATCH", f"{CONFIGMAPS}/a?fieldManager=two", other, headers=APPLY)
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["details"]["causes"][0]["field"] == ".data.k"
    code, taken = await api.ask("PATCH", f"{CONFIGMAPS}/a?fieldManager=two&force=true", other, headers=APPLY)
    assert (code, taken["data"]) == (200, {"k": "w"})


async def test_an_apply_has_to_name_its_manager(api: Api) -> None:
    code, status = await api.ask("PATCH", f"{CONFIGMAPS}/a", b"kind: ConfigMap", headers=APPLY)
    assert code == 422
    assert "fieldManager: Required value: is required for apply patch" in status["message"]


async def test_force_is_only_for_applies(api: Api) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    code, status = await api.ask("PATCH", f"{CONFIGMAPS}/a?force=true", {}, headers=headers)
    assert code == 422
    assert "force: Forbidden: may not be specified for non-apply patch" in status["message"]


async def test_who_did_not_name_a_manager_is_called_by_the_user_agent_and_nodes_are_not_booked(api: Api) -> None:
    headers = {"User-Agent": "tool/1.2 (linux)"}
    _, made = await api.ask("POST", CONFIGMAPS, configmap("a", k="v"), headers=headers)
    assert made["metadata"]["managedFields"][0]["manager"] == "tool"
    _, node = await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}}, who="node")
    assert "managedFields" not in node["metadata"]
