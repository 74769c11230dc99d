"""The protocol by which userspace WireGuards are configured (wireguard.com/xplatform): lines of `key=value` on a unix socket.

Keys are in hexadecimal there. An operation ends with an empty line; the answer to it ends with `errno=N` and another one.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path

from motet.base.ip import parse_network
from motet.network.bridge import NetworkError
from motet.network.wireguard import keys
from motet.network.wireguard.decide import Configuration, Endpoint, Remote, Session, in_order
from motet.network.wireguard.keys import Pair

_SECONDS = 5.0
_LARGEST = 64 * 1024 * 1024


class Silent(NetworkError):
    """Nobody answers in time, though somebody is there."""


def configuring(pair: Pair, port: int) -> bytes:
    """Sets the device's own key and port. Holds a secret."""
    return _operation("set=1", f"private_key={keys.raw(pair.private).hex()}", f"listen_port={port}")


def changing(forget: Iterable[str], learn: Iterable[Remote]) -> bytes:
    lines = [line for key in forget for line in (f"public_key={keys.raw(key).hex()}", "remove=true")]
    return _operation("set=1", *lines, *(line for remote in learn for line in _learning(remote)))


def greeting(remotes: Iterable[Remote]) -> bytes:
    """A peer that is to be kept alive from now on is spoken to at once."""
    lines = [line for remote in remotes for line in _greeting(remote)]
    return _operation("set=1", *lines)


LOOKING = b"get=1\n\n"


def _learning(remote: Remote) -> Iterator[str]:
    yield f"public_key={keys.raw(remote.key).hex()}"
    if remote.endpoint is not None:
        yield f"endpoint={remote.endpoint[0]}:{remote.endpoint[1]}"
    yield "replace_allowed_ips=true"
    yield from (f"allowed_ip={network}" for network in remote.allowed)
    yield f"persistent_keepalive_interval={remote.keepalive}"


def _greeting(remote: Remote) -> Iterator[str]:
    yield f"public_key={keys.raw(remote.key).hex()}"
    yield "update_only=true"
    yield from (f"persistent_keepalive_interval={seconds}" for seconds in (0, remote.keepalive))


def _operation(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n\n").encode()


def parse(answer: bytes) -> Configuration:
    """The answer to `LOOKING`. Raises NetworkError when it is none."""
    try:
        return _parse(_pairs(answer))
    except (ValueError, KeyError) as error:
        raise NetworkError(f"wireguard-go does not answer as it should: {error}") from error


def _pairs(answer: bytes) -> list[tuple[str, str]]:
    found = []
    for line in answer.decode("ascii").splitlines():
        name, equals, value = line.partition("=")
        if line and not equals:
            raise ValueError(f"{name[:40]!r} is no setting")
        if line:
            found.append((name, value))
    return found


def _parse(pairs: list[tuple[str, str]]) -> Configuration:
    own: dict[str, str] = {}
    peers: list[dict[str, list[str]]] = []
    for name, value in pairs:
        if name == "public_key":
            peers.append({name: [value]})
        elif peers and name != "errno":
            peers[-1].setdefault(name, []).append(value)
        else:
            own[name] = value
    private = own.get("private_key")
    key = keys.of_private(keys.text(bytes.fromhex(private))).public if private else ""
    return Configuration(key, int(own.get("listen_port", "0")), tuple(_session(peer) for peer in peers))


def _session(peer: dict[str, list[str]]) -> Session:
    def one(name: str, otherwise: str = "0") -> str:
        return peer.get(name, [otherwise])[-1]

    remote = Remote(
        key=keys.text(bytes.fromhex(one("public_key"))),
        endpoint=_endpoint(one("endpoint", "")),
        allowed=in_order(parse_network(each) for each in peer.get("allowed_ip", [])),
        keepalive=int(one("persistent_keepalive_interval")),
    )
    return Session(remote, int(one("last_handshake_time_sec")) + int(one("last_handshake_time_nsec")) / 1e9)


def _endpoint(text: str) -> Endpoint | None:
    """One of another kind than ours is as good as none."""
    host, _, port = text.rpartition(":")
    try:
        return IPv4Address(host), int(port)
    except (AddressValueError, ValueError):
        return None


def ask(path: Path, operation: bytes) -> bytes:
    """The answer of whoever listens at `path`. Raises OSError when nobody does, Silent, NetworkError when it refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_SECONDS)
        connection.connect(str(path))
        try:
            connection.sendall(operation)
            answer = _read(connection)
        except TimeoutError as error:
            raise Silent("wireguard-go does not answer") from error
    code = int(dict(_pairs(answer)).get("errno", "5"))
    if code:
        raise NetworkError(f"wireguard-go refuses: {os.strerror(abs(code))}")
    return answer


def _read(connection: socket.socket) -> bytes:
    answer = bytearray()
    while not answer.endswith(b"\n\n"):
        part = connection.recv(1 << 16)
        if not part or len(answer) > _LARGEST:
            raise NetworkError("wireguard-go breaks off its answer")
        answer += part
    return bytes(answer)
