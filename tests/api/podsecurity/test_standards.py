"""What the standards forbid, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api.podsecurity.spec import Pod
from motet.api.podsecurity.standards import BASELINE, RESTRICTED, Policy, evaluate, told

CLEAN = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(context: dict[str, Any] | None = None, annotations: dict[str, str] | None = None, **spec: Any) -> Pod:
    return Pod({"containers": [{"name": "c", "securityContext": context or {}}], **spec}, annotations or {})


def broken(level: str, found: Pod, version: str = "latest") -> str:
    return told(evaluate(Policy(level, version), found))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (pod(hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)"),
        (pod({"privileged": True}), 'privileged (container "c" must not set securityContext.privileged=true)'),
        (
            pod({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in securityContext.capabilities.add)',
        ),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")'),
        (
            pod(containers=[{"name": "a", "ports": [{"hostPort": 81}, {"hostPort": 80}]}, {"name": "b"}]),
            'hostPort (container "a" uses hostPorts 80, 81)',
        ),
        (
            pod({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
        ),
        (
            pod({"appArmorProfile": {"type": "Unconfined"}}),
            'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
        ),
        (
            pod(annotations={"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}),
            'forbidden AppArmor profile (annotation "container.apparmor.security.beta.kubernetes.io/c" '
            'must not set AppArmor profile type to "unconfined")',
        ),
        (
            pod({"seLinuxOptions": {"type": "spc_t", "user": "u"}}),
            'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
        ),
        (
            pod({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (pod(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}), "forbidden sysctls (kernel.msgmax)"),
        (
            pod(containers=[{"name": "c", "livenessProbe": {"httpGet": {"port": 1, "host": "192.0.2.1"}}}]),
            'probe or lifecycle host (container "c" uses probe or lifecycle host "192.0.2.1")',
        ),
        (
            pod(securityContext={"windowsOptions": {"hostProcess": True}}),
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_baseline_forbids_the_ways_to_the_machine(found: Pod, words: str) -> None:
    assert broken(BASELINE, found) == words


def test_an_ordinary_pod_meets_baseline() -> None:
    assert broken(BASELINE, pod()) == ""
    assert broken(BASELINE, pod({"capabilities": {"add": ["NET_BIND_SERVICE"]}, "runAsUser": 0})) == ""


def test_restricted_names_all_that_an_ordinary_pod_lacks() -> None:
    assert broken(RESTRICTED, pod()) == (
        'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false), '
        'unrestricted capabilities (container "c" must set securityContext.capabilities.drop=["ALL"]), '
        'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true), '
        'seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            pod(CLEAN, volumes=[{"name": "v", "hostPath": {}}]),
            'restricted volume types (volume "v" uses restricted volume type "hostPath")',
        ),
        (pod(CLEAN, securityContext={"runAsUser": 0}), "runAsUser=0 (pod must not set runAsUser=0)"),
        (
            pod({**CLEAN, "runAsNonRoot": False}),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            pod({**CLEAN, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
        ),
    ],
)
def test_restricted_forbids_what_baseline_lets_pass(found: Pod, words: str) -> None:
    assert broken(RESTRICTED, found) == words


def test_a_well_kept_pod_meets_restricted_also_when_the_pod_says_it_for_its_containers() -> None:
    assert broken(RESTRICTED, pod(CLEAN)) == ""
    shared = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    own = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}
    assert broken(RESTRICTED, pod(own, securityContext=shared)) == ""


def test_init_and_ephemeral_containers_count_too() -> None:
    bad = [{"name": "x", "securityContext": {"privileged": True}}]
    for kind in ("initContainers", "ephemeralContainers"):
        assert 'container "x"' in broken(BASELINE, pod(**{kind: bad}))


@pytest.mark.parametrize(
    ("found", "old", "new"),
    [
        (pod(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), "v1.31", "v1.32"),
        (pod({"seLinuxOptions": {"type": "container_engine_t"}}), "v1.30", "v1.31"),
    ],
)
def test_what_was_allowed_later_is_forbidden_by_older_versions(found: Pod, old: str, new: str) -> None:
    assert broken(BASELINE, found, old)
    assert not broken(BASELINE, found, new)


def test_what_was_forbidden_later_is_allowed_by_older_versions() -> None:
    assert broken(RESTRICTED, pod(CLEAN, securityContext={"runAsUser": 0}), "v1.22") == ""
    assert broken(RESTRICTED, pod({**CLEAN, "capabilities": {}}), "v1.21") == ""


contexts = st.fixed_dictionaries(
    {},
    optional={
        "privileged": st.booleans(),
        "runAsNonRoot": st.booleans(),
        "runAsUser": st.integers(0, 1),
        "allowPrivilegeEscalation": st.booleans(),
        "capabilities": st.fixed_dictionaries({}, optional={"add": st.just(["CHOWN"]), "drop": st.just(["ALL"])}),
        "seccompProfile": st.fixed_dictionaries({"type": st.sampled_from(["Unconfined", "RuntimeDefault"])}),
    },
)


@given(contexts, contexts, st.booleans())
def test_what_meets_restricted_meets_baseline(own: dict[str, Any], whole: dict[str, Any], host: bool) -> None:
    found = pod(own, securityContext=whole, hostNetwork=host)
    if not broken(RESTRICTED, found):
        assert not broken(BASELINE, found)
