"""The listener, and documents that are served as they are."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from tests.api.http.conftest import Api, Pki, serving

from motet.api.http.openapi import PROTOBUF_V2


async def test_older_protocols_than_tls_1_2_are_refused(api: Api) -> None:
    context = api.pki.client("admin")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    _, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
    writer.close()
    await writer.wait_closed()
    assert api.server._context is not None
    assert api.server._context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_a_renewed_certificate_is_shown_to_new_connections(tmp_path: Path) -> None:
    pki = Pki.create(tmp_path / "pki")
    pki.issue("server", "before")
    pki.issue("admin", "admin", "system:masters")
    async with serving(pki, tmp_path) as api:
        assert await shown_by(api) == "before"
        pki.issue("server", "after")
        api.server.reload_certificate()
        assert await shown_by(api) == "after"


async def shown_by(api: Api) -> str:
    _, writer = await asyncio.open_connection("127.0.0.1", api.server.port, ssl=api.pki.client("admin"))
    subject = writer.get_extra_info("peercert")["subject"]
    writer.close()
    await writer.wait_closed()
    return dict(part[0] for part in subject)["commonName"]


async def test_a_taken_address_is_an_error_at_the_start(api: Api) -> None:
    from motet.api.http.server import ApiConfig, ApiServer

    directory = api.pki.directory
    config = ApiConfig(
        host="127.0.0.1",
        port=api.server.port,
        certificate=directory / "server.crt",
        key=directory / "server.key",
        client_ca=directory / "ca.crt",
    )
    second = ApiServer(config, api.registry, api.registry.catalogue, api.server._dispatcher.authorizer)
    with pytest.raises(OSError, match="ddress already in use"):
        await second.start()


async def test_openapi_version_3_is_indexed_by_hash_and_kept_by_etag(api: Api) -> None:
    code, index = await api.ask("GET", "/openapi/v3")
    assert code == 200
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    async with api.session() as session:
        async with session.get(url) as answer:
            document, etag = await answer.json(), answer.headers["ETag"]
            assert answer.headers["Content-Encoding"] == "gzip"
        assert etag.strip('"') in url
        assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
        async with session.get(url, headers={"If-None-Match": etag}) as answer:
            assert answer.status == 304
    code, _ = await api.ask("GET", "/openapi/v3/apis/nope/v1")
    assert code == 404


@pytest.mark.parametrize("accept", [PROTOBUF_V2, PROTOBUF_V2.replace("v2.v1.0", "v2@v1.0"), f"{PROTOBUF_V2},*/*"])
async def test_openapi_version_2_comes_in_protobuf_under_a_name_that_parses(api: Api, accept: str) -> None:
    async with api.session() as session, session.get("/openapi/v2", headers={"Accept": accept}) as answer:
        assert answer.headers["Content-Type"] == PROTOBUF_V2
        assert (await answer.read()).startswith(b"\x0a\x03" + b"2.0")
    code, document = await api.ask("GET", "/openapi/v2")
    assert (code, document["swagger"]) == (200, "2.0")


async def test_the_root_lists_the_paths(api: Api) -> None:
    _, root = await api.ask("GET", "/")
    assert "/openapi/v3" in root["paths"]
