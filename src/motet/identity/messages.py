"""What machines and managers say to each other about joining: the bodies under `/motet/v1/`, in JSON.

Either side may be a minor version newer: what is not known is passed over, and new fields have defaults.
"""

from __future__ import annotations

import hashlib

import msgspec

# On a Node: the digest of the roots its agent was given last.
ROOTS_ANNOTATION = "motet.dev/roots"
# And of the key that was certified for it last: whoever holds that key is the node, whatever became of the certificate.
KEY_ANNOTATION = "motet.dev/key"


# How many seconds a node may be silent before it counts as lost, unless the cluster was begun with another number.
NODE_GRACE = 40.0


class Cluster(msgspec.Struct, frozen=True, rename="camel"):
    """What a new node has to know of the cluster. `managers` are HOST:PORT, the best first. Networks are CIDRs, those called
    `six` of IPv6, and empty in a cluster of one family.

    `encrypted`: whether all that is sent to pods of other nodes is.
    """

    managers: tuple[str, ...]
    pods: str
    services: str
    dns_address: str
    domain: str
    node_grace: float = NODE_GRACE
    encrypted: bool = False
    pods_six: str = ""
    services_six: str = ""


class Roots(msgspec.Struct, frozen=True):
    """`ca` is the root that signs and that tokens pin, `bundle` every root to be trusted at present; both PEM."""

    ca: str
    bundle: str

    @property
    def digest(self) -> str:
        """Sixteen characters that tell one bundle from another."""
        return hashlib.sha256(self.bundle.encode()).hexdigest()[:16]


class JoinRequest(msgspec.Struct, frozen=True):
    """`secret` is the last part of a token (empty for an administrator); `request` a PEM certificate request; `address`
    what others reach the node by. An empty `role` is the one the token is for.
    """

    node: str
    address: str
    request: str
    secret: str = ""
    role: str = ""


class RenewRequest(msgspec.Struct, frozen=True):
    """`request` is a PEM certificate request."""

    request: str


class Issued(msgspec.Struct, frozen=True):
    """A PEM certificate and the roots to trust from now on; `uid` is that of the Node it stands for."""

    certificate: str
    roots: Roots
    uid: str
    cluster: Cluster


class JoinToken(msgspec.Struct, frozen=True):
    """What an administrator gets to see."""

    role: str
    token: str
    managers: tuple[str, ...]
