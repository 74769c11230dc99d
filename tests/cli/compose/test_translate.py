"""What becomes of a Compose project in the kernel's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet.cli.compose.source import ComposeError
from motet.cli.compose.translate import NETWORK_NAME, documents, literal
from motet.kinds import placeholders, podmarks
from motet.kinds.attachments import ANNOTATION, NetworkKey
from motet.kinds.catalogue import Catalogue
from motet.kinds.schema.validate import check
from motet.pods.env import expand
from support.compose_world import compose

RICH = """
services:
  web_1:
    image: web
    command: [sh, -c, "echo $$(date) $$$$"]
    entrypoint: [tini]
    environment: {A: "$$(B)"}
    ports: ["8080:80", "90", "127.0.0.1:7000:7"]
    volumes: ["data:/data", ./x:/x, /tmp/cache]
    secrets: [s]
    configs: [{source: c, mode: 0440}]
    healthcheck: {test: [CMD, ok], interval: 20s, timeout: 4s}
    deploy: {replicas: 2, resources: {limits: {memory: 64m, cpus: 0.5}}}
    depends_on: {init: {condition: service_completed_successfully}}
    networks: {default: {aliases: [www]}}
    read_only: true
    user: "10:20"
    cap_drop: [ALL]
    extra_hosts: [gate:192.0.2.1]
    stop_grace_period: 3s
    labels: {team: shop}
  init: {image: init}
  everywhere: {image: e, deploy: {mode: global}}
volumes: {data: }
secrets: {s: {content: hush}}
configs: {c: {content: "a=1"}}
"""


def made(tmp_path: Path, text: str = RICH) -> dict[tuple[str, str], dict[str, Any]]:
    return {(item["kind"], item["metadata"]["name"]): item for item in documents(compose(tmp_path, text), {})}


def container(tmp_path: Path) -> dict[str, Any]:
    pod = made(tmp_path)["App", "web-1"]["spec"]["template"]["spec"]
    found: dict[str, Any] = pod["containers"][0]
    return found


def test_a_project_becomes_these_documents_in_this_order(tmp_path: Path) -> None:
    assert list(made(tmp_path)) == [
        ("Namespace", "shop"),
        ("Network", "default"),
        ("Secret", "secret-s"),
        ("ConfigMap", "config-c"),
        ("PersistentVolumeClaim", "data"),
        ("Service", "web-1"),
        ("Service", "web-1-published"),
        ("Service", "web-1-published-any"),
        ("Service", "init"),
        ("Service", "everywhere"),
        ("App", "web-1"),
        ("App", "init"),
        ("App", "everywhere"),
    ]


def test_every_document_passes_its_kinds_own_rules(tmp_path: Path) -> None:
    catalogue = Catalogue()
    for document in made(tmp_path).values():
        kind = catalogue.by_kind(document["apiVersion"], document["kind"])
        assert kind is not None
        kind.default(document)
        assert check(kind.schema, document) == []
        assert kind.validate(document, None) == []


def test_replicas_and_global_become_modes(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert found["App", "web-1"]["spec"]["mode"] == {"replicated": {"replicas": 2}}
    assert found["App", "everywhere"]["spec"]["mode"] == {"global": {}}


def test_published_ports_are_balanced_chosen_or_on_the_host(tmp_path: Path) -> None:
    found = made(tmp_path)
    published, chosen = found["Service", "web-1-published"]["spec"], found["Service", "web-1-published-any"]["spec"]
    assert (published["type"], [port["port"] for port in published["ports"]]) == ("LoadBalancer", [8080])
    assert (chosen["type"], [port["targetPort"] for port in chosen["ports"]]) == ("NodePort", [90])
    assert container(tmp_path)["ports"] == [
        {"containerPort": 7, "hostPort": 7000, "protocol": "TCP", "hostIP": "127.0.0.1"}
    ]


NETWORKED = """
services:
  web: {image: w, networks: [front, back]}
  my_DB: {image: d, networks: {back: {aliases: [Store, db.inner]}}}
  plain: {image: p}
networks:
  front: {name: Shop.Front}
  back: {internal: true, driver: overlay, driver_opts: {encrypted: ""}}
  open: {attachable: true}
