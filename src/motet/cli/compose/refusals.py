"""Keys of the Compose Specification that Motet does not honour, and what to do instead.

The paths are those of the specification's schema, `*` being any name and `[]` any item. A key that is neither read nor here is
none of the specification's. `docs/compose.md` says the same, and a test holds both to it.
"""

from __future__ import annotations

import re

_CGROUPS = "containers are given processor and memory only; see `deploy.resources`"
_BUILDER = "images are built by buildah on this machine, which has nothing of the kind"
_ADDRESSES = "the cluster gives pods their addresses; call services by their names"
_WINDOWS = "it is for Windows containers"
_MODELS = "Motet serves no models; run a model server as a service and give its address in `environment`"
_OWNERS = "files of secrets belong to root while an image is built"
_COUNTED = "GPUs are counted, not named; give `count` alone"

REFUSED: dict[str, str] = {
    "jobs": "write a service with `deploy.mode: replicated-job`; the label `motet.dev/schedule` below `deploy.labels` lets "
    "it run by the clock",
    "models": _MODELS,
    "networks.*.ipam.config": "all networks share the cluster's addresses and are kept apart by rules; leave it out",
    "networks.*.ipam.options": "there is one address management for all networks; leave it out",
    "networks.*.driver_opts.*": "only `encrypted` means anything here; leave the others out",
    "secrets.*.driver": "secrets are the cluster's own; write `file`, `environment`, `content` or `external`",
    "secrets.*.driver_opts": "secrets are the cluster's own; write `file`, `environment`, `content` or `external`",
    "services.*.blkio_config": _CGROUPS,
    "services.*.build.cache_to": _BUILDER,
    "services.*.build.entitlements": _BUILDER,
    "services.*.build.isolation": _WINDOWS,
    "services.*.build.no_cache_filter": "leave out all caches with `no_cache`",
    "services.*.build.privileged": "build steps run without further privileges; leave it out",
    "services.*.build.provenance": _BUILDER,
    "services.*.build.sbom": _BUILDER,
    "services.*.build.shm_size": "build steps have the machine's own /dev/shm; leave it out",
    "services.*.build.ssh": "give what the build needs as `build.secrets`",
    "services.*.build.ulimits": _BUILDER,
    "services.*.build.secrets[].uid": _OWNERS,
    "services.*.build.secrets[].gid": _OWNERS,
    "services.*.build.secrets[].mode": _OWNERS,
    "services.*.cgroup": "the node decides it",
    "services.*.cgroup_parent": "a pod's group is made by its node; see `deploy.resources`",
    "services.*.cpu_count": f"{_WINDOWS}; use `cpus`",
    "services.*.cpu_percent": f"{_WINDOWS}; use `cpus`",
    "services.*.cpu_rt_period": _CGROUPS,
    "services.*.cpu_rt_runtime": _CGROUPS,
    "services.*.cpu_shares": "shares follow from what is reserved; use `deploy.resources.reservations.cpus`",
    "services.*.cpuset": "processors are not given out one by one; use `cpus`",
    "services.*.credential_spec": _WINDOWS,
    "services.*.deploy.resources.reservations.devices[].device_ids": _COUNTED,
    "services.*.deploy.resources.reservations.devices[].options": _COUNTED,
    "services.*.device_cgroup_rules": "name the devices in `devices`",
    "services.*.domainname": "write the whole name into `hostname`'s users, or use `networks.*.aliases`",
    "services.*.external_links": "put both on a network that one of them declares `external: true`",
    "services.*.gpus[].device_ids": _COUNTED,
    "services.*.gpus[].options": _COUNTED,
    "services.*.mac_address": _ADDRESSES,
    "services.*.mem_swappiness": _CGROUPS,
    "services.*.memswap_limit": "swap is the node's affair; use `mem_limit`",
    "services.*.models": _MODELS,
    "services.*.networks.*.driver_opts": "a service has one interface for all its networks; leave it out",
    "services.*.networks.*.interface_name": "a service has one interface for all its networks; leave it out",
    "services.*.networks.*.ipv4_address": _ADDRESSES,
    "services.*.networks.*.ipv6_address": _ADDRESSES,
    "services.*.networks.*.link_local_ips": _ADDRESSES,
    "services.*.networks.*.mac_address": _ADDRESSES,
    "services.*.oom_kill_disable": "a container that takes more than its limit is ended; give it a higher `mem_limit`",
    "services.*.post_start[].privileged": "a hook runs as the container does",
    "services.*.post_start[].user": "a hook runs as the container does",
    "services.*.pre_start": "write a service that runs to its end, and wait for it with "
    "`depends_on: {condition: service_completed_successfully}`",
    "services.*.pre_stop[].privileged": "a hook runs as the container does",
    "services.*.pre_stop[].user": "a hook runs as the container does",
    "services.*.provider": "run what it provides as a service, or beside Motet",
    "services.*.pull_refresh_after": "when an image was pulled is not remembered; use `pull_policy: always`",
    "services.*.storage_opt": "a container's own files have no limit of their own; use a volume, or `tmpfs` with a size",
    "services.*.ulimits": "containers have those of the node's containerd; start the command with `sh -c 'ulimit ...; exec ...'`",
    "services.*.umask": "start the command with `sh -c 'umask ...; exec ...'`",
    "services.*.use_api_socket": "the Docker API is served over TCP with TLS; give its address and certificates as secrets",
    "services.*.uts": "a pod shares the node's host name with `network_mode: host` only",
    "services.*.volumes[].image": "put what it holds into the service's own image (`COPY --from=`)",
    "services.*.volumes[].volume.labels": "write them to the volume at the top level",
}

_PATTERNS = [
    (re.compile(re.sub(r"\\\*(?!$)", "[^.]+", re.escape(path)).replace(r"\*", ".+").replace(r"\[\]", r"\[\d+\]")), why)
    for path, why in REFUSED.items()
]


def why(path: str) -> str:
    """Why a key is refused and what to do instead; empty for a key that is not among them."""
    return next((reason for pattern, reason in _PATTERNS if pattern.fullmatch(path)), "")
