from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.kinds import attachments
from motet.kinds.attachments import ANNOTATION, NetworkKey, parse, text

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
aliases = st.from_regex(r"[a-z0-9_]{1,6}(\.[a-z0-9_]{1,6})?", fullmatch=True)
keys = st.builds(NetworkKey, labels, labels)


@given(st.dictionaries(keys, st.lists(aliases, unique=True, max_size=3).map(tuple), min_size=1, max_size=5), labels)
def test_what_is_written_is_read_back(given_: dict[NetworkKey, tuple[str, ...]], namespace: str) -> None:
    assert parse(text(given_, namespace), namespace) == given_


def test_networks_are_separated_by_blanks_and_aliases_by_commas() -> None:
    assert parse(" front\tback=db,my_db\nshop/public ", "blog") == {
        NetworkKey("blog", "front"): (),
        NetworkKey("blog", "back"): ("db", "my_db"),
        NetworkKey("shop", "public"): (),
    }


@pytest.mark.parametrize(
    ("given_", "complaint"),
    [
        ("", "expected networks separated by blanks"),
        ("front,back", "'front,back' is no network"),
        ("Front", "'Front' is no network"),
        ("/back", "'/back' is no network"),
        ("a/b/c", "'a/b/c' is no network"),
        ("back default/back", "'default/back' is named twice"),
        ("back=", "'' is no alias"),
        ("back=DB", "'DB' is no alias"),
        ("back=a..b", "'a..b' is no alias"),
        (" ".join(f"n{number}" for number in range(33)), "33 networks; at most 32 are possible"),
    ],
)
def test_what_is_no_list_of_networks_is_refused_with_its_place(given_: str, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + complaint):
        parse(given_, "default")


def test_an_annotation_that_cannot_be_read_is_a_network_of_nobody_else() -> None:
    (alone,) = attachments.of({ANNOTATION: "?"}, "default")
    assert alone.namespace == ""


def test_without_the_annotation_there_is_no_network() -> None:
    assert attachments.of({"other": "x"}, "default") == attachments.of(None, "default") == {}
