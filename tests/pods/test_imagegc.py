from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from motet.pods.imagegc import Memory, Policy, choose, to_free
from motet.runtime.interface import Image

POLICY = Policy(high=85, low=80, least_age=120)
OLD = Memory(dict.fromkeys("abc", 0.0), {"a": 500.0, "b": 300.0})


def image(name: str, size: int = 100, *, pulled: bool = True) -> Image:
    return Image(name, (f"{name}:1",), (f"{name}@sha256:x",) if pulled else (), size)


def chosen(*images: Image, in_use: str = "", wanted: int = 100, memory: Memory = OLD, now: float = 1000) -> list[str]:
    return [found.id for found in choose(images, set(in_use), {"pause:1"}, memory, wanted, now, POLICY)]


def test_the_longest_unused_go_first_until_enough_is_free():
    assert chosen(image("a"), image("b"), image("c"), wanted=150) == ["c", "b"]


def test_what_is_used_or_spared_or_was_never_pulled_stays():
    memory = Memory({"a": 0.0, "b": 0.0, "pause": 0.0})
    assert chosen(image("a"), image("b", pulled=False), image("pause"), in_use="a", memory=memory) == []


def test_what_has_just_come_stays():
    assert chosen(image("a"), memory=Memory({"a": 900.0}), now=1000) == []


def test_what_has_not_been_used_for_too_long_goes_whatever_the_disk_says():
    aged = Policy(longest=600)
    found = choose([image("a"), image("b")], set(), (), OLD, 0, 1000, aged)
    assert [one.id for one in found] == ["b"]


def test_the_disk_is_cleared_down_to_the_low_mark_once_it_passes_the_high_one():
    assert to_free(1000, 160, POLICY) == 0
    assert to_free(1000, 150, POLICY) == 50
    assert to_free(0, 0, POLICY) == 0


def test_memory_follows_what_is_there():
    seen = Memory().after([image("a"), image("b")], {"a"}, 10)
    later = seen.after([image("a"), image("b")], set(), 20)
    assert (later.idle_since(image("a")), later.idle_since(image("b"))) == (10, 10)
    assert later.after([image("b")], set(), 30).seen == {"b": 10}


@given(st.lists(st.integers(1, 500), max_size=8), st.integers(0, 2000))
def test_no_more_is_removed_than_needed(sizes: list[int], wanted: int):
    images = [image(f"i{number}", size) for number, size in enumerate(sizes)]
    memory = Memory({one.id: 0.0 for one in images})
    found = choose(images, set(), (), memory, wanted, 1000, POLICY)
    assert sum(one.size for one in found[:-1]) < max(wanted, 1)
    assert sum(one.size for one in found) >= min(wanted, sum(sizes))
