"""What the doctor says of a machine."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from motet.cli.health.checks import CONTROLLERS, FEATURES, GIB, PLUGINS, PROGRAMS, Facts, Finding, Level, judge

FINE = Facts(
    root=True,
    programs={name: f"/usr/bin/{name}" for name in PROGRAMS},
    plugins={name: f"/usr/lib/cni/{name}" for name in PLUGINS},
    features=dict.fromkeys(FEATURES, True),
    controllers=frozenset(CONTROLLERS),
)


def bad(**changes: Any) -> list[Finding]:
    return [finding for finding in judge(replace(FINE, **changes)) if finding.level is not Level.FINE]


def test_a_good_machine_has_nothing_to_mend() -> None:
    assert bad() == []


@pytest.mark.parametrize(
    ("changes", "name", "level", "packages"),
    [
        ({"root": False}, "root", Level.PROBLEM, ()),
        ({"linux": False}, "system", Level.PROBLEM, ()),
        ({"programs": {**FINE.programs, "runc": ""}}, "runc", Level.PROBLEM, ("runc",)),
        ({"programs": {**FINE.programs, "ip": ""}}, "ip", Level.PROBLEM, ("iproute2",)),
        ({"programs": {**FINE.programs, "buildah": ""}}, "buildah", Level.WARNING, ("buildah",)),
        ({"plugins": {}}, "CNI plugins", Level.PROBLEM, ("containernetworking-plugins",)),
        ({"features": {**FINE.features, "overlay": False}}, "kernel", Level.PROBLEM, ()),
        ({"features": {**FINE.features, "overlay": None}}, "kernel", Level.WARNING, ()),
        ({"encrypted": True}, "WireGuard", Level.PROBLEM, ("wireguard-go",)),
        ({"controllers": frozenset({"cpu"})}, "cgroups", Level.PROBLEM, ()),
        ({"ports": {("TCP", 6443): "k3s (process 1)"}}, "port 6443", Level.PROBLEM, ()),
        ({"disk_free": GIB // 4}, "disk", Level.PROBLEM, ()),
        ({"disk_free": GIB}, "disk", Level.WARNING, ()),
        ({"memory": GIB // 4}, "memory", Level.WARNING, ()),
        ({"forward_drop": "ip filter FORWARD"}, "firewall", Level.WARNING, ()),
        ({"clock_synchronised": False}, "clock", Level.WARNING, ()),
        ({"address": ""}, "address", Level.PROBLEM, ()),
    ],
)
def test_each_lack_is_found_with_its_fix(
    changes: dict[str, Any], name: str, level: Level, packages: tuple[str, ...]
) -> None:
    (finding,) = bad(**changes)
    assert (finding.name, finding.level, finding.packages) == (name, level, packages)
    assert finding.fix


def test_without_apt_the_package_is_named_all_the_same() -> None:
    (finding,) = bad(debian=False, programs={**FINE.programs, "nft": ""})
    assert "nftables" in finding.fix
    assert "apt-get" not in finding.fix


def test_missing_features_name_their_modules() -> None:
    (finding,) = bad(features={**FINE.features, "nftables": False, "veth": False})
    assert finding.modules == ("nf_tables", "veth")
    assert finding.mendable


@pytest.mark.parametrize("found", [{"wireguard_go": "/usr/bin/wireguard-go"}, {"features": {"wireguard": True}}])
def test_either_wireguard_will_do_in_an_encrypted_cluster(found: dict[str, Any]) -> None:
    facts = replace(FINE, encrypted=True, wireguard_go=found.get("wireguard_go", ""))
    facts = replace(facts, features={**facts.features, **found.get("features", {})})
    assert not [finding for finding in judge(facts) if finding.level is not Level.FINE]


def test_nobody_is_asked_for_wireguard_who_does_not_encrypt() -> None:
    assert not [finding for finding in judge(FINE) if finding.name == "WireGuard"]
