"""Ties a process in a container to this terminal: keys go in raw, its output comes out, its size follows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty as terminal
from collections.abc import AsyncIterator, Iterator

from aiohttp import ClientWebSocketResponse, WSMsgType

from motet.base.errors import MotetError
from motet.client import channels

_PIECE = 32 * 1024
_MOST_WAITING = 16


async def attach(socket: ClientWebSocketResponse, *, stdin: bool, tty: bool) -> int:
    """Carry bytes both ways until the process ends; returns its exit code. Raises MotetError when the connection breaks."""
    with _raw_mode() if tty else contextlib.nullcontext():
        tasks = [asyncio.ensure_future(_send_input(socket))] if stdin else []
        with _size_followed(socket) if tty else contextlib.nullcontext():
            try:
                code, complaint = await _receive(socket)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
    if complaint:
        sys.stderr.write(f"error: {complaint}\n")
    return code


async def _receive(socket: ClientWebSocketResponse) -> tuple[int, str]:
    outputs = {channels.STDOUT: sys.stdout.buffer, channels.STDERR: sys.stderr.buffer}
    async for message in socket:
        if message.type is not WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel in outputs:
            outputs[channel].write(data)
            outputs[channel].flush()
        elif channel == channels.ERROR and data:
            return channels.outcome(data)
    raise MotetError("the connection to the process was lost")


async def _send_input(socket: ClientWebSocketResponse) -> None:
    with contextlib.suppress(ConnectionError):
        async for piece in _input():
            await socket.send_bytes(channels.frame(channels.STDIN, piece))
        await socket.send_bytes(channels.end_of_input())


async def _input() -> AsyncIterator[bytes]:
    """Standard input, whatever it is: a thread reads it, since a file cannot be waited for and a terminal must stay blocking."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(_MOST_WAITING)

    def read() -> None:
        piece = b"-"
        while piece:
            try:
                piece = os.read(sys.stdin.fileno(), _PIECE)
                asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()
            except (OSError, ValueError, RuntimeError, asyncio.CancelledError):
                return

    threading.Thread(target=read, name="standard input", daemon=True).start()
    while piece := await queue.get():
        yield piece


@contextlib.contextmanager
def _raw_mode() -> Iterator[None]:
    """Every key goes to the process, Ctrl-C too."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        # Not the default, which would throw away what was typed ahead.
        terminal.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _size_followed(socket: ClientWebSocketResponse) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    sending: set[asyncio.Task[None]] = set()

    def tell() -> None:
        columns, rows = shutil.get_terminal_size()
        task = loop.create_task(socket.send_bytes(channels.resized(columns, rows)))
        sending.add(task)
        task.add_done_callback(sending.discard)

    tell()
    loop.add_signal_handler(signal.SIGWINCH, tell)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for task in sending:
            task.cancel()
