"""What may be changed of a running pod through subresources of its own: ephemeral containers and resources."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from motet.kinds import pod
from motet.kinds.kind import Aspect

Json = dict[str, Any]


def running(**resources: Any) -> Json:
    container = {"name": "app", "image": "web:1", "resources": resources}
    sidecar = {"name": "side", "image": "side:1", "restartPolicy": "Always"}
    init = {"name": "first", "image": "first:1", "resources": {}}
    document: Json = {
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"initContainers": [init, sidecar], "containers": [container]},
    }
    pod.default(document)
    return document


def changed(aspect: Aspect, old: Json, sent: Json) -> tuple[Json, list[str]]:
    """What comes of sending `sent` to an aspect, and the complaints about it."""
    before = copy.deepcopy(old)
    new = aspect.take(sent, old)
    pod.default(new)
    assert old == before, "what is there stays untouched"
    return new, [error.message() for error in aspect.validate(new, old)]


DEBUG = pod.KIND.aspects["ephemeralcontainers"]
RESIZE = pod.KIND.aspects["resize"]


def debugging(old: Json, **fields: Any) -> Json:
    sent = copy.deepcopy(old)
    sent["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox:1", **fields}]
    return sent


def test_an_ephemeral_container_is_added_and_nothing_else() -> None:
    old = running()
    sent = debugging(old, targetContainerName="app", stdin=True, tty=True)
    sent["spec"]["hostname"] = "other"
    sent["metadata"]["labels"] = {"a": "b"}
    new, complaints = changed(DEBUG, old, sent)
    assert complaints == []
    assert new["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "IfNotPresent"
    del new["spec"]["ephemeralContainers"]
    assert new == old


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"name": "app"}, 'spec.ephemeralContainers[0].name: Duplicate value: "app"'),
        ({"targetContainerName": "x"}, 'spec.ephemeralContainers[0].targetContainerName: Not found: "x"'),
        ({"ports": [{"containerPort": 1}]}, "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an"),
        ({"resources": {"limits": {"cpu": "1"}}}, "spec.ephemeralContainers[0].resources: Forbidden"),
        ({"lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}, "spec.ephemeralContainers[0].lifecycle: Forbidden"),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
    ],
)
def test_an_ephemeral_container_that_cannot_be_is_refused(fields: Json, words: str) -> None:
    old = running()
    _, complaints = changed(DEBUG, old, debugging(old, **fields))
    assert [complaint for complaint in complaints if complaint.startswith(words)]


@pytest.mark.parametrize(
    ("then", "words"),
    [([], "may not be removed"), ([{"name": "debug", "image": "other:1"}], "may not be changed")],
)
def test_an_ephemeral_container_stays_as_it_is(then: list[Json], words: str) -> None:
    old, _ = changed(DEBUG, running(), debugging(running()))
    sent = copy.deepcopy(old)
    sent["spec"]["ephemeralContainers"] = then
    assert words in "".join(changed(DEBUG, old, sent)[1])


def resized(old: Json, **resources: Any) -> Json:
    sent = copy.deepcopy(old)
    sent["spec"]["containers"][0]["resources"] = resources
    return sent


def test_a_resize_takes_resources_and_nothing_else() -> None:
    old = running(requests={"cpu": "100m"})
    sent = resized(old, requests={"cpu": "200m"})
    sent["spec"]["containers"][0]["image"] = "web:2"
    sent["spec"]["initContainers"][0]["resources"] = {"requests": {"cpu": "1"}}
    new, complaints = changed(RESIZE, old, sent)
    assert complaints == []
    expected = copy.deepcopy(old)
    expected["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "200m"}}
    assert new == expected


def test_a_sidecar_can_be_resized() -> None:
    old = running(requests={"cpu": "100m"})
    sent = copy.deepcopy(old)
    sent["spec"]["initContainers"][1]["resources"] = {"requests": {"cpu": "50m"}}
    new, complaints = changed(RESIZE, old, sent)
    assert (complaints, new["spec"]["initContainers"][1]["resources"]) == ([], {"requests": {"cpu": "50m"}})


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}, "must be less than or equal to cpu limit"),
        ({"requests": {"cpu": "1"}}, "resource limits cannot be removed"),
        ({"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}, "limits": {"cpu": "1"}}, "only cpu and memory"),
        (
            {"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1", "memory": "1"}},
            "Pod QOS Class may not change",
        ),
    ],
)
def test_a_resize_that_cannot_be_is_refused(resources: Json, words: str) -> None:
    old = running(requests={"cpu": "500m"}, limits={"cpu": "1"})
    old["spec"]["initContainers"] = []
    assert words in "".join(changed(RESIZE, old, resized(old, **resources))[1])


def test_the_reflection_of_a_static_pod_stays_as_its_file_is() -> None:
    old = running()
    old["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert changed(DEBUG, old, debugging(old))[1] == [": Forbidden: static pods do not support ephemeral containers"]
    assert changed(RESIZE, old, resized(old))[1] == [": Forbidden: static pods cannot be resized"]
