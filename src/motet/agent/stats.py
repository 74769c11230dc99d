"""The least of the kubelet's summary API: processor time and memory of the node and of each pod, from their cgroups."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from motet.base.timestamps import format_time
from motet.pods import resources
from motet.pods.spec import Pod
from motet.runtime.cgroups import Cgroups


def summary(node_name: str, pods: Iterable[Pod], cgroups: Cgroups, parent: str, now: datetime) -> dict[str, Any]:
    """`parent` is the group that holds the pods' groups."""
    stamp = format_time(now)
    return {
        "node": {"nodeName": node_name, **_figures(cgroups, parent, stamp)},
        "pods": [
            {
                "podRef": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
                **_figures(cgroups, f"{parent}/{resources.qos_class(pod).lower()}/pod{pod.metadata.uid}", stamp),
            }
            for pod in pods
        ],
    }


def _figures(cgroups: Cgroups, path: str, stamp: str) -> dict[str, Any]:
    usage = cgroups.usage(path)
    if usage is None:
        return {}
    return {
        "cpu": {"time": stamp, "usageCoreNanoSeconds": usage.cpu},
        "memory": {"time": stamp, "usageBytes": usage.memory, "workingSetBytes": usage.working_set},
        "process_stats": {"process_count": usage.pids},
    }
