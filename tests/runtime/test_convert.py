import dataclasses

import pytest

from motet.runtime import convert
from motet.runtime.interface import ContainerConfig, Mount, Port, RuntimeFailure, SandboxConfig, Security

api = convert.api
SANDBOX = SandboxConfig("web", "default", "u1", 2, "alto", "/logs", "/motet/pods/u1")
CONTAINER = ContainerConfig("main", 1, "web:1", "main.log")


def test_a_sandbox_of_the_hosts_network_has_no_name_of_its_own():
    config = convert.sandbox_config(dataclasses.replace(SANDBOX, host_network=True))
    assert config.hostname == ""
    assert config.linux.security_context.namespace_options.network == api.NODE


def test_sensitive_paths_are_hidden_unless_asked_otherwise():
    hidden = convert.container_config(CONTAINER, SANDBOX).linux.security_context
    assert "/proc/kcore" in hidden.masked_paths
    assert "/proc/sys" in hidden.readonly_paths
    security = Security(masked_paths=(), readonly_paths=())
    bare = convert.container_config(dataclasses.replace(CONTAINER, security=security), SANDBOX).linux.security_context
    assert (list(bare.masked_paths), list(bare.readonly_paths)) == ([], [])


def test_a_privileged_container_is_not_confined():
    security = Security(privileged=True)
    context = convert.container_config(
        dataclasses.replace(CONTAINER, security=security), SANDBOX
    ).linux.security_context
    assert context.privileged
    assert not context.no_new_privs
    assert context.seccomp.profile_type == api.SecurityProfile.Unconfined
    assert not context.masked_paths


def test_user_zero_is_a_user_and_none_is_the_images():
    root = convert.container_config(
        dataclasses.replace(CONTAINER, security=Security(run_as_user=0)), SANDBOX
    ).linux.security_context
    assert root.HasField("run_as_user")
    assert not convert.container_config(CONTAINER, SANDBOX).linux.security_context.HasField("run_as_user")


@pytest.mark.parametrize(
    ("fields", "mode"), [({}, api.CONTAINER), ({"pid_of_pod": True}, api.POD), ({"pid_of_host": True}, api.NODE)]
)
def test_the_process_namespace_is_ones_own_the_pods_or_the_hosts(fields, mode):
    config = convert.container_config(dataclasses.replace(CONTAINER, **fields), SANDBOX)
    assert config.linux.security_context.namespace_options.pid == mode


def test_ports_and_mounts_are_passed_on():
    sandbox = convert.sandbox_config(dataclasses.replace(SANDBOX, ports=(Port(80, 8080, "UDP", "10.0.0.1"),)))
    assert (sandbox.port_mappings[0].host_port, sandbox.port_mappings[0].protocol) == (8080, api.UDP)
    mount = Mount("/a", "/b", read_only=True, propagation="bidirectional")
    container = convert.container_config(dataclasses.replace(CONTAINER, mounts=(mount,)), SANDBOX)
    assert container.mounts[0].readonly
    assert container.mounts[0].propagation == api.PROPAGATION_BIDIRECTIONAL


@pytest.mark.parametrize(("name", "number"), [("SIGTERM", "15"), ("USR1", "10"), ("9", "9")])
def test_a_stop_signal_is_a_name_or_a_number(name, number):
    config = convert.container_config(dataclasses.replace(CONTAINER, stop_signal=name), SANDBOX)
    assert config.annotations[convert.STOP_SIGNAL] == number


def test_what_is_no_signal_is_refused():
    with pytest.raises(RuntimeFailure, match="SIGNONSENSE"):
        convert.container_config(dataclasses.replace(CONTAINER, stop_signal="SIGNONSENSE"), SANDBOX)


def test_a_short_life_does_not_end_before_it_began():
    status = api.ContainerStatus(id="c", state=api.CONTAINER_EXITED, started_at=20, finished_at=10)
    assert convert.container_status(status, "s").started_at == 10


def test_credentials_of_an_unknown_kind_are_refused():
    assert convert.auth({"token": "t"}).registry_token == "t"
    assert convert.auth(None) is None
    with pytest.raises(RuntimeFailure, match="cookie"):
        convert.auth({"cookie": "x"})
