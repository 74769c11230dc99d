"""What other servers keep in a namespace goes with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.controllers.world import World, world

from motet.base.errors import Forbidden, MethodNotAllowed, NotFound
from motet.controllers import elsewhere
from motet.controllers.namespaces import Namespaces
from motet.kinds import namespace
from motet.kinds.catalogue import Catalogue

Json = dict[str, Any]
SERVED = "choir.example.com/v1"


class Choir:
    """A server with voices in a namespace."""

    def __init__(self, *verbs: str, together: bool = False) -> None:
        self.verbs = ["delete", "list", *verbs]
        self.voices: dict[str, Json] = {}
        self.away = ""
        self.together = together
        self.asked: list[tuple[str, str]] = []

    async def survey(self) -> Mapping[str, Sequence[Json] | str]:
        told: Sequence[Json] = [
            {"name": "voices", "namespaced": True, "verbs": self.verbs},
            {"name": "voices/sing", "namespaced": True, "verbs": ["delete", "list"]},
            {"name": "halls", "namespaced": False, "verbs": ["delete", "list"]},
            {"name": "echoes", "namespaced": True, "verbs": ["list"]},
        ]
        return {SERVED: self.away or told}

    async def request(self, method: str, path: str, query: Mapping[str, str], body: Json | None) -> Json:
        self.asked.append((method, path))
        name = path.partition("/voices")[2].removeprefix("/")
        if method == "GET":
            return {"items": list(self.voices.values())}
        if not name:
            if not self.together:
                raise MethodNotAllowed("not all at once")
            for each in list(self.voices):
                self._gone(each)
        elif name not in self.voices:
            raise NotFound("no such voice")
        else:
            self._gone(name)
        return {}

    def _gone(self, name: str) -> None:
        if self.voices[name]["metadata"].get("finalizers"):
            self.voices[name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.voices[name]

    def sing(self, name: str, *finalizers: str) -> None:
        self.voices[name] = {"metadata": {"name": name, "finalizers": list(finalizers)}}


async def test_only_what_can_be_listed_and_deleted_in_a_namespace_is_asked_for() -> None:
    choir = Choir()
    choir.sing("alto")
    left = await elsewhere.empty(choir, "team")
    assert {path for _, path in choir.asked} == {
        f"/apis/{SERVED}/namespaces/team/voices",
        f"/apis/{SERVED}/namespaces/team/voices/alto",
    }
    assert left.objects == {"voices.choir.example.com": 1}
    assert not (await elsewhere.empty(choir, "team")).objects


async def test_all_are_deleted_at_once_where_that_can_be() -> None:
    choir = Choir("deletecollection", together=True)
    choir.sing("alto")
    choir.sing("bass", "example.com/encore")
    left = await elsewhere.empty(choir, "team")
    assert [method for method, _ in choir.asked] == ["DELETE", "GET"]
    assert (left.objects, left.finalizers) == ({"voices.choir.example.com": 1}, {"example.com/encore": 1})


async def test_a_server_that_says_it_can_and_cannot_is_asked_one_by_one() -> None:
    choir = Choir("deletecollection")
    choir.sing("alto")
    await elsewhere.empty(choir, "team")
    assert not choir.voices


async def test_a_refusal_is_told() -> None:
    class Strict(Choir):
        async def request(self, *arguments: Any) -> Json:
            raise Forbidden("not for you")

    assert (await elsewhere.empty(Strict(), "team")).failures == ["not for you"]


async def test_a_namespace_waits_for_a_server_that_is_away(tmp_path: Path) -> None:
    choir = Choir()
    choir.sing("alto")
    choir.away = "no ready endpoints"

    async def namespaces(it: World) -> None:
        await Namespaces(it.client, it.clock, Catalogue(), choir).run()

    async with world(tmp_path, namespaces) as it:
        await it.create(namespace.KIND, {"metadata": {"name": "team"}})
        await it.client.delete(namespace.KIND, "team")

        def told() -> str:
            found = (it.get(namespace.KIND, "team") or {})["status"].get("conditions") or ()
            return next((c["message"] for c in found if c["reason"] == "DiscoveryFailed"), "")

        await it.until(lambda: f"{SERVED}: no ready endpoints" in told())
        assert choir.voices
        choir.away = ""
        await it.client.patch(namespace.KIND, "team", {"metadata": {"labels": {"look": "again"}}})
        await it.until(lambda: it.get(namespace.KIND, "team") is None)
        assert not choir.voices
