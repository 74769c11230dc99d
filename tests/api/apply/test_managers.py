import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.api.apply import apply, created, fields, track
from motet.base.errors import Conflict
from motet.kinds.schema import table

DEPLOYMENT = table.get("io.k8s.api.apps.v1.Deployment")
NOON = "2026-01-01T12:00:00Z"
LATER = "2026-01-01T13:00:00Z"


def deployment(*containers, labels=None, **spec):
    if containers:
        spec["template"] = {"spec": {"containers": list(containers)}}
    metadata = {"name": "web"} | ({"labels": labels} if labels else {})
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def applied(live, document, manager="one", time=NOON, **options):
    return apply(DEPLOYMENT, live, document, manager=manager, time=time, **options)


def updated(live, document, manager="editor", time=NOON, **options):
    return track(DEPLOYMENT, live, document, manager=manager, time=time, **options)


def books(document):
    return {entry["manager"]: entry["fieldsV1"] for entry in document["metadata"].get("managedFields", [])}


def bare(document):
    metadata = {name: value for name, value in document["metadata"].items() if name != "managedFields"}
    return {**document, "metadata": metadata}


def test_an_applied_object_says_who_owns_what():
    live = applied({}, deployment({"name": "a", "image": "x"}, labels={"app": "web"}, replicas=2))
    [entry] = live["metadata"]["managedFields"]
    assert entry == {
        "manager": "one",
        "operation": "Apply",
        "apiVersion": "apps/v1",
        "time": NOON,
        "fieldsType": "FieldsV1",
        "fieldsV1": {
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:template": {"f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}}},
            },
        },
    }


def test_applying_the_same_again_changes_nothing():
    live = applied({}, deployment(replicas=2))
    assert applied(live, deployment(replicas=2), time=LATER) == live


def test_a_field_left_out_is_removed():
    live = applied({}, deployment(replicas=2, paused=True))
    assert bare(applied(live, deployment(replicas=2))) == deployment(replicas=2)


def test_a_field_left_out_stays_when_somebody_else_owns_it_too():
    live = applied(applied({}, deployment(replicas=2)), deployment(replicas=2), "two")
    live = applied(live, deployment())
    assert live["spec"]["replicas"] == 2
    assert books(live) == {"one": {"f:spec": {}}, "two": {"f:spec": {"f:replicas": {}}}}


def test_a_field_nobody_applied_stays():
    live = applied({}, deployment(replicas=2))
    live["spec"]["progressDeadlineSeconds"] = 600
    assert applied(live, deployment(replicas=3))["spec"] == {"replicas": 3, "progressDeadlineSeconds": 600}


def test_changing_another_managers_field_is_a_conflict_that_names_it():
    live = applied({}, deployment(replicas=2))
    with pytest.raises(Conflict) as caught:
        applied(live, deployment(replicas=3), "two")
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "one" using apps/v1: .spec.replicas'
    assert caught.value.details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one" using apps/v1', "field": ".spec.replicas"}
    ]


def test_all_conflicts_are_listed():
    live = applied({}, deployment({"name": "a", "image": "x"}, replicas=2))
    with pytest.raises(
        Conflict, match=r'conflicts with "one" using apps/v1:\n- \.spec\.replicas\n- \.spec\.template'
    ) as caught:
        applied(live, deployment({"name": "a", "image": "y"}, replicas=3), "two")
    assert caught.value.details["causes"][1]["field"] == '.spec.template.spec.containers[name="a"].image'


def test_agreeing_is_no_conflict():
    live = applied(applied({}, deployment(replicas=2)), deployment(replicas=2), "two")
    assert books(live).keys() == {"one", "two"}


def test_force_takes_the_field_over():
    live = applied({}, deployment(replicas=2, paused=True))
    live = applied(live, deployment(replicas=3), "two", force=True)
    assert live["spec"] == {"replicas": 3, "paused": True}
    assert books(live) == {"one": {"f:spec": {"f:paused": {}}}, "two": {"f:spec": {"f:replicas": {}}}}


