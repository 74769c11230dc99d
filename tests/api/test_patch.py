import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api import patch
from motet.api.patch import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, apply_patch
from motet.base.errors import BadRequest, Invalid, RequestEntityTooLarge, UnsupportedMediaType

POD = "io.k8s.api.core.v1.Pod"

names = st.sampled_from(["a", "b", "c", "a/b", "m~n", "0"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
without_nulls = st.recursive(
    st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(names, json_values, max_size=4)


def run(document, *operations):
    return patch.json_patch(document, list(operations))


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"op": "add", "path": "", "value": {"b": 1}}, {"b": 1}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": None}, {"op": "replace", "path": "/a", "value": 2}, {"a": 2}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, {"op": "copy", "from": "/a", "path": "/c"}, {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}, {"a": 1}),
        ({"a/b": 1, "m~n": 2}, {"op": "remove", "path": "/a~1b"}, {"m~n": 2}),
        ({"m~n": 2}, {"op": "replace", "path": "/m~0n", "value": 3}, {"m~n": 3}),
    ],
)
def test_json_patch_operations_do_what_the_rfc_says(document, operation, expected):
    assert run(document, operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": True},
        {"op": "test", "path": "/b", "value": 1},
        {"op": "remove", "path": "/b"},
        {"op": "replace", "path": "/b", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/l/7", "value": 1},
        {"op": "remove", "path": "/l/01"},
        {"op": "move", "from": "/l", "path": "/l/0"},
    ],
)
def test_an_operation_that_does_not_fit_is_invalid(operation):
    with pytest.raises(Invalid):
        run({"a": 1, "l": [1, 2]}, operation)


@pytest.mark.parametrize(
    "operations",
    [
        {},
        [1],
        [{"path": "/a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "x", "path": ""}],
    ],
)
def test_a_malformed_json_patch_is_a_bad_request(operations):
    with pytest.raises(BadRequest):
        patch.json_patch({"a": 1}, operations)


def test_a_huge_json_patch_is_refused():
    with pytest.raises(RequestEntityTooLarge):
        patch.json_patch({}, [{"op": "test", "path": "", "value": {}}] * 10_001)


@given(objects, json_values)
def test_adding_then_removing_gives_the_document_back(document, value):
    added = run(document, {"op": "add", "path": "/new", "value": value})
    assert run(added, {"op": "remove", "path": "/new"}) == document


@given(objects, objects)
def test_patching_never_changes_the_input(document, change):
    before = copy.deepcopy((document, change))
    patch.merge_patch(document, change)
    apply_patch(POD, document, change, STRATEGIC_PATCH)
    assert (document, change) == before


@given(objects, objects)
def test_a_merge_patch_applied_twice_is_applied_once(document, change):
    once = patch.merge_patch(document, change)
    assert patch.merge_patch(once, change) == once


@given(objects, st.dictionaries(names, without_nulls, max_size=4))
def test_a_merge_patch_without_nulls_shows_in_the_result(document, change):
    def shows(part, whole):
        if isinstance(part, dict):
            return isinstance(whole, dict) and all(name in whole and shows(part[name], whole[name]) for name in part)
        return part == whole

    assert shows(change, patch.merge_patch(document, change))


def test_a_merge_patch_deletes_by_null_and_replaces_lists():
    current = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert apply_patch(POD, current, {"a": {"b": None, "c": [3]}}, MERGE_PATCH) == {"a": {"c": [3]}, "d": 1}


def test_a_patch_that_is_no_object_is_a_bad_request():
    with pytest.raises(BadRequest):
        apply_patch(POD, {}, [], MERGE_PATCH)


def test_a_json_patch_cannot_turn_the_object_into_something_else():
    with pytest.raises(Invalid):
        apply_patch(POD, {}, [{"op": "replace", "path": "", "value": 1}], JSON_PATCH)


def test_apply_is_not_a_patch_of_this_kind():
    with pytest.raises(UnsupportedMediaType):
        apply_patch(POD, {}, {}, APPLY_PATCH)
