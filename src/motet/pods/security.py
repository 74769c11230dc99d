"""Security contexts turned into what the runtime enforces, least privilege where the spec says nothing.

Kubernetes' semantics with one difference: `allowPrivilegeEscalation` left unset means no_new_privs is on, unless the
container is privileged or adds SYS_ADMIN (where upstream forces escalation on as well). Seccomp unset is RuntimeDefault.
"""

from __future__ import annotations

from pathlib import Path

from motet.kinds import podmarks
from motet.pods.spec import AppArmorProfile, ContainerSpec, Pod, SeccompProfile
from motet.runtime.interface import Image, RuntimeFailure, Security

_PROFILES = Path("/var/lib/motet/agent/seccomp")


class ConfigError(RuntimeFailure):
    """The container cannot be made as it is described; it is shown as CreateContainerConfigError."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "CreateContainerConfigError")


def of(pod: Pod, container: ContainerSpec, image: Image | None, profiles: Path = _PROFILES) -> Security:
    """The runtime's security settings; `profiles` is where the node keeps seccomp profiles.

    Raises ConfigError when runAsNonRoot cannot be honoured or a profile is not there.
    """
    whole, own = pod.spec.security_context, container.security_context
    user = own.run_as_user if own.run_as_user is not None else whole.run_as_user
    group = own.run_as_group if own.run_as_group is not None else whole.run_as_group
    try:
        name = podmarks.user(pod.metadata.annotations) if user is None else ""
    except ValueError as error:
        raise ConfigError(f"annotation {podmarks.USER}: {error}") from error
    if ":" in name:
        # It says the group, too.
        group = None
    if user is None and not name and image is not None:
        user, name = image.uid, image.username
    if user is None and not name and group is not None:
        # The runtime takes a group only together with a user.
        user = 0
    non_root = own.run_as_non_root if own.run_as_non_root is not None else whole.run_as_non_root
    if non_root:
        _check_non_root(pod, container, user, name)
    added = own.capabilities.add if own.capabilities else None
    dropped = own.capabilities.drop if own.capabilities else None
    privileged = bool(own.privileged)
    return Security(
        run_as_user=user,
        run_as_username=name if user is None else "",
        run_as_group=group if user is not None or name else None,
        supplemental_groups=groups(pod),
        privileged=privileged,
        read_only_root=bool(own.read_only_root_filesystem),
        no_new_privileges=_no_new_privileges(own.allow_privilege_escalation, privileged, added or ()),
        add_capabilities=_capabilities(added),
        drop_capabilities=_capabilities(dropped),
        seccomp="unconfined" if privileged else _seccomp(own.seccomp_profile or whole.seccomp_profile, profiles),
        apparmor=_apparmor(own.app_armor_profile or whole.app_armor_profile),
        masked_paths=() if own.proc_mount == "Unmasked" else None,
        readonly_paths=() if own.proc_mount == "Unmasked" else None,
    )


def groups(pod: Pod) -> tuple[int, ...]:
    """Supplemental groups of every container, the fsGroup among them."""
    context = pod.spec.security_context
    own = context.supplemental_groups or ()
    return own if context.fs_group is None or context.fs_group in own else (*own, context.fs_group)


def _check_non_root(pod: Pod, container: ContainerSpec, user: int | None, name: str) -> None:
    where = f'(pod: "{pod.address}", container: {container.name})'
    if user == 0:
        asked = container.security_context.run_as_user == 0 or pod.spec.security_context.run_as_user == 0
        why = (
            "container's runAsUser breaks non-root policy"
            if asked
            else "container has runAsNonRoot and image will run as root"
        )
        raise ConfigError(f"{why} {where}")
    if user is None and name:
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {where}"
        )
    if user is None:
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")


def _no_new_privileges(allowed: bool | None, privileged: bool, added: tuple[str, ...]) -> bool:
    if allowed is not None:
        return not allowed
    return not privileged and not {"SYS_ADMIN", "CAP_SYS_ADMIN", "ALL"} & set(added)


def _capabilities(names: tuple[str, ...] | None) -> tuple[str, ...]:
    return tuple(name.upper().removeprefix("CAP_") for name in names or ())


def _apparmor(profile: AppArmorProfile | None) -> str:
    if profile is None:
        return ""
    local = f"localhost/{profile.localhost_profile or ''}"
    return {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}.get(profile.type, local)


def _seccomp(profile: SeccompProfile | None, profiles: Path) -> str:
    if profile is None or profile.type == "RuntimeDefault":
        return "runtime/default"
    if profile.type == "Unconfined":
        return "unconfined"
    if not profile.localhost_profile or ".." in profile.localhost_profile.split("/"):
        raise ConfigError(
            f"seccomp localhostProfile {profile.localhost_profile!r} must be a path below the node's seccomp directory"
        )
    path = profiles / profile.localhost_profile.lstrip("/")
    if not path.is_file():
        raise ConfigError(f"seccomp localhostProfile {profile.localhost_profile!r}: there is no file {path}")
    return f"localhost{path}"
