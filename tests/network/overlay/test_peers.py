from ipaddress import IPv4Address, IPv4Network

import msgspec

from motet.network.overlay.peers import NodeView, Peer, mac_of, of_nodes

ALL = IPv4Network("10.42.0.0/16")
OWN = IPv4Network("10.42.0.0/24")


def node(cidr: str, address: str) -> NodeView:
    document = {
        "spec": {"podCIDR": cidr} if cidr else {},
        "status": {"addresses": [{"type": "Hostname", "address": "x"}, {"type": "InternalIP", "address": address}]},
    }
    return msgspec.convert(document, NodeView)


def peers(**nodes: NodeView) -> tuple[tuple[Peer, ...], tuple[str, ...]]:
    return of_nodes(nodes.items(), "n1", OWN, ALL)


def test_every_other_complete_node_is_a_peer() -> None:
    found, complaints = peers(
        n1=node("10.42.0.0/24", "192.0.2.1"), n3=node("10.42.2.0/24", "192.0.2.3"), n2=node("10.42.1.0/24", "192.0.2.2")
    )
    assert [peer.name for peer in found] == ["n2", "n3"]
    assert found[0] == Peer("n2", IPv4Address("192.0.2.2"), IPv4Network("10.42.1.0/24"))
    assert complaints == ()


def test_a_peer_has_the_key_that_its_node_has_published() -> None:
    view = node("10.42.1.0/24", "192.0.2.2")
    published = {"metadata": {"annotations": {"motet.dev/wireguard-key": "k", "other": "x"}}}
    found, _ = peers(n2=msgspec.structs.replace(view, metadata=msgspec.convert(published, NodeView).metadata))
    assert [peer.key for peer in found] == ["k"]


def test_a_node_that_is_not_complete_yet_is_left_out_without_a_word() -> None:
    assert peers(n2=node("", "192.0.2.2"), n3=NodeView()) == ((), ())


def test_a_pod_network_outside_the_clusters_is_refused() -> None:
    found, complaints = peers(n2=node("0.0.0.0/0", "192.0.2.2"))
    assert found == ()
    assert complaints == ("node n2: its pod network 0.0.0.0/0 is not part of 10.42.0.0/16",)


def test_a_node_cannot_take_the_pods_of_another() -> None:
    found, complaints = peers(n2=node("10.42.1.0/24", "192.0.2.2"), n3=node("10.42.1.128/25", "192.0.2.3"))
    assert [peer.name for peer in found] == ["n2"]
    assert complaints == ("node n3: its pod network 10.42.1.128/25 overlaps that of node n2",)


def test_a_node_cannot_take_our_own_pods() -> None:
    found, complaints = peers(n2=node("10.42.0.0/25", "192.0.2.2"))
    assert found == ()
    assert "overlaps that of node n1" in complaints[0]


def test_two_nodes_cannot_have_one_address() -> None:
    found, complaints = peers(n2=node("10.42.1.0/24", "192.0.2.2"), n3=node("10.42.2.0/24", "192.0.2.2"))
    assert [peer.name for peer in found] == ["n2"]
    assert complaints == ("node n3: its address 192.0.2.2 is also that of node n2",)


def test_nonsense_is_told_and_left_out() -> None:
    found, complaints = peers(n2=node("10.42.1.0/24", "fe80::1"))
    assert found == ()
    assert complaints[0].startswith("node n2:")


def test_the_hardware_address_follows_from_the_pod_network_and_is_a_local_unicast_one() -> None:
    mac = mac_of(IPv4Network("10.42.1.0/24"))
    assert mac == "0a:6d:0a:2a:01:00"
    assert int(mac[:2], 16) & 0b11 == 0b10
