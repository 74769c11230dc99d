"""Which requests are written down."""

from __future__ import annotations

import pytest

from motet.api.attributes import Attributes
from motet.api.http.audit import policy
from motet.api.http.audit.policy import BadPolicy, Level
from motet.api.users import User

EVE, NODE = User("eve", ("dev",)), User("system:node:n1", ("system:nodes",))


def written(rules: str, asked: Attributes, user: User = EVE) -> Level:
    return policy.parse(f"apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n{rules}").decide(user, asked).level


POD = Attributes("create", resource="pods", namespace="shop", name="web")


@pytest.mark.parametrize(
    ("rule", "level"),
    [
        ("{level: Request}", Level.REQUEST),
        ("{level: Request, users: [eve]}", Level.REQUEST),
        ("{level: Request, users: [fred]}", Level.NONE),
        ("{level: Request, userGroups: [dev]}", Level.REQUEST),
        ("{level: Request, verbs: [create]}", Level.REQUEST),
        ("{level: Request, verbs: [get]}", Level.NONE),
        ('{level: Request, resources: [{group: "", resources: [pods]}]}', Level.REQUEST),
        ('{level: Request, resources: [{group: "", resources: [pods/status]}]}', Level.NONE),
        ('{level: Request, resources: [{group: "", resources: ["*"]}]}', Level.REQUEST),
        ("{level: Request, resources: [{group: apps}]}", Level.NONE),
        ('{level: Request, resources: [{group: "", resources: [pods], resourceNames: [web]}]}', Level.REQUEST),
        ("{level: Request, namespaces: [shop]}", Level.REQUEST),
        ("{level: Request, namespaces: [other]}", Level.NONE),
        ('{level: Request, nonResourceURLs: ["*"]}', Level.NONE),
    ],
)
def test_a_rule_fits_when_all_it_says_fits(rule: str, level: Level) -> None:
    assert written(f"- {rule}", POD) == level


def test_the_first_rule_that_fits_decides() -> None:
    assert written("- {level: None, verbs: [create]}\n- {level: Metadata}", POD) == Level.NONE
    assert written("- {level: None, verbs: [get]}\n- {level: Metadata}", POD) == Level.METADATA


def test_paths_have_rules_of_their_own() -> None:
    rule = "- {level: Metadata, nonResourceURLs: [/healthz*, /version]}"
    opened = [
        path
        for path in ("/healthz", "/healthz/x", "/version", "/versions")
        if written(rule, Attributes("get", path=path))
    ]
    assert opened == ["/healthz", "/healthz/x", "/version"]


@pytest.mark.parametrize(
    "asked",
    [
        Attributes("create", resource="secrets"),
        Attributes("create", resource="serviceaccounts", subresource="token"),
        Attributes("create", "authentication.k8s.io", "tokenreviews"),
    ],
)
def test_bodies_that_hold_secrets_are_never_written_down(asked: Attributes) -> None:
    assert written("- {level: RequestResponse}", asked) == Level.METADATA


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "cannot be read"),
        ("{apiVersion: v1, kind: Policy}", "not a Policy of audit.k8s.io/v1"),
        (
            "{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: Everything}]}",
            r"rules\[0\].level is 'Everything'",
        ),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy, rules: [{level: None, colour: red}]}", "colour"),
        ("{apiVersion: audit.k8s.io/v1, kind: Policy, omitStages: [Never]}", "omitStages is 'Never'"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_by_field(text: str, words: str) -> None:
    with pytest.raises(BadPolicy, match=words):
        policy.parse(text)


@pytest.mark.parametrize(
    ("user", "asked", "level"),
    [
        (EVE, POD, Level.METADATA),
        (EVE, Attributes("get", resource="pods", name="web"), Level.NONE),
        (EVE, Attributes("get", resource="secrets", name="s"), Level.METADATA),
        (EVE, Attributes("get", resource="pods", subresource="exec", name="web"), Level.METADATA),
        (EVE, Attributes("update", "coordination.k8s.io", "leases"), Level.NONE),
        (NODE, Attributes("patch", resource="pods", subresource="status"), Level.NONE),
        (EVE, Attributes("get", path="/version"), Level.NONE),
        (EVE, Attributes("post", path="/motet/v1/join"), Level.METADATA),
    ],
)
def test_usually_changes_and_looks_at_secrets_are_written_down(user: User, asked: Attributes, level: Level) -> None:
    assert policy.usual().decide(user, asked).level == level
