"""Processes and interfaces as /proc has them."""

import os

from motet.agent import processes
from motet.agent.insides import signal_of

_DEV = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  eth0: 1010 12 1 2 0 0 0 0 472 6 3 4 0 0 0 0
"""


def test_a_process_tells_who_and_what_it_is() -> None:
    (found,) = processes.of([os.getpid(), 2**22 + 5])
    assert (found.pid, found.parent, found.uid) == (os.getpid(), os.getppid(), os.getuid())
    assert "py" in found.command


def test_the_oldest_process_is_first() -> None:
    assert [each.pid for each in processes.of([os.getpid(), os.getppid()])] == [os.getppid(), os.getpid()]


def test_interfaces_count_what_came_and_went() -> None:
    found = processes.interfaces(_DEV)
    assert list(found) == ["eth0"]
    assert (found["eth0"]["rx_bytes"], found["eth0"]["tx_bytes"], found["eth0"]["tx_dropped"]) == (1010, 472, 4)


def test_signals_have_names_and_numbers() -> None:
    assert {signal_of("KILL"), signal_of("SIGKILL"), signal_of("9")} == {9}
