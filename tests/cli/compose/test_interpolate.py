"""Variables in Compose files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.cli.compose.interpolate import fill_in, read_env_file

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "o"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$SET", "value"),
        ("a${SET}b", "avalueb"),
        ("$SET-$OTHER", "value-o"),
        ("$MISSING", ""),
        ("${MISSING-default}", "default"),
        ("${EMPTY-default}", ""),
        ("${EMPTY:-default}", "default"),
        ("${SET:-default}", "value"),
        ("${SET:+there}", "there"),
        ("${MISSING+there}", ""),
        ("${EMPTY+there}", "there"),
        ("${EMPTY:+there}", ""),
        ("${SET:?needed}", "value"),
        ("${EMPTY?needed}", ""),
        ("${MISSING:-${OTHER}}", "o"),
        ("${MISSING:-${ALSO:-deep}}", "deep"),
        ("${MISSING:-a:b}", "a:b"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("$$$SET", "$value"),
        ("cost: 5$$", "cost: 5$"),
    ],
)
def test_every_form_is_filled_in(text: str, filled: str) -> None:
    assert fill_in(text, VARIABLES) == filled


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${MISSING:?set me}", "MISSING is required: set me"),
        ("${EMPTY:?}", "EMPTY is required"),
        ("${MISSING?}", "MISSING is required"),
        ("${SET", "closing brace|expected one of"),
        ("${}", "no variable name"),
        ("${SET!x}", "expected one of"),
        ("$", "write \\$\\$"),
        ("$1", "write \\$\\$"),
        ("$(date)", "write \\$\\$"),
        ("${A:-${B}", "closing brace"),
    ],
)
def test_what_is_wrong_is_said(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        fill_in(text, VARIABLES)


@given(st.text())
def test_text_with_doubled_dollars_comes_out_as_it_was(text: str) -> None:
    assert fill_in(text.replace("$", "$$"), VARIABLES) == text


@given(st.text(alphabet="${}:-?+AB"))
def test_anything_is_either_filled_in_or_refused(text: str) -> None:
    try:
        filled = fill_in(text, {"A": "a"})
    except ValueError:
        return
    assert isinstance(filled, str)


@given(
    st.dictionaries(
        st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(alphabet=st.characters(categories=["L", "N"]))
    )
)
def test_values_are_not_filled_in_again(variables: dict[str, str]) -> None:
    for name, value in variables.items():
        assert fill_in(f"${{{name}}}", {**variables, name: f"${value}"}) == f"${value}"


def test_env_files_know_comments_quotes_and_export(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# a comment\n\nA=1\nexport B = two # not this\nC='$A #x'\nD=\"l1\\nl2\"\nE=\nF\nG=a#b\n")
    expected = {"A": "1", "B": "two", "C": "$A #x", "D": "l1\nl2", "E": "", "G": "a#b"}
    assert read_env_file(file) == expected


def test_a_bad_line_of_an_env_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "vars"
    file.write_text("A=1\n2B=x\n")
    with pytest.raises(ValueError, match="vars:2: '2B' is not a variable name"):
        read_env_file(file)
