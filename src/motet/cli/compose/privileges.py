"""What a service's container may do: users, capabilities, profiles, kernel parameters, and namespaces of the node."""

from __future__ import annotations

import re
from collections.abc import Iterator

from motet.cli.compose.model import Privileges
from motet.cli.compose.source import Fields, text
from motet.kinds import podmarks


def read(service: Fields) -> Privileges:
    """All but the namespaces."""
    no_new, seccomp, apparmor = _options(service)
    if no_new and service.truth("privileged"):
        service.source.problem(service.items["security_opt"], "a privileged container can always gain privileges")
    return Privileges(
        user=_user(service),
        groups=tuple(_groups(service)),
        read_only=service.truth("read_only"),
        privileged=service.truth("privileged"),
        cap_add=_capabilities(service, "cap_add"),
        cap_drop=_capabilities(service, "cap_drop"),
        no_new=no_new,
        seccomp=seccomp,
        apparmor=apparmor,
        sysctls=tuple(service.pairs("sysctls")),
    )


def of_node(service: Fields) -> frozenset[str]:
    """Namespaces of the node's that the service shares: network, ipc, pid."""
    found = set()
    if service.choice("network_mode", ("host",), "") == "host":
        found.add("network")
        for key in ("networks", "ports"):
            if service.get(key) is not None:
                why = f"with `network_mode: host` the service is on the node's network alone; leave out `{key}`"
                service.source.problem(service.items[key], why)
    if service.choice("ipc", ("host", "private"), "private") == "host":
        found.add("ipc")
    if service.choice("pid", ("host",), "") == "host":
        found.add("pid")
    # There are no others than the host's.
    service.choice("userns_mode", ("host",), "host")
    service.choice("isolation", ("default",), "default")
    return frozenset(found)


def _user(service: Fields) -> str:
    """USER or USER:GROUP, each a number or a name that the image knows."""
    user = service.text("user")
    if user and not re.fullmatch(r"\d+(:\d+)?", user) and podmarks.validate({podmarks.USER: user}):
        service.source.problem(service.items["user"], f"expected USER or USER:GROUP, found {user!r}")
        return ""
    return user


def _groups(service: Fields) -> Iterator[int]:
    for item in service.listed("group_add"):
        group = text(service.source, item)
        if group.isascii() and group.isdigit():
            yield int(group)
        else:
            service.source.problem(item, f"expected a number, found {group!r}; names are the image's own")


def _capabilities(service: Fields, key: str) -> tuple[str, ...]:
    return tuple(name.upper().removeprefix("CAP_") for name in service.texts(key))


def _options(service: Fields) -> tuple[bool | None, str, str]:
    """`security_opt`: (no new privileges, seccomp profile, AppArmor profile)."""
    no_new: bool | None = None
    seccomp = apparmor = ""
    for item in service.listed("security_opt"):
        option = text(service.source, item)
        name, _, value = (part.strip() for part in re.sub("[:=]", "=", option, count=1).partition("="))
        if name == "no-new-privileges" and value in ("", "true", "false"):
            no_new = value != "false"
        elif name == "seccomp" and value == "unconfined":
            seccomp = value
        elif name == "apparmor" and value:
            apparmor = value
        else:
            expected = "no-new-privileges[:true|false], seccomp:unconfined or apparmor:PROFILE"
            service.source.problem(item, f"{option!r} is not supported; expected {expected}")
    return no_new, seccomp, apparmor
