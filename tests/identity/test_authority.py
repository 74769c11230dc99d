"""The certificate authority."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from motet.identity import tls
from motet.identity.authority import Authority, IdentityError, covers


def test_a_root_survives_being_loaded_again(tmp_path: Path) -> None:
    assert Authority.create(tmp_path).digest == Authority.load(tmp_path).digest


def test_the_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    _, key = authority.issue("admin").write(tmp_path, "admin")
    assert {(tmp_path / "ca.key").stat().st_mode & 0o777, key.stat().st_mode & 0o777} == {0o600}


def test_a_root_whose_key_is_another_is_refused(tmp_path: Path) -> None:
    Authority.create(tmp_path / "one")
    Authority.create(tmp_path / "two")
    (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())
    with pytest.raises(IdentityError, match="is not the key of"):
        Authority.load(tmp_path / "one")


def test_a_lost_key_is_reported_and_never_replaced(tmp_path: Path) -> None:
    Authority.create(tmp_path)
    (tmp_path / "ca.key").unlink()
    with pytest.raises(IdentityError, match="cannot be read"):
        Authority.load_or_create(tmp_path)


def test_a_leaf_covers_its_names_until_a_third_of_its_life_is_left(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    now = datetime.now(UTC)
    leaf = authority.issue("server", sans=["localhost", "127.0.0.1"], lifetime=timedelta(days=9)).certificate
    assert covers(leaf, ["127.0.0.1"], by=authority, at=now)
    assert not covers(leaf, ["10.0.0.1"], by=authority, at=now)
    assert not covers(leaf, ["127.0.0.1"], by=authority, at=now + timedelta(days=7))
    assert not covers(leaf, ["127.0.0.1"], by=Authority.create(tmp_path / "other"), at=now)


def test_two_ends_with_leaves_of_one_root_shake_hands_and_see_each_other(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path)
    server = tls.server_context(*authority.issue("s", sans=["localhost"]).write(tmp_path, "s"), tmp_path / "ca.crt")
    admin = authority.issue("admin", ["system:masters"]).write(tmp_path, "c")
    client = tls.client_context(tmp_path / "ca.crt", *admin)
    peer = _handshake(server, client)
    assert peer is not None
    subject = {key: value for part in peer["subject"] for key, value in part}
    assert subject == {"organizationName": "system:masters", "commonName": "admin"}


def test_a_leaf_of_another_root_does_not_get_through_the_handshake(tmp_path: Path) -> None:
    ours, other = Authority.create(tmp_path / "a"), Authority.create(tmp_path / "b")
    server = tls.server_context(*ours.issue("s", sans=["localhost"]).write(tmp_path, "s"), tmp_path / "a" / "ca.crt")
    client = tls.client_context(tmp_path / "a" / "ca.crt", *other.issue("x", ["system:masters"]).write(tmp_path, "x"))
    with pytest.raises(ssl.SSLError):
        _handshake(server, client)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, tuple[tuple[tuple[str, str]]]] | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        for end in (near, far):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return far.getpeercert()  # type: ignore[return-value]
