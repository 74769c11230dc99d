"""Clients that begin to send a body and do not end."""

from __future__ import annotations

import asyncio

import pytest
from tests.api.http.conftest import Api

from motet.api.http import calls

MAPS = "/api/v1/namespaces/default/configmaps"


async def half(api: Api, method: str, path: str) -> str:
    """The first line of the answer to a request that promises a thousand bytes and sends one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.pki.client("admin"))
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n{{"
    writer.write(head.encode())
    line = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    return line.decode().strip()


async def test_a_body_that_does_not_come_gives_its_seat_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await api.ask("POST", MAPS, {"metadata": {"name": "m"}}))[0] == 201
    monkeypatch.setattr(calls, "BODY_SECONDS", 0.1)
    asked = [("POST", MAPS), *((method, f"{MAPS}/m") for method in ("PUT", "PATCH", "DELETE"))]
    asked.append(("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
    answers = await asyncio.gather(*(half(api, method, path) for method, path in asked))
    assert answers == ["HTTP/1.1 504 Gateway Timeout"] * len(asked)
    assert (await api.ask("GET", f"{MAPS}/m"))[0] == 200
