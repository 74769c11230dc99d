"""The levels and FlowSchemas a cluster begins with are made where they are missing, and kept as they should be.

The mandatory ones always; of the suggested ones those whose annotation `apf.kubernetes.io/autoupdate-spec` is not `false`
(upstream: as long as nobody has changed the spec, should the annotation be gone).
"""

from __future__ import annotations

from typing import Any, NoReturn

from motet.api.registry import Registry
from motet.api.users import MASTERS, User
from motet.base.clock import Clock
from motet.base.errors import AlreadyExists, Conflict
from motet.kinds import flowcontrol, flowschema, prioritylevelconfiguration
from motet.kinds.flowcontrol import AUTO_UPDATE
from motet.kinds.kind import Kind

_SYSTEM = User("system:apiserver", (MASTERS,))
_EVERY_SECONDS = 60.0


async def ensure(registry: Registry) -> None:
    """Make what is missing, and put right what is kept. Raises ApiError when a write is refused."""
    for kind, mandatory, suggested in (
        (prioritylevelconfiguration.KIND, flowcontrol.MANDATORY_LEVELS, flowcontrol.SUGGESTED_LEVELS),
        (flowschema.KIND, flowcontrol.MANDATORY_SCHEMAS, flowcontrol.SUGGESTED_SCHEMAS),
    ):
        for name, spec in (*mandatory.items(), *suggested.items()):
            try:
                await _ensure(registry, kind, name, spec, always=name in mandatory)
            except (AlreadyExists, Conflict):
                continue  # Somebody else was faster; the next round looks again.


async def keep(registry: Registry, clock: Clock) -> NoReturn:
    """`ensure` every minute; cancellation ends it."""
    while True:
        await clock.sleep(_EVERY_SECONDS)
        await ensure(registry)


async def _ensure(registry: Registry, kind: Kind, name: str, spec: dict[str, Any], *, always: bool) -> None:
    found = registry.table(kind).get(name)
    if found is None:
        metadata = {"name": name, "annotations": {AUTO_UPDATE: "true"}}
        await registry.create(kind, "", {"metadata": metadata, "spec": spec}, _SYSTEM)
        return
    annotations = found.meta.annotations or {}
    ours = annotations.get(AUTO_UPDATE) == "true" or (AUTO_UPDATE not in annotations and found.meta.generation == 1)
    if not (always or ours):
        return
    current = found.decode()
    exempt = name == flowcontrol.EXEMPT and kind is prioritylevelconfiguration.KIND
    if exempt and annotations.get(AUTO_UPDATE) == "false":
        return  # what can be changed of it, people may change
    metadata = {
        **current["metadata"],
        "annotations": {**annotations, AUTO_UPDATE: annotations.get(AUTO_UPDATE, "true")},
    }
    await registry.update(kind, "", name, {**current, "metadata": metadata, "spec": spec}, _SYSTEM)
