"""Which requests a rule is about."""

from __future__ import annotations

import pytest

from motet.api.matching import Rule, exempt
from motet.kinds import deployment, namespace, pod, validatingwebhookconfiguration
from motet.kinds.kind import Kind


def rule(
    resources: str = "pods", *, groups: str = "", versions: str = "v1", operations: str = "*", scope: str = "*"
) -> Rule:
    return Rule(
        tuple(operations.split(",")),
        tuple(groups.split(",")),
        tuple(versions.split(",")),
        tuple(resources.split(",")),
        scope,
    )


@pytest.mark.parametrize(
    ("given", "kind", "subresource", "where", "expected"),
    [
        (rule(), pod.KIND, "", "default", True),
        (rule(), pod.KIND, "status", "default", False),
        (rule("pods/status"), pod.KIND, "status", "default", True),
        (rule("pods/*"), pod.KIND, "exec", "default", True),
        (rule("*"), pod.KIND, "exec", "default", False),
        (rule("*/*"), pod.KIND, "exec", "default", True),
        (rule("*/exec"), pod.KIND, "exec", "default", True),
        (rule("deployments"), deployment.KIND, "", "default", False),
        (rule("deployments", groups="apps"), deployment.KIND, "", "default", True),
        (rule("deployments", groups="apps", versions="v2"), deployment.KIND, "", "default", False),
        (rule(scope="Cluster"), pod.KIND, "", "default", False),
        (rule("namespaces", scope="Cluster"), namespace.KIND, "", "", True),
        (rule("namespaces", scope="Namespaced"), namespace.KIND, "", "team", False),
        (rule(operations="UPDATE,DELETE"), pod.KIND, "", "default", False),
    ],
)
def test_a_rule_matches(given: Rule, kind: Kind, subresource: str, where: str, expected: bool) -> None:
    assert given.matches(kind, subresource, "CREATE", where) is expected


def test_the_configurations_themselves_are_exempt() -> None:
    assert exempt(validatingwebhookconfiguration.KIND)
    assert not exempt(pod.KIND)
