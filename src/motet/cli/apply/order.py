"""In which order services are written: pure.

The cluster itself holds a service back until those it waits for are so far (`spec.dependsOn` of its App). They are written before
it, so that it is held back by what they shall be and not let go by what they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import TopologicalSorter

from motet.cli.compose.model import Service


def ordered(services: Sequence[Service]) -> list[Service]:
    """What is waited for comes first. The file was refused before if services wait for each other in a circle."""
    by_name = {service.name: service for service in services}
    needs = {service.name: [other for other, _ in service.depends_on] for service in services}
    return [by_name[name] for name in TopologicalSorter(needs).static_order()]
