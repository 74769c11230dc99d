"""Security contexts of pods and containers."""

from __future__ import annotations

import re
from typing import Any

from motet.base.errors import FieldError, duplicate, invalid, required
from motet.kinds import checks
from motet.kinds.kind import Json
from motet.kinds.shape import mapping, objects, strings, text

_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")
_SYSCTL_MESSAGE = (
    "must have at most 253 characters and match regex "
    "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)


def validate_pod_context(spec: Json, path: str) -> list[FieldError]:
    """`spec.securityContext` and the host namespaces it must fit."""
    context = mapping(spec, "securityContext")
    here = f"{path}.securityContext"
    errors = [
        *_identities(context, here),
        *checks.between(f"{here}.fsGroup", context.get("fsGroup"), 0),
        *checks.one_of(
            f"{here}.fsGroupChangePolicy",
            text(context, "fsGroupChangePolicy"),
            ("Always", "OnRootMismatch"),
            needed=False,
        ),
        *checks.one_of(
            f"{here}.supplementalGroupsPolicy",
            text(context, "supplementalGroupsPolicy"),
            ("Merge", "Strict"),
            needed=False,
        ),
        *_profiles(context, here),
        *_sysctls(spec, context, here),
    ]
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        errors += checks.between(f"{here}.supplementalGroups[{index}]", group, 0)
    if spec.get("shareProcessNamespace") is True and spec.get("hostPID") is True:
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        errors.append(invalid(f"{path}.shareProcessNamespace", True, detail))
    return errors


def validate_container_context(container: Json, path: str, host_users: Any) -> list[FieldError]:
    """`securityContext` of a container."""
    context = mapping(container, "securityContext")
    here = f"{path}.securityContext"
    errors = [*_identities(context, here), *_profiles(context, here)]
    errors += checks.one_of(f"{here}.procMount", text(context, "procMount"), ("Default", "Unmasked"), needed=False)
    if text(context, "procMount") == "Unmasked" and host_users is not False:
        errors.append(invalid(f"{here}.procMount", "Unmasked", "`hostUsers` must be false to use `Unmasked`"))
    if context.get("allowPrivilegeEscalation") is False:
        if context.get("privileged") is True:
            detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(invalid(here, _shown(context), detail))
        if "CAP_SYS_ADMIN" in strings(context, "capabilities", "add"):
            detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(invalid(here, _shown(context), detail))
    return errors


def _shown(context: Json) -> Json:
    return {key: context[key] for key in ("privileged", "allowPrivilegeEscalation", "capabilities") if key in context}


def _identities(context: Json, path: str) -> list[FieldError]:
    return [
        *checks.between(f"{path}.runAsUser", context.get("runAsUser"), 0),
        *checks.between(f"{path}.runAsGroup", context.get("runAsGroup"), 0),
    ]


def _profiles(context: Json, path: str) -> list[FieldError]:
    errors = []
    for key, name in (("seccompProfile", "seccomp"), ("appArmorProfile", "AppArmor")):
        profile = context.get(key)
        if not isinstance(profile, dict):
            continue
        here = f"{path}.{key}"
        kind, local = text(profile, "type"), text(profile, "localhostProfile")
        errors += checks.one_of(f"{here}.type", kind, ("Localhost", "RuntimeDefault", "Unconfined"))
        if kind == "Localhost":
            if not local:
                errors.append(required(f"{here}.localhostProfile", f"must be set when {name} type is Localhost"))
            elif key == "seccompProfile" and (local.startswith("/") or ".." in local.split("/")):
                errors.append(invalid(f"{here}.localhostProfile", local, "must be a relative path without '..'"))
        elif local:
            detail = f"can only be set when {name} type is Localhost"
            errors.append(invalid(f"{here}.localhostProfile", local, detail))
    return errors


def _sysctls(spec: Json, context: Json, path: str) -> list[FieldError]:
    errors = []
    seen: set[str] = set()
    for index, sysctl in enumerate(objects(context, "sysctls")):
        here = f"{path}.sysctls[{index}].name"
        name = text(sysctl, "name")
        if not name:
            errors.append(required(here))
            continue
        if len(name) > 253 or not _SYSCTL.fullmatch(name):
            errors.append(invalid(here, name, _SYSCTL_MESSAGE))
        plain = name.replace("/", ".")
        if plain in seen:
            errors.append(duplicate(here, name))
        seen.add(plain)
        if spec.get("hostNetwork") is True and plain.startswith("net."):
            errors.append(invalid(here, name, "may not be specified when 'hostNetwork' is true"))
        if spec.get("hostIPC") is True and plain.startswith(("kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue.")):
            errors.append(invalid(here, name, "may not be specified when 'hostIPC' is true"))
    return errors
