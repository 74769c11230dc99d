from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from motet.network.config import NetworkConfig
from motet.network.policy import secrecy
from motet.network.wireguard.config import WireguardConfig

NOWHERE = Path("/nowhere")
CONFIG = NetworkConfig(
    node_name="n1",
    pods=IPv4Network("10.42.0.0/24"),
    wireguard=WireguardConfig.below(NOWHERE, NOWHERE, cgroup_root="/motet"),
    cni_config=NOWHERE,
    cni_state=NOWHERE,
)


def test_packets_are_marked_with_the_bit_that_leads_into_wireguard_and_otherwise_dropped() -> None:
    rules = secrecy.chains(CONFIG)
    assert "meta mark set meta mark | 0x4000000" in rules
    assert rules.count("drop") == 2


def test_nothing_is_marked_where_everything_is_encrypted_anyway() -> None:
    assert "chain" not in secrecy.chains(replace(CONFIG, encrypted=True))
