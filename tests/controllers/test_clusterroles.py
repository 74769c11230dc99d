"""ClusterRoles that gather the rules of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.controllers.clusterroles import AggregatedRoles
from motet.kinds.rbac import clusterrole


async def gatherer(it: World) -> None:
    await AggregatedRoles(it.client, it.clock).run()


def rule(resource: str) -> dict[str, Any]:
    return {"apiGroups": [""], "resources": [resource], "verbs": ["get"]}


async def role(it: World, name: str, *resources: str, gathers: str = "", **labels: str) -> None:
    body: dict[str, Any] = {"metadata": {"name": name, "labels": labels}, "rules": [rule(each) for each in resources]}
    if gathers:
        body["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {gathers: "yes"}}]}
    await it.create(clusterrole.KIND, body)


def rules(it: World, name: str) -> list[str]:
    found = it.get(clusterrole.KIND, name) or {}
    return [each["resources"][0] for each in found.get("rules") or ()]


async def test_a_role_has_the_rules_of_those_it_selects_each_once(tmp_path: Path) -> None:
    async with world(tmp_path, gatherer) as it:
        await role(it, "all", gathers="part")
        await role(it, "b", "pods", "nodes", part="yes")
        await role(it, "a", "pods", part="yes")
        await role(it, "c", "secrets")
        await it.until(lambda: rules(it, "all") == ["pods", "nodes"])


async def test_it_follows_changes_through_several_levels(tmp_path: Path) -> None:
    async with world(tmp_path, gatherer) as it:
        await role(it, "admin", gathers="to-admin")
        await role(it, "edit", gathers="to-edit", **{"to-admin": "yes"})
        await role(it, "part", "pods", **{"to-edit": "yes"})
        await it.until(lambda: rules(it, "admin") == ["pods"])
        await it.client.delete(clusterrole.KIND, "part")
        await it.until(lambda: rules(it, "admin") == [])


async def test_what_somebody_writes_into_it_is_put_right(tmp_path: Path) -> None:
    async with world(tmp_path, gatherer) as it:
        await role(it, "all", "everything", gathers="part")
        await it.until(lambda: rules(it, "all") == [])
