"""The pod's own interface is the distribution's CNI plugins' work; this writes what they read (CNI spec 0.4.0)."""

from __future__ import annotations

from pathlib import Path

import msgspec

from motet.base.files import keep
from motet.network.config import NetworkConfig

_FILE = "10-motet.conflist"


def write(config: NetworkConfig, mtu: int) -> Path:
    """Put the network list into the configuration directory; unchanged content is left untouched."""
    path = config.cni_config / _FILE
    content = render(config, mtu)
    config.cni_config.mkdir(parents=True, exist_ok=True)
    keep(path, content, mode=0o644)
    return path


def render(config: NetworkConfig, mtu: int) -> bytes:
    """One bridge, addresses by host-local out of the node's network, hairpin so that a pod reaches itself by its service."""
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
            "ranges": [[{"subnet": str(config.pods), "gateway": str(config.gateway)}]],
            "dataDir": str(config.cni_state),
        },
    }
    document = {"cniVersion": "0.4.0", "name": "motet", "plugins": [bridge]}
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
