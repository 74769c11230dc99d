"""The kernel's own WireGuard, configured through generic netlink (uapi/linux/wireguard.h)."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Any

from pyroute2 import WireGuard
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket
from pyroute2.netlink.generic.wireguard import WG_GENL_NAME, wgmsg

from motet.base.ip import Network, parse_network
from motet.network.bridge import NetworkError
from motet.network.wireguard import links
from motet.network.wireguard.decide import Configuration, Endpoint, Remote, Session, in_order
from motet.network.wireguard.keys import Pair

_ENODEV = 19


def available() -> bool:
    """Whether this kernel has WireGuard; asking has it load its module."""
    try:
        with GenericNetlinkSocket() as netlink:
            netlink.bind(WG_GENL_NAME, wgmsg)
    except NetlinkError:
        return False
    return True


class InKernel:
    """The engine."""

    title = "the kernel's WireGuard"

    def __init__(self, device: str) -> None:
        self._device = device

    def look(self) -> Configuration | None:
        if links.kind(self._device) != "wireguard":
            return None
        try:
            with WireGuard() as netlink:
                return configuration(netlink.info(self._device))
        except NetlinkError as error:
            if error.code == _ENODEV:
                return None
            raise NetworkError(f"WireGuard {self._device}: {error}") from error

    def make(self) -> None:
        links.make(self._device, "wireguard")

    def remove(self) -> None:
        links.remove(self._device)

    def configure(self, pair: Pair, port: int) -> None:
        self._set(private_key=pair.private, listen_port=port)

    def change(self, forget: Sequence[str], learn: Sequence[Remote]) -> None:
        for peer in (*(forgetting(key) for key in forget), *(learning(remote) for remote in learn)):
            self._set(peer=peer)

    def greet(self, remotes: Sequence[Remote]) -> None:
        for remote in remotes:
            for seconds in (0, remote.keepalive):
                self._set(peer={"public_key": remote.key, "update_only": True, "persistent_keepalive": seconds})

    def _set(self, **what: Any) -> None:
        try:
            with WireGuard() as netlink:
                netlink.set(self._device, **what)
        except NetlinkError as error:
            raise NetworkError(f"WireGuard {self._device}: {error}") from error


def forgetting(key: str) -> dict[str, Any]:
    """A peer to be removed, in pyroute2's words."""
    return {"public_key": key, "remove": True}


def learning(remote: Remote) -> dict[str, Any]:
    """A peer to be added or corrected, in pyroute2's words."""
    peer: dict[str, Any] = {
        "public_key": remote.key,
        "persistent_keepalive": remote.keepalive,
        "replace_allowed_ips": True,
        "allowed_ips": [str(network) for network in remote.allowed],
    }
    if remote.endpoint is not None:
        peer["endpoint_addr"], peer["endpoint_port"] = str(remote.endpoint[0]), remote.endpoint[1]
    return peer


def configuration(messages: Any) -> Configuration:
    """What the kernel tells of a device, in as many messages as it takes; a peer may be spread over several."""
    key, port = "", 0
    sessions: dict[str, Session] = {}
    for message in messages:
        key = _text(message.get_attr("WGDEVICE_A_PUBLIC_KEY")) or key
        port = message.get_attr("WGDEVICE_A_LISTEN_PORT") or port
        for peer in message.get_attr("WGDEVICE_A_PEERS") or ():
            told = _session(peer)
            if before := sessions.get(told.remote.key):
                allowed = in_order((*before.remote.allowed, *told.remote.allowed))
                told = Session(Remote(*_but_allowed(before.remote, allowed)), before.handshake)
            sessions[told.remote.key] = told
    return Configuration(key, port, tuple(sessions.values()))


def _but_allowed(remote: Remote, allowed: tuple[Network, ...]) -> tuple[Any, ...]:
    return remote.key, remote.endpoint, allowed, remote.keepalive


def _session(peer: Any) -> Session:
    handshake = peer.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME") or {}
    remote = Remote(
        key=_text(peer.get_attr("WGPEER_A_PUBLIC_KEY")),
        endpoint=_endpoint(peer.get_attr("WGPEER_A_ENDPOINT")),
        allowed=in_order(parse_network(item["addr"]) for item in peer.get_attr("WGPEER_A_ALLOWEDIPS") or ()),
        keepalive=peer.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0,
    )
    return Session(remote, handshake.get("tv_sec", 0) + handshake.get("tv_nsec", 0) / 1e9)


def _endpoint(told: Any) -> Endpoint | None:
    if not told or ":" in told["addr"]:
        return None
    return IPv4Address(told["addr"]), int(told["port"])


def _text(key: bytes | str | None) -> str:
    return key.decode() if isinstance(key, bytes) else key or ""
