"""Reading Compose files: what is meant, and every mistake with its place."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motet.cli.compose.model import Mount, Project, PublishedPort, Service
from motet.cli.compose.read import project_name, read, service_names
from motet.cli.compose.source import ComposeError, Problem
from support.compose_world import compose


def service(tmp_path: Path, body: str, top: str = "", environment: dict[str, str] | None = None) -> Service:
    """The one service `s` with these keys, indented by four."""
    return whole(tmp_path, body, top, environment).services[0]


def whole(tmp_path: Path, body: str, top: str = "", environment: dict[str, str] | None = None) -> Project:
    text = "services:\n  s:\n    image: img\n" + "".join(f"    {line}\n" for line in body.splitlines()) + top
    return compose(tmp_path, text, environment=environment)


def problems(tmp_path: Path, text: str) -> list[str]:
    """The complaints about a file, without its folder."""
    with pytest.raises(ComposeError) as caught:
        compose(tmp_path, text)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def complaint(tmp_path: Path, body: str) -> str:
    """The one complaint about a service with these keys."""
    (found,) = problems(tmp_path, f"services:\n  s:\n    image: img\n    {body}\n")
    return found


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ('["8080:80"]', [PublishedPort(80, 8080)]),
        ("[80]", [PublishedPort(80)]),
        ('["53:53/udp"]', [PublishedPort(53, 53, "UDP")]),
        ('["8000-8001:80-81"]', [PublishedPort(80, 8000), PublishedPort(81, 8001)]),
        ('["127.0.0.1:8080:80"]', [PublishedPort(80, 8080, host_ip="127.0.0.1", host=True)]),
        ('["0.0.0.0:8080:80"]', [PublishedPort(80, 8080)]),
        ("[22:22]", [PublishedPort(22, 22)]),
        ("[{target: 80, published: '8080'}]", [PublishedPort(80, 8080)]),
        ("[{target: 80, published: 8080, protocol: udp, mode: host}]", [PublishedPort(80, 8080, "UDP", host=True)]),
    ],
)
def test_ports_are_read_in_every_form(tmp_path: Path, written: str, ports: list[PublishedPort]) -> None:
    assert list(service(tmp_path, f"ports: {written}").ports) == ports


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('["80:80:80:80"]', "expected [HOST_IP:][PUBLISHED:]TARGET[/PROTOCOL]"),
        ('["0"]', "expected a port from 1 to 65535, found '0'"),
        ('["65536:1"]', "expected a port from 1 to 65535, found '65536'"),
        ('["80/sctp"]', "the protocol 'sctp' is not supported; expected tcp or udp"),
        ('["80-81:90"]', "the two ranges have different lengths (2 and 1)"),
        ('["81-80"]', "the range '81-80' ends before it begins"),
        ('["host:80:80"]', "'host' is not an IPv4 address"),
        ('["[::1]:80:80"]', "IPv6 host addresses are not supported yet"),
        ("[{published: 80}]", "expected `target`, a port from 1 to 65535"),
        ("[{target: 80, host_ip: x}]", "'x' is not an IPv4 address"),
        ("80", "expected a list, found '80'"),
    ],
)
def test_wrong_ports_are_explained(tmp_path: Path, written: str, said: str) -> None:
    found = complaint(tmp_path, f"ports: {written}")
    assert found.startswith("compose.yaml:4: services.s.ports")
    assert said in found


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("echo 'a b' c", ("echo", "a b", "c")),
        ('["echo", "a b"]', ("echo", "a b")),
        ('["n", 1, true]', ("n", "1", "true")),
    ],
)
def test_commands_are_words(tmp_path: Path, written: str, words: tuple[str, ...]) -> None:
    assert service(tmp_path, f"command: {written}").command == words


def test_variables_are_filled_in_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TAG=from-file\nPORT=81\n")
    found = service(tmp_path, "ports: ['${PORT}:80']\nenvironment: {V: $TAG}", environment={"TAG": "from-shell"})
    assert found.ports[0].published == 81
    assert found.environment == (("V", "from-shell"),)


def test_environment_comes_from_files_and_is_overridden(tmp_path: Path) -> None:
    (tmp_path / "a.env").write_text("A=file\nB=file\n")
    body = "env_file: [a.env, {path: none.env, required: false}]\nenvironment: [B=given, C, D=]"
    assert dict(service(tmp_path, body, environment={"C": "inherited"}).environment) == {
        "A": "file",
        "B": "given",
        "C": "inherited",
        "D": "",
    }


def test_mounts_are_read_in_every_form(tmp_path: Path) -> None:
    body = """volumes:
  - data:/data
  - ./here:/there:ro
  - /anonymous
  - {type: tmpfs, target: /scratch, tmpfs: {size: 64m}}
  - {type: volume, source: data, target: /part, volume: {subpath: a/b}, read_only: true}
