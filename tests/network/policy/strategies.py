"""Small worlds of pods and policies in which everything happens often: few labels, few addresses, few ports."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from motet.kinds.attachments import NetworkKey
from motet.kinds.network import NetworkSpec
from motet.network.policy.views import Pod

Json = dict[str, Any]

NAMESPACES = {"a": {"team": "x"}, "b": {"team": "y"}, "c": {}}
PORTS = (79, 80, 81, 443, 8080)
PROTOCOLS = ("TCP", "UDP", "SCTP")
BLOCKS = ("10.42.0.0/16", "10.42.0.0/29", "10.42.0.4/30", "10.42.0.2/32", "0.0.0.0/0", "192.0.2.0/24", "10.42.1.0/24")
OUTSIDE = ("192.0.2.7", "198.51.100.1", "10.42.9.9")

FRONT, BACK, INNER, LOST = (NetworkKey("a", name) for name in ("front", "back", "inner", "lost"))
# Pods may name one that is not there.
NETWORKS = {FRONT: NetworkSpec(), BACK: NetworkSpec(encrypted=True), INNER: NetworkSpec(internal=True)}
GATEWAYS = frozenset({"10.42.1.250"})

on_networks = st.sets(st.sampled_from([FRONT, BACK, INNER, LOST]), max_size=2).map(lambda keys: dict.fromkeys(keys, ()))
labels = st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["web", "db"]), max_size=2)
expressions = st.fixed_dictionaries(
    {"key": st.sampled_from(["app", "tier", "team"]), "operator": st.sampled_from(["In", "NotIn"])},
).map(lambda each: {**each, "values": ["web", "x"]}) | st.fixed_dictionaries(
    {"key": st.sampled_from(["app", "tier", "team"]), "operator": st.sampled_from(["Exists", "DoesNotExist"])}
)
selectors = st.fixed_dictionaries(
    {}, optional={"matchLabels": labels, "matchExpressions": st.lists(expressions, max_size=1)}
)
teams = st.fixed_dictionaries(
    {}, optional={"matchLabels": st.just({"team": "x"}), "matchExpressions": st.lists(expressions, max_size=1)}
)


@st.composite
def pods(draw: st.DrawFn) -> list[Pod]:
    count = draw(st.integers(1, 6))
    return [
        Pod(
            address=f"10.42.{draw(st.integers(0, 1))}.{index + 1}",
            namespace=draw(st.sampled_from(sorted(NAMESPACES))),
            labels=draw(labels),
            ports=frozenset(
                (name, draw(st.sampled_from(PROTOCOLS)), draw(st.sampled_from(PORTS)))
                for name in draw(st.sets(st.sampled_from(["http", "admin"])))
            ),
            local=draw(st.booleans()) or index == 0,
            networks=draw(on_networks),
        )
        for index in range(count)
    ]


@st.composite
def _ports(draw: st.DrawFn) -> Json:
    port: Json = {"protocol": draw(st.sampled_from(PROTOCOLS))}
    match draw(st.sampled_from(["none", "number", "range", "name"])):
        case "number":
            port["port"] = draw(st.sampled_from(PORTS))
        case "range":
            port["port"] = draw(st.sampled_from(PORTS))
            port["endPort"] = draw(st.integers(port["port"], 9000))
        case "name":
            port["port"] = draw(st.sampled_from(["http", "admin"]))
    return port


@st.composite
def _blocks(draw: st.DrawFn) -> Json:
    block: Json = {"cidr": draw(st.sampled_from(BLOCKS))}
    if draw(st.booleans()):
        block["except"] = draw(st.lists(st.sampled_from(BLOCKS), max_size=2))
    return {"ipBlock": block}


_peers = (
    _blocks()
    | st.fixed_dictionaries({"podSelector": selectors}, optional={"namespaceSelector": teams})
    | st.fixed_dictionaries({"namespaceSelector": teams})
)


def _rules(peers: str) -> st.SearchStrategy[list[Json]]:
    rule = st.fixed_dictionaries(
        {}, optional={"ports": st.lists(_ports(), max_size=2), peers: st.lists(_peers, max_size=2)}
    )
    return st.lists(rule, max_size=2)


policies = st.lists(
    st.tuples(
        st.sampled_from(sorted(NAMESPACES)),
        st.fixed_dictionaries(
            {"podSelector": selectors},
            optional={
                "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
                "ingress": _rules("from"),
                "egress": _rules("to"),
            },
        ),
    ),
    max_size=4,
)
