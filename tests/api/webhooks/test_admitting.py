"""Webhooks admit, change and refuse; those nobody named are never asked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.api.custom.conftest import World, definition, tab, version
from tests.api.webhooks.conftest import GROUP, MAPS, Json, answer, config_map, configure, hook, rule
from tests.support import webhook


def says(allowed: bool = True, **more: Any) -> Any:
    return lambda asked: answer(asked, allowed, **more)


async def test_a_refusal_is_told_in_the_webhooks_words_and_with_its_code(world: World, tmp_path: Path) -> None:
    refuse = says(False, status={"message": "not like that", "code": 418, "reason": "Teapot"})
    async with webhook.serving(tmp_path / "hook", refuse) as running:
        await configure(world, "Validating", hook(running))
        status, found = await world.api.ask("POST", MAPS, config_map())
        assert (status, found["reason"]) == (418, "Teapot")
        assert found["message"] == 'admission webhook "one.example.com" denied the request: not like that'


async def test_a_webhook_is_told_who_asks_for_what(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says()) as running:
        await configure(world, "Validating", hook(running))
        await world.api.ask("POST", f"{MAPS}?fieldManager=me", config_map(a="1"))
        [asked] = [each["request"] for each in running.asked]
        assert (asked["operation"], asked["name"], asked["namespace"]) == ("CREATE", "one", "default")
        assert asked["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert asked["requestResource"] == {"group": "", "version": "v1", "resource": "configmaps"}
        assert asked["userInfo"]["username"] == "admin"
        assert asked["object"]["data"] == {"a": "1"}
        assert asked["object"]["metadata"]["uid"]
        assert asked["oldObject"] is None
        assert asked["options"]["fieldManager"] == "me"


@pytest.mark.parametrize("operation", ["UPDATE", "DELETE"])
async def test_a_webhook_sees_what_was_there(world: World, tmp_path: Path, operation: str) -> None:
    async with webhook.serving(tmp_path / "hook", says()) as running:
        await configure(world, "Validating", hook(running, rule(operation)))
        await world.api.ask("POST", MAPS, config_map(a="1"))
        if operation == "UPDATE":
            await world.patch(f"{MAPS}/one", {"data": {"a": "2"}})
        else:
            await world.api.ask("DELETE", f"{MAPS}/one")
        [asked] = [each["request"] for each in running.asked]
        assert asked["oldObject"]["data"] == {"a": "1"}
        assert (asked["object"] or {}).get("data") == ({"a": "2"} if operation == "UPDATE" else None)


async def test_changes_are_defaulted_pruned_and_validated_like_what_clients_send(world: World, tmp_path: Path) -> None:
    extra = {"name": "more", "image": "x", "unknown": 1}
    patch = [{"op": "add", "path": "/spec/initContainers", "value": [extra]}]
    async with webhook.serving(tmp_path / "hook", says(patch=patch)) as running:
        await configure(world, "Mutating", hook(running, rule("CREATE", resources=("pods",))))
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        await world.api.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        status, found = await world.api.ask("POST", "/api/v1/namespaces/default/pods", pod)
        assert status == 201, found
        [init] = found["spec"]["initContainers"]
        assert init["terminationMessagePolicy"] == "File"
        assert "unknown" not in init
        patch[0]["value"] = [{"name": "more"}, {"name": "more"}]
        pod["metadata"] = {"name": "q"}
        assert (await world.api.ask("POST", "/api/v1/namespaces/default/pods", pod))[0] == 422


async def test_each_sees_what_those_before_it_changed(world: World, tmp_path: Path) -> None:
    def step(asked: Json) -> Json:
        data = asked["request"]["object"]["data"]
        return answer(asked, patch=[{"op": "add", "path": f"/data/step{len(data)}", "value": "yes"}])

    async with webhook.serving(tmp_path / "hook", step) as running:
        hooks = [hook(running, name=f"{name}.example.com") for name in ("a", "b")]
        await configure(world, "Mutating", *hooks)
        _, found = await world.api.ask("POST", MAPS, config_map(start="yes"))
        assert found["data"] == {"start": "yes", "step1": "yes", "step2": "yes"}


async def test_one_that_wants_to_is_asked_again_when_somebody_changed_the_object_after_it(
    world: World, tmp_path: Path
) -> None:
    def count(asked: Json) -> Json:
        seen = asked["request"]["object"]["data"]
        return answer(asked, patch=[{"op": "add", "path": "/data/seen", "value": ",".join(sorted(seen))}])

    add = says(patch=[{"op": "add", "path": "/data/late", "value": "1"}])
    async with webhook.serving(tmp_path / "a", count) as first, webhook.serving(tmp_path / "b", add) as second:
        await configure(
            world,
            "Mutating",
            hook(first, name="a.example.com", reinvocationPolicy="IfNeeded"),
            hook(second, name="b.example.com"),
        )
        _, found = await world.api.ask("POST", MAPS, config_map(own="1"))
        assert found["data"]["seen"] == "late,own,seen"
        assert (len(first.asked), len(second.asked)) == (2, 1)


@pytest.mark.parametrize(("policy", "code"), [("Fail", 500), ("Ignore", 201)])
async def test_one_that_cannot_be_asked_counts_by_its_failure_policy(
    world: World, tmp_path: Path, policy: str, code: int
) -> None:
    async with webhook.serving(tmp_path / "hook", says()) as running:
        config = hook(running, failurePolicy=policy)
    await configure(world, "Validating", config)
    status, found = await world.api.ask("POST", MAPS, config_map())
    assert status == code
    if code == 500:
        assert found["message"].startswith(
            'Internal error occurred: failed calling webhook "one.example.com": failed to call webhook: Post "https://127'
        )


async def test_one_that_takes_too_long_is_not_waited_for(world: World, tmp_path: Path) -> None:
    never = asyncio.Event()

    async def hang(asked: Json) -> Json:
        await never.wait()
        return answer(asked)

    async with webhook.serving(tmp_path / "hook", hang) as running:
        await configure(world, "Validating", hook(running, timeoutSeconds=1))
        status, found = await world.api.ask("POST", MAPS, config_map())
        assert status == 500
        assert "?timeout=1s" in found["message"]
        assert found["message"].endswith("context deadline exceeded")
        never.set()


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"response": None}, "webhook response was absent"),
        ({"response": {"uid": "x", "allowed": True}}, 'expected response.uid="'),
        (b"<html>", "couldn't get version/kind; json parse error"),
        (503, "the server answered 503: no"),
    ],
)
async def test_an_answer_that_is_none_is_a_failure(world: World, tmp_path: Path, response: Any, said: str) -> None:
    def wrong(asked: Json) -> Any:
        return {**answer(asked), **response} if isinstance(response, dict) else response

    async with webhook.serving(tmp_path / "hook", wrong) as running:
        await configure(world, "Validating", hook(running))
        status, found = await world.api.ask("POST", MAPS, config_map())
        assert status == 500
        assert said in found["message"]


async def test_selectors_and_conditions_say_which_requests_are_meant(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says(False)) as running:
        await configure(
            world,
            "Validating",
            hook(
                running,
                objectSelector={"matchLabels": {"look": "yes"}},
                namespaceSelector={"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
                matchConditions=[
                    {"name": "not-me", "expression": "request.userInfo.username != 'nobody'"},
                    {"name": "data", "expression": "object.data.exists(k, k == 'bad')"},
                    {"name": "may", "expression": "authorizer.group('').resource('pods').check('get').allowed()"},
                ],
            ),
        )
        looked = {"look": "yes"}
        assert (await world.api.ask("POST", MAPS, config_map("a", bad="1")))[0] == 201
        assert (await world.api.ask("POST", MAPS, config_map("b", looked, good="1")))[0] == 201
        status, found = await world.api.ask("POST", MAPS, config_map("c", looked, bad="1"))
        assert (status, found["message"]) == (
            400,
            'admission webhook "one.example.com" denied the request without explanation',
        )
        await world.patch("/api/v1/namespaces/default", {"metadata": {"labels": {"skip": "1"}}})
        assert (await world.api.ask("POST", MAPS, config_map("d", looked, bad="1")))[0] == 201


async def test_a_condition_that_fails_counts_by_the_failure_policy(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says()) as running:
        conditions = [{"name": "x", "expression": "object.data.missing == 'x'"}]
        await configure(world, "Validating", hook(running, matchConditions=conditions))
        status, found = await world.api.ask("POST", MAPS, config_map())
        assert status == 500
        assert "no such key: missing" in found["message"]
        assert running.asked == []


async def test_warnings_reach_whoever_asked(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says(warnings=["look out"])) as running:
        await configure(world, "Validating", hook(running))
        async with world.api.session() as session, session.post(MAPS, json=config_map()) as found:
            assert found.headers.getall("Warning") == ['299 - "look out"']


async def test_nobody_comes_between_an_administrator_and_the_configurations(world: World, tmp_path: Path) -> None:
    everything = rule("*", resources=("*/*",), groups=("*",), apiVersions=["*"])
    async with webhook.serving(tmp_path / "hook", says(False)) as running:
        await configure(world, "Mutating", hook(running, everything), name="m")
        await configure(world, "Validating", hook(running, everything), name="v")
        assert running.asked == []
        assert (await world.api.ask("POST", MAPS, config_map()))[0] == 400
        assert (await world.api.ask("DELETE", f"{GROUP}/mutatingwebhookconfigurations/m"))[0] == 200
        assert (await world.api.ask("DELETE", f"{GROUP}/validatingwebhookconfigurations/v"))[0] == 200
        assert (await world.api.ask("POST", MAPS, config_map()))[0] == 201


async def test_dry_runs_are_told_to_be_such(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says()) as running:
        await configure(world, "Validating", hook(running))
        await world.api.ask("POST", f"{MAPS}?dryRun=All", config_map())
        assert running.asked[0]["request"]["dryRun"] is True


async def test_a_connection_can_be_refused(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says(False, status={"message": "hands off"})) as running:
        await configure(world, "Validating", hook(running, rule("CONNECT", resources=("pods/attach",))))
        path = "/api/v1/namespaces/default/pods/p/attach?stdin=true&container=c"
        status, found = await world.api.ask("POST", path)
        assert (status, found["message"]) == (400, 'admission webhook "one.example.com" denied the request: hands off')
        asked = running.asked[0]["request"]
        assert asked["object"] == {"kind": "PodAttachOptions", "apiVersion": "v1", "stdin": True, "container": "c"}
        assert (asked["subResource"], asked["name"]) == ("attach", "p")


async def test_a_scale_is_shown_as_such_and_can_be_changed(world: World, tmp_path: Path) -> None:
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 3}]
    labels = {"app": "web"}
    web = {
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }
    path = "/apis/apps/v1/namespaces/default/deployments"
    async with webhook.serving(tmp_path / "hook", says(patch=patch)) as running:
        await world.api.ask("POST", path, web)
        await configure(world, "Mutating", hook(running, rule("UPDATE", resources=("*/scale",), groups=("apps",))))
        found = await world.patch(f"{path}/web/scale", {"spec": {"replicas": 5}})
        assert found["spec"]["replicas"] == 3
        assert running.asked[0]["request"]["object"]["spec"]["replicas"] == 5
        assert running.asked[0]["request"]["kind"]["kind"] == "Scale"


@pytest.mark.parametrize(("policy", "calls"), [("Equivalent", 1), ("Exact", 0)])
async def test_other_versions_of_a_resource_are_meant_too_unless_it_is_exact(
    world: World, tmp_path: Path, policy: str, calls: int
) -> None:
    await world.define(definition(version(), version("v2")))
    patch = [{"op": "add", "path": "/spec/schedule", "value": "changed"}, {"op": "add", "path": "/spec/x", "value": 1}]
    async with webhook.serving(tmp_path / "hook", says(patch=patch)) as running:
        only = rule("CREATE", resources=("crontabs",), groups=("example.com",))
        await configure(world, "Mutating", hook(running, only, matchPolicy=policy))
        found = await world.create(tab(api_version="example.com/v2"), version="v2")
        assert len(running.asked) == calls
        assert found["apiVersion"] == "example.com/v2"
        if calls:
            asked = running.asked[0]["request"]
            assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v1", "v2")
            assert asked["object"]["apiVersion"] == "example.com/v1"
            assert found["spec"] == {"replicas": 1, "schedule": "changed"}


async def test_a_configuration_that_changes_counts_at_once(world: World, tmp_path: Path) -> None:
    async with webhook.serving(tmp_path / "hook", says(False)) as running:
        await configure(world, "Validating", hook(running, rule("UPDATE")))
        assert (await world.api.ask("POST", MAPS, config_map()))[0] == 201
        create = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
        path = f"{GROUP}/validatingwebhookconfigurations/hooks"
        await world.patch(path, create, "application/json-patch+json")
        assert (await world.api.ask("POST", MAPS, config_map("two")))[0] == 400


async def test_an_older_webhook_is_asked_in_its_own_version(world: World, tmp_path: Path) -> None:
    def old(asked: Json) -> Json:
        assert asked["apiVersion"] == "admission.k8s.io/v1beta1"
        return {"response": {"allowed": False}}

    async with webhook.serving(tmp_path / "hook", old) as running:
        await configure(world, "Validating", hook(running, admissionReviewVersions=["v1beta1", "v1"]))
        assert (await world.api.ask("POST", MAPS, config_map()))[0] == 400