tmpfs: /run:size=1m"""
    assert list(service(tmp_path, body, "volumes: {data: }\n").mounts) == [
        Mount("volume", "/data", "data"),
        Mount("bind", "/there", str(tmp_path / "here"), True),
        Mount("volume", "/anonymous"),
        Mount("tmpfs", "/scratch", size=64 * 2**20),
        Mount("volume", "/part", "data", True, subpath="a/b"),
        Mount("tmpfs", "/run", size=2**20),
    ]


def test_deploy_says_how_many_and_how_large(tmp_path: Path) -> None:
    body = """deploy:
  replicas: 3
  resources: {limits: {cpus: '0.5', memory: 64M}, reservations: {memory: 32m}}
  restart_policy: {condition: on-failure}"""
    found = service(tmp_path, body)
    assert (found.replicas, found.limits.millicores, found.limits.memory) == (3, 500, 64 * 2**20)
    assert (found.reservations.memory, found.restart.condition) == (32 * 2**20, "on-failure")


def test_health_checks_run_a_shell_or_a_command(tmp_path: Path) -> None:
    assert service(tmp_path, "healthcheck: {test: 'true && x', interval: 1m30s}").health is not None
    shell = service(tmp_path, "healthcheck: {test: 'a && b', interval: 1m30s, retries: 5}").health
    plain = service(tmp_path, "healthcheck: {test: [CMD, a, b]}").health
    none = service(tmp_path, "healthcheck: {test: [NONE]}").health
    assert shell is not None
    assert (shell.command, shell.interval, shell.retries) == (("/bin/sh", "-c", "a && b"), 90, 5)
    assert plain is not None
    assert plain.command == ("a", "b")
    assert none is not None
    assert none.command == ()


def test_secrets_and_configs_come_from_files_variables_and_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(b"\x00secret")
    top = "secrets: {a: {file: s.txt}, b: {environment: TOKEN}}\nconfigs: {c: {content: 'x=${TOKEN}'}}\n"
    body = "secrets: [a, {source: b, target: token, mode: 0400}]\nconfigs: [c]"
    found = whole(tmp_path, body, top, {"TOKEN": "t"})
    assert [(item.name, item.content) for item in (*found.secrets, *found.configs)] == [
        ("a", b"\x00secret"),
        ("b", b"t"),
        ("c", b"x=t"),
    ]
    assert [(use.target, use.mode) for use in found.services[0].secrets] == [
        ("/run/secrets/a", None),
        ("/run/secrets/token", 0o400),
    ]
    assert found.services[0].configs[0].target == "/c"


def test_anchors_and_merges_work(tmp_path: Path) -> None:
    text = """
x-base: &base
  image: img
  environment: {A: "1"}
services:
  a: {<<: *base, command: own}
  b: {<<: [*base], image: other}
"""
    a, b = compose(tmp_path, text).services
    assert (a.image, a.command, a.environment) == ("img", ("own",), (("A", "1"),))
    assert b.image == "other"


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """services:
  a:
    image: x
    prots: ["8080:80"]
    depends_on: [nobody]
  b: {}
volumes:
  v: {driver: nfs}
