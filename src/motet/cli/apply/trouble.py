"""What to tell somebody whose service does not come up: the reason, its last words, and what to type next."""

from __future__ import annotations

import msgspec

from motet.base.errors import ApiError
from motet.cli.apply.run import UpFailed
from motet.cli.compose.translate import object_name
from motet.cli.output import clean
from motet.client.remote import RemoteClient
from motet.kinds import event as event_kind

_LINES = 12
_EVENTS = 3


class _About(msgspec.Struct, gc=False, frozen=True):
    name: str = ""
    kind: str = ""


class _EventView(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    involved_object: _About = _About()
    type: str = ""
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None


async def explain(client: RemoteClient, project: str, failed: UpFailed) -> str:
    """The whole story of a failure, as text."""
    parts = [str(failed)]
    failure = failed.failure
    if failure is not None and failure.container:
        if words := await _last_words(client, project, failure.pod, failure.container, again=failure.restarts > 0):
            parts += ["  its last words:", *(f"    {line}" for line in words)]
    elif failed.service and (events := await _warnings(client, project, object_name(failed.service))):
        parts += ["  what was reported:", *(f"    {line}" for line in events)]
    parts.append(f"  next: {_next_step(failed)}")
    return "\n".join(parts)


def _next_step(failed: UpFailed) -> str:
    reason = failed.failure.reason if failed.failure else ""
    if reason in ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"):
        return "check `image` in the file, or bring the image with: motet image import FILE.tar"
    if reason == "CreateContainerConfigError":
        return "check the secrets, configs and `user` of the service, then: motet up"
    if reason in ("RunContainerError", "CreateContainerError"):
        return "check `command`, `entrypoint` and `volumes` of the service, then: motet up"
    if reason == "Unschedulable":
        return "see what the node has left with: motet status"
    if failed.service:
        return "mend the service, then: motet up (a longer wait: --timeout SECONDS)"
    return "see what the cluster says with: motet status"


async def _last_words(client: RemoteClient, project: str, pod: str, container: str, *, again: bool) -> list[str]:
    """The last lines of the container; of the run before when the present one has not said anything."""
    for previous in (False, True) if again else (False,):
        query = {"container": container, "tailLines": str(_LINES)} | ({"previous": "true"} if previous else {})
        try:
            body = b"".join(
                [
                    piece
                    async for piece in client.stream(f"/api/v1/namespaces/{project}/pods/{pod}/log", query, silence=5)
                ]
            )
        except ApiError:
            continue
        if lines := [clean(line) for line in body.decode(errors="replace").splitlines()]:
            return lines[-_LINES:]
    return []


async def _warnings(client: RemoteClient, project: str, service: str) -> list[str]:
    try:
        events = [document.view(_EventView) for document in await client.list(event_kind.KIND, project)]
    except ApiError:
        return []
    about = [
        event
        for event in sorted(events, key=lambda item: item.last_timestamp or "")
        if event.type == "Warning" and event.involved_object.name.startswith(service)
    ]
    return list(dict.fromkeys(f"{event.reason}: {clean(event.message)}" for event in about))[-_EVENTS:]
