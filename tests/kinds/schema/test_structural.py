import pytest

from motet.kinds.schema import structural, table, validate
from motet.kinds.schema.model import GroupVersionKind

NAME = "com.example.v1.CronTab"
OPENAPI = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["schedule"],
            "properties": {
                "schedule": {"type": "string", "pattern": r"^\S+ \S+$"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "address": {"type": "string", "format": "ipv4"},
                "either": {"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "z$"}]},
                "mood": {"type": "string", "enum": ["glad", "sad"], "nullable": True},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "steps": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "retries": {"type": "integer", "default": 3}},
                    },
                },
                "inner": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
            },
        }
    },
}


@pytest.fixture(autouse=True)
def cron_tab():
    schema = structural.resource(NAME, GroupVersionKind("example.com", "v1", "CronTab"), OPENAPI)
    table.add(schema)
    yield schema
    table.remove(NAME)


def tab(**spec):
    spec = {"schedule": "* *", **spec}
    return {"apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": "tab"}, "spec": spec}


def messages(document):
    return [error.message() for error in validate.check(NAME, document)]


def test_it_is_found_by_its_kind(cron_tab):
    assert table.find("example.com/v1", "CronTab") is cron_tab


def test_a_good_one_passes():
    assert messages(tab(replicas=2, mood=None, port="http", labels={"a": "b"}, steps=[{"name": "a"}])) == []


def test_a_wrong_type_is_a_field_error_not_a_bad_request():
    assert messages(tab(replicas="two")) == [
        'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"'
    ]


def test_value_rules_are_checked():
    assert messages(tab(replicas=11)) == [
        "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"
    ]
    assert messages(tab(schedule="never")) == [
        r"""spec.schedule: Invalid value: "never": spec.schedule in body should match '^\S+ \S+$'"""
    ]
    assert messages(tab(mood="odd")) == ['spec.mood: Unsupported value: "odd": supported values: "glad", "sad"']


def test_formats_and_combined_schemas_are_checked_too():
    assert messages(tab(address="10.0.0.1", either="az")) == []
    assert messages(tab(address="here", either="b")) == [
        'spec.address: Invalid value: "here": spec.address in body must be of type ipv4: "here"',
        '<nil>: Invalid value: "": "spec.either" must validate at least one schema (anyOf)',
        """spec.either: Invalid value: "b": spec.either in body should match '^a'""",
    ]


def test_missing_fields_are_required():
    document = tab()
    del document["spec"]
    assert messages(document) == ["spec: Required value"]


def test_unknown_fields_are_pruned_unless_preserved():
    document = tab(
        extra=1, free={"anything": [1]}, inner={"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "more": 1}
    )
    pruned = validate.prune(NAME, document)
    assert "extra" not in pruned["spec"]
    assert pruned["spec"]["free"] == {"anything": [1]}
    assert pruned["spec"]["inner"]["more"] == 1


def test_nulls_stay_where_they_mean_something():
    document = tab(mood=None, replicas=None)
    assert validate.drop_nulls(NAME, document)["spec"] == {"schedule": "* *", "mood": None}


def test_defaults_are_filled_in_nested_items_too(cron_tab):
    filled = structural.fill_defaults(cron_tab, tab(steps=[{"name": "a"}, {"name": "b", "retries": 0}]))
    assert filled["spec"]["replicas"] == 1
    assert filled["spec"]["steps"] == [{"name": "a", "retries": 3}, {"name": "b", "retries": 0}]


def test_filling_defaults_twice_changes_nothing_more(cron_tab):
    once = structural.fill_defaults(cron_tab, tab())
    assert structural.fill_defaults(cron_tab, once) is once


def test_a_resource_without_schema_keeps_everything():
    schema = structural.resource(NAME, GroupVersionKind("example.com", "v1", "CronTab"), None)
    table.add(schema)
    document = {"apiVersion": "example.com/v1", "kind": "CronTab", "metadata": {"name": "a"}, "whatever": [1]}
    assert validate.prune(NAME, document) == document


def test_list_facts_are_carried_over(cron_tab):
    steps = cron_tab.at("spec", "steps")
    assert steps is not None
    assert (steps.list_type, steps.list_keys) == ("map", ("name",))
