"""How far compaction may go so that enough history remains."""

from __future__ import annotations

from motet.store.retention import Retention


def test_nothing_is_given_up_before_the_time_has_passed() -> None:
    retention = Retention(keep=300)
    assert [retention.note(now, now * 10) for now in (0, 60, 120, 299)] == [0, 0, 0, 0]


def test_what_was_current_so_long_ago_may_go() -> None:
    retention = Retention(keep=300)
    given = [retention.note(now, now * 10) for now in range(0, 601, 60)]
    assert given == [0, 0, 0, 0, 0, 0, 600, 1200, 1800, 2400, 3000]


def test_after_a_pause_the_newest_old_enough_counts() -> None:
    retention = Retention(keep=300)
    for now, revision in ((0, 1), (60, 2), (120, 3)):
        retention.note(now, revision)
    assert retention.note(10_000, 9) == 3
