"""The swarm as a whole: `docker swarm inspect|join-token|update|leave|ca`, and what `docker info` says of it."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web

from motet.dialects.docker import ids, nodes, objects
from motet.dialects.docker.call import Call, answer, empty
from motet.dialects.docker.errors import DockerError, unsupported
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route
from motet.dialects.docker.trust import tls_info
from motet.identity.messages import JoinToken
from motet.kinds import namespace as namespace_kind

Json = dict[str, Any]

# Whose uid is the cluster's: the one namespace that nobody can remove.
_CLUSTER = "kube-system"
_NANOSECONDS = 1_000_000_000
# What Swarm does by default, which is what Motet does, too: certificates of 90 days, five ended tasks kept for each slot.
_CERT_EXPIRY = 90 * 24 * 3600 * _NANOSECONDS
TASK_HISTORY = 5
# By path: how what a setting is for is done here, or why it is not needed.
_INSTEAD = {
    "Name": "a cluster has no other name",
    "Orchestration.TaskHistoryRetentionLimit": "it is 5; each App has its own spec.taskHistoryLimit (kubectl patch app)",
    "Dispatcher.HeartbeatPeriod": "how long a node may be silent is said once: motet init --node-grace SECONDS",
    "CAConfig.NodeCertExpiry": "certificates are good for 90 days and renew themselves when two thirds of that have passed",
    "CAConfig.ExternalCAs": "the cluster's own authority signs",
    "CAConfig.SigningCACert": "to replace the root: motet ca rotate, on the manager",
    "CAConfig.SigningCAKey": "to replace the root: motet ca rotate, on the manager",
    "CAConfig.ForceRotate": "to replace the root, with no container restarted: motet ca rotate, on the manager",
}
_RAFT = "there is no Raft log here"
_ALREADY = 'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.'


def default_spec() -> Json:
    """The only settings there are: those that hold."""
    return {
        "Name": "default",
        "Labels": {},
        "Orchestration": {"TaskHistoryRetentionLimit": TASK_HISTORY},
        "Raft": {
            "SnapshotInterval": 10000,
            "KeepOldSnapshots": 0,
            "LogEntriesForSlowFollowers": 500,
            "ElectionTick": 10,
            "HeartbeatTick": 1,
        },
        "Dispatcher": {"HeartbeatPeriod": 5 * _NANOSECONDS},
        "CAConfig": {"NodeCertExpiry": _CERT_EXPIRY},
        "TaskDefaults": {},
        "EncryptionConfig": {"AutoLockManagers": False},
    }


async def cluster(call: Call) -> Json:
    """What `docker info` shows of the swarm."""
    document = await call.client.get(namespace_kind.KIND, _CLUSTER)
    network, _, length = call.engine.pods.partition("/")
    return {
        **objects.head(document),
        "Spec": default_spec(),
        "TLSInfo": tls_info(call.engine),
        "RootRotationInProgress": False,
        "DefaultAddrPool": [f"{network}/{length}"],
        "SubnetSize": 24,
        "DataPathPort": 4789,
    }


async def info(call: Call) -> Json:
    """The member `Swarm` of `docker info`."""
    documents = await nodes.known(call)
    here = nodes.local(documents, call.engine.address)
    address = call.engine.address
    managers = [each for each in documents if nodes.role(each.view(nodes.NodeView), address) == nodes.MANAGER]
    identifier = ids.of_document(here) if here is not None else ""
    return {
        "NodeID": identifier,
        "NodeAddr": address,
        "LocalNodeState": "active",
        "ControlAvailable": True,
        "Error": "",
        "RemoteManagers": [{"NodeID": identifier, "Addr": f"{address}:{call.engine.api_port}"}],
        "Nodes": len(documents),
        "Managers": max(1, len(managers)),
        "Cluster": await cluster(call),
    }


async def inspect(call: Call) -> web.Response:
    found = await cluster(call)
    found["JoinTokens"] = {
        "Worker": (await _token(call, "worker")).token,
        "Manager": (await _token(call, "manager")).token,
    }
    return answer(found)


async def _token(call: Call, role: str, *, rotate: bool = False) -> JoinToken:
    path = f"/motet/v1/join-tokens/{role}"
    body = await (call.client.request("POST", f"{path}/rotate") if rotate else call.client.request("GET", path))
    return msgspec.json.decode(body, type=JoinToken)


async def update(call: Call) -> web.Response:
    """Rotating join tokens works; of the settings only those pass that are as they are."""
    document = await call.client.get(namespace_kind.KIND, _CLUSTER)
    objects.check_version(call.query, document.revision)
    if call.flag("rotateManagerUnlockKey"):
        raise _no_autolock()
    check_spec(await call.fields())
    for role, flag in (("worker", "rotateWorkerToken"), ("manager", "rotateManagerToken")):
        if call.flag(flag):
            await _token(call, role, rotate=True)
    return empty()


def check_spec(fields: Fields) -> None:
    """Refuse every setting that would be another than the one that holds. Raises DockerError."""
    if fields.fields("EncryptionConfig").truth("AutoLockManagers"):
        raise _no_autolock()
    _same(fields, default_spec(), {"Labels", "TaskDefaults"})


def _same(fields: Fields, holds: Json, whole: set[str]) -> None:
    for name, value in holds.items():
        if name in whole:
            fields.refuse("the swarm has no such setting", name)
        elif isinstance(value, dict):
            _same(fields.fields(name), value, set())
        elif fields.given(name) and fields.raw(name) is not None and fields.items[name] != value:
            raise _fixed(fields.at(name))
    for path in _INSTEAD:
        outer, _, name = path.rpartition(".")
        if outer == fields.path and name not in holds and fields.raw(name) is not None:
            raise _fixed(path)
    fields.finish()


def _fixed(path: str) -> DockerError:
    return unsupported(path, _INSTEAD.get(path) or _RAFT)


def _no_autolock() -> DockerError:
    return unsupported(
        "EncryptionConfig.AutoLockManagers",
        "secrets are encrypted at rest, with a key in server/secrets.keys of the manager's data directory, so that it starts "
        "without anybody's doing; keep that file apart to lock a copy of the rest",
    )


async def unlock_key(call: Call) -> web.Response:
    """Auto-lock is off: Docker then answers with an empty key."""
    return answer({"UnlockKey": ""})


async def unlock(call: Call) -> web.Response:
    raise DockerError(409, "swarm is not locked")


async def init(call: Call) -> web.Response:
    raise DockerError(503, _ALREADY)


async def leave(call: Call) -> web.Response:
    if not call.flag("force"):
        raise DockerError(
            503,
            "You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager "
            "erases all current state of the swarm. Use `--force` to ignore this message.",
        )
    raise DockerError(
        501,
        "a machine leaves by its own command line, which takes everything off it: motet leave, or motet reset on a manager",
    )


ROUTES = (
    Route("GET", "/swarm", inspect),
    Route("POST", "/swarm/init", init),
    Route("POST", "/swarm/join", init),
    Route("POST", "/swarm/leave", leave),
    Route("POST", "/swarm/update", update),
    Route("GET", "/swarm/unlockkey", unlock_key),
    Route("POST", "/swarm/unlock", unlock),
)
