"""Networks, Motet's own kind: pods that may talk to each other, and to no other pods (Swarm's overlay networks).

    apiVersion: motet.dev/v1
    kind: Network
    metadata: {name: back, namespace: shop}
    spec: {internal: true}

A pod says by its annotation `motet.dev/networks` which ones it is on (`attachments`). There is one flat pod network underneath;
what a Network is made of are rules on every node.
"""

from __future__ import annotations

import msgspec

from motet.base import names
from motet.base.errors import FieldError
from motet.kinds import checks
from motet.kinds.columns import AGE, NAME, NONE, column
from motet.kinds.kind import Column, Json, Kind
from motet.kinds.schema import table
from motet.kinds.schema.prose import Prose, register
from motet.kinds.shape import fill_absent, made, mapping, strings

EVERY_NAMESPACE = "*"

table.register("""
dev.motet.v1.Network <motet.dev/v1/Network> apiVersion:string kind:string metadata:meta.ObjectMeta=1
  spec:NetworkSpec=2
dev.motet.v1.NetworkList <motet.dev/v1/NetworkList> apiVersion:string items!:[]Network=2 kind:string metadata:meta.ListMeta=1
dev.motet.v1.NetworkSpec internal:bool=1 attachable:bool=2 encrypted:bool=3 namespaces:[]string=4
""")

register(
    {
        "dev.motet.v1.Network": Prose(
            "Pods that may talk to each other, and to no other pods. Pods join by the annotation motet.dev/networks.",
            {"spec": "What kind of network it is."},
        ),
        "dev.motet.v1.NetworkSpec": Prose(
            "What kind of network it is.",
            {
                "internal": "Pods that are only on internal networks reach nothing outside of the cluster, and are not "
                "reached from there but by published ports.",
                "attachable": "Pods that no workload manages may join, too (Swarm: docker run).",
                "encrypted": "What its pods say to each other is encrypted between nodes.",
                "namespaces": "Other namespaces whose pods may join; * is all of them.",
            },
        ),
    }
)


class NetworkSpec(msgspec.Struct, gc=False, frozen=True):
    """The spec, as every room reads it."""

    internal: bool = False
    attachable: bool = False
    encrypted: bool = False
    namespaces: tuple[str, ...] | None = None

    def lets_in(self, namespace: str) -> bool:
        """Whether pods of another namespace may join."""
        return any(each in (namespace, EVERY_NAMESPACE) for each in self.namespaces or ())


class NetworkView(msgspec.Struct, gc=False, frozen=True):
    spec: NetworkSpec = NetworkSpec()


def default(document: Json) -> None:
    spec = made(document, "spec")
    for flag in ("internal", "attachable", "encrypted"):
        fill_absent(spec, flag, False)


def validate(document: Json, old: Json | None) -> list[FieldError]:
    errors = []
    within = strings(mapping(document, "spec"), "namespaces")
    for index, name in enumerate(within):
        if name != EVERY_NAMESPACE:
            errors += checks.named(f"spec.namespaces[{index}]", name, names.label_error)
    return errors + checks.distinct((f"spec.namespaces[{index}]", name) for index, name in enumerate(within))


def _flag(name: str, about: str) -> Column:
    def cell(document: Json) -> bool:
        return bool(mapping(document, "spec").get(name))

    return column(name.capitalize(), cell, type="boolean", about=about)


KIND = Kind(
    group="motet.dev",
    version="v1",
    kind="Network",
    plural="networks",
    singular="network",
    schema="dev.motet.v1.Network",
    default=default,
    validate=validate,
    # The annotation that names it separates names by blanks and slashes.
    name_error=names.label_error,
    columns=(
        NAME,
        _flag("internal", "Has no way out of the cluster."),
        _flag("attachable", "Takes pods that no workload manages."),
        _flag("encrypted", "Encrypts between nodes."),
        column(
            "Namespaces",
            lambda document: ",".join(strings(mapping(document, "spec"), "namespaces")) or NONE,
            wide=True,
            about="Other namespaces whose pods may join.",
        ),
        AGE,
    ),
)
