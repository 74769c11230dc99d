"""A whole API server with the loop that establishes definitions beside it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.http.conftest import Api, Pki, pki, serving

from motet.base.clock import SystemClock
from motet.client.local import LocalClient
from motet.controllers.customresources import CustomResources

__all__ = ["pki"]

Json = dict[str, Any]

CRON_TAB: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "schedule": {"type": "string"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "ports": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "port": {"type": "integer"}},
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "properties": {"replicas": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}


def version(name: str = "v1", schema: Json | None = None, **more: Any) -> Json:
    openapi = copy.deepcopy(CRON_TAB if schema is None else schema)
    return {"name": name, "served": True, "storage": False, "schema": {"openAPIV3Schema": openapi}, **more}


def definition(*versions: Json, plural: str = "crontabs", kind: str = "CronTab", **spec: Any) -> Json:
    """A definition; the first of its versions is the one stored unless one says so."""
    given = [copy.deepcopy(each) for each in versions or (version(),)]
    if not any(each["storage"] for each in given):
        given[0]["storage"] = True
    group = spec.pop("group", "example.com")
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": ["ct"] if plural == "crontabs" else []},
            "versions": given,
            **spec,
        },
    }


def tab(name: str = "one", api_version: str = "example.com/v1", **spec: Any) -> Json:
    return {"apiVersion": api_version, "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class World:
    """Short words for what the tests do."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def path(self, name: str = "", version: str = "v1") -> str:
        base = f"/apis/example.com/{version}/namespaces/default/crontabs"
        return f"{base}/{name}" if name else base

    async def define(self, found: Json) -> Json:
        """Create a definition and wait until it is established."""
        status, answer = await self.api.ask("POST", DEFINITIONS, found)
        assert status == 201, answer
        return await self.established(found["metadata"]["name"])

    async def established(self, name: str) -> Json:
        return await self.until(name, "Established", "True")

    async def until(self, name: str, type: str, status: str) -> Json:
        async with asyncio.timeout(10):
            while True:
                _, found = await self.api.ask("GET", f"{DEFINITIONS}/{name}")
                conditions = found.get("status", {}).get("conditions") or []
                if any((each["type"], each["status"]) == (type, status) for each in conditions):
                    return found
                await asyncio.sleep(0.02)

    async def create(self, document: Json, version: str = "v1", query: str = "", code: int = 201) -> Json:
        status, answer = await self.api.ask("POST", self.path(version=version) + query, document)
        assert status == code, answer
        return answer

    async def get(self, name: str = "one", version: str = "v1") -> Json:
        status, answer = await self.api.ask("GET", self.path(name, version))
        assert status == 200, answer
        return answer

    async def patch(self, path: str, patch: Any, media: str = "application/merge-patch+json", code: int = 200) -> Json:
        status, answer = await self.api.ask("PATCH", path, patch, headers={"Content-Type": media})
        assert status == code, answer
        return answer


@pytest.fixture
async def world(pki: Pki, tmp_path: Path) -> AsyncIterator[World]:
    async with serving(pki, tmp_path) as api:
        loop = CustomResources(LocalClient(api.registry), SystemClock(), api.registry.catalogue)
        task = asyncio.create_task(loop.run())
        try:
            yield World(api)
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
