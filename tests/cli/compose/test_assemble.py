"""Several files made one: laid over each other, extended, included; and the services that profiles choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from motet.cli.compose.model import Joined, Project, PublishedPort, Service
from motet.cli.compose.read import read
from motet.cli.compose.source import ComposeError


def project(
    folder: Path, *texts: str, profiles: tuple[str, ...] = (), environment: dict[str, str] | None = None
) -> Project:
    """The project of several files, a.yaml, b.yaml and so on."""
    files = []
    for letter, text in zip("abcdef", texts, strict=False):
        files.append(folder / f"{letter}.yaml")
        files[-1].write_text(text)
    return read(files, environment or {}, project="shop", profiles=profiles)


def services(found: Project) -> dict[str, Service]:
    return {service.name: service for service in found.services}


def said(folder: Path, *texts: str) -> list[str]:
    with pytest.raises(ComposeError) as caught:
        project(folder, *texts)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_later_file_adds_and_changes(tmp_path: Path) -> None:
    base = """services:
  web:
    image: old
    command: [a, b]
    environment: [ONE=1, TWO=2]
    ports: ["8080:80"]
    volumes: ["./a:/a", "./b:/b:ro"]
    depends_on: [db]
    healthcheck: {test: [CMD, x], retries: 9}
  db: {image: db}
"""
    over = """services:
  web:
    image: new
    command: [c]
    environment: {TWO: "two", THREE: "3"}
    ports: ["8080:80", "90:90"]
    volumes: ["./other:/b"]
    depends_on: {cache: {condition: service_healthy}}
    healthcheck: {test: [CMD, y]}
  cache: {image: cache, healthcheck: {test: [CMD, z]}}
"""
    web = services(project(tmp_path, base, over))["web"]
    assert (web.image, web.command) == ("new", ("c",))
    assert dict(web.environment) == {"ONE": "1", "TWO": "two", "THREE": "3"}
    assert [port.published for port in web.ports] == [8080, 90]
    assert [(mount.target, Path(mount.source).name, mount.read_only) for mount in web.mounts] == [
        ("/a", "a", False),
        ("/b", "other", False),
    ]
    assert web.depends_on == (("db", "started"), ("cache", "healthy"))
    assert web.health is not None
    assert (web.health.command, web.health.retries) == (("y",), 9)


def test_reset_takes_away_and_override_replaces(tmp_path: Path) -> None:
    base = (
        "services: {s: {image: x, ports: ['80:80'], expose: [1], environment: {A: a, B: b}, command: run, user: '3'}}\n"
    )
    over = """services:
  s:
    ports: !override ["90:90"]
    expose: !reset []
    environment: {A: !reset null}
    user: !reset ""
