"""A manager that is away for two minutes, and one whose disk is full."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from tests.faults.bed import GRACE, NODES, PATIENCE, Bed, is_ready, until

from motet.base.errors import ApiError
from motet.kinds import configmap
from motet.machine import lifecycle

AWAY = 120.0


def alive(bed: Bed) -> dict[str, int]:
    """uid -> restarts of the pods that serve."""
    return {each["metadata"]["uid"]: each["status"]["containerStatuses"][0]["restartCount"] for each in bed.pods()}


def agent_of(bed: Bed, name: str) -> int:
    daemon = lifecycle.running(bed.box(name).machine)
    with open(f"/proc/{daemon}/task/{daemon}/children") as children:
        return int(children.read().split()[0])


def test_workers_serve_on_while_the_manager_is_away_for_two_minutes(bed: Bed) -> None:
    before = alive(bed)
    pods = {name: bed.running(name, "web")[0] for name in ("n2", "n3")}
    ask = "nslookup web.default.svc.cluster.local >/dev/null && wget -q -O - http://web/"
    with bed.load(each=1) as load:
        bed.stop("n1")
        gone = time.monotonic()
        time.sleep(5)
        # Nobody to ask, and yet an agent that was killed takes its node over again.
        os.kill(agent_of(bed, "n3"), signal.SIGKILL)
        until(lambda: "web-" in bed.inside("n3", pods["n3"], ask), 20, "names do not come back with the agent")
        while (left := gone + AWAY - time.monotonic()) > 0:
            for name, uid in pods.items():
                assert "web-" in bed.inside(name, uid, ask), f"names and services are gone on {name}"
            time.sleep(min(5.0, left))
        bed.start("n1")
        back = time.monotonic()
        until(lambda: all(bed.ready(name) for name in NODES), 40)
        reconnected = time.monotonic()
        # Whoever was away is asked for news: a change reaches every node.
        bed.whole()
        until(lambda: load.served(reconnected) > 60, 20)
    print(
        f"{load.answers} requests served, {len(load.failures)} failed; everybody is back after {reconnected - back:.1f} s"
    )
    assert load.failures == []
    assert alive(bed) == before, "nothing was replaced or restarted"


def test_a_manager_whose_disk_is_full_refuses_writes_in_words_and_loses_nothing(bed: Bed) -> None:
    before = alive(bed)
    filler = bed.box("n1").machine.server_dir / "filler"
    kept: list[str] = []

    def write(name: str) -> None:
        bed.create(configmap.KIND, {"metadata": {"name": name}, "data": {"a": "x" * 20_000}})
        kept.append(name)

    with bed.load(each=1) as load:
        write("before")
        try:
            fill(str(filler))
            os.truncate(filler, filler.stat().st_size - 400_000)
            assert "the disk is full; free some space" in refusal(write)
            # Long enough for every sign of life to be missed, and for pods to be replaced were it believed.
            full = time.monotonic()
            while time.monotonic() < full + GRACE + PATIENCE + 4:
                assert bed.get(configmap.KIND, "before")["data"]["a"].startswith("x")
                assert len([each for each in bed.pods() if is_ready(each)]) == len(before)
                time.sleep(1)
        finally:
            filler.unlink()
        until(lambda: write("after") is None, 10)
        bed.whole()
        recovered = time.monotonic()
        until(lambda: load.served(recovered) > 60, 20)
    print(f"{load.answers} requests served, {len(load.failures)} failed; {len(kept)} writes acknowledged")
    assert load.failures == []
    assert alive(bed) == before, "nothing was replaced or restarted"
    assert [name for name in kept if bed.get(configmap.KIND, name)["metadata"]["name"] != name] == []
    for name in kept:
        bed.request("DELETE", configmap.KIND.path("default", name))


def refusal(write: Callable[[str], None]) -> str:
    """What the first write is refused with that finds no room."""
    for number in range(2000):
        try:
            write(f"during-{number}")
        except ApiError as error:
            return error.message
    return "there is room for everything"


def fill(path: str) -> None:
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 9):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
