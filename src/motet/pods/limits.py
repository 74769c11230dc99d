"""Carrying out a resize: the limits of a container that runs, and of the pod's own group around it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from motet.pods import resizing
from motet.pods.execute import Tools, cgroup_of
from motet.pods.model import Observed, ResizeContainer
from motet.pods.spec import Pod
from motet.runtime.interface import Resources, RuntimeFailure


async def resize(
    tools: Tools, pod: Pod, step: ResizeContainer, observed: Observed, has: Mapping[str, Resources]
) -> None:
    """Change the limits of a running container, and those of the pod's own group before and after as it needs."""
    group = cgroup_of(tools.config, pod)
    before, limit = has[step.container_id].memory_limit, step.resources.memory_limit
    usage = await asyncio.to_thread(tools.cgroups.usage, f"{group}/{step.container_id}")
    if usage is not None and limit and (not before or limit < before) and usage.working_set > limit:
        raise RuntimeFailure(
            f"attempting to set memory limit of container {step.container} ({limit}) "
            f"below current usage ({usage.working_set})",
            "ResizeError",
        )
    if tools.cgroups.exists(group):
        await asyncio.to_thread(tools.cgroups.create, group, resizing.meanwhile(pod, observed, has))
    await tools.runtime.update_resources(step.container_id, step.resources)
    after = {**has, step.container_id: step.resources}
    if tools.cgroups.exists(group):
        await asyncio.to_thread(tools.cgroups.create, group, resizing.meanwhile(pod, observed, after))
    tools.say(pod, "Normal", "Resized", f"Resized container {step.container}", pod.container(step.container))