"""
    found = services(project(tmp_path, base, over))["s"]
    assert found.ports == (PublishedPort(90, 90),)
    assert (found.expose, found.privileges.user, found.command) == ((), "", ("run",))
    assert dict(found.environment) == {"B": "b"}


def test_a_build_may_be_a_path_in_one_file_and_a_map_in_another(tmp_path: Path) -> None:
    found = services(project(tmp_path, "services: {s: {build: .}}", "services: {s: {build: {target: t, args: [A=1]}}}"))
    build = found["s"].build
    assert build is not None
    assert (build.context, build.target, build.args) == (tmp_path.resolve(), "t", (("A", "1"),))


def test_mistakes_name_the_file_they_are_in(tmp_path: Path) -> None:
    assert said(tmp_path, "services: {s: {image: x}}\n", "services:\n  s:\n    prots: []\n") == [
        "b.yaml:3: services.s.prots: there is no such key; did you mean `ports`?"
    ]


def test_a_service_extends_one_of_another_file_whose_paths_stay_its_own(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "base.yaml").write_text(
        "services:\n  root: {image: root, volumes: ['./x:/x'], labels: {from: root}}\n"
        "  base: {extends: root, environment: {B: '1'}}\n"
    )
    text = "services: {s: {extends: {file: there/base.yaml, service: base}, image: own, labels: [mine=yes]}}\n"
    found = services(project(tmp_path, text))["s"]
    assert (found.image, found.environment) == ("own", (("B", "1"),))
    assert found.mounts[0].source == str((tmp_path / "there" / "x").resolve())
    assert dict(found.annotations) == {"from": "root", "mine": "yes"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("services: {a: {extends: b}, b: {extends: a}}", "services extend each other: a -> b -> a"),
        ("services: {a: {extends: nobody}}", "there is no service 'nobody'"),
        ("services: {a: {extends: {file: none.yaml, service: b}}}", "none.yaml does not exist"),
        ("services: {a: {extends: {file: a.yaml}}}", "expected `service`, the service to extend"),
        ("include: [none.yaml]\nservices: {a: {image: x}}", "none.yaml does not exist"),
        ("include: [a.yaml]\nservices: {a: {image: x}}", "files include each other"),
        ("include: other.yaml\nservices: {a: {image: x}}", "expected a list, found 'other.yaml'"),
        ("include: [{env_file: x}]\nservices: {a: {image: x}}", "expected `path`, the file to include"),
    ],
)
def test_what_cannot_be_found_is_told_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    assert any(complaint in each and each.startswith("a.yaml:1: ") for each in said(tmp_path, text))


def test_an_included_project_has_its_own_folder_and_variables(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / ".env").write_text("TAG=theirs\nBOTH=theirs\n")
    (other / "compose.yaml").write_text(
        "services: {db: {image: 'db:$TAG-$BOTH', volumes: ['./d:/d', 'kept:/k']}}\nvolumes: {kept: }\n"
    )
    text = "include: [other/compose.yaml]\nservices: {web: {image: 'web:$TAG', depends_on: [db]}}\n"
    found = project(tmp_path, text, environment={"BOTH": "ours"})
    assert [(service.name, service.image) for service in found.services] == [("db", "db:theirs-ours"), ("web", "web:")]
    assert services(found)["db"].mounts[0].source == str((other / "d").resolve())
    assert [volume.key for volume in found.volumes] == ["kept"]


def test_an_included_project_may_not_change_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("services: {web: {image: theirs}}\n")
    (complaint,) = said(tmp_path, "include: [other.yaml]\nservices: {web: {image: ours}}\n")
    assert complaint.startswith("other.yaml:1: services.web: ")
    assert "has another 'web'" in complaint


PROFILES = """services:
  web: {image: web, depends_on: {debug: {condition: service_started, required: false}}}
  debug: {image: debug, profiles: [dev, test]}
  load: {image: load, profiles: [test]}
"""


def test_profiles_choose_services(tmp_path: Path) -> None:
    assert [*services(project(tmp_path, PROFILES))] == ["web"]
    assert [*services(project(tmp_path, PROFILES, profiles=("dev",)))] == ["web", "debug"]
    assert [*services(project(tmp_path, PROFILES, environment={"COMPOSE_PROFILES": "*"}))] == ["web", "debug", "load"]
    found = project(tmp_path, PROFILES)
    assert (found.asleep, found.services[0].depends_on) == (("debug", "load"), ())


def test_a_dependency_whose_profile_is_not_asked_for_is_told(tmp_path: Path) -> None:
    text = "services: {web: {image: w, depends_on: [debug]}, debug: {image: d, profiles: [dev]}}\n"
    assert "'debug' has a profile that is not asked for; use --profile" in said(tmp_path, text)[0]
    assert "every service has a profile" in said(tmp_path, "services: {debug: {image: d, profiles: [dev]}}\n")[0]


def test_links_are_aliases_and_an_order(tmp_path: Path) -> None:
    text = "services: {web: {image: w, links: ['db:database', cache]}, db: {image: d}, cache: {image: c}}\n"
    found = services(project(tmp_path, text))
    assert found["web"].depends_on == (("db", "started"), ("cache", "started"))
    assert found["db"].networks == (Joined("default", ("database",)),)
    assert found["cache"].networks == ()


def test_volumes_of_another_service_are_ones_own(tmp_path: Path) -> None:
    text = "services:\n  web: {image: w, volumes_from: ['db:ro']}\n  db: {image: d, volumes: ['./x:/x']}\n"
    (mount,) = services(project(tmp_path, text))["web"].mounts
    assert (mount.target, mount.read_only) == ("/x", True)
    text = text.replace("./x:/x", "/scratch")
    assert "/scratch of 'db' is each of its containers' own; give it a named volume" in said(tmp_path, text)[0]
