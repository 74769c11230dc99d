"""HEALTHCHECKs of images become probes where a pod wishes them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from motet.kinds import imagehealth, podmarks
from motet.pods import security
from motet.pods.imagehealth import ImageHealth
from motet.pods.spec import Pod
from support.pods import app, body

CHECKED = {"Healthcheck": {"Test": ["CMD", "true"]}}


class Node:
    """What an image says, once it is here."""

    def __init__(self, config: dict[str, Any] | None) -> None:
        self.config = config
        self.asked: list[str] = []

    async def image_config(self, reference: str) -> dict[str, Any] | None:
        self.asked.append(reference)
        return self.config


def wishing(text: str, *containers: dict[str, Any]) -> Pod:
    document = body(*(containers or (app(),)))
    document["metadata"]["annotations"] = {imagehealth.ANNOTATION: text}
    return msgspec.convert(document, Pod)


def applied(node: Node, wanted: Pod, times: int = 1) -> Pod:
    async def work() -> Pod:
        ours = ImageHealth(node)  # type: ignore[arg-type]
        for _ in range(times):
            found = await ours.applied(wanted)
        return found

    return asyncio.run(work())


def test_nobody_is_asked_for_a_pod_that_wishes_nothing() -> None:
    node, plain = Node(CHECKED), msgspec.convert(body(app()), Pod)
    assert applied(node, plain) is plain
    assert node.asked == []


def test_a_wish_makes_probes_and_the_image_is_read_once() -> None:
    node = Node(CHECKED)
    (found,) = applied(node, wishing("app=live"), times=3).spec.containers
    assert found.startup_probe
    assert found.readiness_probe
    assert found.liveness_probe
    assert node.asked == ["docker.io/library/web:1"]


def test_a_wish_to_be_told_ends_nothing() -> None:
    (found,) = applied(Node(CHECKED), wishing("app=ready")).spec.containers
    assert found.readiness_probe
    assert not found.liveness_probe


def test_probes_of_the_pod_itself_count_more() -> None:
    own = {"readinessProbe": {"exec": {"command": ["own"]}}}
    node = Node(CHECKED)
    (found,) = applied(node, wishing("app=live", app(**own))).spec.containers
    assert found.liveness_probe is None
    assert node.asked == []


def test_an_image_that_is_not_here_yet_is_asked_again() -> None:
    node = Node(None)
    wanted = wishing("app=live")
    assert applied(node, wanted, times=2).spec.containers == wanted.spec.containers
    assert len(node.asked) == 2


def test_a_group_by_name_comes_with_its_user() -> None:
    document = body(app())
    document["metadata"]["annotations"] = {podmarks.USER: "nobody:staff"}
    document["spec"]["securityContext"] = {"runAsGroup": 6}
    wanted = msgspec.convert(document, Pod)
    found = security.of(wanted, wanted.spec.containers[0], None)
    assert (found.run_as_user, found.run_as_username, found.run_as_group) == (None, "nobody:staff", None)
