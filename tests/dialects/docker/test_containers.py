"""Containers: what `docker run` asks for as a pod, and what a pod says as Docker shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from motet.client import channels
from motet.dialects.docker.containers import durations, images, known, output, ports, reaper, request, shown, starting
from motet.dialects.docker.containers.attach import HELD
from motet.dialects.docker.containers.keys import Keys, keys_of
from motet.dialects.docker.errors import DockerError
from motet.dialects.docker.fields import Fields
from motet.dialects.docker.surroundings import Surroundings
from motet.kinds import podmarks, processes
from motet.store.document import Document, encode

Json = dict[str, Any]

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
UID = "00000000-0000-4000-8000-000000000001"


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def made(host: Json | None = None, **body: Any) -> Json:
    """The PodTemplate of a request."""
    around = Surroundings("default", "/volumes", networks={"front": "front"}, host_network=frozenset({"host"}))
    asked = {"Image": "busybox:1", **body, "HostConfig": host or {}}
    return request.template("web_1", Fields(asked), around, "n1").document


def spec(host: Json | None = None, **body: Any) -> Json:
    found: Json = made(host, **body)["template"]["spec"]
    return found


def part(host: Json | None = None, **body: Any) -> Json:
    found: Json = spec(host, **body)["containers"][0]
    return found


def template(**annotations: str) -> Document:
    document = made()
    meta = document["metadata"] | {"uid": UID, "creationTimestamp": at(-100)}
    meta["annotations"] |= annotations
    return Document.stored("core/podtemplates/default/web-1", encode({**document, "metadata": meta}), 1)


def run(state: Json, phase: str = "Running", number: int = 1, *, owner: str = UID, **status: Any) -> Document:
    meta: Json = {"name": f"web-1-{number}", "namespace": "default", "uid": f"{UID[:-1]}{number + 1}"}
    if owner:
        reference = {"apiVersion": "v1", "kind": "PodTemplate", "name": "web-1", "uid": owner, "controller": True}
        meta |= {"labels": {known.LABEL: "web-1"}, "ownerReferences": [reference]}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"nodeName": "n1", "containers": [part()], "restartPolicy": "Never"},
        "status": {
            "phase": phase,
            "containerStatuses": [
                {"name": "main", "containerID": "containerd://" + "c" * 64, "state": state, **status}
            ],
        },
    }
    return Document.stored(f"core/pods/default/web-1-{number}", encode(body), 1)


RUNNING = {"running": {"startedAt": at(-30)}}
FAILED = {"terminated": {"exitCode": 3, "startedAt": at(-30), "finishedAt": at(-10)}}


# --- what is asked for ------------------------------------------------------------------------------------------------


def test_a_container_stays_on_its_node_whatever_becomes_of_that() -> None:
    found = spec()
    field = {"key": "metadata.name", "operator": "In", "values": ["n1"]}
    required = found["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {"nodeSelectorTerms": [{"matchFields": [field]}]}
    assert found["tolerations"] == [{"operator": "Exists"}]


@pytest.mark.parametrize(
    ("name", "policy"), [("", "Never"), ("no", "Never"), ("unless-stopped", "Always"), ("on-failure", "OnFailure")]
)
def test_restart_policies_are_a_pods(name: str, policy: str) -> None:
    assert spec({"RestartPolicy": {"Name": name}})["restartPolicy"] == policy


def test_an_empty_entry_point_leaves_the_command_alone() -> None:
    found = part(Entrypoint=[""], Cmd=["echo", "$(A)"])
    assert (found["command"], "args" in found) == (["echo", "$$(A)"], False)


def test_binds_are_paths_volumes_and_nothing_else() -> None:
    found = spec({"Binds": ["/etc:/motet:ro", "data:/data"]})
    assert [each.get("hostPath") for each in found["volumes"]] == [{"path": "/etc"}, None]
    assert found["volumes"][1]["persistentVolumeClaim"] == {"claimName": "data"}
    assert found["containers"][0]["volumeMounts"][0]["readOnly"] is True


def test_devices_are_the_nodes_own() -> None:
    found = spec({"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "rwm"}]})
    assert found["volumes"] == [{"name": "device-0", "hostPath": {"path": "/dev/fuse", "type": "CharDevice"}}]
    assert found["containers"][0]["volumeDevices"] == [{"name": "device-0", "devicePath": "/dev/f"}]
    with pytest.raises(DockerError, match="CgroupPermissions"):
        spec({"Devices": [{"PathOnHost": "/dev/fuse", "CgroupPermissions": "r"}]})


def test_ports_without_a_number_are_found_at_the_start_and_not_before() -> None:
    bindings = {"80/tcp": [{"HostPort": "8080"}], "53/udp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert part({"PortBindings": bindings})["ports"] == [{"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}]
    asked = Fields({"PortBindings": bindings})
    assert list(ports.published(asked)) == [((80, "tcp"), "", 8080), ((53, "udp"), "127.0.0.1", 0)]


def test_every_container_reserves_a_little_so_that_limits_can_change() -> None:
    assert part()["resources"] == {"limits": {}, "requests": {"cpu": "1m"}}
    limits = part({"Memory": 1 << 20, "CpuQuota": 50_000})["resources"]["limits"]
    assert limits == {"memory": "1Mi", "cpu": "500m"}


def test_what_a_pod_has_no_field_for_is_an_annotation_of_it() -> None:
    template = made({"PidsLimit": 9, "OomScoreAdj": 5, "Init": True})["template"]
    assert template["metadata"]["annotations"] == {processes.LIMIT: "9", podmarks.OOM_SCORE: "5"}
    assert template["spec"]["shareProcessNamespace"] is True


def test_given_name_servers_are_asked_by_the_node_or_stand_in_for_its_own() -> None:
    asked: Json = {"Dns": ["192.0.2.53"], "DnsSearch": ["a.example"], "DnsOptions": ["ndots:2"]}
    template = made(asked)["template"]
    assert template["metadata"]["annotations"] == {podmarks.NAME_SERVERS: "192.0.2.53"}
    config = {"searches": ["a.example"], "options": [{"name": "ndots", "value": "2"}]}
    assert (template["spec"]["dnsConfig"], "dnsPolicy" in template["spec"]) == (config, False)
    with pytest.raises(DockerError, match="no server that the node can ask"):
        made({"Dns": ["127.0.0.1"]})


def test_a_runtime_and_an_apparmor_profile_are_those_of_the_cluster_and_the_node() -> None:
    assert spec({"Runtime": "gvisor"})["runtimeClassName"] == "gvisor"
    assert "runtimeClassName" not in spec({"Runtime": "runc"})
    found = part({"SecurityOpt": ["apparmor=mine"]})["securityContext"]
    assert found == {"appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"}}
    with pytest.raises(DockerError, match=r"HostConfig\.Runtime"):
        made({"Runtime": "no such/name"})


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ({"Ulimits": [{"Name": "nofile"}]}, "HostConfig.Ulimits"),
        ({"RestartPolicy": {"MaximumRetryCount": 3}}, "HostConfig.RestartPolicy.MaximumRetryCount"),
        ({"NetworkMode": "container:x"}, "HostConfig.NetworkMode"),
        ({"SecurityOpt": ["label=disable"]}, "HostConfig.SecurityOpt"),
        ({"BlkioWeight": 10}, "HostConfig.BlkioWeight"),
        ({"VolumesFrom": ["x"]}, "HostConfig.VolumesFrom"),
        ({"PortBindings": {"80/tcp": [{"HostPort": "80-90"}]}}, "HostConfig.PortBindings"),
        ({"NoSuchField": 1}, "HostConfig.NoSuchField"),
    ],
)
def test_what_a_pod_cannot_do_is_refused_by_its_path(host: Json, path: str) -> None:
    with pytest.raises(DockerError) as error:
        made(host)
    assert error.value.code == 400
    assert error.value.message.startswith(path)


def test_what_a_request_leaves_open_is_the_images() -> None:
    image = {"Entrypoint": ["/init"], "Cmd": ["serve"], "Env": ["A=1", "B=2"], "ExposedPorts": {"80/tcp": {}}}
    joined = images.joined({"Env": ["A=3"]}, image)
    assert (joined["Entrypoint"], joined["Cmd"], joined["Env"]) == (["/init"], ["serve"], ["B=2", "A=3"])
    assert not images.joined({"Entrypoint": ["sh"]}, image).get("Cmd")


def test_a_run_has_its_number_the_short_identifier_as_its_name_and_free_ports() -> None:
    container = known.of_template(
        template(**{known.REQUEST: '{"HostConfig": {"PortBindings": {"80/tcp": null}}}'}), [run(FAILED, "Failed")]
    )
    taken = frozenset(range(49153, 65534))
    pod = starting.new_run(container, taken)
    assert pod["metadata"]["name"] == "web-1-2"
    assert pod["spec"]["hostname"] == container.id[:12]
    assert pod["spec"]["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 65534, "protocol": "TCP"}]


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_identifiers_have_64_digits_and_stay() -> None:
    one, other = known.of_template(template(), []), known.of_template(template(), [run(RUNNING)])
    assert one.id == other.id
    assert len(one.id) == 64
    assert set(one.id) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("runs", "state", "text"),
    [
        ([], "created", "Created"),
        ([run(RUNNING)], "running", "Up 30 seconds"),
        ([run(FAILED, "Failed")], "exited", "Exited (3) 10 seconds ago"),
        ([run(FAILED, "Failed"), run(RUNNING, number=2)], "running", "Up 30 seconds"),
        ([run({"waiting": {}}, lastState=FAILED)], "restarting", "Restarting (3) 10 seconds ago"),
        ([run({"waiting": {"reason": "ContainerCreating"}}, "Pending")], "created", "Created"),
    ],
)
def test_states_are_the_newest_runs(runs: list[Document], state: str, text: str) -> None:
    container = known.of_template(template(), runs)
    assert (container.state, shown.status_text(container, NOW)) == (state, text)


def test_an_inspection_has_the_exit_code_of_the_last_run() -> None:
    state = shown.state(known.of_template(template(), [run(FAILED, "Failed")]), NOW)
    assert (state["Status"], state["ExitCode"], state["FinishedAt"]) == ("exited", 3, at(-10))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (3 * 86400, "3 days"),
        (15 * 86400, "2 weeks"),
        (70 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_durations_have_one_unit(seconds: float, text: str) -> None:
    assert durations.human(seconds) == text


# --- what a start comes to --------------------------------------------------------------------------------------------


def test_a_start_has_succeeded_when_there_was_a_process() -> None:
    for state, phase in ((RUNNING, "Running"), (FAILED, "Failed")):
        outcome = starting.outcome(run(state, phase))
        assert outcome is not None
        assert not outcome.error


@pytest.mark.parametrize(
    "state",
    [
        {"waiting": {"reason": "CreateContainerError", "message": "no"}},
        {"terminated": {"exitCode": 128, "reason": "StartError", "message": "no"}},
    ],
)
def test_a_start_has_failed_when_there_can_be_none(state: Json) -> None:
    outcome = starting.outcome(run(state, "Pending"))
    assert outcome is not None
    assert outcome.error == "no"


def test_a_start_takes_its_time() -> None:
    assert starting.outcome(run({"waiting": {"reason": "ContainerCreating"}}, "Pending")) is None


# --- what removes itself ----------------------------------------------------------------------------------------------


def test_a_container_goes_when_its_run_has_ended_and_nobody_reads_it_any_more() -> None:
    ours = {known.REMOVE: "true"}
    ended = [run(FAILED, "Failed")]
    assert reaper.due_in(template(), ended, NOW) is None
    assert reaper.due_in(template(**ours), [], NOW) is None
    assert reaper.due_in(template(**ours), [run(RUNNING)], NOW) is None
    assert reaper.due_in(template(**ours), ended, NOW) == 0
    assert reaper.due_in(template(**ours, **{f"{HELD}a": at(20)}), ended, NOW) == 20
    assert reaper.due_in(template(**ours, **{f"{HELD}a": at(-20)}), ended, NOW) == 0


def test_only_pods_that_a_container_owns_are_its_runs() -> None:
    others = [run(FAILED, "Failed", 2, owner=owner) for owner in (f"{UID[:-1]}9", "")]
    found = known.of_template(template(), [run(RUNNING), *others])
    assert (found.state, known.run_number(found.pod) if found.pod else 0) == (known.RUNNING, 1)
    assert reaper.due_in(template(**{known.REMOVE: "true"}), others, NOW) is None


def test_a_container_stays_as_long_as_any_run_of_its_runs() -> None:
    newer_has_ended = [run(RUNNING), run(FAILED, "Failed", 9)]
    assert reaper.due_in(template(**{known.REMOVE: "true"}), newer_has_ended, NOW) is None


# --- what goes over connections ---------------------------------------------------------------------------------------


def test_keys_are_those_of_a_terminal() -> None:
    assert keys_of("") == b"\x10\x11"
    assert keys_of("ctrl-a,d") == b"\x01d"
    with pytest.raises(DockerError):
        keys_of("ctrl-")


def test_the_keys_to_leave_by_are_found_wherever_they_are_split() -> None:
    keys = Keys(b"\x10\x11")
    assert keys.see(b"ls\x10") == (b"ls", False)
    assert keys.see(b"x") == (b"\x10x", False)
    assert keys.see(b"a\x10\x11b") == (b"a", True)


def test_a_log_ends_where_the_connection_begins() -> None:
    assert output.before(b"one\ntwo\n", b"two\nthree") == b"one\n"
    assert output.before(b"one\n", b"two\n") == b"one\n"
    assert output.before(b"", b"two\n") == b""


def test_an_exit_code_comes_last() -> None:
    status = {"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "4"}]}}
    assert channels.outcome(encode(status)) == (4, "")
    assert channels.outcome(b'{"status":"Success"}') == (0, "")
    missing = b'{"status":"Failure","message":"exec: \\"x\\": executable file not found in $PATH"}'
    assert channels.outcome(missing)[0] == 127


def test_a_container_says_by_which_names_it_is_found() -> None:
    container = known.of_template(template(), [])
    short = container.id[:12]
    endpoints = {
        name: {"Aliases": ["db"] if name == "front" else None, "DNSNames": None} for name in ("front", "bridge")
    }
    shown.tell_names({"NetworkSettings": {"Networks": endpoints}}, container)
    assert endpoints["front"] == {"Aliases": ["db", short], "DNSNames": ["web_1", "db", short]}
    assert endpoints["bridge"] == {"Aliases": None, "DNSNames": None}


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "field"),
    [
        ({"VolumeDriver": "nfs", "Binds": ["a:/b"]}, r"HostConfig\.VolumeDriver .*nfs"),
        # An empty list is what --security-opt systempaths=unconfined comes as.
        ({"MaskedPaths": []}, r"HostConfig\.MaskedPaths"),
        ({"ReadonlyPaths": []}, r"HostConfig\.ReadonlyPaths"),
        ({"MaskedPaths": ["/proc/kcore"], "Privileged": True}, r"HostConfig\.MaskedPaths"),
        ({"Isolation": "hyperv"}, r"HostConfig\.Isolation"),
        ({"Isolation": "jail"}, r"HostConfig\.Isolation"),
    ],
)
def test_what_a_container_cannot_have_is_refused_by_its_name(host: Json, field: str) -> None:
    with pytest.raises(DockerError, match=field) as refused:
        made(host)
    assert refused.value.code == 400


def test_zero_and_default_values_ask_for_nothing() -> None:
    said = {"VolumeDriver": "local", "MaskedPaths": None, "ReadonlyPaths": None, "Isolation": "default"}
    assert spec(said) == spec({"VolumeDriver": "", "Isolation": ""}) == spec()
    assert part({"MaskedPaths": [], "ReadonlyPaths": [], "Privileged": True})["securityContext"] == {"privileged": True}


def test_a_shell_of_its_own_runs_no_check() -> None:
    check = {"Test": ["CMD-SHELL", "true"]}
    assert "readinessProbe" in part(Shell=["/bin/sh", "-c"], Healthcheck=check)
    assert "command" not in part(Shell=["/bin/bash", "-c"])
    with pytest.raises(DockerError, match=r"^Shell is not supported"):
        made(Shell=["/bin/bash", "-c"], Healthcheck=check)


def test_nothing_beside_endpoints_is_passed_over() -> None:
    with pytest.raises(DockerError, match=r"NetworkingConfig\.Other"):
        made(NetworkingConfig={"EndpointsConfig": {}, "Other": 1})
