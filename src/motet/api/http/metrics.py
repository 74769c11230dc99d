"""Counters of the edge in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Gauge = Callable[[], float]


class Metrics:
    """Requests by verb, resource and code, with the seconds they took; gauges and the lines of `more` are read when asked for."""

    def __init__(self, gauges: Mapping[str, tuple[str, Gauge]], more: Callable[[], Iterable[str]] = tuple) -> None:
        self._gauges = gauges
        self._more = more
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[tuple[str, str]] = Counter()

    def count(self, verb: str, resource: str, code: int, seconds: float) -> None:
        self._requests[verb, resource, code] += 1
        if verb != "watch":
            self._seconds[verb, resource] += seconds  # type: ignore[assignment]

    def render(self) -> str:
        lines = [
            "# HELP apiserver_request_total Requests answered, by verb, resource and HTTP code.",
            "# TYPE apiserver_request_total counter",
        ]
        for (verb, resource, code), number in sorted(self._requests.items()):
            lines.append(f'apiserver_request_total{{verb="{verb}",resource="{resource}",code="{code}"}} {number}')
        lines += [
            "# HELP motet_api_request_seconds_total Seconds spent on requests other than watches.",
            "# TYPE motet_api_request_seconds_total counter",
        ]
        for (verb, resource), seconds in sorted(self._seconds.items()):
            lines.append(f'motet_api_request_seconds_total{{verb="{verb}",resource="{resource}"}} {seconds:.6f}')
        for name, (description, read) in self._gauges.items():
            lines += [f"# HELP {name} {description}", f"# TYPE {name} gauge", f"{name} {read():.17g}"]
        lines += self._more()
        return "\n".join(lines) + "\n"
