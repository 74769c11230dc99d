"""Execs: whose they are, who may make them, and how many a manager remembers."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from motet.api.users import MASTERS, User
from motet.dialects.docker import execs
from motet.dialects.docker.call import Call
from motet.dialects.docker.containers import exec, known
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.execs import Exec, Sessions
from motet.store.document import Document, encode


def an_exec(user: str = "ann", *, running: bool = False) -> Exec:
    return Exec(user=user, container="c", command=("true",), shown={}, started=running)


def call_of(user: User, sessions: Sessions, made: Exec) -> Call:
    return cast(Call, SimpleNamespace(user=user, engine=SimpleNamespace(sessions=sessions), path={"id": made.id}))


def test_an_exec_is_found_by_its_user_and_by_administrators() -> None:
    sessions, made = Sessions(), an_exec("ann")
    sessions.add(made)
    for user in (User("ann"), User("root", (MASTERS,))):
        assert exec.found(call_of(user, sessions, made)) is made
    with pytest.raises(DockerError, match="No such exec instance"):
        exec.found(call_of(User("bob"), sessions, made))


def test_a_user_loses_only_execs_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execs, "_MOST_OF_ONE_USER", 2)
    sessions, anns = Sessions(), an_exec("ann")
    bobs = [an_exec("bob", running=True), an_exec("bob"), an_exec("bob", running=True)]
    for each in (anns, *bobs):
        sessions.add(each)
    assert [sessions.exec(each.id) is not None for each in (anns, *bobs)] == [True, True, False, True]
    with pytest.raises(DockerError) as refused:
        sessions.add(an_exec("bob"))
    assert refused.value.code == 429


class _Kernel:
    """Answers access reviews."""

    def __init__(self, allowed: bool) -> None:
        self._allowed = allowed
        self.asked: list[Any] = []

    async def request(self, method: str, path: str, body: Any) -> bytes:
        self.asked.append((method, path, body["spec"]["resourceAttributes"]))
        return msgspec.json.encode({"status": {"allowed": self._allowed}})


@pytest.mark.parametrize("allowed", [True, False])
def test_who_may_not_run_commands_makes_no_exec(allowed: bool) -> None:
    meta = {"name": "web-1", "namespace": "default", "uid": "u"}
    pod = Document.stored("core/pods/default/web-1", encode({"apiVersion": "v1", "kind": "Pod", "metadata": meta}), 1)
    container = known.Container(id="c", name="web", image="i", created="", pod=pod)
    kernel = _Kernel(allowed)
    call = cast(Call, SimpleNamespace(user=User("ann"), client=kernel))
    if allowed:
        asyncio.run(exec.check_right(call, container))
    else:
        with pytest.raises(DockerError) as refused:
            asyncio.run(exec.check_right(call, container))
        assert refused.value.code == 403
    asked = {"verb": "create", "resource": "pods", "subresource": "exec", "namespace": "default", "name": "web-1"}
    assert kernel.asked == [("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)]
