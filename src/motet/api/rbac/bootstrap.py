"""The default roles and bindings are made at every start where they are missing, and given back what somebody took from them.

Those annotated rbac.authorization.kubernetes.io/autoupdate=false are left as they are; what was added to one stays.
"""

from __future__ import annotations

from motet.api.rbac import policy
from motet.api.registry import Registry
from motet.api.users import MASTERS, User
from motet.base.errors import AlreadyExists, Conflict
from motet.kinds.kind import Json, Kind
from motet.kinds.rbac import clusterrole, clusterrolebinding, role, rolebinding

_SYSTEM = User("system:apiserver", (MASTERS,))
_KINDS = {kind.kind: kind for kind in (clusterrole.KIND, clusterrolebinding.KIND, role.KIND, rolebinding.KIND)}


async def ensure(registry: Registry) -> None:
    """Make what is missing, and put back what was taken away. Raises ApiError when a write is refused."""
    for wanted in (*policy.cluster_roles(), *policy.cluster_bindings(), *policy.namespaced()):
        await _ensure(registry, _KINDS[wanted["kind"]], wanted)


async def _ensure(registry: Registry, kind: Kind, wanted: Json) -> None:
    metadata = wanted["metadata"]
    where, name = metadata.get("namespace", ""), metadata["name"]
    found = registry.table(kind).get(name, where)
    try:
        if found is None:
            await registry.create(kind, where, wanted, _SYSTEM)
        elif (found.meta.annotations or {}).get(policy.AUTO_UPDATE) != "false":
            current = found.decode()
            if current.get("roleRef") != wanted.get("roleRef"):
                await registry.delete(kind, where, name, _SYSTEM)
                await registry.create(kind, where, wanted, _SYSTEM)
                return
            await registry.update(kind, where, name, restored(current, wanted), _SYSTEM)
    except (AlreadyExists, Conflict):
        return  # Another manager is doing the same.


def restored(current: Json, wanted: Json) -> Json:
    """What is there, with everything that should be."""
    metadata = dict(current["metadata"])
    for part in ("labels", "annotations"):
        metadata[part] = {**wanted["metadata"][part], **(metadata.get(part) or {})}
    found = {**current, "metadata": metadata}
    if "aggregationRule" in wanted:
        found.setdefault("aggregationRule", wanted["aggregationRule"])
        return found
    for part in ("rules", "subjects"):
        if part in wanted:
            have = current.get(part) or []
            found[part] = [*have, *(each for each in wanted[part] if each not in have)]
    return found
