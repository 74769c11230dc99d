"""What goes into Docker's tasks and comes out of them: secrets, configs, logs."""

from __future__ import annotations

import re

from e2e.swarm import IMAGE, NODES, Stage, Swarm, until

READ = "cat /run/secrets/password /etc/greeting"
PAUSE = (IMAGE, "pause")


def test_secrets_and_configs_are_changed_and_come_back_with_a_rollback(swarm: Swarm, stage: Stage):
    for number in (1, 2):
        stage.content("secret", f"password-{number}", f"s3cret-{number}\n")
        stage.content("config", f"greeting-{number}", f"hello-{number}\n")
    name = stage.service(
        *("keeper", "--replicas", "2", "--update-parallelism", "0", "--update-monitor", "1s"),
        *("--rollback-parallelism", "0", "--rollback-monitor", "1s"),
        *("--secret", "source=password-1,target=password", "--config", "source=greeting-1,target=/etc/greeting"),
        *PAUSE,
    )

    def read() -> set[str]:
        tasks = swarm.tasks(name)
        assert len(tasks) == 2
        return {swarm.inside(task, READ).replace("\n", " ") for task in tasks}

    until(lambda: read() == {"s3cret-1 hello-1"})
    swarm.docker(
        *("service", "update", "--no-resolve-image", "--secret-rm", "password-1", "--config-rm", "greeting-1"),
        *("--secret-add", "source=password-2,target=password"),
        *("--config-add", "source=greeting-2,target=/etc/greeting", name),
    )
    assert read() == {"s3cret-2 hello-2"}
    assert "is in use" in swarm.docker("secret", "rm", "password-2", code=1)
    swarm.docker("service", "rollback", name)
    assert read() == {"s3cret-1 hello-1"}
    assert "is in use" in swarm.docker("config", "rm", "greeting-1", code=1)
    assert "s3cret" not in swarm.docker("service", "inspect", name) + swarm.docker("secret", "inspect", "password-1")


def test_logs_come_from_all_nodes_with_the_names_of_their_tasks(swarm: Swarm, stage: Stage):
    name = stage.service("teller", "--mode", "global", IMAGE, "sh", "-c", "echo one; echo two; exec pause")
    until(lambda: len(swarm.logs(name)) == 2 * len(NODES))
    tasks = swarm.tasks(name)
    for task in tasks:
        swarm.inside(task, "echo late > /proc/1/fd/1")
    until(lambda: swarm.logs(name).count("late") == len(NODES))
    told = swarm.docker("service", "logs", "--no-trunc", "--tail", "1", name).splitlines()
    assert sorted(re.sub(" +", " ", line) for line in told) == sorted(
        f"{name}.0.{task['ID']}@{task['Node']} | late" for task in tasks
    )
    assert len(swarm.docker("service", "logs", "--raw", "--tail", "2", name).splitlines()) == 2 * len(NODES)
    stamped = swarm.docker("service", "logs", "--timestamps", name).splitlines()
    since = min(line.split()[0] for line in stamped if line.endswith("late"))
    assert swarm.docker("service", "logs", "--raw", "--since", since, name).split() == ["late"] * len(NODES)
    # Of one task alone.
    one = swarm.docker("service", "logs", tasks[0]["ID"]).splitlines()
    assert [line.split()[-1] for line in one] == ["one", "two", "late"]
