"""Server-side apply through the registry, and whose writes are entered in the books."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.api.registry.cluster import ADMIN, config, deployment, kernel, pod

from motet.api.options import PatchType, RequestOptions
from motet.api.registry import Registry
from motet.base.clock import FakeClock
from motet.base.errors import BadRequest, Conflict, NotFound
from motet.kinds import configmap
from motet.kinds import deployment as deployments
from motet.kinds import namespace as namespaces
from motet.kinds import pod as pods
from motet.kinds.kind import Kind
from motet.store.document import Document

KUBECTL = RequestOptions(field_manager="kubectl-create")


def configuration(name: str = "a", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


async def applied(
    registry: Registry,
    body: Any,
    manager: str = "one",
    *,
    kind: Kind = configmap.KIND,
    subresource: str = "",
    **options: Any,
) -> tuple[Document, bool]:
    return await registry.patch(
        kind,
        "default" if kind.namespaced else "",
        body["metadata"]["name"],
        body,
        PatchType.APPLY,
        ADMIN,
        RequestOptions(field_manager=manager, **options),
        subresource=subresource,
    )


def books(document: Document) -> dict[tuple[str, str, str], Any]:
    entries = document.decode()["metadata"].get("managedFields", [])
    return {(one["manager"], one["operation"], one.get("subresource", "")): one["fieldsV1"] for one in entries}


async def test_applying_what_is_not_there_creates_it(registry: Registry) -> None:
    made, created = await applied(registry, configuration(x="1"))
    assert created
    assert made.decode()["data"] == {"x": "1"}
    assert books(made) == {("one", "Apply", ""): {"f:data": {"f:x": {}}}}


async def test_applying_the_same_again_writes_nothing(registry: Registry, clock: FakeClock) -> None:
    web = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment()}
    made, _ = await applied(registry, web, kind=deployments.KIND)
    await clock.advance(60)
    again, created = await applied(registry, web, kind=deployments.KIND)
    assert not created
    assert again.revision == made.revision


async def test_a_second_manager_has_to_use_force(registry: Registry) -> None:
    await applied(registry, configuration(x="1"))
    with pytest.raises(Conflict, match=r'Apply failed with 1 conflict: conflict with "one" using v1: \.data\.x'):
        await applied(registry, configuration(x="2"), "two")
    taken, _ = await applied(registry, configuration(x="2"), "two", force=True)
    assert taken.decode()["data"] == {"x": "2"}
    assert books(taken).keys() == {("two", "Apply", "")}


async def test_what_a_user_creates_is_booked_and_what_the_server_fills_in_is_not(registry: Registry) -> None:
    for name in ("a", "b"):  # the second one is stamped out of the first one's template
        made = await registry.create(pods.KIND, "default", pod(name), ADMIN, KUBECTL)
        [(who, owned)] = books(made).items()
        assert who == ("kubectl-create", "Update", "")
        assert owned["f:spec"]["f:containers"]['k:{"name":"main"}'].keys() >= {".", "f:image", "f:imagePullPolicy"}
        assert not {"f:tolerations", "f:serviceAccountName"} & owned["f:spec"].keys()
        assert owned.keys() == {"f:spec"}


async def test_what_the_managers_own_loops_create_has_no_books(registry: Registry) -> None:
    made = await registry.create(configmap.KIND, "default", config("a", x="1"), ADMIN)
    assert books(made) == {}
    patch = {"data": {"y": "1"}}
    patched, _ = await registry.patch(configmap.KIND, "default", "a", patch, PatchType.MERGE, ADMIN, KUBECTL)
    assert books(patched) == {}


async def test_the_first_apply_finds_everything_owned_already(registry: Registry) -> None:
    await registry.create(configmap.KIND, "default", config("a", x="1"), ADMIN)
    with pytest.raises(Conflict, match='conflict with "before-first-apply"'):
        await applied(registry, configuration(x="2"))
    changed, _ = await applied(registry, configuration(y="2"))
    assert books(changed).keys() == {("before-first-apply", "Update", ""), ("one", "Apply", "")}


async def test_loops_leave_the_books_as_they_are(registry: Registry) -> None:
    made, _ = await applied(registry, configuration(x="1"))
    patch = {"data": {"y": "1"}}
    patched, _ = await registry.patch(configmap.KIND, "default", "a", patch, PatchType.MERGE, ADMIN)
    assert books(patched) == books(made)
    assert patched.decode()["data"] == {"x": "1", "y": "1"}


@pytest.mark.parametrize("way", ["put", "patch"])
async def test_a_users_change_is_booked(registry: Registry, way: str) -> None:
    await applied(registry, configuration(x="1", y="1"))
    if way == "put":
        body = config("a", x="2", y="1")
        changed, _ = await registry.update(configmap.KIND, "default", "a", body, ADMIN, KUBECTL)
    else:
        body = {"data": {"x": "2"}}
        changed, _ = await registry.patch(configmap.KIND, "default", "a", body, PatchType.MERGE, ADMIN, KUBECTL)
    assert books(changed) == {
        ("one", "Apply", ""): {"f:data": {"f:y": {}}},
        ("kubectl-create", "Update", ""): {"f:data": {"f:x": {}}},
    }


@pytest.mark.parametrize("metadata", [{}, {"annotations": {"long": "way"}}])
async def test_status_has_its_own_entry(registry: Registry, metadata: dict[str, Any]) -> None:
    await registry.create(pods.KIND, "default", pod("a"), ADMIN, KUBECTL)
    patch = {"status": {"phase": "Running"}} | ({"metadata": metadata} if metadata else {})
    options = RequestOptions(field_manager="kubelet")
    changed, _ = await registry.patch(
        pods.KIND, "default", "a", patch, PatchType.MERGE, ADMIN, options, subresource="status"
    )
    entry = books(changed)["kubelet", "Update", "status"]
    assert entry["f:status"] == {"f:phase": {}}
    assert ("f:metadata" in entry) == bool(metadata)


async def test_a_status_can_be_applied(registry: Registry) -> None:
    web = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment()}
    await applied(registry, web, kind=deployments.KIND)
    body = {**web, "status": {"replicas": 3}}
    changed, _ = await applied(registry, body, "watcher", kind=deployments.KIND, subresource="status")
    assert changed.decode()["status"] == {"replicas": 3}
    assert books(changed)["watcher", "Apply", "status"] == {"f:status": {"f:replicas": {}}}


async def test_scaling_is_booked_on_the_scaled_object(registry: Registry) -> None:
    await registry.create(deployments.KIND, "default", deployment(), ADMIN, KUBECTL)
    options, patch = RequestOptions(field_manager="scaler"), {"spec": {"replicas": 4}}
    await registry.patch(
        deployments.KIND, "default", "web", patch, PatchType.MERGE, ADMIN, options, subresource="scale"
    )
    found = books(await registry.get(deployments.KIND, "default", "web", ADMIN))
    assert found["scaler", "Update", "scale"] == {"f:spec": {"f:replicas": {}}}


async def test_a_dry_run_shows_and_writes_nothing(registry: Registry) -> None:
    shown, created = await applied(registry, configuration(x="1"), dry_run=True)
    assert created
    assert shown.decode()["data"] == {"x": "1"}
    with pytest.raises(NotFound):
        await registry.get(configmap.KIND, "default", "a", ADMIN)


async def test_a_client_may_rewrite_or_close_the_books(registry: Registry) -> None:
    await applied(registry, configuration(x="1"))
    other = {
        "manager": "two",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:x": {}}},
    }
    for sent, left in (([other], {("two", "Apply", "")}), ([], {("two", "Apply", "")}), ([{}], set())):
        patch = [{"op": "replace", "path": "/metadata/managedFields", "value": sent}]
        changed, _ = await registry.patch(configmap.KIND, "default", "a", patch, PatchType.JSON, ADMIN, KUBECTL)
        assert books(changed).keys() == left


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}}, "managedFields must be nil"),
        ({"colour": "red"}, r"\.colour: field not declared in schema"),
        ({"data": ["x"]}, "data"),
        ({"kind": "Secret"}, "expected ConfigMap"),
        ({"apiVersion": ""}, "'ApiVersion' is missing"),
        ({"metadata": {"name": "b"}}, "does not match the name on the URL"),
    ],
)
async def test_a_wrong_configuration_is_refused(registry: Registry, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        await registry.patch(
            configmap.KIND, "default", "a", {**configuration(), **wrong}, PatchType.APPLY, ADMIN, KUBECTL
        )


async def test_namespaces_can_be_applied(registry: Registry) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team", "labels": {"a": "b"}}}
    await applied(registry, body, kind=namespaces.KIND)
    again, created = await applied(registry, body, kind=namespaces.KIND)
    assert not created
    assert books(again) == {("one", "Apply", ""): {"f:metadata": {"f:labels": {"f:a": {}}}}}


# Laws

data = st.dictionaries(st.sampled_from("abcd"), st.sampled_from("12"), max_size=4)
law = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@law
@given(data, data)
async def test_law_applying_ones_own_configuration_twice_writes_once(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str]
) -> None:
    async with kernel(_folder(tmp_path_factory)) as registry:
        await applied(registry, configuration(**first))
        changed, _ = await applied(registry, configuration(**second))
        again, _ = await applied(registry, configuration(**second))
        assert again.revision == changed.revision
        assert again.decode().get("data", {}) == second


@law
@given(data, data, data)
async def test_law_disjoint_managers_never_meet(
    tmp_path_factory: pytest.TempPathFactory, first: dict[str, str], second: dict[str, str], later: dict[str, str]
) -> None:
    async with kernel(_folder(tmp_path_factory)) as registry:
        mine = {f"one-{name}": value for name, value in first.items()}
        theirs = {f"two-{name}": value for name, value in second.items()}
        changed = {f"one-{name}": value for name, value in later.items()}
        await applied(registry, configuration(**mine))
        await applied(registry, configuration(**theirs), "two")
        last, _ = await applied(registry, configuration(**changed))
        assert last.decode().get("data", {}) == theirs | changed


@law
@given(data, data, data)
async def test_law_what_is_given_up_goes_unless_another_owns_it(
    tmp_path_factory: pytest.TempPathFactory, mine: dict[str, str], theirs: dict[str, str], later: dict[str, str]
) -> None:
    async with kernel(_folder(tmp_path_factory)) as registry:
        await applied(registry, configuration(**mine))
        await applied(registry, configuration(**theirs), "two", force=True)
        last, _ = await applied(registry, configuration(**later), force=True)
        assert last.decode().get("data", {}) == theirs | later


def _folder(factory: pytest.TempPathFactory) -> Path:
    return factory.mktemp("law")
