"""Disruption budgets: the counts as values, and the loop with evictions against a real kernel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.controllers import builders
from tests.controllers.builders import NOW, ago, view
from tests.controllers.world import World, kubelet, world

from motet.api.users import CONTROLLERS
from motet.base.errors import InternalError, TooManyRequests
from motet.controllers import budgets
from motet.controllers.budgets import DisruptionBudgets
from motet.controllers.deployment import Deployments
from motet.controllers.podview import PodView
from motet.controllers.replicaset import ReplicaSets
from motet.kinds import deployment as deployment_kind
from motet.kinds import pod as pod_kind
from motet.kinds import poddisruptionbudget as budget_kind
from motet.kinds.poddisruptionbudget import BudgetStatus, BudgetView


def budget(disrupted: dict[str, str] | None = None, **spec: Any) -> BudgetView:
    selector = {"matchLabels": {"app": "web"}}
    meta = {"name": "web", "namespace": "default", "uid": "b", "generation": 1}
    status = {"disruptedPods": disrupted or {}}
    return view(BudgetView, {"metadata": meta, "spec": {"selector": selector, **spec}, "status": status})


def pods(ready: int, unready: int = 0) -> list[PodView]:
    made = [builders.pod(f"r{i}") for i in range(ready)] + [builders.pod(f"u{i}", ready=None) for i in range(unready)]
    return [view(PodView, body) for body in made]


def decided(found: BudgetView, members: list[PodView], wanted: int = 0) -> BudgetStatus:
    return budgets.decide(found, members, wanted, NOW).status


@pytest.mark.parametrize(
    ("spec", "ready", "wanted", "allowed", "desired"),
    [
        ({"minAvailable": 2}, 3, 0, 1, 2),
        ({"minAvailable": 4}, 3, 0, 0, 4),
        ({"minAvailable": "50%"}, 5, 5, 2, 3),
        ({"maxUnavailable": 1}, 4, 4, 1, 3),
        ({"maxUnavailable": 1}, 3, 4, 0, 3),
        ({"maxUnavailable": "50%"}, 5, 5, 3, 2),
        ({"maxUnavailable": 9}, 2, 2, 2, 0),
        ({"maxUnavailable": 1}, 0, 0, 0, 0),
    ],
)
def test_what_is_allowed_follows_from_what_is_healthy_and_what_must_be(
    spec: dict[str, Any], ready: int, wanted: int, allowed: int, desired: int
) -> None:
    status = decided(budget(**spec), pods(ready), wanted)
    assert (status.disruptions_allowed, status.desired_healthy) == (allowed, desired)


def test_pods_let_go_are_not_healthy_until_they_lapse() -> None:
    status = decided(budget({"r0": ago(5), "r1": ago(500)}, minAvailable=1), pods(3))
    assert status.current_healthy == 2
    assert list(status.disrupted_pods) == ["r0"]


def test_a_pod_that_went_leaves_the_ledger() -> None:
    assert decided(budget({"gone": ago(5)}, minAvailable=1), pods(2)).disrupted_pods == {}


def test_the_condition_keeps_the_time_of_its_last_change() -> None:
    first = decided(budget(minAvailable=1), pods(2))
    again = msgspec.structs.replace(budget(minAvailable=1), status=first)
    assert budgets.decide(again, pods(2), 0, NOW.replace(hour=13)).status == first


@given(
    ready=st.integers(0, 12),
    unready=st.integers(0, 12),
    amount=st.one_of(st.integers(0, 15), st.integers(0, 100).map(lambda share: f"{share}%")),
    field=st.sampled_from(["minAvailable", "maxUnavailable"]),
)
def test_evicting_all_that_is_allowed_never_leaves_too_few(ready: int, unready: int, amount: Any, field: str) -> None:
    status = decided(budget(**{field: amount}), pods(ready, unready), ready + unready)
    assert 0 <= status.disruptions_allowed <= ready
    if status.disruptions_allowed:
        assert ready - status.disruptions_allowed >= status.desired_healthy


async def loops(it: World) -> None:
    from motet.kinds.catalogue import Catalogue

    async with asyncio.TaskGroup() as group:
        group.create_task(ReplicaSets(it.client, it.clock, it.events).run())
        group.create_task(Deployments(it.client, it.clock, it.events).run())
        group.create_task(DisruptionBudgets(it.client, it.clock, it.events, Catalogue()).run())


def web(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "web"}, "spec": spec}


def pdb(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec}}


async def evict(it: World, name: str) -> None:
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    await it.registry.create_subresource(pod_kind.KIND, "default", name, "eviction", body, CONTROLLERS)


def allowed(it: World) -> int:
    found = it.get(budget_kind.KIND, "web")
    return int(found["status"]["disruptionsAllowed"]) if found else -1


async def test_of_two_evictions_at_once_only_as_many_pass_as_the_budget_has(tmp_path: Path) -> None:
    async with world(tmp_path, loops, kubelet) as it:
        await it.create(deployment_kind.KIND, web(3))
        await it.create(budget_kind.KIND, pdb(maxUnavailable=1))
        await it.until(lambda: allowed(it) == 1)
        names = [pod["metadata"]["name"] for pod in it.all(pod_kind.KIND)]
        answers = await asyncio.gather(*(evict(it, name) for name in names), return_exceptions=True)
        assert sum(answer is None for answer in answers) == 1
        refused = [answer for answer in answers if answer is not None]
        assert all(isinstance(each, TooManyRequests) for each in refused)
        assert "The disruption budget web" in refused[0].details["causes"][0]["message"]  # type: ignore[union-attr]


async def test_a_budget_gives_back_what_it_lent_once_the_pod_is_replaced(tmp_path: Path) -> None:
    async with world(tmp_path, loops, kubelet) as it:
        await it.create(deployment_kind.KIND, web(2))
        await it.create(budget_kind.KIND, pdb(minAvailable="50%"))
        for _ in range(3):
            await it.until(lambda: allowed(it) == 1 and len(it.all(pod_kind.KIND)) == 2)
            await evict(it, it.all(pod_kind.KIND)[0]["metadata"]["name"])


async def test_two_budgets_over_one_pod_are_an_error_that_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, loops, kubelet) as it:
        await it.create(deployment_kind.KIND, web(1))
        for name in ("web", "other"):
            await it.create(budget_kind.KIND, pdb(name, maxUnavailable=1))
        await it.until(lambda: allowed(it) == 1)
        with pytest.raises(InternalError, match="more than one PodDisruptionBudget"):
            await evict(it, it.all(pod_kind.KIND)[0]["metadata"]["name"])


async def test_a_budget_that_was_never_counted_lets_nobody_go(tmp_path: Path) -> None:
    async with world(tmp_path, kubelet) as it:
        body = {
            "metadata": {"name": "a", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        await it.create(pod_kind.KIND, body)
        await it.until(lambda: (it.get(pod_kind.KIND, "a") or {})["status"].get("phase") == "Running")
        await it.create(budget_kind.KIND, pdb(minAvailable=0))
        with pytest.raises(TooManyRequests, match="Cannot evict pod as it would violate") as refused:
            await evict(it, "a")
        assert refused.value.details["retryAfterSeconds"] == 10


async def test_a_share_of_pods_nobody_owns_cannot_be_worked_out(tmp_path: Path) -> None:
    async with world(tmp_path, loops, kubelet) as it:
        body = {
            "metadata": {"name": "a", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }
        await it.create(pod_kind.KIND, body)
        await it.create(budget_kind.KIND, pdb(maxUnavailable=1))
        await it.until(lambda: reason(it) == "SyncFailed")


def reason(it: World) -> str:
    found = it.get(budget_kind.KIND, "web")
    conditions = found["status"].get("conditions", []) if found else []
    return next((each["reason"] for each in conditions), "")