def test_an_item_left_out_goes_with_what_was_defaulted_in_it():
    live = applied({}, deployment({"name": "a", "image": "x"}, {"name": "b", "image": "x"}))
    live["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = "Always"
    live = applied(live, deployment({"name": "b", "image": "x"}))
    assert live["spec"]["template"]["spec"]["containers"] == [{"name": "b", "image": "x"}]


def test_items_of_two_managers_live_side_by_side():
    live = applied({}, deployment({"name": "a", "image": "x"}))
    live = applied(live, deployment({"name": "side", "image": "s"}), "two")
    names = [item["name"] for item in live["spec"]["template"]["spec"]["containers"]]
    assert names == ["a", "side"]


def test_ports_without_protocol_are_the_tcp_ones():
    with_port = {"name": "a", "ports": [{"containerPort": 80}]}
    live = applied({}, deployment(with_port))
    live["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = "TCP"
    again = applied(live, deployment({"name": "a", "ports": [{"containerPort": 80, "name": "http"}]}))
    assert again["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP", "name": "http"}
    ]


def test_an_atomic_list_is_one_field():
    live = applied({}, deployment({"name": "a", "args": ["x"]}))
    with pytest.raises(Conflict, match=r'containers\[name="a"\]\.args'):
        applied(live, deployment({"name": "a", "args": ["y"]}), "two")


def test_a_plain_update_owns_what_it_changed():
    live = updated({}, deployment(replicas=1, paused=True), "creator")
    live = updated(live, {**live, "spec": {"replicas": 5, "paused": True}}, time=LATER)
    assert books(live)["editor"] == {"f:spec": {"f:replicas": {}}}
    assert books(live)["creator"] == {"f:spec": {"f:paused": {}}}


def test_an_update_that_removes_a_field_leaves_it_to_nobody():
    live = updated({}, deployment(replicas=1, paused=True), "creator")
    live = updated(live, {**live, "spec": {"replicas": 1}})
    assert books(live) == {"creator": {"f:spec": {"f:replicas": {}}}}


def test_an_update_without_changes_keeps_the_books():
    live = updated({}, deployment(replicas=1), "creator")
    assert updated(live, live, time=LATER) == live


def test_labels_of_a_create_are_owned_with_their_map():
    live = updated({}, deployment(labels={"app": "web"}))
    assert books(live)["editor"]["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}


def test_the_status_writer_is_a_manager_of_its_own():
    live = updated({}, deployment(replicas=1))
    live = updated(live, {**live, "status": {"replicas": 1}}, subresource="status")
    entries = [(entry["manager"], entry.get("subresource", "")) for entry in live["metadata"]["managedFields"]]
    assert entries == [("editor", ""), ("editor", "status")]


containers = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"image": st.sampled_from("xy")}),
    max_size=3,
    unique_by=lambda item: item["name"],
)
deployments = st.builds(
    lambda items, spec: deployment(*items, **spec),
    containers,
    st.fixed_dictionaries({}, optional={"replicas": st.integers(0, 2), "paused": st.booleans()}),
)


def says(part, whole):
    if isinstance(part, dict):
        return all(name in whole and says(value, whole[name]) for name, value in part.items())
    if isinstance(part, list) and part and isinstance(part[0], dict):
        return all(any(says(item, other) for other in whole) for item in part)
    return part == whole


@given(deployments, deployments, deployments)
def test_what_was_applied_shows_and_applying_again_is_a_fixed_point(first, second, third):
    live = applied(applied({}, first), second, "two", force=True)
    before = copy.deepcopy(live)
    live_after = applied(live, third, time=LATER, force=True)
    assert live == before
    assert says(third, live_after)
    assert applied(live_after, third, time="2026-01-02T00:00:00Z", force=True) == live_after


@given(deployments)
def test_a_lone_manager_gets_exactly_what_it_applies(document):
    live = applied(applied({}, deployment({"name": "z"}, replicas=9)), document)
    without_empty = {name: value for name, value in bare(live).items() if value != {}}
    assert without_empty == {name: value for name, value in document.items() if value != {}}


@given(deployments)
def test_fields_survive_their_wire_form(document):
    places = fields.of(DEPLOYMENT, document)
    tree = fields.encode(places)
    assert fields.decode(tree) == places
    assert all(fields.holds(tree, place) for place in places)
    assert not fields.holds(tree, ("f:spec", "f:neverSet"))


@given(deployments, st.dictionaries(st.sampled_from("xy"), st.just("1")))
def test_a_new_object_is_booked_the_same_by_the_short_way(document, labels):
    document["metadata"]["labels"] = labels
    document["spec"]["selector"] = {"matchLabels": labels}
    tracked = updated({}, document)
    assert created(DEPLOYMENT, document, manager="editor", time=NOON) == tracked["metadata"].get("managedFields", [])
