import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.network.wireguard import keys
from motet.network.wireguard.keys import Adopt, Held, KeyFiles, Make, Pair, Publish

MONTH = 30 * 86400.0
OLD, NEW = Pair("old", "-"), Pair("new", "-")


def files(directory: Path, now: Callable[[], float] = lambda: 1_000_000.0) -> KeyFiles:
    return KeyFiles(directory / "keys", now)


def test_a_fresh_key_that_is_published_is_left_alone() -> None:
    assert keys.decide(Held(OLD, 0.0), "old", MONTH) is None


@pytest.mark.parametrize("published", ["", "somebody's"])
def test_what_the_cluster_shows_wrongly_is_put_right(published: str) -> None:
    assert keys.decide(Held(OLD, 2 * MONTH), published, MONTH) == Publish("old")


def test_a_key_changes_in_three_steps_and_is_published_before_it_is_used() -> None:
    assert keys.decide(Held(OLD, MONTH), "old", MONTH) == Make()
    assert keys.decide(Held(OLD, MONTH, NEW), "old", MONTH) == Publish("new")
    assert keys.decide(Held(OLD, MONTH, NEW), "new", MONTH) == Adopt()
    assert keys.decide(Held(NEW, 0.0), "new", MONTH) is None


def test_whoever_crashed_between_making_and_publishing_goes_on_with_the_key_that_was_made() -> None:
    assert keys.decide(Held(OLD, 0.0, NEW), "old", MONTH) == Publish("new")


@given(age=st.floats(0, 3 * MONTH), published=st.sampled_from(["", "old", "new", "other"]), follows=st.booleans())
def test_from_anywhere_it_ends_with_one_key_that_is_the_one_published(
    age: float, published: str, follows: bool
) -> None:
    held = Held(OLD, age, NEW if follows else None)
    for _ in range(6):
        match keys.decide(held, published, MONTH):
            case None:
                break
            case Publish(public):
                published = public
            case Make():
                held = Held(held.current, held.age, NEW)
            case Adopt():
                assert held.next is not None
                held = Held(held.next, 0.0)
    assert keys.decide(held, published, MONTH) is None
    assert held.next is None
    assert published == held.current.public


def test_a_public_key_follows_from_its_private_one_as_rfc_7748_says() -> None:
    bob = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    public = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    assert keys.of_private(keys.text(bob)).public == keys.text(public)


def test_keys_are_for_their_owner_only_and_stay_the_same(tmp_path: Path) -> None:
    held = files(tmp_path).load()
    assert files(tmp_path).current.stat().st_mode & 0o777 == 0o600
    assert files(tmp_path).current.parent.stat().st_mode & 0o777 == 0o700
    assert files(tmp_path).load() == held


def test_a_key_that_others_could_read_is_closed_again(tmp_path: Path) -> None:
    held = files(tmp_path).load()
    files(tmp_path).current.chmod(0o644)
    assert files(tmp_path).load() == held
    assert files(tmp_path).current.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_no_key_makes_room_for_one(tmp_path: Path) -> None:
    held = files(tmp_path).load()
    files(tmp_path).current.write_text("oops")
    assert files(tmp_path).load().current != held.current


def test_age_counts_from_when_the_key_was_made(tmp_path: Path) -> None:
    files(tmp_path).load()
    assert files(tmp_path, lambda: 1_000_500.0).load().age == 500.0


def test_the_key_that_follows_takes_the_place_of_the_one_in_use(tmp_path: Path) -> None:
    first = files(tmp_path).load()
    files(tmp_path).take(Make())
    both = files(tmp_path).load()
    assert both.current == first.current
    files(tmp_path).take(Adopt())
    assert files(tmp_path).load() == Held(both.next or first.current, 0.0)


def test_the_private_half_is_not_shown() -> None:
    made = keys.generate()
    assert made.private not in repr(made)
    assert made.private not in repr(Held(made, 0.0))


@pytest.mark.parametrize("text", ["", "short", "!" * 44, base64.b64encode(bytes(31)).decode()])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        keys.of_private(text)
