"""Which services may be written next: pure.

A service waits until each of those it depends on meets the condition the file names; all that wait for nothing go at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from motet.cli.apply.states import ServiceState
from motet.cli.compose.model import Service

_WORDS = {"started": "to run", "healthy": "to be healthy", "completed": "to end well"}


def releasable(services: Iterable[Service], states: Mapping[str, ServiceState]) -> list[Service]:
    """The services not yet written whose dependencies are met. `states` holds those written so far."""
    return [service for service in services if service.name not in states and not _unmet(service, states)]


def waits_for(service: Service, states: Mapping[str, ServiceState]) -> str:
    """What holds a service back, in words; empty when nothing does."""
    unmet = _unmet(service, states)
    return "waits for " + ", ".join(f"{name} {_WORDS[condition]}" for name, condition in unmet) if unmet else ""


def _unmet(service: Service, states: Mapping[str, ServiceState]) -> list[tuple[str, str]]:
    return [
        (name, condition)
        for name, condition in service.depends_on
        if (state := states.get(name)) is None or not state.meets(condition)
    ]
