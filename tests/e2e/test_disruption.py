"""Disruption budgets with kubectl as the judge: `drain` waits for as long as a budget says that too few would be left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from e2e.space import WEB, Space, deployment


@contextlib.contextmanager
def node(space: Space) -> Iterator[str]:
    """The one node's name; whatever was drained takes pods again afterwards."""
    name = space.kubectl("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
    try:
        yield name
    finally:
        space.kubectl("uncordon", name)


def drain(space: Space, name: str, *words: str) -> tuple[int, str]:
    only = ("--pod-selector=app=web", "--ignore-daemonsets", "--delete-emptydir-data")
    done = space.cluster.run("kubectl", "drain", name, *only, *words, check=False)
    return done.returncode, done.stdout + done.stderr


BUDGETS = "policy/v1/poddisruptionbudgets"


def test_drain_takes_as_many_pods_as_the_budget_allows_and_no_more(space: Space):
    space.apply(deployment("web", 2, WEB))
    space.rolled_out("web")
    before = {pod["metadata"]["uid"] for pod in space.pods("app=web")}
    space.kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--min-available=100%")
    space.wait(BUDGETS, "web", lambda found: found["status"]["currentHealthy"] == 2)
    with node(space) as name:
        code, said = drain(space, name, "--timeout=3s")
        assert code != 0
        assert "Cannot evict pod as it would violate the pod's disruption budget." in said
        assert {pod["metadata"]["uid"] for pod in space.pods("app=web")} == before
        space.kubectl("patch", "pdb", "web", "--type=merge", "-p", '{"spec": {"minAvailable": "50%"}}')
        space.wait(BUDGETS, "web", lambda found: found["status"]["disruptionsAllowed"] == 1)
        # One may go; its replacement has nowhere to run, so the other stays.
        assert drain(space, name, "--timeout=6s")[0] != 0
        assert len({pod["metadata"]["uid"] for pod in space.pods("app=web")} & before) == 1
    space.rolled_out("web")


def test_kubectl_shows_budgets_in_upstreams_columns(space: Space):
    space.kubectl("create", "poddisruptionbudget", "web", "--selector=app=web", "--max-unavailable=1")
    titles, row = space.kubectl("get", "pdb").splitlines()
    assert titles.split("  ")[0] == "NAME"
    assert "MIN AVAILABLE   MAX UNAVAILABLE   ALLOWED DISRUPTIONS   AGE" in titles
    assert row.split()[:4] == ["web", "N/A", "1", "0"]
