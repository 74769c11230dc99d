"""Files of a volume with placeholders of Swarm's kind, filled in for one pod (Docker "Use templates in configs").

What only the node can tell is added here: its name, the variables of the first container, and what is in the secrets and
configs which that container has, by where it has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath

from motet.kinds import placeholders, podmarks
from motet.kinds.placeholders import TooLong, Values
from motet.pods import env
from motet.pods.payload import Payload
from motet.pods.security import ConfigError
from motet.pods.sources import Sources
from motet.pods.spec import Pod

_SECRETS = PurePosixPath("/run/secrets")
_ROOT = PurePosixPath("/")
# Characters of all files of a volume when they are filled in: what a ConfigMap may have. They lie in the node's memory, and a
# few of them can ask for a large one many thousand times.
_MOST = 2**20


async def expand(pod: Pod, files: Payload, sources: Sources, place: env.Place) -> Payload:
    """The files as this pod is to have them. Raises ConfigError, ApiError."""
    try:
        told = podmarks.values(pod.metadata.annotations)
    except ValueError as error:
        raise ConfigError(f"annotation {podmarks.VALUES}: {error}") from error
    own = {".Node.Hostname": place.node_name, ".Node.Platform.OS": "linux", ".Task.ID": pod.metadata.uid}
    values = Values({**own, **told.plain}, told.labels)
    texts = {name: _text(name, file.content) for name, file in files.items()}
    variables: Mapping[str, str] = {}
    if any(function == "env" for text in texts.values() for function, _ in placeholders.calls(text)):
        variables = await env.of_container(pod, pod.spec.containers[0], sources, place, ())
    found, room = {}, _MOST
    for name, text in texts.items():
        try:
            answers = await _answers(pod, name, text, variables, sources, room)
            filled = placeholders.expand(text, values, partial(_unknown, name), answers, most=room)
        except TooLong as error:
            raise ConfigError(f"file {name}: filled in, the files of a volume may have {_MOST} characters") from error
        room -= len(filled)
        found[name] = replace(files[name], content=filled.encode())
    return found


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"file {name}: what is to be filled in must be text in UTF-8") from error


def _unknown(name: str, whole: str) -> str:
    raise ConfigError(f"file {name}: there is nothing to put in for {whole}")


async def _answers(
    pod: Pod, name: str, text: str, variables: Mapping[str, str], sources: Sources, most: int
) -> dict[tuple[str, str], str]:
    """What the text asks for. Raises TooLong when that alone has more than `most` characters: each is there at least once."""
    answers = {}
    for function, of in placeholders.calls(text):
        if function == "env":
            answer = variables.get(of, "")
        else:
            answer = _text(name, await _file(pod, function, of, sources))
        most -= len(answer)
        if most < 0:
            raise TooLong(name)
        answers[function, of] = answer
    return answers


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
