"""The daemon itself: `docker version`, `docker info`, `docker system df`, pings."""

from __future__ import annotations

import platform
from typing import Any

from aiohttp import web

from motet.base import release
from motet.dialects.docker import nodes, objects, pods, swarm, versions
from motet.dialects.docker.call import Call, answer
from motet.dialects.docker.router import Route

Json = dict[str, Any]

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


async def ping(call: Call) -> web.Response:
    return web.Response(
        text="" if call.request.method == "HEAD" else "OK",
        headers={
            "Builder-Version": "1",
            "Swarm": "active/manager",
            "Cache-Control": "no-cache, no-store, must-revalidate",
            "Pragma": "no-cache",
        },
    )


async def version(call: Call) -> web.Response:
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    built = release.source_digest()[:12]
    details = {
        "ApiVersion": str(versions.NEWEST),
        "MinAPIVersion": str(versions.OLDEST),
        "GitCommit": built,
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": platform.release(),
        "Experimental": "false",
    }
    return answer(
        {
            "Platform": {"Name": "Motet"},
            "Components": [
                {"Name": "Engine", "Version": release.VERSION, "Details": details},
                {"Name": "Kubernetes API", "Version": release.KUBERNETES, "Details": {}},
            ],
            "Version": release.VERSION,
            "ApiVersion": str(versions.NEWEST),
            "MinAPIVersion": str(versions.OLDEST),
            "GitCommit": built,
            "GoVersion": "",
            "Os": "linux",
            "Arch": architecture,
            "KernelVersion": platform.release(),
        }
    )


async def info(call: Call) -> web.Response:
    """Of the machine what its Node says; of the cluster the sums."""
    documents = await nodes.known(call)
    here = nodes.local(documents, call.engine.address)
    view = here.view(nodes.NodeView) if here is not None else None
    containers = await pods.states(call, here.name if here is not None else "")
    resources = nodes.resources(view) if view is not None else {"NanoCPUs": 0, "MemoryBytes": 0}
    facts = view.status.node_info if view is not None else None
    found: Json = {
        "ID": swarm_id(await swarm.cluster(call)),
        "Containers": sum(containers.values()),
        "ContainersRunning": containers.get("running", 0),
        "ContainersPaused": 0,
        "ContainersStopped": sum(count for state, count in containers.items() if state != "running"),
        "Images": len(view.status.images or ()) if view is not None else 0,
        "Driver": "overlayfs",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["host", "null", "overlay"],
            "Authorization": None,
            "Log": ["json-file"],
        },
        "MemoryLimit": True,
        "SwapLimit": False,
        "CpuCfsPeriod": True,
        "CpuCfsQuota": True,
        "CPUShares": True,
        "CPUSet": False,
        "PidsLimit": True,
        "IPv4Forwarding": True,
        "OomKillDisable": False,
        "Debug": False,
        "NFd": 0,
        "NGoroutines": 0,
        "SystemTime": objects.now(call.engine.clock.now()),
        "LoggingDriver": "json-file",
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": "1",
        "NEventsListener": 0,
        "KernelVersion": facts.kernel_version if facts else platform.release(),
        "OperatingSystem": facts.os_image if facts else "Linux",
        "OSVersion": "",
        "OSType": "linux",
        "Architecture": platform.machine(),
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {"IndexConfigs": {}, "InsecureRegistryCIDRs": [], "Mirrors": []},
        "NCPU": resources["NanoCPUs"] // 1_000_000_000,
        "MemTotal": resources["MemoryBytes"],
        "GenericResources": None,
        "DockerRootDir": str(call.engine.data_dir),
        "HttpProxy": "",
        "HttpsProxy": "",
        "NoProxy": "",
        "Name": here.name if here is not None else platform.node(),
        "Labels": [],
        "ExperimentalBuild": False,
        "ServerVersion": release.VERSION,
        "Runtimes": {"runc": {"path": "runc"}},
        "DefaultRuntime": "runc",
        "Swarm": await swarm.info(call),
        "LiveRestoreEnabled": True,
        "Isolation": "",
        "InitBinary": "",
        "ContainerdCommit": {"ID": facts.container_runtime_version if facts else ""},
        "RuncCommit": {"ID": ""},
        "InitCommit": {"ID": ""},
        "SecurityOptions": ["name=seccomp,profile=builtin"],
        "Warnings": [],
    }
    return answer(found)


def swarm_id(cluster: Json) -> str:
    """Docker's own identifier of a daemon: the cluster's, for whichever manager answers."""
    return str(cluster["ID"])


ROUTES = (
    Route("GET", "/_ping", ping),
    Route("GET", "/version", version),
    Route("GET", "/info", info),
)
