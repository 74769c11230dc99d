"""Roles and bindings as a client meets them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.http.conftest import Api

RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
PODS = "/api/v1/namespaces/default/pods"
EVE = {"kind": "User", "name": "eve"}


def cluster(ref: str) -> dict[str, str]:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": ref}


async def role(api: Api, name: str, verbs: str, resources: str, who: str = "admin", **more: Any) -> tuple[int, Any]:
    rules = [{"apiGroups": [""], "resources": resources.split(), "verbs": verbs.split(), **more}]
    return await api.ask("POST", f"{RBAC}/clusterroles", {"metadata": {"name": name}, "rules": rules}, who=who)


async def bind(api: Api, name: str, to: str, where: str = "default", who: str = "admin") -> tuple[int, Any]:
    body = {"metadata": {"name": name}, "roleRef": cluster(to), "subjects": [EVE]}
    path = f"{RBAC}/namespaces/{where}/rolebindings" if where else f"{RBAC}/clusterrolebindings"
    return await api.ask("POST", path, body, who=who)


async def test_a_binding_opens_what_was_closed_and_its_end_closes_it(api: Api) -> None:
    await role(api, "reader", "list", "pods")
    assert (await api.ask("GET", PODS, who="stranger"))[0] == 403
    assert (await bind(api, "b", "reader"))[0] == 201
    assert (await api.ask("GET", PODS, who="stranger"))[0] == 200
    assert (await api.ask("GET", "/api/v1/pods", who="stranger"))[0] == 403
    await api.ask("DELETE", f"{RBAC}/namespaces/default/rolebindings/b")
    assert (await api.ask("GET", PODS, who="stranger"))[0] == 403


async def test_a_list_narrowed_to_one_name_needs_that_name_only(api: Api) -> None:
    await role(api, "one", "get list watch", "configmaps", resourceNames=["mine"])
    await bind(api, "b", "one")
    path = "/api/v1/namespaces/default/configmaps"
    assert (await api.ask("GET", path, who="stranger"))[0] == 403
    assert (await api.ask("GET", f"{path}?fieldSelector=metadata.name%3Dmine", who="stranger"))[0] == 200
    assert (await api.ask("GET", f"{path}?fieldSelector=metadata.name%3Dother", who="stranger"))[0] == 403


async def test_a_command_over_a_websocket_needs_create_and_not_only_get(api: Api) -> None:
    await role(api, "half", "get", "pods/exec")
    await bind(api, "b", "half")
    code, status = await api.ask("GET", f"{PODS}/p/exec", who="stranger")
    assert (code, "cannot create resource" in status["message"]) == (403, True)


async def test_a_put_that_makes_something_new_needs_create(api: Api) -> None:
    rules = [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]}]
    await api.ask("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "renew"}, "rules": rules})
    await bind(api, "b", "renew")
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l"
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}}
    assert (await api.ask("PUT", path, lease, who="stranger"))[0] == 403
    assert (await api.ask("PUT", path, lease))[0] == 201
    assert (await api.ask("PUT", path, lease, who="stranger"))[0] == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"rules": [{"verbs": []}]}, "verbs must contain at least one value"),
        (
            {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
            "namespaced rules cannot apply to non-resource URLs",
        ),
        ({"rules": [{"verbs": ["get"], "resources": ["x"]}]}, "resource rules must supply at least one api group"),
        ({"rules": [{"verbs": ["get"], "apiGroups": [""]}]}, "resource rules must supply at least one resource"),
    ],
)
async def test_a_rule_that_means_nothing_is_refused(api: Api, body: dict[str, Any], message: str) -> None:
    code, status = await api.ask("POST", f"{RBAC}/namespaces/default/roles", {"metadata": {"name": "r"}, **body})
    assert (code, message in status["message"]) == (422, True), status


async def test_the_role_of_a_binding_cannot_be_changed(api: Api) -> None:
    _, made = await bind(api, "b", "view")
    made["roleRef"]["name"] = "edit"
    code, status = await api.ask("PUT", f"{RBAC}/namespaces/default/rolebindings/b", made)
    assert (code, "cannot change roleRef" in status["message"]) == (422, True)


async def test_subjects_get_the_groups_that_go_without_saying_and_others_are_refused(api: Api) -> None:
    _, made = await bind(api, "b", "view")
    assert made["subjects"][0]["apiGroup"] == "rbac.authorization.k8s.io"
    subjects = [{"kind": "Robot", "name": "r"}, {"kind": "ServiceAccount", "name": "a"}]
    body = {"metadata": {"name": "c"}, "roleRef": cluster("view"), "subjects": subjects}
    code, status = await api.ask("POST", f"{RBAC}/clusterrolebindings", body)
    assert code == 422
    assert {cause["field"] for cause in status["details"]["causes"]} == {"subjects[0].kind", "subjects[1].namespace"}


async def allow_managing_roles(api: Api, *extra: dict[str, Any]) -> None:
    """eve may write roles and bindings, and read pods."""
    manage = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "update", "patch"]}
    read = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
    body = {"metadata": {"name": "manager"}, "rules": [manage, read, *extra]}
    await api.ask("POST", f"{RBAC}/clusterroles", body)
    await bind(api, "manager", "manager", "")


async def test_nobody_writes_a_role_with_more_than_they_have(api: Api) -> None:
    await allow_managing_roles(api)
    assert (await role(api, "fine", "get", "pods", who="stranger"))[0] == 201
    code, status = await role(api, "more", "get delete", "pods secrets", who="stranger")
    assert code == 403
    assert status["message"] == (
        'clusterroles.rbac.authorization.k8s.io "more" is forbidden: user "eve" (groups=["system:authenticated"]) is attempting '
        "to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets" "pods"], Verbs:["get" "delete"]}'
    )


async def test_nobody_binds_a_role_with_more_than_they_have(api: Api) -> None:
    await allow_managing_roles(api)
    await role(api, "fine", "list", "pods")
    assert (await bind(api, "fine", "fine", who="stranger"))[0] == 201
    assert (await bind(api, "more", "cluster-admin", who="stranger"))[0] == 403
    code, status = await bind(api, "nothing", "nothing", who="stranger")
    assert (code, status["message"]) == (404, 'clusterroles.rbac.authorization.k8s.io "nothing" not found')


async def test_the_verbs_escalate_and_bind_allow_it_all_the_same(api: Api) -> None:
    may = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["clusterroles"]}
    await allow_managing_roles(
        api,
        {**may, "verbs": ["escalate"], "resourceNames": ["more"]},
        {**may, "verbs": ["bind"], "resourceNames": ["admin"]},
    )
    assert (await role(api, "more", "delete", "secrets", who="stranger"))[0] == 201
    assert (await role(api, "others", "delete", "secrets", who="stranger"))[0] == 403
    assert (await bind(api, "b", "admin", who="stranger"))[0] == 201
    assert (await bind(api, "c", "cluster-admin", who="stranger"))[0] == 403


async def test_only_who_may_everything_gathers_roles(api: Api) -> None:
    await allow_managing_roles(api)
    selectors = {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}
    body = {"metadata": {"name": "all"}, "aggregationRule": selectors, "rules": []}
    code, status = await api.ask("POST", f"{RBAC}/clusterroles", body, who="stranger")
    assert (code, "must have cluster-admin privileges to use an aggregationRule" in status["message"]) == (403, True)


async def test_labelling_a_role_gives_nothing_away(api: Api) -> None:
    await role(api, "strong", "*", "*")
    await allow_managing_roles(api)
    headers = {"Content-Type": "application/merge-patch+json"}
    patch = {"metadata": {"labels": {"a": "b"}}}
    code, _ = await api.ask("PATCH", f"{RBAC}/clusterroles/strong", patch, who="stranger", headers=headers)
    assert code == 200


async def test_one_may_act_as_those_one_is_allowed_to(api: Api) -> None:
    await role(api, "as-fred", "impersonate", "users", resourceNames=["fred"])
    await bind(api, "b", "as-fred", "")
    who = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    code, review = await api.ask("POST", who, {}, who="stranger", headers={"Impersonate-User": "fred"})
    assert (code, review["status"]["userInfo"]) == (201, {"username": "fred", "groups": ["system:authenticated"]})
    for headers in ({"Impersonate-User": "admin"}, {"Impersonate-User": "fred", "Impersonate-Group": "system:masters"}):
        code, status = await api.ask("POST", who, {}, who="stranger", headers=headers)
        assert (code, 'User "eve" cannot impersonate resource' in status["message"]) == (403, True)


async def test_every_part_of_an_identity_is_taken_over(api: Api) -> None:
    headers = {
        "Impersonate-User": "system:serviceaccount:shop:robot",
        "Impersonate-Uid": "u1",
        "Impersonate-Extra-Scopes%2FX": "view",
    }
    _, review = await api.ask("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, headers=headers)
    assert review["status"]["userInfo"] == {
        "username": "system:serviceaccount:shop:robot",
        "uid": "u1",
        "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
        "extra": {"scopes/x": ["view"]},
    }


async def test_a_group_alone_cannot_be_acted_as(api: Api) -> None:
    code, _ = await api.ask("GET", PODS, headers={"Impersonate-Group": "dev"})
    assert code == 400


async def asked(api: Api, plural: str, spec: dict[str, Any], who: str = "admin", where: str = "") -> tuple[int, Any]:
    path = f"{REVIEWS}/namespaces/{where}/{plural}" if where else f"{REVIEWS}/{plural}"
    return await api.ask("POST", path, {"spec": spec}, who=who)


async def test_reviews_of_others_agree_with_what_happens_to_them(api: Api) -> None:
    await bind(api, "b", "view")
    await api.ask("PATCH", f"{RBAC}/clusterroles/view", {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]},
                  headers={"Content-Type": "application/merge-patch+json"})  # fmt: skip
    about = {"verb": "list", "resource": "pods", "namespace": "default"}
    _, review = await asked(api, "subjectaccessreviews", {"user": "eve", "resourceAttributes": about})
    assert review["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "b/default" of ClusterRole "view"',
    }
    _, review = await asked(
        api, "localsubjectaccessreviews", {"user": "eve", "resourceAttributes": about}, where="default"
    )
    assert review["status"]["allowed"] is True
    _, review = await asked(api, "selfsubjectaccessreviews", {"resourceAttributes": about}, who="stranger")
    assert review["status"]["allowed"] is True
    _, review = await asked(api, "selfsubjectrulesreviews", {"namespace": "default"}, who="stranger")
    assert {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]} in review["status"]["resourceRules"]


@pytest.mark.parametrize(
    ("plural", "spec", "code"),
    [
        ("subjectaccessreviews", {"resourceAttributes": {"verb": "get", "resource": "pods"}}, 422),
        ("subjectaccessreviews", {"user": "eve"}, 422),
        ("selfsubjectaccessreviews", {"resourceAttributes": {}, "nonResourceAttributes": {}}, 422),
        ("selfsubjectaccessreviews", {"resourceAttributes": {"verb": 7}}, 400),
        ("selfsubjectrulesreviews", {}, 400),
        ("localsubjectaccessreviews", {"user": "eve", "resourceAttributes": {"verb": "get"}}, 404),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused(
    api: Api, plural: str, spec: dict[str, Any], code: int
) -> None:
    assert (await asked(api, plural, spec))[0] == code


async def test_a_local_review_is_about_its_own_namespace(api: Api) -> None:
    spec = {"user": "eve", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "other"}}
    code, status = await asked(api, "localsubjectaccessreviews", spec, where="default")
    assert (code, "must match metadata.namespace" in status["message"]) == (422, True)


async def test_others_may_not_ask_about_others(api: Api) -> None:
    assert (await asked(api, "subjectaccessreviews", {"user": "admin"}, who="stranger"))[0] == 403


async def test_kubectl_makes_roles_and_asks_what_they_allow(api: Api) -> None:
    await api.kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods,deployments.apps")
    await api.kubectl("create", "rolebinding", "eve-reads", "--role=reader", "--user=eve")
    assert await api.kubectl("auth", "can-i", "list", "deployments.apps", "--as=eve") == "yes\n"
    assert "no" in await _answer(api, "auth", "can-i", "delete", "pods", "--as=eve")
    listed = await api.kubectl("auth", "can-i", "--list", "--as=eve")
    assert any(line.split()[:1] == ["deployments.apps"] and "[get list]" in line for line in listed.splitlines())
    assert "Role/reader" in await api.kubectl("get", "rolebindings", "-o", "wide")


async def _answer(api: Api, *arguments: str) -> str:
    """can-i says no with exit code 1."""
    try:
        return await api.kubectl(*arguments)
    except AssertionError:
        return "no"


async def test_kubectl_reconciles_roles(api: Api) -> None:
    await api.kubectl("create", "role", "reader", "--verb=get", "--resource=pods")
    manifest = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: default}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
"""
    out = await api.kubectl("auth", "reconcile", "-f", "-", stdin=manifest)
    assert "reader" in out
    assert "list" in await api.kubectl("get", "role", "reader", "-o", "jsonpath={.rules}")
