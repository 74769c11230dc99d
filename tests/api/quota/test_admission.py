"""Who may add to a namespace with quotas, and what is told of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.api.registry.cluster import ADMIN, admit, kernel, pod, service

from motet.api.admission import BUILT_IN, Chain, Plugin, Request, refusal
from motet.api.options import DeleteOptions, RequestOptions
from motet.api.quota import admission
from motet.api.quota.book import QuotaBook
from motet.api.registry import Registry
from motet.base.clock import FakeClock
from motet.base.errors import AlreadyExists, ApiError, Forbidden, Invalid
from motet.kinds import configmap, resourcequota
from motet.kinds import pod as pods
from motet.kinds import service as services

NOW = DeleteOptions(grace_seconds=0)


def guard(registry: Registry, *more: Plugin) -> QuotaBook:
    book = QuotaBook(registry.cache.table, registry.clock)
    chain = Chain((*BUILT_IN, *more, *admission.plugins(book, registry.clock)))
    admit(registry, chain)
    return book


@pytest.fixture
def book(registry: Registry) -> QuotaBook:
    return guard(registry)


async def limit(registry: Registry, name: str = "q", hard: dict[str, str] | None = None, **spec: Any) -> None:
    body = {"metadata": {"name": name}, "spec": {"hard": hard or {"pods": "2"}, **spec}}
    await registry.create(resourcequota.KIND, "default", body, ADMIN)


async def run(registry: Registry, name: str, **spec: Any) -> None:
    await registry.create(pods.KIND, "default", pod(name, **spec), ADMIN)


def asking(cpu: str) -> dict[str, Any]:
    return {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]}


async def test_what_is_too_much_is_refused_with_the_numbers(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"pods": "5", "requests.cpu": "1"})
    await run(registry, "a", **asking("700m"))
    with pytest.raises(Forbidden) as refused:
        await run(registry, "b", **asking("400m"))
    assert refused.value.message == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=700m, limited: requests.cpu=1'
    )


async def test_what_goes_makes_room(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"pods": "1"})
    await run(registry, "a")
    await registry.delete(pods.KIND, "default", "a", ADMIN, NOW)
    await run(registry, "b")


async def test_however_many_ask_at_once_no_more_come_in_than_may(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"pods": "5"})
    answers = await asyncio.gather(*(run(registry, f"p{number}") for number in range(30)), return_exceptions=True)
    assert sum(answer is None for answer in answers) == 5
    assert all(answer is None or isinstance(answer, Forbidden) for answer in answers)


async def test_a_write_that_fails_later_takes_nothing(registry: Registry) -> None:
    def never(request: Request) -> None:
        if request.name == "unwanted":
            raise refusal(request, "no")

    book = guard(registry)
    chain = Chain((*admission.plugins(book, registry.clock), Plugin("Never", never, resources=("core/pods",))))
    admit(registry, chain)
    await limit(registry, hard={"pods": "2"})
    await run(registry, "a")
    for error, name in ((AlreadyExists, "a"), (Forbidden, "unwanted"), (AlreadyExists, "a")):
        with pytest.raises(error):
            await run(registry, name)
    [ledger] = book.ledgers("default")
    assert (ledger.used["pods"], ledger.promised.get("pods", 0)) == (1000, 0)
    await run(registry, "b")


async def test_trying_takes_nothing(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"pods": "1"})
    for _ in range(3):
        await registry.create(pods.KIND, "default", pod("a"), ADMIN, RequestOptions(dry_run=True))
    await run(registry, "a")
    with pytest.raises(Forbidden):
        await registry.create(pods.KIND, "default", pod("b"), ADMIN, RequestOptions(dry_run=True))


async def test_a_pod_has_to_say_what_is_counted(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"limits.memory": "1Gi"})
    with pytest.raises(Forbidden, match=r"failed quota: q: must specify limits\.memory for: main"):
        await run(registry, "a")


async def test_other_namespaces_and_other_kinds_are_free(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"pods": "0"})
    await registry.create(configmap.KIND, "default", {"metadata": {"name": "c"}}, ADMIN)
    with pytest.raises(Forbidden):
        await run(registry, "a")


async def test_a_quota_that_comes_later_counts_what_is_there(registry: Registry, book: QuotaBook) -> None:
    await run(registry, "a")
    await limit(registry, hard={"pods": "1", "count/pods": "5"})
    with pytest.raises(Forbidden):
        await run(registry, "b")
    [ledger] = book.ledgers("default")
    assert ledger.used == {"pods": 1000, "count/pods": 1000}


async def test_a_service_that_becomes_more_needs_room(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, hard={"services.nodeports": "1"})
    for name in ("a", "b"):
        await registry.create(services.KIND, "default", service(name), ADMIN)

    async def open_ports(name: str) -> None:
        document = registry.table(services.KIND).get(name, "default")
        assert document is not None
        body = document.decode()
        body["spec"]["type"] = "NodePort"
        await registry.update(services.KIND, "default", name, body, ADMIN)

    await open_ports("a")
    with pytest.raises(Forbidden, match=r"exceeded quota: q, requested: services\.nodeports=1"):
        await open_ports("b")


async def test_scopes_divide_the_pods(registry: Registry, book: QuotaBook) -> None:
    await limit(registry, "idle", {"pods": "1"}, scopes=["BestEffort"])
    await limit(registry, "busy", {"pods": "1"}, scopes=["NotBestEffort"])
    await run(registry, "a")
    await run(registry, "b", **asking("1"))
    with pytest.raises(Forbidden, match="exceeded quota: idle"):
        await run(registry, "c")


async def test_a_pod_stuck_on_its_way_out_makes_room_after_its_grace(
    registry: Registry, book: QuotaBook, clock: FakeClock
) -> None:
    await limit(registry, hard={"pods": "1"})
    await run(registry, "a", nodeName="n1")
    await registry.delete(pods.KIND, "default", "a", ADMIN, DeleteOptions(grace_seconds=10))
    with pytest.raises(Forbidden):
        await run(registry, "b")
    await clock.advance(21)
    await run(registry, "b")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"hard": {"robots": "1"}}, "must be a standard resource for quota"),
        ({"hard": {"pods": "500m"}}, "must be an integer"),
        ({"hard": {"pods": "-1"}}, "must be greater than or equal to 0"),
        ({"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}, "conflicting scopes"),
        ({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}, "unsupported scope applied to resource"),
        ({"hard": {"pods": "1"}, "scopes": ["Sunny"]}, "unsupported scope"),
    ],
)
async def test_a_quota_that_makes_no_sense_is_refused(registry: Registry, spec: dict[str, Any], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        await registry.create(resourcequota.KIND, "default", {"metadata": {"name": "q"}, "spec": spec}, ADMIN)


steps = st.lists(st.tuples(st.sampled_from(["make", "drop", "limit", "end"]), st.integers(0, 5)), max_size=25)


@settings(max_examples=30)
@given(steps)
async def test_the_book_agrees_with_counting_anew(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[str, int]]
) -> None:
    async with kernel(tmp_path_factory.mktemp("quota")) as registry:
        book = guard(registry)
        await limit(registry, hard={"pods": "3", "count/pods": "4"})
        for what, number in wanted:
            try:
                await _take(registry, what, number)
            except ApiError:
                continue
        fresh = QuotaBook(registry.cache.table, registry.clock)
        assert [each.used for each in book.ledgers("default")] == [each.used for each in fresh.ledgers("default")]
        assert all(not any(each.promised.values()) for each in book.ledgers("default"))
        for each in book.ledgers("default"):
            assert each.used.get("pods", 0) <= 3000


async def _take(registry: Registry, what: str, number: int) -> None:
    name = f"p{number}"
    match what:
        case "make":
            await run(registry, name)
        case "drop":
            await registry.delete(pods.KIND, "default", name, ADMIN, NOW)
        case "end":
            document = registry.table(pods.KIND).get(name, "default")
            if document is not None:
                body = {**document.decode(), "status": {"phase": "Succeeded"}}
                await registry.update(pods.KIND, "default", name, body, ADMIN, subresource="status")
        case _:
            await limit(registry, f"q{number}", {"pods": "3"})
