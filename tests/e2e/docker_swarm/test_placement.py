"""Where Docker's tasks are, and where they go when nodes are taken out, change their labels or come later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from e2e.swarm import IMAGE, Stage, Swarm, until

# Ends at once when it is told to.
PAUSE = (IMAGE, "pause")


@contextmanager
def labelled(swarm: Swarm, **labels: str) -> Iterator[None]:
    """Nodes with labels, such as `n1="zone=a"`, for as long as the block lasts."""
    for node, label in labels.items():
        swarm.docker("node", "update", "--label-add", label, node)
    try:
        yield
    finally:
        for node, label in labels.items():
            swarm.docker("node", "update", "--label-rm", label.partition("=")[0], node)


def available(swarm: Swarm, node: str, how: str) -> None:
    swarm.docker("node", "update", "--availability", how, node)


def test_a_drained_node_is_left_and_a_paused_one_gets_nothing_new(swarm: Swarm, stage: Stage):
    few = stage.service("few", "--replicas", "3", *PAUSE)
    every = stage.service("every", "--mode", "global", *PAUSE)
    until(lambda: swarm.nodes(few) == swarm.nodes(every) == ["n1", "n2", "n3"])
    try:
        available(swarm, "n2", "pause")
        available(swarm, "n3", "drain")
        assert swarm.docker("node", "ls", "--format", "{{.Availability}}").split() == ["Active", "Pause", "Drain"]
        until(lambda: swarm.nodes(few) == ["n1", "n1", "n2"])
        until(lambda: swarm.nodes(every) == ["n1", "n2"])
        until(lambda: swarm.docker("ps", "--quiet", "--filter", "node=n3") == "")
        assert swarm.replicas(every) == "2/2"
        swarm.docker("service", "scale", "--detach", f"{few}=5")
        until(lambda: swarm.nodes(few) == ["n1", "n1", "n1", "n1", "n2"])
    finally:
        for node in ("n2", "n3"):
            available(swarm, node, "active")
    until(lambda: swarm.nodes(every) == ["n1", "n2", "n3"])
    # As in Swarm nothing moves back by itself; what is new comes.
    assert swarm.nodes(few) == ["n1", "n1", "n1", "n1", "n2"]
    swarm.docker("service", "scale", "--detach", f"{few}=6")
    until(lambda: swarm.nodes(few) == ["n1", "n1", "n1", "n1", "n2", "n3"])


def test_tasks_follow_the_labels_of_nodes_and_spread_over_them(swarm: Swarm, stage: Stage):
    with labelled(swarm, n1="zone=a", n2="zone=b", n3="zone=b"):
        one = stage.service("one", "--constraint", "node.labels.disk==fast", *PAUSE)
        every = stage.service("every", "--mode", "global", "--constraint", "node.labels.disk==fast", *PAUSE)
        wide = stage.service("wide", "--replicas", "4", "--placement-pref", "spread=node.labels.zone", *PAUSE)
        sparse = stage.service("sparse", "--replicas", "4", "--replicas-max-per-node", "1", *PAUSE)
        until(lambda: swarm.nodes(wide) == ["n1", "n1", "n2", "n3"])
        until(lambda: swarm.nodes(sparse) == ["n1", "n2", "n3"])
        until(lambda: "nodes are available" in " ".join(task["Error"] for task in swarm.tasks(sparse)))
        assert (swarm.nodes(one), swarm.replicas(every)) == ([], "0/0")
        until(lambda: "nodes are available" in swarm.tasks(one)[0]["Error"])
        with labelled(swarm, n3="disk=fast"):
            until(lambda: swarm.nodes(one) == swarm.nodes(every) == ["n3"])
            with labelled(swarm, n2="disk=fast"):
                until(lambda: swarm.nodes(every) == ["n2", "n3"])
                swarm.docker("node", "update", "--label-add", "disk=slow", "n3")
                until(lambda: swarm.nodes(one) == swarm.nodes(every) == ["n2"])
