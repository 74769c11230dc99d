"""What a machine has of IPv6, read from what the kernel tells in text."""

from __future__ import annotations

from pathlib import Path

import pytest

from motet.network import ipv6

# Of the link, temporary, deprecated, of another device; and then one that is fit.
_ADDRESSES = """\
fe800000000000000000000000000001 02 40 20 80     eth0
20010db8000000000000000000000001 02 40 00 01     eth0
20010db8000000000000000000000002 02 40 00 20     eth0
20010db8000000000000000000000003 03 40 00 80     eth1
20010db8000000000000000000000004 02 40 00 80     eth0
"""


def _proc(folder: Path, off: str = "0") -> Path:
    (folder / "net").mkdir()
    (folder / "net/if_inet6").write_text(_ADDRESSES)
    for name in ("all", "default"):
        (folder / f"sys/net/ipv6/conf/{name}").mkdir(parents=True)
        (folder / f"sys/net/ipv6/conf/{name}/disable_ipv6").write_text(f"{off if name == 'default' else '0'}\n")
    return folder


def test_a_node_is_reached_by_a_lasting_address_of_the_device_that_has_its_ipv4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipv6, "_device_of", lambda address: "eth0")
    assert ipv6.second_address("192.0.2.1", _proc(tmp_path)) == "2001:db8::4"
    monkeypatch.setattr(ipv6, "_device_of", lambda address: "")
    assert ipv6.second_address("192.0.2.1", tmp_path) == ""


def test_a_machine_without_ipv6_says_why(tmp_path: Path) -> None:
    assert ipv6.without_ipv6(tmp_path) == "the kernel has no IPv6"
    assert "net.ipv6.conf.default.disable_ipv6" in ipv6.without_ipv6(_proc(tmp_path, "1"))


def test_a_machine_with_ipv6_has_no_complaint(tmp_path: Path) -> None:
    assert ipv6.without_ipv6(_proc(tmp_path)) == ""
