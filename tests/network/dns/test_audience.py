"""Who is told which names, as values; and the law: nobody is told an address that may not be talked to."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from motet.kinds.attachments import NetworkKey
from motet.network.dns import wire
from motet.network.dns.audience import Audience, Named, Told, audience_of, told, told_of_pod
from motet.network.policy.views import Pod
from motet.network.proxy.views import ServiceView, SliceView

D = "cluster.local"
FRONT, BACK, SHOP = NetworkKey("blog", "front"), NetworkKey("blog", "back"), NetworkKey("shop", "public")
PODS = {
    "10.42.0.2": Pod("10.42.0.2", "blog", {}, networks={FRONT: ()}),
    "10.42.0.3": Pod("10.42.0.3", "blog", {}, networks={FRONT: (), BACK: ()}),
    "10.42.0.4": Pod("10.42.0.4", "blog", {}, networks={BACK: ("cache",)}),
    "10.42.0.5": Pod("10.42.0.5", "blog", {}),
    "10.42.0.6": Pod("10.42.0.6", "shop", {}, networks={SHOP: ()}),
}
ON_FRONT, ON_BACK, ON_NONE = Audience("blog", frozenset({FRONT})), Audience("blog", frozenset({BACK})), Audience()
IN_SHOP = Audience("blog", frozenset({SHOP}))


def service(*addresses: str, name: str = "db", namespace: str = "blog", vip: str = "None", **fields: Any) -> Named:
    spec = {"clusterIP": vip, "ports": [{"port": 80}]}
    part = {"endpoints": [{"addresses": [each]} for each in addresses], "ports": [{"port": 80}]}
    view = msgspec.convert({"spec": spec}, ServiceView)
    return Named(name, namespace, view, [msgspec.convert(part, SliceView)], **fields)


def addresses(found: list[wire.Record], name: str) -> set[str]:
    full = f"{name}.svc.{D}"
    return {".".join(map(str, record.data)) for record in found if (record.name, record.type) == (full, wire.A)}


def own(named: Named, audience: Audience, name: str) -> set[str]:
    return addresses(told(named, audience, PODS.get, D).own, name)


def test_a_name_is_told_to_those_who_share_a_network_with_a_pod_behind_it() -> None:
    db = service("10.42.0.4", vip="10.43.0.9")
    assert own(db, ON_BACK, "db.blog") == {"10.43.0.9"}
    for nobody in (ON_FRONT, ON_NONE, IN_SHOP):
        assert told(db, nobody, PODS.get, D) == Told()


def test_of_a_headless_service_everybody_is_told_the_pods_within_reach() -> None:
    mixed = service("10.42.0.2", "10.42.0.3", "10.42.0.4", "10.42.0.5")
    assert own(mixed, ON_FRONT, "db.blog") == {"10.42.0.2", "10.42.0.3"}
    assert own(mixed, ON_BACK, "db.blog") == {"10.42.0.3", "10.42.0.4"}
    assert own(mixed, ON_NONE, "db.blog") == {"10.42.0.5"}


def test_tasks_are_every_pod_behind_a_virtual_address() -> None:
    db = service("10.42.0.3", "10.42.0.4", vip="10.43.0.9")
    assert own(db, ON_BACK, "db.blog") == {"10.43.0.9"}
    assert own(db, ON_BACK, "tasks.db.blog") == {"10.42.0.3", "10.42.0.4"}
    assert own(service("10.42.0.5", vip="10.43.0.9"), ON_NONE, "tasks.db.blog") == set()


def test_an_alias_holds_on_its_own_network_alone() -> None:
    db = service("10.42.0.3", vip="10.43.0.9", networks={FRONT: ("mysql",), BACK: ("my_store",)})
    assert own(db, ON_FRONT, "mysql.blog") == {"10.43.0.9"}
    assert own(db, ON_FRONT, "my_store.blog") == set()
    assert own(db, ON_BACK, "my_store.blog") == {"10.43.0.9"}
    assert own(db, ON_BACK, "tasks.my_store.blog") == {"10.42.0.3"}


def test_a_service_that_declares_its_networks_keeps_its_name_while_it_has_no_pod() -> None:
    assert own(service(vip="10.43.0.9", networks={BACK: ()}), ON_BACK, "db.blog") == {"10.43.0.9"}
    assert own(service(vip="10.43.0.9", networks={BACK: ()}), ON_NONE, "db.blog") == set()


def test_a_service_without_pods_is_as_ever_to_those_on_no_network() -> None:
    assert own(service(vip="10.43.0.9"), ON_NONE, "db.blog") == {"10.43.0.9"}
    assert own(service(vip="10.43.0.9"), ON_FRONT, "db.blog") == set()


def test_what_leads_out_of_the_pods_is_told_to_all() -> None:
    api = service("192.0.2.1", name="kubernetes", namespace="default", vip="10.43.0.1")
    for somebody in (ON_FRONT, ON_NONE, IN_SHOP):
        assert own(api, somebody, "kubernetes.default") == {"10.43.0.1"}


def test_another_namespaces_service_on_a_shared_network_goes_by_its_short_name_behind_ones_own() -> None:
    shop = service("10.42.0.6", name="cart", namespace="shop", networks={SHOP: ("basket",)})
    found = told(shop, IN_SHOP, PODS.get, D)
    assert addresses(found.own, "cart.shop") == {"10.42.0.6"}
    assert addresses(found.own, "cart.blog") == set()
    for name in ("cart.blog", "tasks.cart.blog", "basket.blog"):
        assert addresses(found.elsewhere, name) == {"10.42.0.6"}


def test_a_pod_goes_by_its_aliases_where_they_hold() -> None:
    cache = PODS["10.42.0.4"]
    assert addresses(told_of_pod(cache, "10.42.0.4", ON_BACK, D).own, "cache.blog") == {"10.42.0.4"}
    assert told_of_pod(cache, "10.42.0.4", ON_FRONT, D) == told_of_pod(cache, "10.42.0.4", ON_NONE, D) == Told()


@given(
    st.lists(st.sampled_from(sorted(PODS)), max_size=5),
    st.sampled_from(sorted(PODS)),
    st.sampled_from(["None", "10.43.0.9"]),
)
def test_nobody_is_told_the_address_of_a_pod_out_of_reach(behind: list[str], asker: str, vip: str) -> None:
    asking = PODS[asker]
    found = told(service(*behind, vip=vip), audience_of(asking), PODS.get, D)
    for record in (*found.own, *found.elsewhere):
        if record.type == wire.A and (pod := PODS.get(".".join(map(str, record.data)))) is not None:
            assert bool(pod.networks.keys() & asking.networks.keys()) or not (pod.networks or asking.networks)
