"""Metrics that others keep: what stands behind custom.metrics.k8s.io and external.metrics.k8s.io, read for autoscalers.

Whoever serves these groups is asked by path, as any client would ask; nothing here knows who that is. The forms are those of
the APIs `custom.metrics.k8s.io` v1beta2 and v1beta1 and `external.metrics.k8s.io` v1beta1 (k8s.io/metrics).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from motet.base import quantity, selectors
from motet.base.errors import NotFound
from motet.base.selectors import Selector
from motet.controllers.autoscaling import Reference
from motet.controllers.proposals import NoMetrics, Sample
from motet.kinds import namespace as namespace_kind
from motet.kinds.catalogue import Catalogue

# GET a path with a query; the document. Raises ApiError, NotFound where nobody serves the group.
Ask = Callable[[str, Mapping[str, str]], Awaitable[Mapping[str, Any]]]

_CUSTOM: Final = "custom.metrics.k8s.io"
_EXTERNAL: Final = "external.metrics.k8s.io"
_VERSIONS: Final = ("v1beta2", "v1beta1")
# What upstream takes for the window of a value that does not say.
_WINDOW = 60.0


class _About(msgspec.Struct, gc=False, frozen=True):
    name: str = ""


class _Value(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    value: str | int | float
    timestamp: datetime
    described_object: _About = _About()
    window_seconds: float | None = None
    window: float | None = None

    def sample(self) -> Sample:
        return Sample(quantity.millis(self.value), self.timestamp, self.window_seconds or self.window or _WINDOW)


class _Values(msgspec.Struct, gc=False, frozen=True):
    items: tuple[_Value, ...] = ()


async def nobody(path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
    """The answer of a manager that asks no other server. Raises NotFound."""
    raise NotFound(f"no API {'/'.join(path.split('/')[2:4])} registered")


class CustomMetrics:
    """`catalogue` has the kinds that a metric may be about."""

    def __init__(self, catalogue: Catalogue, ask: Ask = nobody) -> None:
        self._catalogue = catalogue
        self._ask = ask

    async def of_pods(self, namespace: str, selector: Selector, metric: Mapping[str, Any]) -> dict[str, Sample]:
        """What each pod says of a metric, in thousandths, by name. Raises ApiError, NoMetrics."""
        path = f"namespaces/{_segment(namespace)}/pods/*/{_segment(metric['name'])}"
        items = await self._custom(path, {"labelSelector": str(selector), **_narrowed(metric, "metricLabelSelector")})
        return {each.described_object.name: each.sample() for each in items}

    async def of_object(self, namespace: str, about: Reference, metric: Mapping[str, Any]) -> int:
        """What one object says of a metric, in thousandths. Raises ApiError, NoMetrics."""
        path = f"{self._place(namespace, about)}/{_segment(metric['name'])}"
        [found, *_] = await self._custom(path, _narrowed(metric, "metricLabelSelector"))
        return quantity.millis(found.value)

    async def external(self, namespace: str, metric: Mapping[str, Any]) -> int:
        """The sum of all that a metric from outside is, in thousandths. Raises ApiError, NoMetrics."""
        path = f"/apis/{_EXTERNAL}/v1beta1/namespaces/{_segment(namespace)}/{_segment(metric['name'])}"
        answer = await self._ask(path, _narrowed(metric, "labelSelector"))
        return sum(quantity.millis(each.value) for each in _values(answer, "external"))

    def _place(self, namespace: str, about: Reference) -> str:
        kind = self._catalogue.by_kind(about.api_version, about.kind)
        if kind is None:
            group = about.api_version.rpartition("/")[0]
            raise NoMetrics(f'no matches for kind "{about.kind}" in group "{group}"')
        if kind.resource == namespace_kind.KIND.resource:
            return f"namespaces/{_segment(about.name)}/metrics"
        place = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
        where = f"namespaces/{_segment(namespace)}/" if kind.namespaced else ""
        return f"{where}{place}/{_segment(about.name)}"

    async def _custom(self, path: str, query: Mapping[str, str]) -> tuple[_Value, ...]:
        missing: NotFound | None = None
        for version in _VERSIONS:
            try:
                answer = await self._ask(f"/apis/{_CUSTOM}/{version}/{path}", query)
                return _values(answer, "custom")
            except NotFound as error:
                # Of what several versions say, the first is about the newest form.
                missing = missing or error
        assert missing is not None
        raise missing


def _segment(name: str) -> str:
    return quote(name, safe="")


def _narrowed(metric: Mapping[str, Any], parameter: str) -> dict[str, str]:
    """The part of a query that says which of a metric's series are meant."""
    selector = selectors.from_document(metric.get("selector") or {})
    return {parameter: text} if (text := str(selector)) else {}


def _values(answer: Mapping[str, Any], which: str) -> tuple[_Value, ...]:
    """What a list of values has in it. Raises NoMetrics when that is nothing, or nothing that can be read."""
    try:
        found = msgspec.convert(answer, _Values).items
        for value in found:
            quantity.parse(value.value)
    except ValueError as error:
        raise NoMetrics(f"unable to fetch metrics from {which} metrics API: {error}") from error
    if not found:
        raise NoMetrics(f"no metrics returned from {which} metrics API")
    return found
