"""/etc/hosts, host names and DNS settings of a pod (kubelet's managed hosts file, "Pod's DNS Policy")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from motet.kinds import placeholders, podmarks
from motet.kinds.placeholders import TooLong, Values
from motet.kinds.tasks import HOSTNAME
from motet.pods.security import ConfigError
from motet.pods.spec import DnsOption, Pod
from motet.runtime.interface import DnsConfig

_MOST_NAME = 63
# What sethostname(2) takes.
_LONGEST_HOST = 64
# Characters of a name with its placeholders filled in, before it is cut.
_MOST_FILLED_IN = 4096


@dataclass(frozen=True, slots=True)
class ClusterDns:
    """The cluster's own name service; no servers means there is none. `resolv_conf` is the node's file."""

    servers: tuple[str, ...] = ()
    domain: str = "cluster.local"
    resolv_conf: str = "/etc/resolv.conf"


def hostname(pod: Pod, domain: str) -> str:
    """The host name inside the pod; empty for the host's network, whose name it shares.

    Raises ConfigError when the fully qualified name asked for is longer than the kernel takes, or a name grows beyond all measure.
    """
    if pod.spec.host_network:
        return ""
    if pod.spec.hostname_override:
        return pod.spec.hostname_override
    full = fully_qualified(pod, domain)
    if not pod.spec.set_hostname_as_fqdn or not full:
        return _short(pod)
    if len(full) > _LONGEST_HOST:
        raise ConfigError(
            f"Failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long "
            f"({_LONGEST_HOST} characters is the max, {len(full)} characters requested)"
        )
    return full


def _short(pod: Pod) -> str:
    if given := (pod.metadata.annotations or {}).get(HOSTNAME, ""):
        known = {".Node.Hostname": pod.spec.node_name, ".Task.ID": pod.metadata.uid}
        try:
            name = placeholders.expand(given, Values(known, {}), most=_MOST_FILLED_IN)
        except TooLong as error:
            raise ConfigError(f"annotation {HOSTNAME}: {error}") from error
        return name[:_MOST_NAME].rstrip("-.")
    return (pod.spec.hostname or pod.metadata.name)[:_MOST_NAME].rstrip("-.")


def fully_qualified(pod: Pod, domain: str) -> str:
    """`host.subdomain.namespace.svc.domain` when the pod has a subdomain, else an empty string."""
    if not pod.spec.subdomain:
        return ""
    return f"{_short(pod)}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"


def hosts_file(pod: Pod, pod_ips: Sequence[str], domain: str, host_file: str = "") -> str:
    """The text of the pod's /etc/hosts. A pod on the host's network gets the host's own (`host_file`) with its aliases."""
    if pod.spec.host_network:
        lines = ["# Kubernetes-managed hosts file (host network).", host_file.rstrip("\n")]
    else:
        lines = [
            "# Kubernetes-managed hosts file.",
            "127.0.0.1\tlocalhost",
            "::1\tlocalhost ip6-localhost ip6-loopback",
            "fe00::\tip6-localnet",
            "fe00::\tip6-mcastprefix",
            "fe00::1\tip6-allnodes",
            "fe00::2\tip6-allrouters",
        ]
        full = fully_qualified(pod, domain)
        names = f"{full}\t{_short(pod)}" if full else pod.spec.hostname_override or _short(pod)
        lines += [f"{ip}\t{names}" for ip in pod_ips]
    aliases = [alias for alias in pod.spec.host_aliases or () if alias.hostnames]
    if aliases:
        lines += ["", "# Entries added by HostAliases."]
        lines += ["\t".join((alias.ip, *(alias.hostnames or ()))) for alias in aliases]
    return "\n".join(lines) + "\n"


def dns(pod: Pod, cluster: ClusterDns, host: DnsConfig) -> DnsConfig:
    """The pod's resolv.conf according to its DNS policy; `host` is what the node itself uses. Raises ConfigError.

    Name servers that the pod is marked with stand in for the node's. Where the cluster's is asked first, that one knows of them.
    """
    try:
        if given := podmarks.name_servers(pod.metadata.annotations):
            host = replace(host, servers=given)
    except ValueError as error:
        raise ConfigError(f"annotation {podmarks.NAME_SERVERS}: {error}") from error
    policy = pod.spec.dns_policy
    if policy == "ClusterFirst" and pod.spec.host_network:
        policy = "Default"
    if policy in ("ClusterFirst", "ClusterFirstWithHostNet") and cluster.servers:
        inside = (f"{pod.metadata.namespace}.svc.{cluster.domain}", f"svc.{cluster.domain}", cluster.domain)
        base = DnsConfig(cluster.servers, (*inside, *host.searches), ("ndots:5",))
    elif policy == "None":
        base = DnsConfig()
    else:
        base = host
    return _merged(base, pod)


def _merged(base: DnsConfig, pod: Pod) -> DnsConfig:
    own = pod.spec.dns_config
    if own is None:
        return base
    options = {text.split(":")[0]: text for text in base.options}
    options.update((option.name, _option(option)) for option in own.options or () if option.name)
    return DnsConfig(
        _unique(base.servers + (own.nameservers or ())),
        _unique(base.searches + (own.searches or ())),
        tuple(options.values()),
    )


def _option(option: DnsOption) -> str:
    return option.name if option.value is None else f"{option.name}:{option.value}"


def _unique(items: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def parse_resolv_conf(text: str) -> DnsConfig:
    """Read a resolv.conf(5): servers, the last search list, options."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        word, *rest = line.split("#")[0].split() or [""]
        if word == "nameserver" and rest:
            servers.append(rest[0])
        elif word in ("search", "domain"):
            searches = tuple(name for name in rest if name != ".")
        elif word == "options":
            options.extend(rest)
    return DnsConfig(tuple(servers), searches, tuple(options))
