"""Join tokens."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.identity import tokens
from motet.identity.authority import Authority
from motet.identity.tokens import BadToken, Token


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("ca"))


def test_a_token_is_read_back_as_it_was_written(authority: Authority) -> None:
    token = tokens.make(authority, tokens.WORKER, tokens.new_salt())
    assert str(token).startswith("MOTET-1-")
    assert tokens.parse(f"  {token}\n") == token


def test_a_token_pins_the_root_it_was_made_for_and_no_other(authority: Authority, tmp_path: Path) -> None:
    token = tokens.make(authority, tokens.WORKER, tokens.new_salt())
    assert token.pins(authority.pem)
    assert not token.pins(Authority.create(tmp_path).pem)


def test_roles_and_salts_have_secrets_of_their_own(authority: Authority, tmp_path: Path) -> None:
    salt = tokens.new_salt()
    secret = tokens.secret_of(authority, tokens.WORKER, salt)
    assert secret == tokens.secret_of(authority, tokens.WORKER, salt)
    assert secret != tokens.secret_of(authority, tokens.MANAGER, salt)
    assert secret != tokens.secret_of(authority, tokens.WORKER, tokens.new_salt())
    assert secret != tokens.secret_of(Authority.create(tmp_path), tokens.WORKER, salt)


@given(st.text(max_size=120))
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(BadToken, match="this is not a join token: one looks like MOTET-1-"):
        tokens.parse(f"MOTET-1-{text}")


def test_a_secret_does_not_show_in_a_log() -> None:
    assert "hush" not in repr(Token(b"\0" * 32, "hush"))


def test_what_is_no_certificate_pins_nothing() -> None:
    with pytest.raises(BadToken):
        Token(b"\0" * 32, "").pins(b"nonsense")
