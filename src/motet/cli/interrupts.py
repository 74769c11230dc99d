"""Ctrl-C and SIGTERM during a run: the first cancels the work, which then cleans up; the second ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Within this context the current task is cancelled by a signal, and the context ends with the usual exit code."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> Interrupts:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None

        def first(number: int) -> None:
            if self.received:
                os._exit(128 + number)
            self.received = number
            task.cancel()

        for number in _SIGNALS:
            loop.add_signal_handler(number, first, number)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        if kind is asyncio.CancelledError and self.received:
            raise SystemExit(128 + self.received) from error
