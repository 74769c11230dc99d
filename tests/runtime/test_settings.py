import dataclasses
import tomllib
from pathlib import Path

import pytest

from motet.runtime import settings
from motet.runtime.interface import RuntimeFailure
from motet.runtime.settings import ContainerdConfig, HostFacts

CONFIG = ContainerdConfig.below(Path("/var/lib/motet/agent"), Path("/run/motet"))
FACTS = HostFacts("/usr/lib/cni", "overlayfs", "/usr/sbin/runc", may_lower_oom_score=True, apparmor=True)
CRI = "io.containerd.grpc.v1.cri"


def rendered(config=CONFIG, **facts):
    return tomllib.loads(settings.render(config, dataclasses.replace(FACTS, **facts)))


def test_everything_lives_below_the_nodes_own_directories():
    document = rendered()
    assert document["version"] == 2
    assert document["root"] == "/var/lib/motet/agent/containerd"
    assert document["state"] == "/run/motet/containerd"
    assert document["grpc"]["address"] == "/run/motet/containerd.sock"
    assert document["plugins"]["io.containerd.internal.v1.opt"]["path"].startswith(document["root"])


def test_streams_are_served_on_loopback_only():
    cri = rendered()["plugins"][CRI]
    assert (cri["stream_server_address"], cri["stream_server_port"]) == ("127.0.0.1", "0")


def test_without_the_right_to_lower_oom_scores_containers_are_not_asked_to():
    assert rendered(may_lower_oom_score=False)["plugins"][CRI]["restrict_oom_score_adj"] is True
    assert rendered(may_lower_oom_score=False)["oom_score"] == 0
    assert rendered()["plugins"][CRI]["restrict_oom_score_adj"] is False
    assert rendered()["oom_score"] < 0


def test_apparmor_is_off_where_the_kernel_has_none():
    assert rendered(apparmor=False)["plugins"][CRI]["disable_apparmor"] is True


def test_programs_that_are_not_root_may_serve_port_80_as_under_docker():
    cri = rendered()["plugins"][CRI]
    assert cri["enable_unprivileged_ports"] is True
    assert cri["enable_unprivileged_icmp"] is True


def test_the_snapshotter_that_works_is_used():
    assert rendered(snapshotter="native")["plugins"][CRI]["containerd"]["snapshotter"] == "native"


def test_registries_are_configured_by_directory():
    assert rendered()["plugins"][CRI]["registry"]["config_path"] == "/var/lib/motet/agent/certs.d"


def test_odd_characters_in_paths_survive():
    config = dataclasses.replace(CONFIG, root=Path('/a "b" \\ c/é'))
    assert rendered(config)["root"] == '/a "b" \\ c/é'


def test_a_socket_path_that_no_kernel_takes_is_refused():
    with pytest.raises(RuntimeFailure, match="longer"):
        settings.observe(dataclasses.replace(CONFIG, socket=Path("/" + "x" * 120)))


def test_a_missing_runc_names_the_package(tmp_path):
    config = dataclasses.replace(ContainerdConfig.below(tmp_path / "d", tmp_path / "r"), runc="no-such-runc")
    with pytest.raises(RuntimeFailure, match="package runc") as caught:
        settings.observe(config)
    assert caught.value.reason == "NotInstalled"
