"""The keys of service-account tokens."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from motet.identity import signing
from motet.identity.authority import IdentityError
from motet.identity.signing import BadSignature, CurrentRing, KeyRing

RSA = KeyRing(rsa.generate_private_key(public_exponent=65537, key_size=2048))
ECDSA = KeyRing(ec.generate_private_key(ec.SECP256R1()))
RINGS = st.sampled_from([RSA, ECDSA])
RING = RSA


def parts(token: str) -> list[bytes]:
    return [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]


def coded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(RINGS, st.binary(min_size=1, max_size=200))
def test_what_was_signed_is_read_back(ring: KeyRing, payload: bytes) -> None:
    assert ring.verify(ring.sign(payload)) == payload


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def test_anybody_can_check_a_token_with_the_published_key() -> None:
    header, _, value = parts(token := RSA.sign(b'{"a":1}'))
    [jwk] = RSA.jwks()["keys"]
    assert json.loads(header) == {"alg": "RS256", "kid": jwk["kid"]}
    key = rsa.RSAPublicNumbers(number(jwk["e"]), number(jwk["n"])).public_key()
    key.verify(value, token.rpartition(".")[0].encode(), padding.PKCS1v15(), hashes.SHA256())


def test_so_with_a_key_on_the_curve() -> None:
    header, _, value = parts(token := ECDSA.sign(b'{"a":1}'))
    [jwk] = ECDSA.jwks()["keys"]
    assert json.loads(header) == {"alg": "ES256", "kid": jwk["kid"]}
    key = ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()
    halves = int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big")
    key.verify(encode_dss_signature(*halves), token.rpartition(".")[0].encode(), ec.ECDSA(hashes.SHA256()))


def test_a_key_does_not_vouch_for_what_another_kind_of_key_signed() -> None:
    both = KeyRing(RSA._signing, ECDSA._verifying)
    header, payload, value = ECDSA.sign(b"{}").split(".")
    assert both.verify(f"{header}.{payload}.{value}") == b"{}"
    for swapped in ({"alg": "RS256", "kid": ECDSA.key_id}, {"alg": "ES256", "kid": RSA.key_id}):
        with pytest.raises(BadSignature):
            both.verify(f"{coded(swapped)}.{payload}.{value}")


@given(RINGS, st.integers(0, 10_000), st.integers(1, 255))
def test_a_token_changed_anywhere_counts_no_more(ring: KeyRing, at: int, by: int) -> None:
    token = ring.sign(b'{"sub":"someone"}')
    at %= len(token)
    changed = token[:at] + chr((ord(token[at]) + by) % 128) + token[at + 1 :]
    # The last character of a part has bits that mean nothing.
    if changed != token and parts_or_none(changed) != parts(token):
        with pytest.raises(BadSignature):
            ring.verify(changed)


def parts_or_none(token: str) -> list[bytes] | None:
    try:
        return parts(token)
    except ValueError:
        return None


@pytest.mark.parametrize(
    "header", [{"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256", "crit": ["b64"]}, {"alg": "ES256"}, {}, 7]
)
def test_the_token_does_not_choose_how_it_is_checked(header: object) -> None:
    _, payload, value = RING.sign(b"{}").split(".")
    if isinstance(header, dict):
        header = {"kid": RING.key_id, **header}
    with pytest.raises(BadSignature):
        RING.verify(f"{coded(header)}.{payload}.{value}")


@given(st.text(max_size=100))
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadSignature):
        RING.verify(text)


def test_the_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    first = KeyRing.load_or_create(tmp_path / "keys")
    assert (tmp_path / "keys/signing.key").stat().st_mode & 0o777 == 0o600
    assert KeyRing.load_or_create(tmp_path / "keys").key_id == first.key_id


def test_after_a_change_of_keys_old_tokens_count_until_their_key_is_forgotten(tmp_path: Path) -> None:
    current = CurrentRing(tmp_path)
    old = current().sign(b"old")
    new_id = signing.rotate(tmp_path)
    assert current().key_id == new_id
    assert current().verify(old) == b"old"
    assert current().jwks()["keys"][0]["kid"] == new_id
    assert signing.forget(tmp_path) == 1
    assert current().verify(current().sign(b"new")) == b"new"
    with pytest.raises(BadSignature):
        current().verify(old)


def test_a_change_of_keys_that_stopped_half_way_loses_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = KeyRing.load_or_create(tmp_path).sign(b"old")
    real = signing.write_atomically

    def stops(path: Path, content: bytes, *, mode: int = 0o600) -> None:
        if path.name == "signing.key":
            raise OSError("the power went")
        real(path, content, mode=mode)

    monkeypatch.setattr(signing, "write_atomically", stops)
    with pytest.raises(OSError, match="the power went"):
        signing.rotate(tmp_path)
    assert KeyRing.load_or_create(tmp_path).verify(old) == b"old"


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_text("nonsense")
    with pytest.raises(IdentityError, match=str(tmp_path)):
        KeyRing.load_or_create(tmp_path)
