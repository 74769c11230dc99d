"""The mesh keeps a client's address: whose pods are sent packets as they came, and how answers find back. Pure.

A connection from outside that is answered by a pod on another node goes there through the tunnel with the client's own
address. The pod's node puts it into a conntrack zone of the node it came by, which it knows by the hardware address of that
node's end of the tunnel, and sends the pod's answers there, whomever they are for. Zones also keep apart what a client has
begun from one port by two nodes. Nodes say in an annotation that they send answers back so; to others we masquerade.
"""

from __future__ import annotations

from collections.abc import Mapping

from motet.network.config import NetworkConfig
from motet.network.overlay import peers

# On a Node: answers of its pods go back the way the questions came.
ANSWERS_BACK = "motet.dev/answers-the-way-they-came"
# On a Service: `node` hides clients behind the node they came to, if the pod is on another.
CLIENT_ADDRESS = "motet.dev/client-address"
HIDDEN = "node"

_ZONES = 65535

# Map or set -> key -> value, empty for sets.
Elements = dict[str, dict[str, str]]


class NodeView(peers.NodeView, gc=False, frozen=True):
    """What the mesh reads of a Node."""

    @property
    def answers_back(self) -> bool:
        return (self.metadata.annotations or {}).get(ANSWERS_BACK) == "true"


def elements(nodes: Mapping[str, NodeView], config: NetworkConfig) -> Elements:
    """What `base` of the ruleset looks up: pods that see clients, zones by hardware address, ways back by zone."""
    found, _ = peers.of_nodes(nodes.items(), config.node_name, config.pods, config.all_pods)
    made: Elements = {"keeping": {}, "through": {}, "back": {}}
    for peer in found:
        zone = str(_zone(peer, config))
        if int(zone) > _ZONES or zone in made["back"]:
            continue
        made["through"][peer.mac] = zone
        made["back"][zone] = str(peer.via)
        if nodes[peer.name].answers_back:
            made["keeping"][str(peer.pods)] = ""
    return made


def _zone(peer: peers.Peer, config: NetworkConfig) -> int:
    """The place of the peer's block among all blocks: connections outlive whoever gave numbers out. 0 is no zone."""
    return 1 + (int(peer.via) - int(config.all_pods.network_address)) // config.pods.num_addresses
