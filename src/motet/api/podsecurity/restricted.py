"""The restricted standard: what a well-kept program does without."""

from __future__ import annotations

from motet.api.podsecurity import baseline
from motet.api.podsecurity.baseline import added_beyond
from motet.api.podsecurity.spec import Forbidden, Json, Pod, containers, plural, quoted, setters

_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret", "name")
)
# Since this minor version, what only Linux knows is not asked of pods for Windows.
_WINDOWS_SINCE = 25


def _elsewhere(pod: Pod, minor: int) -> bool:
    return pod.windows and minor >= _WINDOWS_SINCE


def escalation(pod: Pod, minor: int) -> Forbidden | None:
    names = pod.where(lambda context: context.get("allowPrivilegeEscalation") is not False)
    if not names or _elsewhere(pod, minor):
        return None
    detail = f"{containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Forbidden("allowPrivilegeEscalation != false", detail)


def capabilities(pod: Pod, minor: int) -> Forbidden | None:
    if _elsewhere(pod, minor):
        return None
    keeping = pod.where(lambda context: "ALL" not in ((context.get("capabilities") or {}).get("drop") or ()))
    adding, added = added_beyond(pod, frozenset(("NET_BIND_SERVICE",)))
    found = []
    if keeping:
        found.append(f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        found.append(f"{containers(adding)} must not include {quoted(added)} in securityContext.capabilities.add")
    return Forbidden("unrestricted capabilities", "; ".join(found)) if found else None


def volumes(pod: Pod, minor: int) -> Forbidden | None:
    bad = []
    kinds: set[str] = set()
    for volume in pod.spec.get("volumes") or ():
        other = {key for key, value in volume.items() if key not in _VOLUMES and value is not None}
        if other:
            bad.append(str(volume.get("name")))
            kinds |= other
    if not bad:
        return None
    detail = (
        f"{plural('volume', 'volumes', len(bad))} {quoted(bad)} {plural('uses', 'use', len(bad))} restricted volume "
        f"{plural('type', 'types', len(kinds))} {quoted(sorted(kinds))}"
    )
    return Forbidden("restricted volume types", detail)


def non_root(pod: Pod, minor: int) -> Forbidden | None:
    whole = pod.security.get("runAsNonRoot")
    denying = pod.where(lambda context: context.get("runAsNonRoot") is False)
    if whole is False or denying:
        who = setters(whole is False, denying)
        return Forbidden("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    silent = pod.where(lambda context: context.get("runAsNonRoot") is None)
    if whole or not silent:
        return None
    return Forbidden("runAsNonRoot != true", f"pod or {containers(silent)} must set securityContext.runAsNonRoot=true")


def user(pod: Pod, minor: int) -> Forbidden | None:
    def root(context: Json) -> bool:
        return context.get("runAsUser") == 0

    whole, names = root(pod.security), pod.where(root)
    if not whole and not names:
        return None
    return Forbidden("runAsUser=0", f"{setters(whole, names)} must not set runAsUser=0")


def seccomp(pod: Pod, minor: int) -> Forbidden | None:
    if _elsewhere(pod, minor):
        return None
    if (explicit := baseline.seccomp(pod, minor)) is not None:
        return explicit
    silent = pod.where(lambda context: not (context.get("seccompProfile") or {}).get("type"))
    if not silent or (pod.security.get("seccompProfile") or {}).get("type"):
        return None
    words = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Forbidden("seccompProfile", f"pod or {containers(silent)} {words}")
