"""Every path that is served, one table for each resource."""

from __future__ import annotations

from motet.dialects.docker import (
    archives,
    builds,
    diskusage,
    images,
    logs,
    networks,
    nodes,
    secrets,
    services,
    swarm,
    system,
    tasks,
    transfers,
    volumes,
)
from motet.dialects.docker.containers import (
    attach,
    creating,
    exec,
    inside,
    lifecycle,
    listing,
    output,
    waiting,
)
from motet.dialects.docker.events import serve as events

ROUTES = (
    *system.ROUTES,
    *swarm.ROUTES,
    *nodes.ROUTES,
    *secrets.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *services.ROUTES,
    *tasks.ROUTES,
    *logs.ROUTES,
    *listing.ROUTES,
    *creating.ROUTES,
    *lifecycle.ROUTES,
    *waiting.ROUTES,
    *output.ROUTES,
    *attach.ROUTES,
    *exec.ROUTES,
    *inside.ROUTES,
    *transfers.ROUTES,
    *archives.ROUTES,
    *builds.ROUTES,
    *images.ROUTES,
    *diskusage.ROUTES,
    *events.ROUTES,
)
