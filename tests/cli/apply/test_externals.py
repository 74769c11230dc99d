"""Secrets, configs and volumes of others, found in the cluster."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from motet.base.errors import MotetError
from motet.cli.apply.externals import resolve
from motet.cli.compose.translate import PROJECT
from motet.dialects.docker import ids
from motet.dialects.docker.objects import GOLANG, NAME, TEMPLATING
from motet.kinds import configmap, node, persistentvolumeclaim, secret
from support.compose_world import World, compose

FILE = """services: {a: {image: a, secrets: [key], configs: [conf]}}
secrets: {key: {external: true, name: api-key}}
configs: {conf: {external: true}}
"""


async def a_secret(world: World, namespace: str, name: str, *, called: str = "", made: str = "", **data: str) -> None:
    meta = {
        "name": name,
        "namespace": namespace,
        "annotations": {NAME: called},
        "labels": {PROJECT: made} if made else {},
    }
    held = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    await world.create(secret.KIND, {"metadata": meta, "data": held}, namespace)


async def found(world: World, folder: Path) -> bytes:
    meta = {"name": "conf", "namespace": "default"}
    await world.create(configmap.KIND, {"metadata": meta, "data": {"app.ini": "a=1"}}, "default")
    project = await resolve(world, compose(folder, FILE))
    assert project.configs[0].content == b"a=1"
    return project.secrets[0].content


async def test_the_projects_own_namespace_comes_first_then_dockers_then_the_default_one(tmp_path: Path) -> None:
    world = World()
    await a_secret(world, "default", "api-key", content="default")
    assert await found(world, tmp_path) == b"default"
    world = World()
    await a_secret(world, "default", "api-key", content="default")
    await a_secret(world, "swarm", "secret-api-key", called="api-key", content="docker's")
    assert await found(world, tmp_path) == b"docker's"
    world = World()
    await a_secret(world, "swarm", "secret-api-key", called="api-key", content="docker's")
    await a_secret(world, "shop", "api-key", token="own")
    assert await found(world, tmp_path) == b"own"


async def test_what_another_project_made_is_not_meant(tmp_path: Path) -> None:
    world = World()
    await a_secret(world, "default", "api-key", made="other", content="x")
    with pytest.raises(
        MotetError, match=r":2: secrets.key: secret api-key declared as external, but could not be found"
    ):
        await found(world, tmp_path)


async def test_a_secret_of_several_keys_must_say_which_is_the_file(tmp_path: Path) -> None:
    world = World()
    await a_secret(world, "default", "api-key", user="u", password="p")
    with pytest.raises(MotetError, match="default/api-key has 2 keys and a file is one: name it `content`"):
        await found(world, tmp_path)


async def test_an_external_volume_must_be_there(tmp_path: Path) -> None:
    text = "services: {a: {image: a, volumes: ['v:/v']}}\nvolumes:\n  v: {external: true, name: my_data}\n"
    world = World()
    with pytest.raises(MotetError, match=r":3: volumes.v: .*no PersistentVolumeClaim my-data in namespace shop"):
        await resolve(world, compose(tmp_path, text))
    await world.create(persistentvolumeclaim.KIND, {"metadata": {"name": "my-data", "namespace": "shop"}}, "shop")
    await resolve(world, compose(tmp_path, text))


async def test_what_docker_holds_as_a_template_is_one_here_too(tmp_path: Path) -> None:
    world = World()
    await a_secret(world, "swarm", "secret-api-key", called="api-key", content="{{.Task.Slot}}")
    annotations = {NAME: "conf", TEMPLATING: GOLANG}
    meta = {"name": "config-conf", "namespace": "swarm", "annotations": annotations}
    await world.create(configmap.KIND, {"metadata": meta, "data": {"content": "{{.Task.Slot}}"}}, "swarm")
    project = await resolve(world, compose(tmp_path, FILE))
    assert [each.template for each in (*project.secrets, *project.configs)] == [False, True]


async def test_nodes_by_identifier_or_address_are_looked_up(tmp_path: Path) -> None:
    world = World()
    status = {"addresses": [{"type": "InternalIP", "address": "192.0.2.7"}]}
    made = await world.create(node.KIND, {"metadata": {"name": "n7"}, "status": status})
    text = (
        "services: {a: {image: a, deploy: {placement: {constraints: [node.id != %s, node.ip==%s, node.role==worker]}}}}"
    )
    project = await resolve(world, compose(tmp_path, text % (ids.of_document(made), "192.0.2.7")))
    wanted = ("node.name != n7", "node.name == n7", "node.role==worker")
    assert project.services[0].placement.constraints == wanted
    for address, said in (("192.0.2.8", "there is no node with the address"), ("192.0.2.0/24", "networks; name one")):
        with pytest.raises(MotetError, match=f":1: services.a.deploy.placement.constraints: .*{said}"):
            await resolve(world, compose(tmp_path, text % ("x", address)))
