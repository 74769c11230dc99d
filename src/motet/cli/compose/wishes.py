"""What labels below `deploy` ask for beyond the Compose Specification: as those of docker's services do (`kinds/applabels.py`).

So a file means the same to `motet up` and to `docker stack deploy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from motet.cli.compose.deploy import Deployment
from motet.cli.compose.model import REPLICATED, Device
from motet.cli.compose.rollout import object_name
from motet.cli.compose.source import Fields
from motet.kinds import applabels


@dataclass(frozen=True, slots=True)
class Wishes:
    """`parts` of the App's spec; `labels` are the other ones."""

    parts: Mapping[str, Any] = field(default_factory=dict)
    devices: tuple[Device, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


def read(service: Fields, deployed: Deployment, inside: Mapping[str, str]) -> Wishes:
    """`inside`: the labels of the containers. What cannot be is noted in the source."""
    given = dict(deployed.labels)
    others = tuple((name, value) for name, value in deployed.labels if name not in applabels.KNOWN)
    try:
        applabels.refuse_inside(inside)
        parts = applabels.parts(
            given,
            job=deployed.is_job,
            replicated=deployed.mode == REPLICATED,
            reserves_cpu=deployed.reservations.millicores > 0,
            name_of=object_name,
        )
        devices = tuple(
            Device(outside, target, Path(outside).is_block_device()) for outside, target in applabels.devices(given)
        )
    except applabels.LabelError as error:
        service.source.problem(service.items.get("deploy") or service.at, str(error))
        return Wishes(labels=others)
    return Wishes(parts, devices, others)
