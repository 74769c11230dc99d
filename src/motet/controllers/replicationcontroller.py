"""ReplicationControllers: the loop of ReplicaSets over the older kind, whose selector is a plain map."""

from __future__ import annotations

from motet.base import selectors
from motet.base.clock import Clock
from motet.base.selectors import Selector
from motet.client.events import EventRecorder
from motet.client.interface import Client
from motet.controllers.replicaset import ReplicaSets, ReplicaSetView
from motet.kinds import replicationcontroller


def selector_of(rc: ReplicaSetView) -> Selector:
    """All pairs of `spec.selector` must match."""
    return selectors.from_map(rc.spec.selector)


def replication_controllers(client: Client, clock: Clock, events: EventRecorder) -> ReplicaSets:
    """The loop over ReplicationControllers."""
    return ReplicaSets(client, clock, events, replicationcontroller.KIND, selector_of)