extra: 1
"""
    assert problems(tmp_path, text) == [
        "compose.yaml:4: services.a.prots: there is no such key; did you mean `ports`?",
        "compose.yaml:5: services.a.depends_on: there is no service 'nobody'",
        "compose.yaml:6: services.b: expected `image` or `build`",
        "compose.yaml:8: volumes.v.driver: 'nfs' is not supported; expected one of local",
        "compose.yaml:9: extra: there is no such key",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("deploy: {replicas: two}", "services.s.deploy.replicas: expected a whole number, found 'two'"),
        ("deploy: {replicas: -1}", "services.s.deploy.replicas: expected at least 0, found -1"),
        ("deploy: {mode: job}", "expected one of replicated, global"),
        ("deploy: {update_config: {order: both}}", "'both' is not supported; expected one of stop-first, start-first"),
        ("deploy: {mode: global-job, restart_policy: {condition: any}}", "expected one of on-failure, none"),
        ("deploy: {mode: global-job, update_config: {}}", "a job is not updated bit by bit"),
        ("deploy: {placement: {constraints: [node.id]}}", "must be written as SUBJECT == VALUE"),
        ("deploy: {placement: {preferences: [{spread: zone}]}}", "services.s.deploy.placement.preferences[0].spread"),
        ("network_mode: 'service:db'", "'service:db' is not supported; expected one of host"),
        ("network_mode: host\n    ports: ['80:80']", "leave out `ports`"),
        ("security_opt: ['seccomp:./profile.json']", "expected no-new-privileges[:true|false], seccomp:unconfined or"),
        ("group_add: [docker]", "expected a number, found 'docker'"),
        ("tmpfs: '/run:uid=3'", "the option 'uid=3' is not supported; expected size or ro"),
        ("volumes: [{type: bind, source: /x, target: /y, bind: {propagation: rshared}}]", "use rslave"),
        ("ulimits: {nofile: 3}", "services.s.ulimits: not supported: containers have those of the node's"),
        ("platform: windows/amd64", "containers are Linux's here, found 'windows/amd64'"),
        ("pull_policy: daily", "'daily' is not supported; expected one of always, never, missing"),
        ("container_name: one\n    scale: 2", "one name is not for 2 containers"),
        ("links: ['nobody:db']", "there is no service 'nobody'"),
        ("volumes_from: ['container:x']", "containers that are not of the file are not known"),
        ("devices: ['/etc/passwd:/x']", "expected /dev/NAME[:/PATH/INSIDE], found /etc/passwd"),
        ("devices: ['/dev/x::r']", "a device is for everything (rwm), found 'r'"),
        ("logging: {options: {tag: x}}", "tag: the node keeps logs as they are; expected max-size or max-file"),
        ("logging: {options: {max-size: big}}", "max-size: expected a size such as 10m, found 'big'"),
        ("logging: {driver: syslog}", "'syslog' is not supported; expected one of json-file, local"),
        ("restart: 'on-failure:often'", "expected one of no, always, unless-stopped, on-failure, on-failure:N"),
        ("restart: sometimes", "'sometimes' is not supported; expected one of no, always, unless-stopped, on-failure"),
        ("volumes: [data:/data]", "services.s.volumes: 'data' is not declared; add it to the top-level `volumes`"),
        ("volumes: ['./x:relative']", "the path in the container must be absolute, found 'relative'"),
        ("volumes: ['./x:/a', './y:/a']", "two volumes are mounted at /a"),
        ("volumes: ['a:/b:rw,nope']", "expected [SOURCE:]TARGET[:ro|rw]"),
        ("tmpfs: run", "the path in the container must be absolute, found 'run'"),
        ("secrets: [s]", "'s' is not declared; add it to the top-level `secrets`"),
        ("networks: [front]", "'front' is not declared; add it to the top-level `networks`"),
        (
            "deploy: {restart_policy: {condition: maybe}}",
            "'maybe' is not supported; expected one of any, on-failure, none",
        ),
        ("depends_on: [s]", "services wait for each other: s -> s"),
        ("user: 'a b'", "expected USER or USER:GROUP, found 'a b'"),
        ("read_only: maybe", "expected true or false, found 'maybe'"),
        ('command: "it\'s"', "cannot be split into words"),
        ("healthcheck: {interval: fast}", "expected a duration such as 30s or 1m30s, found 'fast'"),
        ("healthcheck: {test: [RUN, x]}", "expected CMD or CMD-SHELL and a command, or NONE, found 'RUN'"),
        ("healthcheck: {test: [CMD]}", "expected CMD or CMD-SHELL and a command, or NONE, found 'CMD'"),
        ("env_file: nowhere.env", "cannot be read: No such file or directory"),
        ("extra_hosts: ['gate:host-gateway']", "expected NAME:ADDRESS with an IP address, found gate:host-gateway"),
        ("labels: {'no good': x}", "the label 'no good'"),
        ("hostname: Not_OK", "the host name 'Not_OK'"),
        ("build: ./nowhere", "is not a directory"),
        ("expose: ['80/sctp']", "the protocol 'sctp' is not supported"),
        ("environment: 3", "expected a map or a list, found '3'"),
        ("image: other", "the key 'image' appears twice"),
        ("command: $(date)", "write $$ for a dollar sign"),
        ("container_name: 'a b'", "services.s.container_name: the name 'a b'"),
    ],
)
def test_a_mistake_says_what_was_expected(tmp_path: Path, body: str, said: str) -> None:
    assert said in complaint(tmp_path, body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "compose.yaml:1: the file is empty; expected a map with `services`"),
        ("services: {a: [", "not valid YAML"),
        ("- a", "expected a map, found a list"),
        ("services: [a]", "compose.yaml:1: services: expected a map, found a list"),
        ("services: {}", "expected a map `services` with at least one service"),
        ("volumes: {v: }", "expected a map `services` with at least one service"),
        ("services: {A B: {image: x}}", "the service name 'A B'"),
        ("name: Not OK\nservices: {a: {image: x}}", "the project name 'Not OK'"),
        ("name: kube-system\nservices: {a: {image: x}}", "the name 'kube-system' belongs to the cluster"),
        ("services: {a: &a {image: x, extra: *a}}", "not valid YAML|nested deeper"),
    ],
)
def test_files_that_are_no_compose_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(text)
    with pytest.raises(ComposeError) as caught:
        read(file, {})
    assert any(part in str(caught.value) for part in said.split("|"))


def test_a_file_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    lines = ["x-0: &l0 [a, a]"] + [f"x-{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "unfolds to more than" in problems(tmp_path, "\n".join([*lines, "services: {a: {image: x}}"]))[0]


def test_services_may_not_share_a_name_in_the_cluster(tmp_path: Path) -> None:
    text = """services:
  web: {image: x, ports: ["80:80"]}
  web-published: {image: x}
  a_b: {image: x}
  a-b: {image: x}
