"""The three levels as tables of checks: which there are since when, and which of restricted stand in for one of baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from motet.api.podsecurity import baseline, restricted
from motet.api.podsecurity.spec import Forbidden, Pod
from motet.base import release

PRIVILEGED, BASELINE, RESTRICTED = "privileged", "baseline", "restricted"
LEVELS = (PRIVILEGED, BASELINE, RESTRICTED)
LATEST = "latest"

Check = Callable[[Pod, int], Forbidden | None]


@dataclass(frozen=True, slots=True)
class Policy:
    """A level of a version: `latest` or v1.N."""

    level: str = PRIVILEGED
    version: str = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{self.version}"

    @property
    def minor(self) -> int:
        newest = int(release.MINOR.rstrip("+"))
        return newest if self.version == LATEST else min(newest, int(self.version.removeprefix("v1.")))


# In the order of upstream's names for them, which is the order of its messages.
_BASELINE: tuple[tuple[Check, int], ...] = (
    (baseline.app_armor, 0),
    (baseline.capabilities, 0),
    (baseline.host_namespaces, 0),
    (baseline.host_paths, 0),
    (baseline.host_ports, 0),
    (baseline.probe_hosts, 34),
    (baseline.privileged, 0),
    (baseline.proc_mount, 0),
    (baseline.se_linux, 0),
    (baseline.seccomp, 0),
    (baseline.sysctls, 0),
    (baseline.host_process, 0),
)
_RESTRICTED: tuple[tuple[Check, int], ...] = (
    (restricted.escalation, 8),
    (restricted.capabilities, 22),
    (restricted.volumes, 0),
    (restricted.non_root, 0),
    (restricted.user, 23),
    (restricted.seccomp, 19),
)
_INSTEAD: dict[Check, Check] = {
    restricted.capabilities: baseline.capabilities,
    restricted.volumes: baseline.host_paths,
    restricted.seccomp: baseline.seccomp,
}


def evaluate(policy: Policy, pod: Pod) -> list[Forbidden]:
    """All that a pod does and the policy forbids."""
    if policy.level == PRIVILEGED:
        return []
    minor = policy.minor
    strict = [check for check, since in _RESTRICTED if since <= minor] if policy.level == RESTRICTED else []
    replaced = {_INSTEAD[check] for check in strict if check in _INSTEAD}
    plain = [check for check, since in _BASELINE if since <= minor and check not in replaced]
    return [found for check in (*plain, *strict) if (found := check(pod, minor)) is not None]


def told(found: list[Forbidden]) -> str:
    """`host namespaces (hostNetwork=true), privileged (...)`."""
    return ", ".join(f"{each.reason} ({each.detail})" for each in found)
