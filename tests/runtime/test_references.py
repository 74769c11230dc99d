import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.runtime import references
from motet.runtime.interface import RuntimeFailure


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("web", "docker.io/library/web:latest"),
        ("web:2", "docker.io/library/web:2"),
        ("ann/web", "docker.io/ann/web:latest"),
        ("docker.io/web", "docker.io/library/web:latest"),
        ("index.docker.io/ann/web:1", "docker.io/ann/web:1"),
        ("localhost/web:1", "localhost/web:1"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("quay.io/a/b:v1.2-x", "quay.io/a/b:v1.2-x"),
        ("web@sha256:" + "0" * 64, "docker.io/library/web@sha256:" + "0" * 64),
        ("a.b/c:1@sha256:" + "0" * 64, "a.b/c:1@sha256:" + "0" * 64),
    ],
)
def test_a_short_name_means_docker_hub(short, full):
    assert references.normalise(short) == full


@pytest.mark.parametrize("bad", ["", "Web", "web:", "a b", "a//b", "web:-x", "x.y/", ":1"])
def test_what_is_no_reference_is_refused(bad):
    with pytest.raises(RuntimeFailure) as caught:
        references.normalise(bad)
    assert caught.value.reason == "InvalidImageName"


@given(st.from_regex(r"[a-z0-9]{1,8}(/[a-z0-9]{1,8}){0,2}(:[A-Za-z0-9_]{1,8})?", fullmatch=True))
def test_a_full_name_stays_as_it_is(reference):
    full = references.normalise(reference)
    assert references.normalise(full) == full
