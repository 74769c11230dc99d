"""Files of a volume with placeholders of Swarm's kind, filled in for one pod (Docker "Use templates in configs").

What only the node can tell is added here: its name, the variables of the first container, and what is in the secrets and
configs which that container has, by where it has them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

from motet.kinds import placeholders, podmarks
from motet.kinds.placeholders import Values
from motet.pods import env
from motet.pods.payload import Payload
from motet.pods.security import ConfigError
from motet.pods.sources import Sources
from motet.pods.spec import Pod

_SECRETS = PurePosixPath("/run/secrets")
_ROOT = PurePosixPath("/")


async def expand(pod: Pod, files: Payload, sources: Sources, place: env.Place) -> Payload:
    """The files as this pod is to have them. Raises ConfigError, ApiError."""
    try:
        told = podmarks.values(pod.metadata.annotations)
    except ValueError as error:
        raise ConfigError(f"annotation {podmarks.VALUES}: {error}") from error
    own = {".Node.Hostname": place.node_name, ".Node.Platform.OS": "linux", ".Task.ID": pod.metadata.uid}
    values = Values({**own, **told.plain}, told.labels)
    return {
        name: replace(file, content=await _filled(pod, name, file.content, values, sources, place))
        for name, file in files.items()
    }


async def _filled(pod: Pod, name: str, content: bytes, values: Values, sources: Sources, place: env.Place) -> bytes:
    def unknown(whole: str) -> str:
        raise ConfigError(f"file {name}: there is nothing to put in for {whole}")

    try:
        text = content.decode()
        asked = placeholders.calls(text)
        variables = {}
        if any(function == "env" for function, _ in asked):
            variables = await env.of_container(pod, pod.spec.containers[0], sources, place, ())
        answers = {}
        for function, of in asked:
            if function == "env":
                answers[function, of] = variables.get(of, "")
            else:
                answers[function, of] = (await _file(pod, function, of, sources)).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"file {name}: what is to be filled in must be text in UTF-8") from error
    return placeholders.expand(text, values, unknown, answers).encode()


async def _file(pod: Pod, function: str, target: str, sources: Sources) -> bytes:
    """What is in the secret or config that the container has at a place. Raises ConfigError."""
    where = str((_SECRETS if function == "secret" else _ROOT) / target)
    volumes = {volume.name: volume for volume in pod.spec.volumes or ()}
    for mount in pod.spec.containers[0].volume_mounts or ():
        volume = volumes.get(mount.name)
        if volume is None or mount.mount_path != where:
            continue
        data = None
        if function == "secret" and volume.secret is not None:
            data = await sources.secret(pod.metadata.namespace, volume.secret.secret_name)
        elif function == "config" and volume.config_map is not None:
            data = await sources.config_map(pod.metadata.namespace, volume.config_map.name)
        if data is not None and mount.sub_path in data:
            return data[mount.sub_path]
    raise ConfigError(f'the container has no {function} "{target}"')