"""


def networks_of(tmp_path: Path, kind: str, name: str, text: str = NETWORKED) -> str:
    found = made(tmp_path, text)[kind, name]
    holder = found["spec"]["template"] if kind == "App" else found
    annotation: str = holder["metadata"]["annotations"][ANNOTATION]
    return annotation


def test_networks_become_networks_of_the_projects_namespace(tmp_path: Path) -> None:
    found = made(tmp_path, NETWORKED)
    specs = {name: item["spec"] for (kind, name), item in found.items() if kind == "Network"}
    closed = {"internal": False, "attachable": False, "encrypted": False}
    assert specs == {
        "shop-front": closed,
        "back": {"internal": True, "attachable": False, "encrypted": True},
        "open": {"internal": False, "attachable": True, "encrypted": False, "namespaces": ["*"]},
        "default": closed,
    }
    assert found["Network", "shop-front"]["metadata"]["annotations"] == {NETWORK_NAME: "Shop.Front"}
    assert found["Network", "back"]["metadata"]["annotations"] == {NETWORK_NAME: "shop_back"}


def test_a_service_is_on_the_networks_it_names_or_on_the_projects_own(tmp_path: Path) -> None:
    assert networks_of(tmp_path, "App", "web") == "shop-front back"
    assert networks_of(tmp_path, "App", "plain") == networks_of(tmp_path, "Service", "plain") == "default"


def test_aliases_are_the_services_and_so_is_a_name_that_no_object_may_have(tmp_path: Path) -> None:
    assert networks_of(tmp_path, "Service", "my-db") == "back=my_db,store,db.inner"
    assert networks_of(tmp_path, "App", "my-db") == "back"


def test_the_projects_own_network_is_made_only_where_somebody_is_on_it(tmp_path: Path) -> None:
    text = "services: {a: {image: a, networks: [n]}}\nnetworks: {n: }"
    assert [name for kind, name in made(tmp_path, text) if kind == "Network"] == ["n"]


def test_an_external_network_is_somebody_elses(tmp_path: Path) -> None:
    text = "services: {a: {image: a, networks: [proxy]}}\nnetworks: {proxy: {external: true}}"
    found = documents(compose(tmp_path, text), {}, {"proxy": NetworkKey("gate", "public")})
    assert not [item for item in found if item["kind"] == "Network"]
    assert found[-1]["spec"]["template"]["metadata"]["annotations"][ANNOTATION] == "gate/public"


def test_what_others_wait_for_to_end_is_not_started_again(tmp_path: Path) -> None:
    found = made(tmp_path)
    assert found["App", "init"]["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert found["App", "web-1"]["spec"]["template"]["spec"]["restartPolicy"] == "Always"


def test_health_checks_hurry_until_they_hold_and_never_kill(tmp_path: Path) -> None:
    found = container(tmp_path)
    assert found["readinessProbe"]["periodSeconds"] == 20
    assert found["startupProbe"]["periodSeconds"] == 1
    assert found["startupProbe"]["failureThreshold"] > 10**9
    assert "livenessProbe" not in found


def test_an_edited_config_rolls_only_the_services_that_use_it(tmp_path: Path) -> None:
    before, after = made(tmp_path), made(tmp_path, RICH.replace("a=1", "a=2"))
    changed = [key for key in before if key[0] == "App" and before[key] != after[key]]
    assert changed == [("App", "web-1")]


def test_reading_the_same_file_twice_gives_the_same_documents(tmp_path: Path) -> None:
    assert made(tmp_path) == made(tmp_path)


def test_dollars_reach_the_container_as_they_were_written(tmp_path: Path) -> None:
    found = container(tmp_path)
    environment = {"B": "never", "date": "never"}
    assert expand(found["args"][2], environment) == "echo $(date) $$"
    assert expand(found["env"][0]["value"], environment) == "$(B)"


@given(st.text(alphabet="$(){}AB "))
def test_literal_text_survives_expansion(text: str) -> None:
    assert expand(literal(text), {"A": "a", "B": "b"}) == text


def test_users_by_name_and_checks_of_images_are_left_to_the_node(tmp_path: Path) -> None:
    template = made(tmp_path, "services: {a: {image: x, user: 'app:staff'}}")["App", "a"]["spec"]["template"]
    assert "runAsUser" not in template["spec"]["containers"][0].get("securityContext", {})
    annotations = template["metadata"]["annotations"]
    assert (annotations["motet.dev/run-as-user"], annotations["motet.dev/image-health"]) == ("app:staff", "a=ready")


def test_a_check_that_is_switched_off_is_not_the_images_either(tmp_path: Path) -> None:
    found = made(tmp_path, "services: {a: {image: x, healthcheck: {disable: true}}}")["App", "a"]
    assert "motet.dev/image-health" not in found["spec"]["template"]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("given_user", "security"), [("10", {"runAsUser": 10}), ("10:20", {"runAsUser": 10, "runAsGroup": 20})]
)
def test_users_are_numbers(tmp_path: Path, given_user: str, security: dict[str, int]) -> None:
    text = f"services: {{a: {{image: x, user: '{given_user}'}}}}"
    assert made(tmp_path, text)["App", "a"]["spec"]["template"]["spec"]["containers"][0]["securityContext"] == security


def one(tmp_path: Path, body: str, top: str = "") -> dict[str, Any]:
    """The spec of the App of a service with these keys."""
    found: dict[str, Any] = made(tmp_path, f"services: {{s: {{image: x, {body}}}}}\n{top}")["App", "s"]["spec"]
    return found


def pod_of(tmp_path: Path, body: str) -> dict[str, Any]:
    found: dict[str, Any] = one(tmp_path, body)["template"]["spec"]
    return found


def test_a_limit_reserves_nothing(tmp_path: Path) -> None:
    (made_of,) = pod_of(tmp_path, "mem_limit: 64m, cpus: 0.5, mem_reservation: 32m")["containers"]
    assert made_of["resources"] == {
        "limits": {"cpu": "500m", "memory": "64Mi"},
        "requests": {"cpu": "0", "memory": "32Mi"},
    }


def test_a_restart_policy_with_more_than_a_condition_replaces_pods(tmp_path: Path) -> None:
    assert "restart" not in one(tmp_path, "restart: on-failure")
    found = one(tmp_path, "restart: 'on-failure:3'")
    assert found["restart"] == {"condition": "on-failure", "delaySeconds": 0, "maxAttempts": 3}
    assert found["template"]["spec"]["restartPolicy"] == "Never"


def test_a_job_ends(tmp_path: Path) -> None:
    found = one(tmp_path, "deploy: {mode: replicated-job, replicas: 3}")
    assert found["mode"] == {"replicatedJob": {"maxConcurrent": 3, "totalCompletions": 3}}
    assert found["restart"]["condition"] == "on-failure"
    assert "update" not in found
    assert one(tmp_path, "deploy: {mode: global-job}")["mode"] == {"globalJob": {}}


def test_shared_memory_is_a_directory_in_memory(tmp_path: Path) -> None:
    pod = pod_of(tmp_path, "shm_size: 256m")
    assert pod["volumes"] == [{"name": "mount-0", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}}]
    assert pod["containers"][0]["volumeMounts"] == [{"name": "mount-0", "mountPath": "/dev/shm"}]


def test_the_nodes_network_takes_a_service_out_of_all_others(tmp_path: Path) -> None:
    found = made(tmp_path, "services: {s: {image: x, network_mode: host, ipc: host, pid: host}}\n")
    template = found["App", "s"]["spec"]["template"]
    assert ANNOTATION not in template["metadata"]["annotations"]
    assert template["spec"]["hostNetwork"] and template["spec"]["hostIPC"] and template["spec"]["hostPID"]  # noqa: PT018
    assert ("Network", "default") not in found


def test_hooks_are_a_command_or_a_script(tmp_path: Path) -> None:
    (container,) = pod_of(
        tmp_path, "post_start: [{command: [a, 'b c']}], pre_stop: [{command: d, working_dir: /w}, {command: e}]"
    )["containers"]
    assert container["lifecycle"] == {
        "postStart": {"exec": {"command": ["a", "b c"]}},
        "preStop": {"exec": {"command": ["/bin/sh", "-c", "(cd /w && d) && (e)"]}},
    }


def test_what_depends_on_a_service_with_restart_is_replaced_with_it(tmp_path: Path) -> None:
    text = (
        "services: {s: {image: x, depends_on: {db: {condition: service_started, restart: true}}}, db: {image: IMAGE}}\n"
    )
    notes = [
        made(tmp_path, text.replace("IMAGE", image))["App", "s"]["spec"]["template"]["metadata"]["annotations"]
        for image in ("one", "two", "one")
    ]
    assert notes[0] == notes[2] != notes[1]


def test_a_volume_may_be_a_directory_of_the_node(tmp_path: Path) -> None:
    top = "volumes: {v: {driver_opts: {type: none, o: bind, device: /srv/data}}}\n"
    found = made(tmp_path, f"services: {{s: {{image: x, volumes: ['v:/v']}}}}\n{top}")
    assert ("PersistentVolumeClaim", "v") not in found
    (volume,) = found["App", "s"]["spec"]["template"]["spec"]["volumes"]
    assert volume["hostPath"] == {"path": "/srv/data", "type": "Directory"}


def test_gpus_are_counted_as_dockers_generic_resource_and_told(tmp_path: Path) -> None:
    reserved = "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 2, capabilities: [gpu]}]}}}"
    for asked in ("gpus: [{count: 2}]", reserved):
        (made_of,) = pod_of(tmp_path, asked)["containers"]
        counted = {"docker.motet.dev/gpu": "2"}
        assert made_of["resources"] == {"limits": counted, "requests": counted}
        assert made_of["env"] == [{"name": "DOCKER_RESOURCE_GPU", "value": "2"}]


@pytest.mark.parametrize(
    "asked",
    [
        "gpus: all",
        "gpus: [{count: all}]",
        "gpus: [{}]",
        "gpus: [{count: 0}]",
        "gpus: [{count: 1, capabilities: [tpu]}]",
        "gpus: [{count: 1, driver: amd}]",
        "gpus: [{count: 1}, {count: 1}]",
        "deploy: {resources: {reservations: {devices: [{count: 1}]}}}",
        "dns: 127.0.0.1",
        "dns: [example.org]",
    ],
)
def test_what_nodes_can_neither_count_nor_ask_is_refused(tmp_path: Path, asked: str) -> None:
    with pytest.raises(ComposeError):
        pod_of(tmp_path, asked)


@pytest.mark.parametrize(("more", "policy"), [("", None), (", network_mode: host", "Default")])
def test_given_name_servers_are_asked_by_the_node_or_stand_in_for_its_own(
    tmp_path: Path, more: str, policy: str | None
) -> None:
    found = made(tmp_path, f"services: {{s: {{image: x, dns: 192.0.2.53, dns_search: a.example{more}}}}}\n")
    template = found["App", "s"]["spec"]["template"]
    assert template["metadata"]["annotations"][podmarks.NAME_SERVERS] == "192.0.2.53"
    assert template["spec"]["dnsConfig"] == {"searches": ["a.example"]}
    assert template["spec"].get("dnsPolicy") == policy


TEMPLATED = """
services:
  s: {image: x, configs: [plain, filled], secrets: [filled], deploy: {labels: {tier: front}}}
configs: {plain: {content: "a"}, filled: {content: "%s", template_driver: golang}}
secrets: {filled: {content: "{{.Service.Labels.tier}}", template_driver: golang}}
"""


def test_templates_are_filled_in_by_the_node(tmp_path: Path) -> None:
    app = made(tmp_path, TEMPLATED % "{{.Task.Slot}}")["App", "s"]
    annotations = app["spec"]["template"]["metadata"]["annotations"]
    assert annotations[podmarks.EXPANDED] == "secret-0,config-1"
    assert placeholders.labels_of(app["metadata"]["annotations"]) == {"tier": "front"}


@pytest.mark.parametrize("content", ["{{.Nothing}}", "{{"])
def test_a_template_that_nobody_can_fill_in_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ComposeError, match="template_driver"):
        made(tmp_path, TEMPLATED % content)
