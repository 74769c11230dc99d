"""What is written down of requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.api.http.conftest import Api, Pki, serving

from motet.api.http.audit import policy
from motet.api.http.audit.events import Auditor
from motet.api.http.audit.log import AuditLog
from motet.base.clock import SystemClock

SECRETS = "/api/v1/namespaces/default/secrets"
CONFIGS = "/api/v1/namespaces/default/configmaps"


class Kept(AuditLog):
    """Lines kept for looking at them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SystemClock())
        self.events: list[dict[str, Any]] = []

    def write(self, line: bytes) -> None:
        self.events.append(json.loads(line))


@pytest.fixture
async def api(pki: Pki, tmp_path: Path) -> AsyncIterator[tuple[Api, Kept]]:
    kept = Kept(tmp_path / "audit.log")
    rules = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- {level: RequestResponse}"
    async with serving(pki, tmp_path, audit=Auditor(policy.parse(rules), kept, SystemClock())) as made:
        kept.events.clear()
        yield made, kept


async def test_an_event_says_who_did_what_and_how_it_was_answered(api: tuple[Api, Kept]) -> None:
    running, kept = api
    await running.ask("POST", CONFIGS, {"metadata": {"name": "c"}, "data": {"a": "b"}}, headers={"User-Agent": "me/1"})
    [event] = kept.events
    assert (event["stage"], event["level"], event["verb"]) == ("ResponseComplete", "RequestResponse", "create")
    assert event["user"]["username"] == "admin"
    assert event["objectRef"] == {"resource": "configmaps", "namespace": "default", "name": "c", "apiVersion": "v1"}
    assert event["responseStatus"]["code"] == 201
    assert (event["requestURI"], event["userAgent"], event["sourceIPs"]) == (CONFIGS, "me/1", ["127.0.0.1"])
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    assert event["requestObject"]["data"] == event["responseObject"]["data"] == {"a": "b"}


async def test_a_body_is_written_down_in_whatever_form_it_came(api: tuple[Api, Kept]) -> None:
    running, kept = api
    member = lambda number, data: bytes((number << 3 | 2, len(data))) + data  # noqa: E731
    config = member(1, member(1, b"wired")) + member(2, member(1, b"a") + member(2, b"b"))
    wire = b"k8s\0" + member(1, member(1, b"v1") + member(2, b"ConfigMap")) + member(2, config)
    async with running.session() as session:
        forms = [
            ("application/vnd.kubernetes.protobuf", wire),
            ("application/yaml", b"metadata: {name: y}\ndata: {a: b}"),
        ]
        for form, body in forms:
            async with session.post(CONFIGS, data=body, headers={"Content-Type": form}) as answer:
                assert answer.status == 201, await answer.text()
    assert [event["requestObject"]["data"] for event in kept.events] == [{"a": "b"}] * 2


async def test_secrets_are_in_no_log(api: tuple[Api, Kept]) -> None:
    running, kept = api
    secret = {"metadata": {"name": "s"}, "stringData": {"password": "correct horse"}}
    await running.ask("POST", SECRETS, secret)
    await running.ask("GET", f"{SECRETS}/s")
    await running.ask("GET", SECRETS)
    await running.ask("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "robot"}})
    _, made = await running.ask("POST", "/api/v1/namespaces/default/serviceaccounts/robot/token", {"spec": {}})
    await running.ask(
        "POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": made["status"]["token"]}}
    )
    text = json.dumps(kept.events)
    assert len(kept.events) == 6
    for hidden in ("correct horse", "Y29ycmVjdCBob3JzZQ==", made["status"]["token"]):
        assert hidden not in text


async def test_who_is_refused_is_written_down_with_the_reason(api: tuple[Api, Kept]) -> None:
    running, kept = api
    await running.ask("DELETE", f"{CONFIGS}/c", who="stranger")
    await running.ask("DELETE", f"{CONFIGS}/c", who="")
    refused, unknown = kept.events
    assert (refused["user"]["username"], refused["responseStatus"]["code"]) == ("eve", 403)
    assert refused["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert (unknown["user"]["username"], unknown["responseStatus"]["code"], unknown["verb"]) == ("", 401, "delete")


async def test_who_acts_as_another_is_written_down_as_both(api: tuple[Api, Kept]) -> None:
    running, kept = api
    await running.ask("GET", CONFIGS, headers={"Impersonate-User": "eve"})
    [event] = kept.events
    assert (event["user"]["username"], event["impersonatedUser"]["username"]) == ("admin", "eve")


async def test_nobody_leaves_the_log_by_acting_as_somebody_who_is_not_in_it(pki: Pki, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "audit.log")
    rules = "[{level: None, userGroups: ['system:nodes']}, {level: Metadata, users: [admin]}]"
    audit = Auditor(policy.parse(f"{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: {rules}}}"), kept, SystemClock())
    async with serving(pki, tmp_path, audit=audit) as running:
        kept.events.clear()
        await running.ask(
            "GET", CONFIGS, headers={"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}
        )
    assert [event["impersonatedUser"]["username"] for event in kept.events] == ["system:node:n1"]


async def test_a_watch_is_written_down_when_it_begins(api: tuple[Api, Kept]) -> None:
    running, kept = api
    async with running.session() as session, session.get(f"{CONFIGS}?watch=1&timeoutSeconds=30"):
        assert [event["stage"] for event in kept.events] == ["ResponseStarted"]


async def test_an_answer_names_its_event(api: tuple[Api, Kept]) -> None:
    running, kept = api
    async with running.session() as session, session.get(CONFIGS, headers={"Audit-Id": "mine-1"}) as answer:
        assert answer.headers["Audit-Id"] == "mine-1"
    async with running.session() as session, session.get(CONFIGS, headers={"Audit-Id": "not\tmine"}) as answer:
        assert answer.headers["Audit-Id"] == kept.events[1]["auditID"] != "not\tmine"


async def test_what_policies_note_is_in_the_event_of_the_request(api: tuple[Api, Kept]) -> None:
    running, kept = api
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "has(object.data)", "message": "no data"}],
        "auditAnnotations": [{"key": "size", "valueExpression": "string(size(object.data))"}],
    }
    await running.ask("POST", f"{policies}ies", {"metadata": {"name": "p"}, "spec": spec})
    binding = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Audit"]}}
    await running.ask("POST", f"{policies}ybindings", binding)
    await running.ask("POST", CONFIGS, {"metadata": {"name": "c"}, "data": {"a": "b"}})
    assert kept.events[-1]["annotations"]["p/size"] == "1"
    await running.ask("POST", CONFIGS, {"metadata": {"name": "d"}})
    failures = json.loads(kept.events[-1]["annotations"]["validation.policy.admission.k8s.io/validation_failure"])
    assert failures[0]["policy"] == "p"
    assert failures[0]["message"] == "no data"
