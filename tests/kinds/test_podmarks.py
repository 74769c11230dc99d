"""What a pod's annotations may ask for."""

from __future__ import annotations

import pytest

from motet.kinds import podmarks
from motet.kinds.placeholders import Values


def test_owners_are_read_as_they_were_written() -> None:
    owners = {"secret-0": (1000, 0), "config-1": (0, 7)}
    assert podmarks.file_owners({podmarks.FILE_OWNERS: podmarks.owners_text(owners)}) == owners


def test_nothing_is_asked_for_without_annotations() -> None:
    assert podmarks.oom_score(None) is podmarks.oom_score({}) is None
    assert podmarks.file_owners(None) == {}
    assert podmarks.validate({"other": "x"}) == []


def test_a_pods_own_logs_may_be_smaller_than_the_nodes() -> None:
    assert podmarks.log_rotation(None, 10, 5) == (10, 5)
    assert podmarks.log_rotation({podmarks.LOG_SIZE: "4096", podmarks.LOG_FILES: "1"}, 10, 5) == (4096, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (podmarks.OOM_SCORE, "-998"),
        (podmarks.OOM_SCORE, "1e3"),
        (podmarks.LOG_SIZE, "4095"),
        (podmarks.LOG_SIZE, "10m"),
        (podmarks.LOG_FILES, "0"),
        (podmarks.FILE_OWNERS, "v=root:root"),
        (podmarks.VALUES, "[]"),
        (podmarks.USER, "-"),
        (podmarks.NAME_SERVERS, "dns.example.org"),
        (podmarks.NAME_SERVERS, "127.0.0.53"),
        (podmarks.NAME_SERVERS, "192.0.2.1" + ",192.0.2.1" * 8),
        (podmarks.USER, "a b"),
        (podmarks.VALUES, '{"plain":{".Task.Slot":3}}'),
        (podmarks.FILE_OWNERS, "v=1"),
        (podmarks.FILE_OWNERS, "v=4294967295:0"),
        (podmarks.FILE_OWNERS, "../v=1:1"),
    ],
)
def test_what_makes_no_sense_is_refused(key: str, value: str) -> None:
    (found,) = podmarks.validate({key: value})
    assert key in str(found)


def test_values_are_read_as_they_were_written() -> None:
    values = Values({".Task.Slot": "1"}, {"a": "b"})
    assert podmarks.values({podmarks.VALUES: podmarks.values_text(values)}) == values


def test_name_servers_are_read_as_they_were_written() -> None:
    servers = ("192.0.2.53", "2001:db8::53")
    assert podmarks.name_servers({podmarks.NAME_SERVERS: podmarks.name_servers_text(servers)}) == servers
    assert podmarks.name_servers(None) == ()
