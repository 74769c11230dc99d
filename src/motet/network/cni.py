"""The pod's own interface is the distribution's CNI plugins' work; this writes what they read (CNI spec 0.4.0)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from motet.base.files import keep
from motet.network.config import NetworkConfig

_FILE = "10-motet.conflist"
_NETWORK = "motet"
# Where libcni keeps what the plugins answered, until the pod is taken down.
RESULTS = Path("/var/lib/cni/results")


def write(config: NetworkConfig, mtu: int) -> Path:
    """Put the network list into the configuration directory; unchanged content is left untouched."""
    path = config.cni_config / _FILE
    content = render(config, mtu)
    config.cni_config.mkdir(parents=True, exist_ok=True)
    keep(path, content, mode=0o644)
    return path


def render(config: NetworkConfig, mtu: int) -> bytes:
    """One bridge, addresses by host-local out of the node's networks, hairpin so that a pod reaches itself by its service."""
    bridge = {
        "type": "bridge",
        "bridge": config.bridge,
        "isGateway": True,
        "isDefaultGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "mtu": mtu,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(each.pods), "gateway": str(each.gateway)}] for each in config.families()],
            "dataDir": str(config.cni_state),
        },
    }
    document = {"cniVersion": "0.4.0", "name": _NETWORK, "plugins": [bridge]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)


class _Interface(msgspec.Struct):
    name: str
    sandbox: str = ""


class _Result(msgspec.Struct):
    interfaces: tuple[_Interface, ...] = ()


class _Kept(msgspec.Struct):
    result: _Result


def port_of(config: NetworkConfig, sandbox: str, results: Path = RESULTS) -> str:
    """The bridge's port that a pod's sandbox is connected to, as its plugin answered; empty when that cannot be known."""
    try:
        kept = msgspec.json.decode((results / f"{_NETWORK}-{sandbox}-eth0").read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        return ""
    return next((each.name for each in kept.result.interfaces if not each.sandbox and each.name != config.bridge), "")
