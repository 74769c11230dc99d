"""What the proxy's rules call things in each of the two families of addresses."""

from __future__ import annotations

from dataclasses import dataclass

from motet.network.config import NetworkConfig


@dataclass(frozen=True, slots=True)
class Words:
    """Of IPv6 a client's address, a frontend's number and an endpoint are more than nft 1.0.6 has registers for in one statement.

    So clients are known by a hash, of which two may have the same: then they share an endpoint. Its address and its port are in
    a map each.
    """

    address: str
    icmp: str
    # Of the node's own addresses, those by which it publishes nothing.
    not_here: str
    # A rule about connections from the node's loopback to pods.
    from_loopback: str
    # What a pod can have no good reason to send.
    never_from_pods: str
    sticky: str
    again: str
    remember: str


_IPV4 = Words(
    address="ipv4_addr",
    icmp="icmp",
    # What asks the name server is for it alone.
    not_here="ip daddr != {dns}",
    from_loopback='ct status dnat ip saddr 127.0.0.0/8 oifname != "lo" masquerade',
    never_from_pods="ip daddr 127.0.0.0/8",
    sticky="  map sticky { type mark . ipv4_addr : ipv4_addr . inet_service; size 262144; flags timeout; }\n",
    again="ip to ct mark . ip saddr map @sticky",
    remember="update @sticky {{ ct mark . ip saddr timeout {seconds}s : ip daddr . th dport }}",
)
_CLIENT = "ct mark . jhash ip6 saddr mod 4294967295 seed 0x5"
_IPV6 = Words(
    address="ipv6_addr",
    icmp="icmpv6",
    # Answers to ::1 do not come back from elsewhere (there is no route_localnet), nor those to a link's own addresses.
    not_here="ip6 daddr != ::1 ip6 daddr != fe80::/10",
    from_loopback="",
    # To pose as the others' router.
    never_from_pods="icmpv6 type { nd-router-advert, nd-redirect }",
    sticky="""\
  map sticky { typeof ct mark . numgen random mod 2 : ip6 daddr; size 262144; flags timeout; }
  map sticky_port { typeof ct mark . numgen random mod 2 : tcp dport; size 262144; flags timeout; }
""",
    again=f"ip6 to {_CLIENT} map @sticky : {_CLIENT} map @sticky_port",
    remember=(
        f"update @sticky {{{{ {_CLIENT} timeout {{seconds}}s : ip6 daddr }}}} "
        f"update @sticky_port {{{{ {_CLIENT} timeout {{seconds}}s : th dport }}}}"
    ),
)


def words_of(config: NetworkConfig) -> Words:
    return _IPV4 if config.version == 4 else _IPV6
