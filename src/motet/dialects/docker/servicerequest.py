"""What a ServiceSpec asks for: everything it refers to is found, and what it is refused for is said before anything is made."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from motet.base.errors import NotFound
from motet.dialects.docker import constraints, endpoints, ids, networks, nodes, objects, secrets, servicespec, volumes
from motet.dialects.docker.call import Voice
from motet.dialects.docker.errors import DockerError, not_found
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import app as app_kind
from motet.kinds import service as service_kind
from motet.kinds import tasks as task_kind
from motet.store.document import Document

Json = dict[str, Any]


async def _surroundings(call: Voice, body: Mapping[str, Any]) -> Surroundings:
    """Everything a ServiceSpec refers to. Raises DockerError for what is not there."""
    around = Surroundings(call.engine.namespace, str(call.engine.volumes_dir))
    task = body.get("TaskTemplate") or {}
    asked = [each.get("Target") or "" for each in (*(task.get("Networks") or ()), *(body.get("Networks") or ()))]
    if asked:
        around.host_network = frozenset({networks.HOST, networks.predefined_id(networks.HOST)})
        around.no_network = frozenset(
            each
            for name in (networks.NONE, networks.BRIDGE, networks.INGRESS)
            for each in (name, networks.predefined_id(name))
        )
        known = {}
        for each in await networks.known(call):
            for name in (networks.identifier(each), objects.name_of(each.meta)):
                known[name] = each.name
        for target in asked:
            if target not in around.host_network | around.no_network and target not in known:
                raise not_found("network", target)
        around.networks = known
    await _check_files(call, task, around)
    return around


async def _check_files(call: Voice, task: Mapping[str, Any], around: Surroundings) -> None:
    container = task.get("ContainerSpec") or {}
    for sort, member in ((secrets.SECRET, "Secrets"), (secrets.CONFIG, "Configs")):
        wanted = {str(each.get(f"{member[:-1]}Name") or "") for each in container.get(member) or ()}
        if not wanted:
            continue
        known = {objects.name_of(each.meta): each for each in await secrets.known(call, sort)}
        around.templates |= {(member, name) for name, each in known.items() if objects.is_template(each.meta)}
        if missing := sorted(wanted - known.keys()):
            raise DockerError(400, f"rpc error: code = InvalidArgument desc = {sort.word} {missing[0]} not found")


async def read(call: Voice, body: Any) -> tuple[Json, list[Json], Surroundings, Json]:
    """(App, ports, surroundings, TaskTemplate) of a ServiceSpec."""
    spec = Fields(body)
    around = await _surroundings(call, spec.items)
    ports = endpoints.ports_of(Fields(spec.items.get("EndpointSpec"), "EndpointSpec"))
    task = dict(spec.items.get("TaskTemplate") or {})
    if spec.raw("Networks") is not None and not task.get("Networks"):
        task["Networks"] = spec.items["Networks"]
    node_names: Mapping[str, str] = {}
    asked = (task.get("Placement") or {}).get("Constraints")
    if isinstance(asked, list) and any(constraints.about_one(str(each)) for each in asked):
        node_names = constraints.names_of(await nodes.known(call))
    app = servicespec.app_document(spec, call.engine.namespace, around, node_names)
    return app, ports, around, task


async def check_ports(call: Voice, app: str, ports: Sequence[Json]) -> None:
    """Whether somebody else publishes one of these ports already. Raises DockerError."""
    wanted = {
        (port["protocol"].upper(), port["published"]): port for port in ports if port["published"] and not port["host"]
    }
    if not wanted:
        return
    for service in await call.client.list(service_kind.KIND):
        own = (service.meta.labels or {}).get(task_kind.LABEL) == app and service.namespace == call.engine.namespace
        spec = service.decode().get("spec") or {}
        if own or spec.get("type") not in ("LoadBalancer", "NodePort"):
            continue
        for port in spec.get("ports") or ():
            numbers = [port.get("nodePort"), port.get("port") if spec["type"] == "LoadBalancer" else None]
            for number in numbers:
                if (port.get("protocol", "TCP"), number) in wanted:
                    who = await _publisher(call, service)
                    raise DockerError(
                        400,
                        f"rpc error: code = InvalidArgument desc = port '{number}' is already in use by service '{who}' "
                        f"({ids.of_document(service)}) as an ingress port",
                    )


async def _publisher(call: Voice, service: Document) -> str:
    """Docker's name for whom a Service is of; its own when it is nobody's that Docker sees."""
    name = (service.meta.labels or {}).get(task_kind.LABEL)
    if name and service.namespace == call.engine.namespace:
        with contextlib.suppress(NotFound):
            return objects.name_of((await call.client.get(app_kind.KIND, name, service.namespace)).meta)
    return service.name


async def make_volumes(call: Voice, around: Surroundings) -> None:
    for name, labels in around.volumes.items():
        await volumes.ensure(call, volumes.claim(name, labels, call.engine.namespace))
