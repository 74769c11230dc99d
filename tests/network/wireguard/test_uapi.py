from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.network.bridge import NetworkError
from motet.network.wireguard import keys, uapi
from motet.network.wireguard.decide import Configuration, Remote, Session
from motet.network.wireguard.keys import Pair

PEER = Remote(keys.text(bytes(range(32))), (IPv4Address("192.0.2.2"), 51842), (IPv4Network("10.42.2.0/24"),))
HEX = bytes(range(32)).hex()


def test_a_device_is_given_its_key_in_hexadecimal_and_its_port() -> None:
    pair = Pair("", keys.text(b"\x01" * 32))
    assert uapi.configuring(pair, 7).decode() == f"set=1\nprivate_key={'01' * 32}\nlisten_port=7\n\n"


def test_peers_are_forgotten_before_others_are_learnt() -> None:
    assert uapi.changing([keys.text(b"\x02" * 32)], [PEER]).decode().splitlines() == [
        "set=1",
        f"public_key={'02' * 32}",
        "remove=true",
        f"public_key={HEX}",
        "endpoint=192.0.2.2:51842",
        "replace_allowed_ips=true",
        "allowed_ip=10.42.2.0/24",
        "persistent_keepalive_interval=25",
        "",
    ]


def test_greeting_ends_keeping_alive_and_begins_it_again_for_known_peers_only() -> None:
    lines = uapi.greeting([PEER]).decode().splitlines()
    assert lines[2:5] == ["update_only=true", "persistent_keepalive_interval=0", "persistent_keepalive_interval=25"]


ANSWER = f"""\
private_key=5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb
listen_port=51842
public_key={HEX}
preshared_key={"0" * 64}
protocol_version=1
endpoint=192.0.2.2:51842
last_handshake_time_sec=100
last_handshake_time_nsec=500000000
tx_bytes=1
rx_bytes=2
persistent_keepalive_interval=25
allowed_ip=10.42.2.0/24
public_key={"03" * 32}
endpoint=[2001:db8::1]:5
errno=0

"""


def test_an_answer_is_read_without_keeping_the_secret() -> None:
    found = uapi.parse(ANSWER.encode())
    public = keys.text(bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
    other = Remote(keys.text(b"\x03" * 32), None, (), 0)
    assert found == Configuration(public, 51842, (Session(PEER, 100.5), Session(other, 0.0)))
    assert "5dab087e" not in repr(found)


@pytest.mark.parametrize(
    "answer", ["listen_port=many\n\n", "nonsense\n\n", "public_key=zz\n\n", "public_key=00\nallowed_ip=x\n\n"]
)
def test_nonsense_is_an_error_of_ours(answer: str) -> None:
    with pytest.raises(NetworkError, match="does not answer as it should"):
        uapi.parse(answer.encode())


@given(st.binary(max_size=200))
def test_whatever_is_answered_is_read_or_refused(answer: bytes) -> None:
    try:
        uapi.parse(answer)
    except NetworkError:
        return


def test_nobody_there_is_told_apart_from_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(OSError):  # noqa: PT011
        uapi.ask(tmp_path / "nobody.sock", uapi.LOOKING)
