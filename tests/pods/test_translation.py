"""From a pod's words to the runtime's: resources, security, names, images, what is not supported."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from motet.kinds import podmarks
from motet.kinds.tasks import HOSTNAME
from motet.pods import backoff, hosts, images, resources, security, termination, unsupported
from motet.pods.hosts import ClusterDns
from motet.pods.model import MESSAGE_FILE, MESSAGE_POLICY
from motet.pods.security import ConfigError
from motet.runtime.interface import DnsConfig, Image
from support.pods import app, body, exited, pod

BOTH = {"cpu": "500m", "memory": "64Mi"}
HOST_DNS = DnsConfig(("9.9.9.9",), ("example.com",), ())


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"limits": BOTH}], "Guaranteed"),
        ([{"limits": BOTH, "requests": {"cpu": "100m"}}], "Burstable"),
        ([{"limits": BOTH}, {}], "Burstable"),
        ([{"requests": {"memory": "1Mi"}}], "Burstable"),
        ([{"limits": {"cpu": "0"}}], "BestEffort"),
    ],
)
def test_quality_of_service(given: list[dict[str, Any]], expected: str):
    assert resources.qos_class(pod(*(app(f"c{i}", resources=each) for i, each in enumerate(given)))) == expected


def test_a_containers_limits_are_cgroup_numbers():
    wanted = pod(app(resources={"limits": BOTH}))
    found = resources.of_container(wanted, wanted.spec.containers[0], 4 << 30)
    assert (found.cpu_shares, found.cpu_quota, found.memory_limit, found.oom_score_adj) == (512, 50_000, 64 << 20, -997)


@pytest.mark.parametrize(
    ("given", "asked", "score"),
    [
        ({}, "-997", 1000),
        ({"requests": {"memory": "1Gi"}}, "-997", 750),
        ({"requests": {"memory": "1Gi"}}, "900", 900),
        ({"limits": {"memory": "1Gi"}}, "-997", -997),
        ({"limits": BOTH}, "500", 500),
    ],
)
def test_only_who_is_limited_in_memory_may_be_killed_later_than_others(given: dict[str, Any], asked: str, score: int):
    wanted = pod(app(resources=given), meta={"annotations": {podmarks.OOM_SCORE: asked}})
    assert resources.oom_score(wanted, wanted.spec.containers[0], 4 << 30) == score


def test_a_pod_is_limited_only_when_all_its_containers_are():
    assert resources.of_pod(pod(app(resources={"limits": BOTH}), app("b"))).memory_limit == 0
    limited = pod(
        app(resources={"limits": BOTH}), initContainers=[app("i", resources={"limits": {"memory": "1Gi", "cpu": "1"}})]
    )
    assert resources.of_pod(limited).memory_limit == 1 << 30


def secure(container: dict[str, Any] | None = None, image: Image | None = None, **spec: Any) -> security.Security:
    wanted = pod(app(securityContext=container or {}), **spec)
    return security.of(wanted, wanted.spec.containers[0], image)


def test_the_defaults_are_the_safe_ones():
    found = secure()
    assert (found.no_new_privileges, found.seccomp, found.privileged) == (True, "runtime/default", False)


def test_privileges_are_given_when_asked_for():
    assert not secure({"allowPrivilegeEscalation": True}).no_new_privileges
    assert not secure({"privileged": True}).no_new_privileges
    assert secure({"capabilities": {"add": ["CAP_NET_ADMIN"], "drop": ["all"]}}).add_capabilities == ("NET_ADMIN",)
    assert secure({"seccompProfile": {"type": "Unconfined"}}).seccomp == "unconfined"
    assert secure({"appArmorProfile": {"type": "Unconfined"}}).apparmor == "unconfined"


def test_a_seccomp_profile_of_the_node_is_found_below_its_directory(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "strict.json").write_text("{}")
    wanted = pod(app(securityContext={"seccompProfile": {"type": "Localhost", "localhostProfile": "deep/strict.json"}}))
    container = wanted.spec.containers[0]
    assert security.of(wanted, container, None, tmp_path).seccomp == f"localhost{tmp_path}/deep/strict.json"
    with pytest.raises(ConfigError, match="there is no file"):
        security.of(wanted, container, None, tmp_path / "other")


def test_resources_of_the_pod_as_a_whole_decide_its_quality():
    both = {"cpu": "1", "memory": "1Gi"}
    assert resources.qos_class(pod(resources={"limits": both})) == "Guaranteed"
    assert resources.of_pod(pod(resources={"requests": {"cpu": "2"}})).cpu_shares == 2048


def test_the_container_overrides_the_pod_and_the_pod_the_image():
    image = Image("i", (), (), 0, uid=7)
    assert secure(image=image).run_as_user == 7
    assert secure(image=image, securityContext={"runAsUser": 8}).run_as_user == 8
    assert secure({"runAsUser": 9}, image, securityContext={"runAsUser": 8}).run_as_user == 9


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image("i", (), (), 0), "image will run as root"),
        (Image("i", (), (), 0, uid=0), "image will run as root"),
        (Image("i", (), (), 0, username="app"), r"non-numeric user \(app\)"),
    ],
)
def test_run_as_non_root_is_checked(image: Image, message: str):
    with pytest.raises(ConfigError, match=message):
        secure({"runAsNonRoot": True}, image)


def test_dns_of_the_cluster_comes_before_the_hosts_search_list():
    found = hosts.dns(pod(), ClusterDns(("10.43.0.10",)), HOST_DNS)
    assert found == DnsConfig(
        ("10.43.0.10",),
        ("default.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.com"),
        ("ndots:5",),
    )


def test_the_other_dns_policies():
    cluster = ClusterDns(("10.43.0.10",))
    assert hosts.dns(pod(dnsPolicy="Default"), cluster, HOST_DNS) == HOST_DNS
    assert hosts.dns(pod(hostNetwork=True), cluster, HOST_DNS) == HOST_DNS
    own = {"nameservers": ["1.1.1.1"], "options": [{"name": "ndots", "value": "1"}]}
    assert hosts.dns(pod(dnsPolicy="None", dnsConfig=own), cluster, HOST_DNS) == DnsConfig(
        ("1.1.1.1",), (), ("ndots:1",)
    )


def test_name_servers_of_a_pods_own_stand_in_for_the_nodes_behind_the_clusters():
    cluster = ClusterDns(("10.43.0.10",))
    marked = {podmarks.NAME_SERVERS: "192.0.2.53"}
    assert hosts.dns(pod(meta={"annotations": marked}), cluster, HOST_DNS).servers == ("10.43.0.10",)
    assert hosts.dns(pod(meta={"annotations": marked}), ClusterDns(), HOST_DNS).servers == ("192.0.2.53",)
    assert hosts.dns(pod(meta={"annotations": marked}, dnsPolicy="Default"), cluster, HOST_DNS).servers == (
        "192.0.2.53",
    )
    with pytest.raises(ConfigError, match="name-servers"):
        hosts.dns(pod(meta={"annotations": {podmarks.NAME_SERVERS: "x"}}), cluster, HOST_DNS)


def test_the_hosts_file_names_the_pod_and_its_aliases():
    wanted = pod(hostname="db-0", subdomain="db", hostAliases=[{"ip": "1.2.3.4", "hostnames": ["a", "b"]}])
    lines = hosts.hosts_file(wanted, ("10.42.0.5",), "cluster.local").splitlines()
    assert "10.42.0.5\tdb-0.db.default.svc.cluster.local\tdb-0" in lines
    assert lines[-1] == "1.2.3.4\ta\tb"


def test_a_host_name_is_cut_to_what_the_kernel_takes():
    assert hosts.hostname(pod(name="x" * 62 + "-y"), "cluster.local") == "x" * 62


def test_a_host_name_can_be_given_whole_or_fully_qualified():
    named = {"hostname": "a", "subdomain": "b"}
    assert hosts.hostname(pod(hostnameOverride="x.example", **named), "cluster.local") == "x.example"
    full = "a.b.default.svc.cluster.local"
    assert hosts.hostname(pod(setHostnameAsFQDN=True, **named), "cluster.local") == full
    with pytest.raises(ConfigError, match="too long"):
        hosts.hostname(pod(setHostnameAsFQDN=True, **named), "d" * 50)


def test_a_host_name_that_grows_beyond_all_measure_is_refused():
    made = pod(nodeName="n" * 200, meta={"annotations": {HOSTNAME: "{{.Node.Hostname}}" * 10_000}})
    with pytest.raises(ConfigError, match="more than 4096 characters"):
        hosts.hostname(made, "cluster.local")


@pytest.mark.parametrize(
    ("image", "given", "expected"),
    [("web", "", "Always"), ("web:latest", "", "Always"), ("web:1", "", "IfNotPresent"), ("web", "Never", "Never"),
     ("web@sha256:" + "0" * 64, "", "IfNotPresent")],
)  # fmt: skip
def test_pull_policies(image: str, given: str, expected: str):
    wanted = pod({"name": "app", "image": image, "imagePullPolicy": given})
    assert images.policy(wanted.spec.containers[0]) == expected


def test_pull_secrets_fit_by_registry():
    auth = base64.b64encode(b"me:secret").decode()
    config = {
        "auths": {"https://index.docker.io/v1/": {"auth": auth}, "reg.io:5000": {"username": "u", "password": "p"}}
    }
    secret = {".dockerconfigjson": json.dumps(config).encode()}
    assert images.credentials_for("docker.io/library/web:1", secret) == {"username": "me", "password": "secret"}
    assert images.credentials_for("reg.io:5000/web:1", secret) == {"username": "u", "password": "p"}
    assert images.credentials_for("other.io/web:1", secret) is None
    assert images.credentials_for("other.io/web:1", {".dockerconfigjson": b"{"}) is None


@pytest.mark.parametrize(
    ("key", "reference", "expected"),
    [
        ("*.example.io", "eu.example.io/web:1", True),
        ("*.example.io", "a.b.example.io/web:1", False),
        ("eu.example.io:5000", "eu.example.io/web:1", False),
        ("eu.example.io/team", "eu.example.io/team/web:1", True),
        ("eu.example.io/team", "eu.example.io/teams/web:1", False),
    ],
)
def test_a_pull_secret_names_hosts_by_pattern_and_by_path(key: str, reference: str, expected: bool):
    entry = {"auths": {f"https://{key}": {"username": "me", "password": "x"}}}
    found = images.credentials_for(reference, {".dockerconfigjson": json.dumps(entry).encode()})
    assert (found is not None) is expected


def test_unsupported_fields_are_all_named():
    document = body(
        app(resources={"limits": {"nvidia.com/gpu": "1", "hugepages-2Mi": "4Mi"}}),
        hostUsers=False, resourceClaims=[{"name": "r"}], volumes=[{"name": "n", "nfs": {"server": "s"}}],
    )  # fmt: skip
    assert unsupported.find(document) == (
        "not supported by this node yet: spec.containers[0].resources.limits[hugepages-2Mi], "
        "spec.hostUsers=false, spec.resourceClaims, spec.volumes[0].nfs"
    )
    assert unsupported.find(body()) == ""


@pytest.mark.parametrize(
    ("container", "spec", "named"),
    [
        ({"livenessProbe": {"httpGet": {"port": 80, "protocol": "HTTP2"}}}, {}, "livenessProbe.httpGet.protocol=HTTP2"),
        ({"startupProbe": {"grpc": {"port": 80, "mode": "TLS"}}}, {}, "startupProbe.grpc.mode=TLS"),
        ({"volumeMounts": [{"name": "v", "bindMountOptions": ["noexec"]}]}, {}, "volumeMounts[0].bindMountOptions"),
        ({}, {"schedulingGroup": {"podGroupName": "g"}}, "spec.schedulingGroup"),
        ({}, {"volumes": [{"name": "v", "emptyDir": {"mode": 493}}]}, "spec.volumes[0].emptyDir.mode"),
        ({}, {"volumes": [{"name": "v", "secret": {"defaultUser": 1}}]}, "spec.volumes[0].secret.defaultUser"),
        (
            {},
            {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"items": [{"user": 1}]}}]}}]},
            "spec.volumes[0].projected.sources[0].secret.items[0].user",
        ),
    ],
)
def test_a_field_newer_than_what_a_node_can_do_is_named(container: dict[str, Any], spec: dict[str, Any], named: str):
    assert unsupported.find(body(app(**container), **spec)).endswith(named)


def test_a_probe_in_plain_text_is_what_a_node_does_anyway():
    assert unsupported.find(body(app(livenessProbe={"grpc": {"port": 80, "mode": "Plaintext"}}))) == ""


def test_a_termination_message_comes_from_its_file_or_the_end_of_the_log(tmp_path: Any):
    file, log = tmp_path / "message", tmp_path / "0.log"
    file.write_text("")
    log.write_text("2026-01-01T00:00:00Z stdout F the reason\n")
    dead = exited(code=1, log_path=str(log))
    dead.annotations.update({MESSAGE_FILE: str(file), MESSAGE_POLICY: "FallbackToLogsOnError"})
    assert termination.read(dead) == "the reason\n"
    file.write_text("own words")
    assert termination.read(dead) == "own words"


def test_the_back_off_doubles_to_five_minutes():
    delays, dead = [], exited(code=1)
    for _ in range(8):
        delays.append(backoff.following(dead))
        dead = exited(code=1, backoff=delays[-1])
    assert delays == [10, 20, 40, 80, 160, 300, 300, 300]
