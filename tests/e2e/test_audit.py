"""Who did what, when: the audit log of a manager, as `motet init` keeps it and as a policy file says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml

from e2e.cluster import Cluster, Json, until
from e2e.space import Space, pause, pod


@contextmanager
def policy(cluster: Cluster, *rules: Json) -> Iterator[None]:
    file = cluster.machine.server_dir / "audit-policy.yaml"
    file.write_text(yaml.safe_dump({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules)}))
    try:
        cluster.begin_anew("server")
        yield
    finally:
        file.unlink()
        cluster.begin_anew("server")


def lines(space: Space) -> list[Json]:
    """What is written down of this namespace."""
    text = (space.cluster.machine.logs / "audit.log").read_text()
    # The last line may be half there.
    found = [json.loads(line) for line in text.split("\n")[:-1] if space.namespace in line]
    return [each for each in found if each.get("objectRef", {}).get("namespace") == space.namespace]


def line(space: Space, verb: str, resource: str, name: str) -> Json:
    """The one line about that."""

    def look() -> list[Json]:
        return [
            each
            for each in lines(space)
            if each["verb"] == verb
            and (each["objectRef"]["resource"], each["objectRef"].get("name")) == (resource, name)
            and each["stage"] == "ResponseComplete"
        ]

    found: list[Json] = until(look, what=f"no line says who did {verb} {resource} {name}")
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def ann(space: Space) -> str:
    """Somebody who may edit the namespace."""
    space.kubectl("create", "rolebinding", "ann", "--clusterrole=edit", "--user=ann")
    return "ann"


def test_the_log_says_who_did_what_and_what_was_refused(space: Space, ann: str):
    space.kubectl("create", "configmap", "conf", "--from-literal=colour=green", f"--as={ann}")
    refused = ("-n", space.namespace, "delete", "configmap", "conf", "--as=eve")
    assert "eve" in space.cluster.kubectl_fails(*refused).stderr
    space.apply(pod("box", pause()))
    space.running("box")
    space.exec("box", "echo", "looked-inside")
    created = line(space, "create", "configmaps", "conf")
    assert (created["impersonatedUser"]["username"], created["responseStatus"]["code"]) == (ann, 201)
    assert created["user"]["username"] not in ("", ann)
    assert (created["level"], created["annotations"]["authorization.k8s.io/decision"]) == ("Metadata", "allow")
    assert created["requestReceivedTimestamp"] <= created["stageTimestamp"]
    denied = line(space, "delete", "configmaps", "conf")
    assert (denied["impersonatedUser"]["username"], denied["responseStatus"]["code"]) == ("eve", 403)
    inside = until(lambda: [each for each in lines(space) if each["objectRef"].get("subresource") == "exec"])
    assert "looked-inside" in inside[0]["requestURI"]


def test_a_policy_says_how_much_is_written_down_and_secrets_never_are(space: Space, ann: str):
    me = space.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    rules = [{"level": "None", "users": [ann]}, {"level": "RequestResponse", "users": [me], "verbs": ["create"]}]
    with policy(space.cluster, *rules):
        # The rules ask who somebody is, not as whom they come.
        space.kubectl("create", "configmap", "conf", "--from-literal=colour=green", f"--as={ann}")
        space.kubectl("delete", "configmap", "conf")
        space.kubectl("create", "secret", "generic", "word", "--from-literal=word=open-sesame")
        created = line(space, "create", "configmaps", "conf")
        assert (created["level"], created["requestObject"]["data"]) == ("RequestResponse", {"colour": "green"})
        assert created["responseObject"]["metadata"]["uid"]
        secret = line(space, "create", "secrets", "word")
        assert (secret["level"], "requestObject" in secret) == ("Metadata", False)
        assert not [each for each in lines(space) if each["verb"] == "delete"]
    assert "open-sesame" not in (space.cluster.machine.logs / "audit.log").read_text()
