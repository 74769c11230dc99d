"""HEALTHCHECKs of images as probes of the containers that wish them (`kinds/imagehealth`), as soon as the image is on the node."""

from __future__ import annotations

from typing import Any

import msgspec

from motet.kinds import imagehealth
from motet.pods.spec import ContainerSpec, Pod, Probe
from motet.runtime.interface import Runtime
from motet.runtime.references import normalise


class _Probes(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    startup_probe: Probe | None = None
    readiness_probe: Probe | None = None
    liveness_probe: Probe | None = None


class ImageHealth:
    """One pod's. What an image says is read once."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[tuple[str, str], _Probes] = {}

    async def applied(self, pod: Pod) -> Pod:
        """The pod with the probes it wished. Raises RuntimeFailure."""
        wished = imagehealth.of(pod.metadata.annotations)
        if not wished:
            return pod
        containers = []
        for container in pod.spec.containers:
            mode = wished.get(container.name)
            own = container.startup_probe or container.readiness_probe or container.liveness_probe
            containers.append(container if mode is None or own else await self._probed(container, mode))
        return msgspec.structs.replace(pod, spec=msgspec.structs.replace(pod.spec, containers=tuple(containers)))

    async def _probed(self, container: ContainerSpec, mode: str) -> ContainerSpec:
        key = (container.name, container.image)
        if key not in self._known:
            config = await self._runtime.image_config(normalise(container.image))
            if config is None:
                # It is made of the image, so by then it is here.
                return container
            made: dict[str, Any] = imagehealth.of_image(config, live=mode == imagehealth.LIVE)
            self._known[key] = msgspec.convert(made, _Probes)
        probes = self._known[key]
        return msgspec.structs.replace(
            container,
            startup_probe=probes.startup_probe,
            readiness_probe=probes.readiness_probe,
            liveness_probe=probes.liveness_probe,
        )
