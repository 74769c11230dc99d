"""A whole API server with the loop over APIServices beside it, and a server of another API behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.api.http.conftest import Api, Pki, pki, serving
from tests.support import extension
from tests.support.extension import Extension

from motet.base.clock import SystemClock
from motet.client.local import LocalClient
from motet.controllers.apiservices import ApiServices

__all__ = ["pki"]

Json = dict[str, Any]
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


@dataclass
class Choir:
    """The cluster and the server behind it."""

    api: Api
    extension: Extension

    async def ask(self, method: str, path: str, body: Any = None, *, code: int = 200, **more: Any) -> Any:
        status, answer = await self.api.ask(method, path, body, **more)
        assert status == code, answer
        return answer

    async def register(self, **spec: Any) -> None:
        """Register the extension and wait until it is available."""
        await self.ask("POST", API_SERVICES, self.extension.api_service(**spec), code=201)
        await self.until("True")

    async def until(self, status: str, reason: str = "", name: str = "v1.choir.example.com") -> Json:
        async with asyncio.timeout(10):
            while True:
                code, found = await self.api.ask("GET", f"{API_SERVICES}/{name}")
                for told in (found.get("status", {}).get("conditions") or ()) if code == 200 else ():
                    if told["status"] == status and reason in ("", told["reason"]):
                        return dict(told)
                await asyncio.sleep(0.02)


@pytest.fixture
async def choir(pki: Pki, tmp_path: Path) -> AsyncIterator[Choir]:
    async with serving(pki, tmp_path) as api, extension.serving(tmp_path / "ext", pki.front_proxy.pem) as running:
        loop = ApiServices(LocalClient(api.registry), SystemClock(), api.registry.catalogue, api.aggregator.probe)
        task = asyncio.create_task(loop.run())
        try:
            made = Choir(api, running)
            await made.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "music"}}, code=201)
            service = {
                "metadata": {"name": "voices"},
                "spec": {"type": "ExternalName", "externalName": "localhost"},
            }
            await made.ask("POST", "/api/v1/namespaces/music/services", service, code=201)
            yield made
            if task.done():
                task.result()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