"""
    assert [item.partition(": ")[2] for item in problems(tmp_path, text)] == [
        "services.web-published: the name 'web-published' belongs to another service already",
        "services.a-b: the name 'a-b' belongs to another service already",
    ]


def test_circles_of_dependencies_are_named(tmp_path: Path) -> None:
    text = "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [c]}\n  c: {image: x, depends_on: [a]}\n"
    assert "services wait for each other: a -> b -> c -> a" in problems(tmp_path, text)[0]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            "{ipam: {config: [{subnet: 10.0.0.0/8}]}}",
            "networks.n.ipam.config: not supported: all networks share the cluster's addresses",
        ),
        ("{enable_ipv6: true}", "networks.n.enable_ipv6: only false is possible"),
        ("{driver: macvlan}", "networks.n.driver: 'macvlan' is not supported; expected one of bridge, overlay"),
        (
            "{driver_opts: {com.docker.network.driver.mtu: 9000}}",
            "com.docker.network.driver.mtu: not supported: only `encrypted` means anything here",
        ),
        (
            "{driver_opts: {encrypted: maybe}}",
            "networks.n.driver_opts.encrypted: expected true or false, found 'maybe'",
        ),
        ("{external: true, internal: true}", "networks.n.internal: an external network is somebody else's"),
        ("{name: default}", "networks.n: the name 'default' belongs to network 'default' already"),
        ("{name: -n}", "networks.n: the network name '-n': a lowercase RFC 1123 label"),
    ],
)
def test_what_a_network_cannot_be_is_said_with_its_place(tmp_path: Path, network: str, said: str) -> None:
    (found,) = problems(tmp_path, f"services:\n  s: {{image: x}}\nnetworks:\n  default:\n  n: {network}\n")
    assert found.startswith("compose.yaml:5: ") or ":5: " in found
    assert said in found


def test_addresses_of_ones_own_choice_are_refused(tmp_path: Path) -> None:
    text = "services:\n  s:\n    image: x\n    networks:\n      default: {ipv4_address: 10.0.0.5}\n"
    assert (
        ":5: services.s.networks.default.ipv4_address: not supported: the cluster gives pods"
        in problems(tmp_path, text)[0]
    )


def test_external_networks_are_named_as_new_and_old_files_do(tmp_path: Path) -> None:
    text = "networks: {a: {external: true}, b: {external: true, name: gate_b}, c: {external: {name: gate_c}}}\n"
    found = {each.key: each for each in whole(tmp_path, "networks: [a, b, c]", text).networks}
    assert [(found[key].name, found[key].external) for key in "abc"] == [
        ("a", True),
        ("gate_b", True),
        ("gate_c", True),
    ]


def test_the_project_is_named_by_option_file_variable_or_folder(tmp_path: Path) -> None:
    folder = tmp_path / "My Shop_1"
    folder.mkdir()
    file = folder / "compose.yaml"
    file.write_text("services: {a: {image: x}}")
    assert read(file, {}).name == "myshop1"
    assert read(file, {"COMPOSE_PROJECT_NAME": "variable"}).name == "variable"
    file.write_text("name: inside\nservices: {a: {image: x}}")
    assert read(file, {"COMPOSE_PROJECT_NAME": "variable"}).name == "inside"
    assert read(file, {}, project="given").name == "given"


def test_name_and_services_are_known_of_a_file_with_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: shop\nservices:\n  a: {image: '${NOT_SET:?}', bad: 1}\n  b: {}\n")
    assert project_name(file, {}) == "shop"
    assert service_names(file) == ["a", "b"]


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(-5, 70000), st.text(alphabet="a:/.0-$\n #[", max_size=6)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(
                    [
                        "image",
                        "build",
                        "ports",
                        "volumes",
                        "environment",
                        "env_file",
                        "depends_on",
                        "healthcheck",
                        "deploy",
                        "networks",
                        "secrets",
                        "configs",
                        "command",
                        "user",
                        "labels",
                        "tmpfs",
                        "test",
                        "replicas",
                        "resources",
                        "limits",
                        "memory",
                        "target",
                        "source",
                        "mode",
                        "a",
                    ]
                ),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=12,
    )
)
def test_whatever_a_service_says_it_is_read_or_refused_by_line(
    tmp_path_factory: pytest.TempPathFactory, body: object
) -> None:
    import yaml

    file = tmp_path_factory.mktemp("any") / "compose.yaml"
    file.write_text(yaml.safe_dump({"services": {"s": body}}))
    complaints: list[Problem] = []
    with contextlib.suppress(ComposeError):
        try:
            read(file, {})
        except ComposeError as error:
            complaints = error.problems
            raise
    assert all(problem.line >= 1 and problem.message for problem in complaints)


def test_a_kubernetes_manifest_is_told_where_it_belongs(tmp_path: Path) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n")
    with pytest.raises(ComposeError) as refused:
        read(file, {})
    assert [problem.message for problem in refused.value.problems] == [
        f"this is a Kubernetes manifest and no Compose file; use: kubectl apply -f {file}"
    ]
