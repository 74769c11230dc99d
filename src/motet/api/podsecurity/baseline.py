"""The baseline standard: what keeps a pod from reaching the machine it runs on."""

from __future__ import annotations

from collections.abc import Iterator

from motet.api.podsecurity.spec import Forbidden, Json, Pod, containers, plural, quoted, setters

_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
        "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
# Since which minor version each may be set.
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
}
_SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def app_armor(pod: Pod, minor: int) -> Forbidden | None:
    noted = {
        key: value
        for key, value in sorted(pod.annotations.items())
        if key.startswith(_APPARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    }
    who, values = bad_profiles(pod, "appArmorProfile")
    if noted:
        who = [f"{plural('annotation', 'annotations', len(noted))} {quoted(noted)}", *who]
        values = sorted({*values, *noted.values()})
    if not who:
        return None
    reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", len(values))
    return Forbidden(reason, f"{' and '.join(who)} must not set AppArmor profile type to {quoted(values)}")


def bad_profiles(pod: Pod, field: str) -> tuple[list[str], list[str]]:
    """Who sets another type of profile than the runtime's own or one of the node, and which."""
    values: set[str] = set()

    def bad(context: Json) -> bool:
        kind = (context.get(field) or {}).get("type")
        if kind in (None, "RuntimeDefault", "Localhost"):
            return False
        values.add(str(kind))
        return True

    whole = bad(pod.security)
    names = pod.where(bad)
    return ([setters(whole, names)] if whole or names else []), sorted(values)


def capabilities(pod: Pod, minor: int) -> Forbidden | None:
    names, added = added_beyond(pod, _CAPABILITIES)
    if not names:
        return None
    detail = f"{containers(names)} must not include {quoted(added)} in securityContext.capabilities.add"
    return Forbidden("non-default capabilities", detail)


def added_beyond(pod: Pod, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    """Containers that add capabilities other than these, and which."""
    names, found = [], set()
    for name, container in pod.containers():
        given = (container.get("securityContext") or {}).get("capabilities") or {}
        more = set(given.get("add") or ()) - allowed
        if more:
            names.append(name)
            found |= more
    return names, sorted(found)


def host_namespaces(pod: Pod, minor: int) -> Forbidden | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    return Forbidden("host namespaces", ", ".join(found)) if found else None


def host_paths(pod: Pod, minor: int) -> Forbidden | None:
    names = [str(volume.get("name")) for volume in pod.spec.get("volumes") or () if volume.get("hostPath")]
    return (
        Forbidden("hostPath volumes", f"{plural('volume', 'volumes', len(names))} {quoted(names)}") if names else None
    )


def host_ports(pod: Pod, minor: int) -> Forbidden | None:
    names, ports = [], set()
    for name, container in pod.containers():
        taken = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if taken:
            names.append(name)
            ports |= taken
    if not names:
        return None
    listed = ", ".join(map(str, sorted(ports)))
    verb, noun = plural("uses", "use", len(names)), plural("hostPort", "hostPorts", len(ports))
    return Forbidden("hostPort", f"{containers(names)} {verb} {noun} {listed}")


def _hosts(container: Json) -> Iterator[str]:
    handlers = [container.get(probe) or {} for probe in ("livenessProbe", "readinessProbe", "startupProbe")]
    lifecycle = container.get("lifecycle") or {}
    handlers += [lifecycle.get(hook) or {} for hook in ("postStart", "preStop")]
    for handler in handlers:
        for way in ("httpGet", "tcpSocket"):
            host = (handler.get(way) or {}).get("host")
            if host:
                yield str(host)


def probe_hosts(pod: Pod, minor: int) -> Forbidden | None:
    names, hosts = [], set()
    for name, container in pod.containers():
        given = set(_hosts(container))
        if given:
            names.append(name)
            hosts |= given
    if not names:
        return None
    noun = plural("host", "hosts", len(hosts))
    detail = (
        f"{containers(names)} {plural('uses', 'use', len(names))} probe or lifecycle {noun} {quoted(sorted(hosts))}"
    )
    return Forbidden("probe or lifecycle host", detail)


def host_process(pod: Pod, minor: int) -> Forbidden | None:
    def asked(context: Json) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    whole, names = asked(pod.security), pod.where(asked)
    if not whole and not names:
        return None
    detail = f"{setters(whole, names)} must not set securityContext.windowsOptions.hostProcess=true"
    return Forbidden("hostProcess", detail)


def privileged(pod: Pod, minor: int) -> Forbidden | None:
    names = pod.where(lambda context: bool(context.get("privileged")))
    if not names:
        return None
    return Forbidden("privileged", f"{containers(names)} must not set securityContext.privileged=true")


def proc_mount(pod: Pod, minor: int) -> Forbidden | None:
    names = pod.where(lambda context: context.get("procMount") not in (None, "", "Default"))
    if not names:
        return None
    return Forbidden("procMount", f'{containers(names)} must not set securityContext.procMount to "Unmasked"')


def se_linux(pod: Pod, minor: int) -> Forbidden | None:
    types: set[str] = set()
    parts: set[str] = set()

    def wrong(context: Json) -> bool:
        options = context.get("seLinuxOptions") or {}
        unknown = _SELINUX_TYPES.get(options.get("type") or "", 1000) > minor
        if unknown:
            types.add(options["type"])
        named = [part for part in ("user", "role") if options.get(part)]
        parts.update(named)
        return unknown or bool(named)

    whole = wrong(pod.security)
    names = pod.where(wrong)
    if not whole and not names:
        return None
    bad = [f"{plural('type', 'types', len(types))} {quoted(sorted(types))}"] if types else []
    bad += [f"{part} may not be set" for part in ("user", "role") if part in parts]
    detail = f"{setters(whole, names)} set forbidden securityContext.seLinuxOptions: {'; '.join(bad)}"
    return Forbidden("seLinuxOptions", detail)


def seccomp(pod: Pod, minor: int) -> Forbidden | None:
    who, values = bad_profiles(pod, "seccompProfile")
    if not who:
        return None
    detail = f"{' and '.join(who)} must not set securityContext.seccompProfile.type to {quoted(values)}"
    return Forbidden("seccompProfile", detail)


def sysctls(pod: Pod, minor: int) -> Forbidden | None:
    names = [str(each.get("name")) for each in pod.security.get("sysctls") or ()]
    bad = [name for name in names if _SYSCTLS.get(name.replace("/", "."), 1000) > minor]
    return Forbidden("forbidden sysctls", ", ".join(bad)) if bad else None
