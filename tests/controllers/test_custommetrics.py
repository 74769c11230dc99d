from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from motet.base import selectors
from motet.base.errors import NotFound
from motet.controllers.autoscaling import Reference
from motet.controllers.custommetrics import CustomMetrics, nobody
from motet.controllers.proposals import NoMetrics, Tolerances, by_share, by_whole
from motet.kinds.catalogue import Catalogue

AT = "2026-01-01T00:00:00Z"
WEB = selectors.parse("app=web")
CUSTOM, EXTERNAL = "/apis/custom.metrics.k8s.io", "/apis/external.metrics.k8s.io"


class Server:
    """Answers by path; anything else is not found."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def ask(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        self.asked.append((path, dict(query)))
        version = path.split("/")[3]
        if version not in self.answers:
            raise NotFound(f"the server could not find {version}")
        return {"kind": "MetricValueList", "items": self.answers[version]}


def value(amount: str, name: str = "", **more: Any) -> dict[str, Any]:
    return {"describedObject": {"kind": "Pod", "name": name}, "timestamp": AT, "value": amount, **more}


async def test_pods_are_asked_by_their_labels_and_the_metric_by_its_own() -> None:
    server = Server(v1beta2=[value("250m", "a", windowSeconds=30), value("2", "b")])
    metric = {"name": "hits", "selector": {"matchLabels": {"verb": "GET"}}}
    found = await CustomMetrics(Catalogue(), server.ask).of_pods("shop", WEB, metric)
    assert {name: (sample.value, sample.window) for name, sample in found.items()} == {
        "a": (250, 30.0),
        "b": (2000, 60.0),
    }
    query = {"labelSelector": "app=web", "metricLabelSelector": "verb=GET"}
    assert server.asked == [(f"{CUSTOM}/v1beta2/namespaces/shop/pods/*/hits", query)]


async def test_an_older_server_is_asked_in_the_older_version() -> None:
    server = Server(v1beta1=[value("1", "a", window=15)])
    found = await CustomMetrics(Catalogue(), server.ask).of_pods("shop", WEB, {"name": "hits"})
    assert found["a"].window == 15.0


@pytest.mark.parametrize(
    ("api_version", "kind", "path"),
    [
        ("v1", "Service", "namespaces/shop/services/x/hits"),
        ("networking.k8s.io/v1", "Ingress", "namespaces/shop/ingresses.networking.k8s.io/x/hits"),
        ("v1", "Namespace", "namespaces/x/metrics/hits"),
        ("v1", "Node", "nodes/x/hits"),
    ],
)
async def test_an_object_is_asked_for_at_its_place(api_version: str, kind: str, path: str) -> None:
    server = Server(v1beta2=[value("3")])
    about = Reference(kind, "x", api_version)
    assert await CustomMetrics(Catalogue(), server.ask).of_object("shop", about, {"name": "hits"}) == 3000
    assert server.asked == [(f"{CUSTOM}/v1beta2/{path}", {})]


async def test_a_metric_from_outside_is_the_sum_of_its_series() -> None:
    server = Server(v1beta1=[value("1500m"), value("2")])
    metric = {"name": "queue/length", "selector": {"matchLabels": {"queue": "jobs"}}}
    assert await CustomMetrics(Catalogue(), server.ask).external("shop", metric) == 3500
    assert server.asked == [(f"{EXTERNAL}/v1beta1/namespaces/shop/queue%2Flength", {"labelSelector": "queue=jobs"})]


@pytest.mark.parametrize("answer", [[], [{"value": "3"}], [value("much")], "nothing"])
async def test_an_answer_without_a_value_is_no_metric(answer: Any) -> None:
    with pytest.raises(NoMetrics):
        await CustomMetrics(Catalogue(), Server(v1beta1=answer).ask).external("shop", {"name": "hits"})


async def test_where_nobody_serves_metrics_that_is_said() -> None:
    with pytest.raises(NotFound, match=r"no API custom\.metrics\.k8s\.io/v1beta2 registered"):
        await CustomMetrics(Catalogue()).of_pods("shop", WEB, {"name": "hits"})
    with pytest.raises(NotFound, match="no API external"):
        await nobody(f"{EXTERNAL}/v1beta1/namespaces/shop/x", {})


def test_a_value_that_is_shared_asks_for_as_many_pods_as_it_has_shares() -> None:
    found = by_share(3, 100_000, 20_000, Tolerances())
    assert (found.replicas, found.average) == (5, 33_334)
    assert by_share(5, 101_000, 20_000, Tolerances()).replicas == 5


def test_a_value_as_a_whole_asks_for_pods_in_proportion_to_those_that_are_ready() -> None:
    assert by_whole(4, 4, 30_000, 20_000, Tolerances()) == 6
    assert by_whole(4, 2, 30_000, 20_000, Tolerances()) == 3
    assert by_whole(4, 4, 21_000, 20_000, Tolerances()) == 4
    assert by_whole(0, 0, 30_000, 20_000, Tolerances()) == 2
