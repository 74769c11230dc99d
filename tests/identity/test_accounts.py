"""What a service account's token says."""

import json
from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from motet.identity import accounts
from motet.identity.accounts import BadToken, Binding, Lasting, Ref
from motet.identity.signing import BadSignature, KeyRing

RING = KeyRing(ec.generate_private_key(ec.SECP256R1()))
ISSUER = "https://kubernetes.default.svc.cluster.local"
BINDING = Binding("shop", Ref("web", "u1"), pod=Ref("web-0", "u2"), node=Ref("n1", "u3"))


def made(binding: Binding = BINDING, **more: int) -> str:
    return accounts.issue(RING, ISSUER, binding, ["api"], **{"now": 1000, "seconds": 600, **more})


def test_a_bound_token_is_read_back() -> None:
    token = accounts.read(RING, ISSUER, made())
    assert (token.namespace, token.account, token.pod, token.node) == (
        "shop",
        BINDING.serviceaccount,
        BINDING.pod,
        BINDING.node,
    )
    assert (token.audiences, token.expires, token.lasting) == (("api",), 1600, False)


def test_its_claims_have_upstreams_names() -> None:
    claims = json.loads(urlsafe_b64decode(made().split(".")[1] + "=="))
    assert claims.pop("jti")
    assert claims == {
        "iss": ISSUER,
        "sub": "system:serviceaccount:shop:web",
        "aud": ["api"],
        "exp": 1600,
        "iat": 1000,
        "nbf": 1000,
        "kubernetes.io": {
            "namespace": "shop",
            "serviceaccount": {"name": "web", "uid": "u1"},
            "pod": {"name": "web-0", "uid": "u2"},
            "node": {"name": "n1", "uid": "u3"},
        },
    }


def test_no_two_tokens_are_equal() -> None:
    assert made() != made()


def test_a_token_of_another_issuer_counts_nothing() -> None:
    with pytest.raises(BadToken, match="issuer"):
        accounts.read(RING, "https://elsewhere", made())


@pytest.mark.parametrize("claims", [{"iss": ISSUER}, {"iss": ISSUER, "sub": "admin", "exp": 9}, {"iss": 7}, ["a"]])
def test_what_is_signed_but_is_no_account_of_ours_counts_nothing(claims: object) -> None:
    with pytest.raises(BadSignature):
        accounts.read(RING, ISSUER, RING.sign(json.dumps(claims).encode()))


def test_a_lasting_token_fits_its_own_secret_only() -> None:
    lasting = Lasting(lambda: RING)
    token = lasting.issue("shop", "web-token", Ref("web", "u1"))
    assert lasting.fits(token, "shop", "web-token", Ref("web", "u1"))
    assert not lasting.fits(token, "shop", "other", Ref("web", "u1"))
    assert not lasting.fits(token, "shop", "web-token", Ref("web", "u9"))
    assert not lasting.fits(made(), "shop", "web-token", Ref("web", "u1"))
    assert accounts.read(RING, ISSUER, token).lasting
