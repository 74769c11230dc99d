"""A network namespace for a test, and a way to call Python inside it."""

from __future__ import annotations

import ctypes
import subprocess
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
T = TypeVar("T")


class NetworkNamespace:
    """Use as a context manager: it and everything in it is gone afterwards."""

    def __init__(self) -> None:
        self.name = f"mt{uuid.uuid4().hex[:8]}"

    def __enter__(self) -> NetworkNamespace:
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.ip("link set lo up")
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=True)

    def ip(self, words: str) -> str:
        """What `ip WORDS` prints in it."""
        command = ["ip", "-n", self.name, *words.split()]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def run(self, *command: str) -> str:
        """What a command prints in it."""
        inside = ["nsenter", f"--net=/run/netns/{self.name}", *command]
        return subprocess.run(inside, check=True, capture_output=True, text=True).stdout

    def inside(self, call: Callable[[], T]) -> T:
        """What `call` returns or raises, called in a thread that has entered it."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/run/netns/{self.name}") as handle:
                    if ctypes.CDLL(None, use_errno=True).setns(handle.fileno(), _CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                results.append(call())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]
