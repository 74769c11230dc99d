"""What may stand in a custom resource definition, in upstream's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from motet.kinds.custom import definition
from motet.kinds.schema import validate as schema

Json = dict[str, Any]


def crd(openapi: Json | None = None, *, version: Json | None = None, names: Json | None = None, **spec: Any) -> Json:
    one = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object"} if openapi is None else openapi},
        **(version or {}),
    }
    found = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", **(names or {})},
            "versions": [one],
            **spec,
        },
    }
    definition.KIND.default(found)
    definition.KIND.prepare_create(found)
    return found


def complaints(document: Json, old: Json | None = None) -> list[str]:
    assert schema.check(definition.KIND.schema, document) == []
    return [error.message() for error in definition.KIND.validate(document, old)]


def of_schema(properties: Json, **root: Any) -> list[str]:
    """Complaints about the schema of `spec`, with the long way to it left out."""
    openapi = {"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}, **root}
    prefix = "spec.versions[0].schema.openAPIV3Schema."
    return [text.replace(prefix, "").replace("properties[spec].properties", "") for text in complaints(crd(openapi))]


def test_names_are_filled_in_from_the_kind() -> None:
    names = crd()["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("crontab", "CronTabList")


def test_a_sound_definition_has_nothing_to_complain_about() -> None:
    assert complaints(crd()) == []


def test_its_name_is_made_of_plural_and_group() -> None:
    document = crd()
    document["metadata"]["name"] = "tabs.example.com"
    assert complaints(document) == [
        'metadata.name: Invalid value: "tabs.example.com": must be spec.names.plural+"."+spec.group'
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scope": "Everywhere"}, 'spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"'),
        ({"names": {"kind": "CronTab", "listKind": "CronTab"}}, 'spec.names.listKind: Invalid value: "CronTab": kind and listKind may not be the same'),
        ({"version": {"storage": False}}, 'spec.versions: Invalid value: ["v1"]: must have exactly one version marked as storage version'),
        ({"version": {"schema": {}}}, "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
        ({"version": {"deprecationWarning": "old"}}, 'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions'),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"),
        ({"conversion": {"strategy": "Webhook"}}, "spec.conversion.webhook.clientConfig: Required value: required when strategy is set to Webhook"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_spec_is_told(changed: Json, said: str) -> None:
    assert said in complaints(crd(**changed))


def test_a_group_needs_a_dot() -> None:
    document = crd(group="example")
    assert 'spec.group: Invalid value: "example": should be a domain with at least one dot' in complaints(document)


def test_a_webhook_has_to_speak_our_version() -> None:
    webhook = {"clientConfig": {"url": "http://here/x"}, "conversionReviewVersions": ["v7"]}
    assert complaints(crd(conversion={"strategy": "Webhook", "webhook": webhook})) == [
        "spec.conversion.webhook.clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; "
        "desired format: https://host[/path]",
        'spec.conversion.webhook.conversionReviewVersions: Invalid value: ["v7"]: must include at least one of v1, v1beta1',
    ]


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({"a": {}}, "[a].type: Required value: must not be empty for specified object fields"),
        ({"a": {"type": "text"}}, '[a].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"'),
        ({"a": {"type": "array"}}, "[a].items: Required value: must be specified"),
        ({"a": {"type": "array", "items": {}}}, "[a].items.type: Required value: must not be empty for specified array items"),
        ({"a": {"type": "string", "uniqueItems": True}}, "[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
        ({"a": {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}}, "[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"),
        ({"a": {"type": "string", "x-kubernetes-list-type": "set"}}, '[a].type: Invalid value: "string": must be array if x-kubernetes-list-type is specified'),
        ({"a": {"type": "string", "anyOf": [{"type": "string"}]}}, "[a].anyOf[0].type: Forbidden: must be empty to be structural"),
        ({"a": {"type": "string", "pattern": "("}}, None),
        ({"a": {"type": "object", "x-kubernetes-preserve-unknown-fields": False}}, "[a].x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"),
        ({"a": {"type": "object", "x-kubernetes-embedded-resource": True}}, "[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"),
        ({"a": {"type": "string", "$ref": "#/x"}}, "[a].$ref: Forbidden: $ref is not supported"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schema_is_told(properties: Json, said: str | None) -> None:
    found = of_schema(properties)
    assert len(found) == 1
    if said is not None:
        assert found == [said]
    else:
        assert found[0].startswith('[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t')


def test_keys_of_a_list_map_are_required_scalars() -> None:
    items = {"type": "object", "properties": {"name": {"type": "string", "nullable": True}}}
    steps = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name", "zone"],
        "items": items,
    }
    assert of_schema({"steps": steps}) == [
        '[steps].x-kubernetes-list-map-keys: Invalid value: ["name", "zone"]: entries must all be names of item properties',
        "[steps].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, so it "
        "must have a default or be a required property",
        "[steps].items.properties[name].nullable: Forbidden: this property is in x-kubernetes-list-map-keys, so it cannot "
        "be nullable",
    ]


def test_metadata_can_be_restricted_by_name_only() -> None:
    named = {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    assert complaints(crd(named)) == []
    labelled = {
        "type": "object",
        "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
    }
    [found] = complaints(crd(labelled))
    assert found.endswith(
        "must not specify anything other than name and generateName, but metadata is implicitly specified"
    )


def test_what_a_combination_restricts_is_specified_outside() -> None:
    [found] = of_schema({}, anyOf=[{"properties": {"spec": {"properties": {"a": {"minLength": 1}}}}}])
    assert found == "[a]: Required value: because it is defined in anyOf[0].[a]"


def test_defaults_have_to_be_what_the_schema_takes() -> None:
    assert of_schema({"a": {"type": "integer", "maximum": 3, "default": 5}}) == [
        "[a].default: Invalid value: 5:  in body should be less than or equal to 3"
    ]
    assert of_schema({"a": {"type": "object", "properties": {}, "default": {"b": 1}}}) == [
        '[a].default: Invalid value: {"b": 1}: must not have unknown fields'
    ]


def test_a_status_subresource_restricts_the_root() -> None:
    with_status = {"subresources": {"status": {}}}
    openapi = {"type": "object", "anyOf": [{"required": ["spec"]}], "properties": {"spec": {"type": "object"}}}
    [found] = complaints(crd(openapi, version=with_status))
    assert "fields are allowed at the root of the schema if the status subresource is enabled" in found


def test_paths_of_scale_are_below_spec_and_status() -> None:
    scale = {"specReplicasPath": ".status.n", "statusReplicasPath": "n"}
    assert complaints(crd(version={"subresources": {"scale": scale}})) == [
        'spec.versions[0].subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec',
        'spec.versions[0].subresources.scale.statusReplicasPath: Invalid value: "n": must be a simple json path starting with .',
    ]


def test_selectable_fields_point_to_scalars_of_the_schema() -> None:
    openapi = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}
    fields = {"selectableFields": [{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.b"}, {"jsonPath": ".spec"}]}
    found = complaints(crd(openapi, version=fields))
    assert [text.partition(":")[0] for text in found] == [
        "spec.versions[0].selectableFields[1].jsonPath",
        "spec.versions[0].selectableFields[2]",
    ]


def test_a_community_group_needs_its_approval() -> None:
    document = crd(group="batch.k8s.io")
    document["metadata"]["name"] = "crontabs.batch.k8s.io"
    [found] = complaints(document)
    assert found.startswith("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must")
    document["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, we only try"}
    assert complaints(document) == []


def test_what_objects_are_found_by_stays() -> None:
    old = crd()
    old["status"]["conditions"] = [{"type": "Established", "status": "True", "reason": "", "message": ""}]
    new = copy.deepcopy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"]["kind"] = "Tab"
    definition.KIND.prepare_update(new, old)
    assert complaints(new, old) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Tab": field is immutable',
    ]


def test_a_new_storage_version_joins_those_that_objects_may_be_in() -> None:
    old = crd()
    new = copy.deepcopy(old)
    new["spec"]["versions"][0]["storage"] = False
    new["spec"]["versions"].append({**old["spec"]["versions"][0], "name": "v2"})
    definition.KIND.prepare_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    del new["spec"]["versions"][0]
    assert complaints(new, old) == ['status.storedVersions[0]: Invalid value: "v1": must appear in spec.versions']
