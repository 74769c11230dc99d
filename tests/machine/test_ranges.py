from __future__ import annotations

from ipaddress import IPv6Network

import pytest

from motet.base.errors import MotetError
from motet.machine.layout import first_settings, networks_six
from motet.machine.ranges import chosen


def test_a_cluster_has_the_usual_ranges_of_ipv4_alone() -> None:
    found = chosen("", "", dual_stack=False)
    assert (found.pods, found.services, found.dns_address) == ("10.42.0.0/16", "10.43.0.0/16", "10.43.0.10")
    assert (found.pods_six, found.services_six) == ("", "")


def test_ranges_of_ipv6_are_made_up_and_differ_from_cluster_to_cluster() -> None:
    one, other = (chosen("", "", dual_stack=True) for _ in range(2))
    assert one.pods_six != other.pods_six
    for found in (one, other):
        pods, services = IPv6Network(found.pods_six), IPv6Network(found.services_six)
        assert pods.subnet_of(IPv6Network("fd00::/8"))
        assert (pods.prefixlen, services.prefixlen) == (56, 112)
        assert not pods.overlaps(services)


def test_ranges_of_ones_own_make_the_cluster_dual_stack() -> None:
    found = chosen("10.8.0.0/16,fd00:42::/56", "10.9.0.0/20,fd00:43::/112", dual_stack=False)
    settings = first_settings(address="192.0.2.1", node_name="n1", ranges=found)
    assert (settings.pods, settings.dns_address) == ("10.8.0.0/16", "10.9.0.10")
    assert networks_six(settings) == (IPv6Network("fd00:42::/56"), IPv6Network("fd00:43::/112"))


@pytest.mark.parametrize(
    ("pods", "services", "problem"),
    [
        ("10.42.0.0/16,fd00:42::/56", "", "needs IPv6 ranges for both"),
        ("fd00:42::/56", "", "--pod-cidr: 'fd00:42::/56' is not one range of IPv4"),
        ("10.42.0.0/16,10.44.0.0/16", "", "not one range of IPv4, or one of IPv4 and one of IPv6"),
        ("10.42.0.1/16", "", "--pod-cidr: 10.42.0.1/16 has host bits set"),
        ("10.42.0.0/25", "", r"10.42.0.0/25 has to be between a /8 and a /23"),
        ("10.0.0.0/8", "", "--pod-cidr 10.0.0.0/8 and --service-cidr 10.43.0.0/16 overlap"),
        ("10.42.0.0/16,fd00:42::/64", "10.43.0.0/16,fd00:43::/112", "fd00:42::/64 has to be between a /48 and a /63"),
        ("10.42.0.0/16,fd00:42::/56", "10.43.0.0/16,fd00:42::/112", "overlap"),
        ("nonsense", "", "--pod-cidr: 'nonsense' does not appear"),
    ],
)
def test_ranges_that_cannot_be_are_refused_by_name(pods: str, services: str, problem: str) -> None:
    with pytest.raises(MotetError, match=problem):
        chosen(pods, services, dual_stack=False)
