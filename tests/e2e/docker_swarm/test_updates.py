"""How Docker's updates go, as the tasks' own times tell it; what stops one, and what brings it on again."""

from __future__ import annotations

import re
from datetime import datetime
from itertools import pairwise

from e2e.swarm import IMAGE, Json, Stage, Swarm, until

QUICK = ("--update-monitor", "1s", "--rollback-monitor", "1s")


def at(text: str) -> float:
    """Seconds; those of tasks are whole ones."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def created(task: Json) -> float:
    return at(task["CreatedAt"])


def entered(task: Json) -> float:
    """When a task came into its state: what runs began then, and what was shut down ended."""
    return at(task["Status"]["Timestamp"])


def of_version(tasks: list[Json], version: int) -> dict[int, Json]:
    """By slot."""
    found = [task for task in tasks if task["Spec"]["ContainerSpec"]["Env"] == [f"V={version}"]]
    return {task["Slot"]: task for task in found}


def done(swarm: Swarm, name: str, count: int) -> list[Json]:
    """All tasks there were, once so many and the earlier ones have ended."""
    tasks = swarm.history(name)
    assert sorted(task["Status"]["State"] for task in tasks) == ["running"] * 4 + ["shutdown"] * (count - 4)
    return tasks


def states(swarm: Swarm, name: str) -> list[str]:
    return sorted(task["CurrentState"].split()[0] for task in swarm.tasks(name))


def running(swarm: Swarm, name: str) -> list[str]:
    return sorted(task["Name"] for task in swarm.tasks(name) if task["CurrentState"].startswith("Running"))


def test_tasks_are_renewed_so_many_at_a_time_with_a_delay_and_in_the_order_asked_for(swarm: Swarm, stage: Stage):
    words = ("--replicas", "4", "--env", "V=1", *QUICK, IMAGE, "pause")
    name = stage.service("paced", "--update-order", "start-first", *words)
    until(lambda: swarm.replicas(name) == "4/4")
    swarm.docker(
        *("service", "update", "--no-resolve-image", "--env-add", "V=2", "--update-parallelism", "2"),
        *("--update-delay", "3s", name),
    )
    tasks = until(lambda: done(swarm, name, 8))
    old, new = of_version(tasks, 1), of_version(tasks, 2)
    assert {task["Status"]["State"] for task in new.values()} == {"running"}
    assert all(entered(new[slot]) <= entered(old[slot]) for slot in old), "the new one runs before the old one ends"
    pace = sorted(new.values(), key=created)
    assert created(pace[1]) <= entered(pace[0]), "two at a time"
    assert created(pace[2]) - max(map(entered, pace[:2])) >= 3, "the others that long after these ran"

    swarm.docker(
        *("service", "update", "--no-resolve-image", "--env-rm", "V", "--env-add", "V=3", "--update-parallelism", "0"),
        *("--update-delay", "0s", "--update-order", "stop-first", name),
    )
    tasks = until(lambda: done(swarm, name, 12))
    before, now = of_version(tasks, 2), of_version(tasks, 3)
    assert all(entered(before[slot]) <= created(now[slot]) for slot in before), "the old one has ended first"
    assert swarm.update_state(name) == "completed"


def test_failures_pause_an_update_until_it_is_told_to_go_on(swarm: Swarm, stage: Stage):
    shared = swarm.directory / "shared"
    shared.mkdir(exist_ok=True)
    (shared / "mended").unlink(missing_ok=True)
    crash = stage.service(
        *("crash", "--restart-condition", "on-failure", "--restart-delay", "2s", "--restart-max-attempts", "2"),
        *(IMAGE, "sh", "-c", "exit 3"),
    )
    name = stage.service(
        *("half", "--replicas", "2", "--env", "SLOT={{.Task.Slot}}", "--restart-delay", "1s", *QUICK),
        *("--mount", f"type=bind,source={shared},target=/shared", IMAGE, "pause"),
    )
    until(lambda: swarm.replicas(name) == "2/2")

    def update(*words: str) -> None:
        swarm.docker("service", "update", "--detach", "--no-resolve-image", *words, name)

    update("--args", "sh -c 'test -f /shared/mended && exec pause; exit 3'")
    until(lambda: swarm.update_state(name) == "paused")
    said = swarm.docker("service", "inspect", "--pretty", name)
    assert re.search("update paused: [12] of 2 failed within 1 s of starting", said)
    # As Docker's documentation has it, an update goes on when the service is updated, be it with nothing.
    (shared / "mended").touch()
    update()
    until(lambda: swarm.update_state(name) == "completed")
    until(lambda: swarm.replicas(name) == "2/2")

    update("--update-max-failure-ratio", "0.5", "--args", "sh -c 'test $SLOT = 1 && exit 3; exec pause'")
    until(lambda: swarm.update_state(name) == "completed")
    # The one that fails is begun again and again, and is there for a moment each time.
    until(lambda: running(swarm, name) == [f"{name}.2"])

    # The first and two more attempts, each that long after the end of the one before; no third.
    until(lambda: len(swarm.history(crash)) == 3 and not swarm.tasks(crash))
    tries = swarm.history(crash)
    assert [task["Status"]["State"] for task in tries] == ["failed"] * 3
    assert all(created(later) - entered(before) >= 2 for before, later in pairwise(tries))
    assert swarm.replicas(crash) == "0/1"


def test_an_update_goes_no_further_than_health_checks_let_it(swarm: Swarm, stage: Stage):
    name = stage.service("checked", "--replicas", "2", *QUICK, IMAGE, "pause")
    until(lambda: swarm.replicas(name) == "2/2")
    swarm.docker(
        *("service", "update", "--detach", "--no-resolve-image", "--health-cmd", "test -f /tmp/well"),
        *("--health-interval", "1s", "--health-start-period", "120s", name),
    )
    for tried in (3, 4):
        until(lambda count=tried: len(swarm.history(name)) == count and states(swarm, name) == ["Running", "Starting"])
        assert (swarm.replicas(name), swarm.update_state(name)) == ("1/2", "updating")
        (begun,) = (task for task in swarm.tasks(name) if task["CurrentState"].startswith("Starting"))
        until(lambda task=begun: swarm.docker("exec", swarm.container(task), "touch", "/tmp/well", code=None).code == 0)
    until(lambda: swarm.update_state(name) == "completed")
    assert swarm.replicas(name) == "2/2"
