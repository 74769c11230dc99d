"""What a request to build is understood as, and what of it is refused."""

from __future__ import annotations

import base64

import msgspec
import pytest

from motet.dialects.docker import builds
from motet.dialects.docker.errors import DockerError

# What the command line sends for `docker build .`.
PLAIN = {
    "buildargs": "{}", "cachefrom": "[]", "cgroupparent": "", "cpuperiod": "0", "cpuquota": "0", "cpusetcpus": "",
    "cpusetmems": "", "cpushares": "0", "dockerfile": "Dockerfile", "labels": "{}", "memory": "0", "memswap": "0",
    "networkmode": "default", "rm": "1", "shmsize": "0", "target": "", "ulimits": "null", "version": "1",
}  # fmt: skip


def test_a_plain_build_asks_for_nothing() -> None:
    assert builds.asked(PLAIN, []) == {
        "dockerfile": "Dockerfile", "names": [], "args": {}, "labels": {}, "target": "", "hosts": [],
        "no_cache": False, "pull": False,
    }  # fmt: skip


def test_what_is_asked_for_goes_along() -> None:
    query = {
        "buildargs": '{"A":"b","FROM_ENVIRONMENT":null}', "labels": '{"x":"y"}', "nocache": "1", "pull": "1",
        "extrahosts": "db:10.0.0.1,web:10.0.0.2", "target": "one",
    }  # fmt: skip
    found = builds.asked({**PLAIN, **query}, ["web", "localhost:5000/web:2"])
    assert found["names"] == ["docker.io/library/web:latest", "localhost:5000/web:2"]
    assert found["args"] == {"A": "b"}
    assert (found["labels"], found["target"], found["hosts"]) == ({"x": "y"}, "one", ["db:10.0.0.1", "web:10.0.0.2"])
    assert (found["no_cache"], found["pull"]) == (True, True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memory", "1024"),
        ("networkmode", "none"),
        ("remote", "https://example.com/a.git"),
        ("squash", "1"),
        ("ulimits", '[{"Name":"nofile"}]'),
        ("platform", "linux/s390x"),
        ("cachefrom", '["web"]'),
        ("something-new", "yes"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(DockerError, match=name):
        builds.asked({**PLAIN, name: value}, [])


@pytest.mark.parametrize(
    "query", [{"buildargs": "["}, {"labels": '{"a":1}'}, {"extrahosts": "nothing"}, {"extrahosts": "[1]"}]
)
def test_what_is_malformed_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(DockerError) as refused:
        builds.asked({**PLAIN, **query}, [])
    assert refused.value.code == 400


def test_buildkit_is_refused_with_what_to_do() -> None:
    with pytest.raises(DockerError, match="DOCKER_BUILDKIT=0"):
        builds.asked({**PLAIN, "version": "2"}, [])


def test_credentials_are_for_registries_by_their_names() -> None:
    given = {"https://index.docker.io/v1/": {"username": "ann", "password": "x", "auth": ""}, "example.com": {}}
    header = base64.urlsafe_b64encode(msgspec.json.encode(given)).decode()
    assert builds.registries(header) == {"docker.io": {"username": "ann", "password": "x"}, "example.com": {}}
    with pytest.raises(DockerError, match="X-Registry-Config"):
        builds.registries("!")


def test_steps_are_told_as_the_classic_builder_tells_them() -> None:
    assert builds.said("STEP 1/2: FROM web") == "Step 1/2 : FROM web\n"
    assert builds.said("[2/3] STEP 1/2: RUN x") == "Step 1/2 : RUN x\n"
    assert builds.said("hello") == "hello\n"
