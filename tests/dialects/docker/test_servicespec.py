"""A service in the kernel's words, and back."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from motet.controllers.appversion import version_of
from motet.dialects.docker import servicespec
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import app as app_kind
from motet.kinds import imagehealth, podmarks, processes
from motet.store.document import Document, Key, encode, stamp

Json = dict[str, Any]
SECOND = 1_000_000_000


def spec(**container: Any) -> Json:
    return {"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "busybox:1", **container}}}


def task(**members: Any) -> Json:
    made = spec()
    made["TaskTemplate"].update(members)
    return made


def app_of(body: Json, nodes: dict[str, str] | None = None) -> Json:
    around = Surroundings("default", "/v", networks={"back": "back"}, host_network=frozenset({"host"}))
    return servicespec.app_document(Fields(body), "default", around, nodes or {})


def pod_of(body: Json) -> Json:
    return app_of(body)["spec"]["template"]["spec"]


def container_of(body: Json) -> Json:
    return pod_of(body)["containers"][0]


def stored(app: Json) -> Document:
    app = deepcopy(app)
    app["metadata"]["uid"] = "7f0c1d5e-0000-4000-8000-000000000001"
    app_kind.default(app)
    return Document(Key("motet.dev/apps", "default", "web"), stamp(encode(app), 7), 7)


FULL = {
    "Name": "web",
    "Labels": {"a b": "c"},
    "TaskTemplate": {
        "ContainerSpec": {
            "Image": "busybox:1",
            "Labels": {"x": "y"},
            "Args": ["echo", "$(A)", "$$"],
            "Env": ["A=1", "B=$(A)"],
            "Hostname": "h",
            "Secrets": [{"SecretName": "key", "SecretID": "1", "File": {"Name": "k", "UID": "0", "GID": "0", "Mode": 256}}],
            "Isolation": "default",
        },
        "Resources": {"Limits": {"NanoCPUs": SECOND // 2, "MemoryBytes": 1024}},
        "RestartPolicy": {"Condition": "on-failure", "Delay": 2 * SECOND, "MaxAttempts": 3, "Window": 9 * SECOND},
        "Placement": {
            "Constraints": ["node.role==worker"],
            "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            "MaxReplicas": 2,
        },
        "Networks": [{"Target": "back", "Aliases": ["db"]}],
        "ForceUpdate": 4,
        "Runtime": "container",
    },
    "Mode": {"Replicated": {"Replicas": 3}},
    "UpdateConfig": {
        "Parallelism": 2, "Delay": SECOND // 2, "FailureAction": "rollback", "Monitor": 7 * SECOND,
        "MaxFailureRatio": 0.25, "Order": "start-first",
    },
    "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 8080, "PublishMode": "ingress"}]},
}  # fmt: skip


def test_what_went_in_comes_out() -> None:
    shown = servicespec.service_spec(stored(app_of(FULL)))
    assert servicespec.without_zeros(shown) == servicespec.without_zeros(FULL)


def test_what_is_made_of_it_is_an_app() -> None:
    app = stored(app_of(FULL)).decode()
    assert app_kind.validate(app, None) == []


def test_what_others_change_is_shown_as_it_is() -> None:
    app = app_of(FULL)
    app["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:2"
    app["spec"]["mode"] = {"replicated": {"replicas": 9}}
    shown = servicespec.service_spec(stored(app))
    assert shown["TaskTemplate"]["ContainerSpec"]["Image"] == "busybox:2"
    assert shown["Mode"] == {"Replicated": {"Replicas": 9}}


def test_dollars_mean_themselves() -> None:
    assert container_of(spec(Args=["$(A)"], Env=["B=$(A)"]))["args"] == ["$$(A)"]


def test_a_limit_reserves_nothing() -> None:
    body = task(Resources={"Limits": {"MemoryBytes": 1024}})
    assert container_of(body)["resources"] == {"limits": {"memory": "1Ki"}, "requests": {"memory": "0"}}


def test_a_service_without_a_mode_has_one_task() -> None:
    assert app_of(spec())["spec"]["mode"] == {"replicated": {"replicas": 1}}


def test_zero_replicas_are_zero() -> None:
    assert app_of({**spec(), "Mode": {"Replicated": {"Replicas": 0}}})["spec"]["mode"] == {
        "replicated": {"replicas": 0}
    }


def test_a_volume_of_a_global_service_is_each_nodes_own() -> None:
    body = {**spec(Mounts=[{"Type": "volume", "Source": "data", "Target": "/d"}]), "Mode": {"Global": {}}}
    assert pod_of(body)["volumes"][0]["hostPath"]["path"] == "/v/docker/data"


def test_the_hosts_network_is_the_nodes() -> None:
    assert pod_of(task(Networks=[{"Target": "host"}]))["hostNetwork"] is True


def test_identifiers_of_nodes_become_names() -> None:
    body = task(Placement={"Constraints": ["node.id == abc"]})
    assert app_of(body, {"abc": "n1"})["spec"]["placement"]["constraints"] == ["node.name == n1"]


def test_addresses_of_nodes_become_names() -> None:
    body = task(Placement={"Constraints": ["node.ip != 10.0.0.1"]})
    assert app_of(body, {"10.0.0.1": "n1"})["spec"]["placement"]["constraints"] == ["node.name != n1"]


def test_what_a_pod_has_no_field_for_is_an_annotation_of_it() -> None:
    body = task(Resources={"Limits": {"Pids": 9}})
    body["TaskTemplate"]["ContainerSpec"] |= {
        "OomScoreAdj": -5,
        "Secrets": [{"SecretName": "k", "File": {"Name": "k", "UID": "7", "GID": "8"}}],
    }
    annotations = app_of(body)["spec"]["template"]["metadata"]["annotations"]
    del annotations[servicespec.TASK]
    assert annotations == {
        processes.LIMIT: "9",
        podmarks.OOM_SCORE: "-5",
        podmarks.FILE_OWNERS: "secret-0=7:8",
        imagehealth.ANNOTATION: "task=live",
    }


def test_a_user_is_a_number_or_a_name_in_the_image() -> None:
    assert container_of(spec(User="7:8"))["securityContext"] == {"runAsUser": 7, "runAsGroup": 8}
    template = app_of(spec(User="nobody:8"))["spec"]["template"]
    assert template["metadata"]["annotations"][podmarks.USER] == "nobody"
    assert template["spec"]["containers"][0]["securityContext"] == {"runAsGroup": 8}
    template = app_of(spec(User="7:nogroup"))["spec"]["template"]
    assert template["metadata"]["annotations"][podmarks.USER] == "7:nogroup"
    assert "securityContext" not in template["spec"]["containers"][0]


def test_given_name_servers_are_asked_by_the_node_or_stand_in_for_its_own() -> None:
    asked = spec(DNSConfig={"Nameservers": ["192.0.2.53"], "Options": ["rotate"]})
    template = app_of(asked)["spec"]["template"]
    assert template["metadata"]["annotations"][podmarks.NAME_SERVERS] == "192.0.2.53"
    assert (template["spec"]["dnsConfig"], "dnsPolicy" in template["spec"]) == (
        {"options": [{"name": "rotate"}]},
        False,
    )
    asked["TaskTemplate"]["Networks"] = [{"Target": "host"}]
    assert pod_of(asked)["dnsPolicy"] == "Default"
    with pytest.raises(DockerError, match="name-servers"):
        app_of(spec(DNSConfig={"Nameservers": ["::"]}))


def test_the_images_own_check_counts_where_nothing_is_said() -> None:
    assert app_of(spec())["spec"]["template"]["metadata"]["annotations"][imagehealth.ANNOTATION] == "task=live"
    for test in (["NONE"], ["CMD", "true"]):
        template = app_of(spec(Healthcheck={"Test": test}))["spec"]["template"]
        assert imagehealth.ANNOTATION not in template["metadata"]["annotations"]


def test_tasks_wait_for_no_lost_node_but_those_that_belong_to_it() -> None:
    (found,) = pod_of(spec())["tolerations"]
    assert (found["key"], found["tolerationSeconds"]) == ("node.kubernetes.io/unreachable", 0)
    assert "tolerations" not in pod_of({**spec(), "Mode": {"Global": {}}})


def test_an_init_is_the_pods_own_first_process() -> None:
    assert pod_of(spec(Init=True))["shareProcessNamespace"] is True
    assert "shareProcessNamespace" not in pod_of(spec(Init=False))


def test_a_task_is_told_of_its_generic_resources_and_docker_shows_them_as_they_were_asked_for() -> None:
    wanted = {"Reservations": {"GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}}
    container = container_of(task(Resources=wanted))
    assert container["resources"]["limits"] == {"docker.motet.dev/gpu": "2"}
    assert container["env"] == [{"name": "DOCKER_RESOURCE_GPU", "value": "2"}]
    shown = servicespec.service_spec(stored(app_of(task(Resources=wanted))))["TaskTemplate"]
    assert shown["Resources"] == wanted
    assert "Env" not in shown["ContainerSpec"]


def test_a_secret_lies_in_its_folder_and_a_config_at_the_root() -> None:
    files = {
        "Secrets": [{"SecretName": "k", "File": {"Name": "k"}}],
        "Configs": [{"ConfigName": "c", "File": {"Name": "c"}}],
    }
    assert [each["mountPath"] for each in container_of(spec(**files))["volumeMounts"]] == ["/run/secrets/k", "/c"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (spec(Ulimits=[{"Name": "nofile", "Hard": 1}]), r"ContainerSpec\.Ulimits"),
        (spec(OomScoreAdj=-999), "must be a whole number from -997 to 1000"),
        (spec(Secrets=[{"SecretName": "k", "File": {"Name": "k", "UID": "me"}}]), r"File\.UID"),
        (spec(Novelty=1), r"ContainerSpec\.Novelty"),
        (spec(Privileges={"SELinuxContext": {"Disable": True}}), r"Privileges\.SELinuxContext"),
        (spec(Privileges={"Seccomp": {"Profile": "e30="}}), r"Privileges\.Seccomp\.Profile"),
        (spec(Isolation="hyperv"), r"ContainerSpec\.Isolation"),
        (spec(Env=["A"]), r"ContainerSpec\.Env"),
        (task(LogDriver={"Name": "gelf"}), r"LogDriver\.Name"),
        (task(LogDriver={"Name": "json-file", "Options": {"tag": "x"}}), r"LogDriver\.Options"),
        (spec(User="no body"), "is not USER or USER:GROUP"),
        (task(Placement={"Constraints": ["node.ip==10.9.9.9"]}), "there is no node with the address 10.9.9.9"),
        (task(Placement={"Constraints": ["node.ip!=10.0.0.0/8"]}), "networks"),
        (task(PluginSpec={"Name": "x"}), r"TaskTemplate\.PluginSpec"),
        (task(Placement={"Constraints": ["engine.labels.a==b"]}), "engine.labels"),
        ({**spec(), "Novelty": True}, "Novelty"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(body: Json, field: str) -> None:
    with pytest.raises(DockerError, match=field) as caught:
        app_of(body)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    "body", [spec(), task(Resources={}), task(Resources={}, Runtime="container", Placement={}), FULL]
)
def test_a_spec_that_comes_back_with_other_replicas_leaves_the_tasks(body: Json) -> None:
    app = app_of(body)
    back = servicespec.service_spec(stored(app)) | {"Mode": {"Replicated": {"Replicas": 50}}}
    assert version_of(app_of(back)["spec"]) == version_of(app["spec"])
