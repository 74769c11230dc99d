"""`docker exec`: a command in a running container, on whatever node it is."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from motet.api.users import MASTERS
from motet.dialects.docker import rights
from motet.dialects.docker.call import Call, answer, empty
from motet.dialects.docker.containers import hijack, known, process
from motet.dialects.docker.containers.keys import keys_of
from motet.dialects.docker.containers.known import Container
from motet.dialects.docker.containers.process import Detached, Process
from motet.dialects.docker.errors import DockerError, bad, unsupported
from motet.dialects.docker.execs import Exec
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.router import Route

Json = dict[str, Any]

# Sets directory and environment where the runtime cannot: DIRECTORY NAME=VALUE... -- COMMAND...
_SCRIPT = 'cd -- "$1" || exit 126; shift; while [ "$1" != -- ]; do export "$1"; shift; done; shift; exec "$@"'


def command_of(fields: Fields) -> tuple[str, ...]:
    """What is run. With a directory or an environment of its own it goes by the container's shell."""
    command = fields.texts("Cmd")
    if not command:
        raise bad("No exec command specified")
    directory, environment = fields.text("WorkingDir"), fields.texts("Env")
    if wrong := next(
        (each for each in environment if not each.partition("=")[0].isidentifier() or "=" not in each), ""
    ):
        raise unsupported(fields.at("Env"), f"{wrong!r} is not NAME=VALUE")
    if not directory and not environment:
        return tuple(command)
    return ("/bin/sh", "-c", _SCRIPT, "sh", directory or ".", *environment, "--", *command)


def new(fields: Fields, container: str, user: str) -> Exec:
    """`user` is who asks for it. Raises DockerError for what cannot be honoured."""
    command = command_of(fields)
    user = fields.text("User")
    if user:
        raise unsupported(fields.at("User"), "a command runs as the container's own user")
    fields.refuse("a command has the privileges of its container", "Privileged")
    keys = fields.text("DetachKeys")
    keys_of(keys)
    tty = fields.truth("Tty")
    made = Exec(
        user=user,
        container=container,
        command=command,
        shown={"arguments": fields.texts("Cmd")[1:], "entrypoint": fields.texts("Cmd")[0], "detach_keys": keys},
        tty=tty,
        stdin=fields.truth("AttachStdin"),
        stdout=fields.truth("AttachStdout"),
        stderr=fields.truth("AttachStderr"),
        size=_size(fields),
    )
    fields.ignore("Detach", "Container", "Width", "Height", "Running")
    fields.finish()
    return made


def _size(fields: Fields) -> tuple[int, int] | None:
    """(columns, rows) of `ConsoleSize`, which is (rows, columns)."""
    given = fields.raw("ConsoleSize")
    if given is None:
        return None
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(each, int) and each >= 0 for each in given):
        raise bad(f"{fields.at('ConsoleSize')}: expected a height and a width")
    return given[1], given[0]


async def create(call: Call) -> web.Response:
    container = await known.found_in(call)
    if container.state != known.RUNNING:
        raise DockerError(409, f"container {container.id} is not running")
    await check_right(call, container)
    made = new(await call.fields(), container.id, call.user.name)
    call.engine.sessions.add(made)
    return answer({"Id": made.id}, 201)


async def check_right(call: Call, container: Container) -> None:
    """The kernel asks again at the start; without the right there is nothing to remember. Raises DockerError 403, ApiError."""
    assert container.pod is not None
    namespace, name = container.pod.namespace, container.pod.name
    if not await rights.may(call, "create", "pods", subresource="exec", namespace=namespace, name=name):
        raise DockerError(403, f"{call.user.name} may not run commands in container {container.name}")


def found(call: Call) -> Exec:
    """The one in the path. Raises DockerError 404, also for another user's unless an administrator asks."""
    known_exec = call.engine.sessions.exec(call.path["id"])
    if known_exec is None or (known_exec.user != call.user.name and MASTERS not in call.user.groups):
        raise DockerError(404, f"No such exec instance: {call.path['id']}")
    return known_exec


async def start(call: Call) -> web.StreamResponse:
    made = found(call)
    fields = await call.fields()
    detached, tty = fields.truth("Detach"), fields.truth("Tty")
    size = _size(fields)
    fields.finish()
    if made.started:
        raise DockerError(409, f"exec command {made.id} has already run" if made.exit_code is not None else "exec runs")
    if tty != made.tty and not detached:
        raise bad("Tty: it is to be what the exec was created with")
    container = await known.find(call, made.container)
    made.started = True
    wanted = {
        "stdin": made.stdin and not detached,
        "stdout": made.stdout or detached or not (made.stdin or made.stderr),
        "stderr": made.stderr,
        "tty": made.tty,
    }
    try:
        running = await Process.open(call, container, "exec", made.command, **wanted)
    except BaseException:
        made.exit_code = 126
        raise
    if detached:
        call.engine.sessions.keep(_finish(made, running))
        return empty()
    async with hijack.taken_over(call, terminal=made.tty) as connection:
        made.terminal = running
        if found_size := size or made.size:
            await running.resize(*found_size)
        feeding = None
        if made.stdin:
            keys = keys_of(str(made.shown["detach_keys"])) if made.tty else b""
            feeding = running.feed(connection, keys)
        try:
            made.exit_code, complaint = await process.both(feeding, running.output(connection.write))
            if complaint:
                await connection.write(hijack.STDERR, f"{complaint}\r\n".encode())
        except (Detached, ConnectionError):
            # The client has left; what it began goes on, as with Docker.
            pass
        if made.exit_code is None:
            call.engine.sessions.keep(_finish(made, running))
        else:
            made.terminal = None
            await running.close()
    return hijack.gone()


async def _finish(made: Exec, running: Process) -> None:
    """Wait for the end of a command that nobody listens to."""

    async def forget(stream: int, data: bytes) -> None:
        return None

    try:
        made.exit_code, _ = await running.output(forget)
    finally:
        made.exit_code = 137 if made.exit_code is None else made.exit_code
        made.terminal = None
        await running.close()


async def resize(call: Call) -> web.Response:
    made = found(call)
    columns, rows = size_of(call)
    made.size = (columns, rows)
    if made.terminal is not None:
        await made.terminal.resize(columns, rows)
    return empty()


def size_of(call: Call) -> tuple[int, int]:
    """(columns, rows) in the query. Raises DockerError."""
    texts = [call.query.get(name, "") for name in ("w", "h")]
    if not all(text.isdigit() and int(text) < 65536 for text in texts):
        raise bad("h and w are needed: the height and the width of the terminal")
    return int(texts[0]), int(texts[1])


async def inspect(call: Call) -> web.Response:
    made = found(call)
    return answer(
        {
            "ID": made.id,
            "Running": made.running,
            "ExitCode": made.exit_code,
            "ProcessConfig": {
                "tty": made.tty,
                "entrypoint": made.shown["entrypoint"],
                "arguments": made.shown["arguments"],
                "privileged": False,
            },
            "OpenStdin": made.stdin,
            "OpenStderr": made.stderr,
            "OpenStdout": made.stdout,
            "CanRemove": False,
            "ContainerID": made.container,
            "DetachKeys": "",
            "Pid": 0,
        }
    )


ROUTES = (
    Route("POST", "/containers/{id}/exec", create),
    Route("POST", "/exec/{id}/start", start),
    Route("POST", "/exec/{id}/resize", resize),
    Route("GET", "/exec/{id}/json", inspect),
)
