import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api.patch import STRATEGIC_PATCH, apply_patch
from motet.base.errors import BadRequest

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


def with_containers(*containers):
    return {"spec": {"containers": list(containers)}}


def merge(current, change, schema=POD):
    return apply_patch(schema, current, change, STRATEGIC_PATCH)


def names(document, field="containers"):
    return [item["name"] for item in document["spec"][field]]


def test_containers_merge_by_name():
    current = with_containers({"name": "a", "image": "1"}, {"name": "b", "image": "1"})
    merged = merge(current, with_containers({"name": "b", "image": "2"}, {"name": "c"}))
    assert merged == with_containers({"name": "a", "image": "1"}, {"name": "b", "image": "2"}, {"name": "c"})


def test_a_list_without_merge_strategy_is_replaced():
    current = with_containers({"name": "a", "args": ["x", "y"]})
    assert merge(current, with_containers({"name": "a", "args": ["z"]})) == with_containers(
        {"name": "a", "args": ["z"]}
    )


def test_an_item_is_deleted_by_directive():
    current = with_containers({"name": "a"}, {"name": "b"})
    assert names(merge(current, with_containers({"name": "a", "$patch": "delete"}))) == ["b"]


def test_deleting_an_item_that_is_not_there_adds_nothing():
    assert merge({}, with_containers({"name": "a", "$patch": "delete"})) == {"spec": {"containers": []}}


def test_a_list_is_replaced_by_directive():
    current = with_containers({"name": "a"}, {"name": "b"})
    assert names(merge(current, with_containers({"name": "c"}, {"$patch": "replace"}))) == ["c"]


def test_an_object_is_replaced_by_directive():
    current = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    change = {"metadata": {"labels": {"$patch": "replace", "c": "3"}}}
    assert merge(current, change) == {"metadata": {"labels": {"c": "3"}}}


def test_an_object_is_emptied_by_directive():
    assert merge({"metadata": {"labels": {"a": "1"}}}, {"metadata": {"labels": {"$patch": "delete"}}}) == {
        "metadata": {"labels": {}}
    }


def test_labels_merge_and_null_deletes():
    current = {"metadata": {"labels": {"a": "1", "b": "2"}}}
    assert merge(current, {"metadata": {"labels": {"a": None, "c": "3"}}}) == {
        "metadata": {"labels": {"b": "2", "c": "3"}}
    }


def test_finalizers_are_a_set():
    current = {"metadata": {"finalizers": ["a", "b"]}}
    assert merge(current, {"metadata": {"finalizers": ["b", "c"]}}) == {"metadata": {"finalizers": ["a", "b", "c"]}}


def test_primitives_are_deleted_by_directive():
    current = {"metadata": {"finalizers": ["a", "b", "c"]}}
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}
    assert merge(current, change) == {"metadata": {"finalizers": ["a", "c"]}}


def test_retain_keys_drops_the_other_members():
    current = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert merge(current, change, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_retain_keys_that_miss_a_set_field_are_refused():
    with pytest.raises(BadRequest, match="retainKeys"):
        merge({"spec": {}}, {"spec": {"strategy": {"$retainKeys": [], "type": "Recreate"}}}, DEPLOYMENT)


def test_the_order_asked_for_is_kept_with_the_servers_own_items_in_their_place():
    current = with_containers({"name": "sidecar"}, {"name": "a"}, {"name": "b"})
    change = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
            "containers": [{"name": "new"}],
        }
    }
    assert names(merge(current, change)) == ["sidecar", "b", "new", "a"]


def test_order_alone_reorders():
    current = with_containers({"name": "a"}, {"name": "b"})
    change = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(merge(current, change)) == ["b", "a"]


def test_an_item_missing_from_the_order_is_refused():
    change = {"spec": {"$setElementOrder/containers": [], "containers": [{"name": "a"}]}}
    with pytest.raises(BadRequest, match="setElementOrder"):
        merge(with_containers({"name": "a"}), change)


def test_an_item_without_its_merge_key_is_refused():
    with pytest.raises(BadRequest, match="declared merge key: name"):
        merge(with_containers({"name": "a"}), with_containers({"image": "x"}))


def test_an_unknown_directive_is_refused():
    with pytest.raises(BadRequest, match="explode"):
        merge({}, {"$patch": "explode"})


def test_directives_in_new_parts_leave_no_trace():
    change = {
        "spec": {
            "template": {
                "spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "a", "image": None}]}
            }
        }
    }
    assert merge({"spec": {}}, change, DEPLOYMENT) == {"spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}


container_lists = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"image": st.sampled_from("xyz")}),
    max_size=4,
    unique_by=lambda item: item["name"],
)


@given(container_lists, container_lists)
def test_merging_twice_is_merging_once(current, change):
    once = merge(with_containers(*current), with_containers(*change))
    assert merge(once, with_containers(*change)) == once


@given(container_lists, container_lists)
def test_merged_names_are_the_union_and_stay_unique(current, change):
    merged = names(merge(with_containers(*current), with_containers(*change)))
    assert len(set(merged)) == len(merged)
    assert set(merged) == {item["name"] for item in [*current, *change]}


@given(container_lists, container_lists, st.randoms())
def test_a_whole_order_is_obeyed(current, change, random):
    everything = sorted({item["name"] for item in [*current, *change]})
    random.shuffle(everything)
    order = [{"name": name} for name in everything]
    merged = merge(with_containers(*current), {"spec": {"containers": change, "$setElementOrder/containers": order}})
    assert names(merged) == everything
