"""Where commits happen: in a thread of their own when every one waits for the disk, inline when none does.

With synchronous FULL a commit waits for the disk, and a disk that stalls must not stop the event loop; with NORMAL it is a
memory copy, and handing it over would cost more than it takes. One job at a time either way: while one batch is being
written the next one gathers, which is the whole of group commit. The thread is handed finished batches and runs one
statement for each, because it must fight for the interpreter lock after every statement.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable

Job = Callable[[sqlite3.Connection], None]
# Called in the event loop with what the job raised, or None.
Done = Callable[[sqlite3.Error | None], None]


class InlineCommitter:
    """Runs each job at once, in the caller."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, job: Job, done: Done) -> None:
        done(_attempt(job, self._connection))

    def stop(self) -> None:
        """Nothing to stop."""


class ThreadCommitter:
    """Runs jobs in one thread; the caller hands over the next one only after `done` of the last."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Done] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="motet-store-commit", daemon=True)
        self._thread.start()

    def run(self, job: Job, done: Done) -> None:
        self._jobs.put((job, done))

    def stop(self) -> None:
        """Let the thread end and wait for it; the caller has no job under way."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (handed := self._jobs.get()) is not None:
            job, done = handed
            error = _attempt(job, self._connection)
            try:
                self._loop.call_soon_threadsafe(done, error)
            except RuntimeError:
                # The loop is gone without `close()`: nobody is left to tell.
                return


def _attempt(job: Job, connection: sqlite3.Connection) -> sqlite3.Error | None:
    try:
        job(connection)
    except sqlite3.Error as error:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The first error is the one worth telling; SQLite rolls back by itself when it can.
            pass
        return error
    return None
