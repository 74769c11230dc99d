"""The Compose Specification, key by key: each is honoured or refused by name, as the documentation says."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from motet.cli.compose.model import Project
from motet.cli.compose.read import read
from motet.cli.compose.refusals import REFUSED
from motet.cli.compose.source import ComposeError
from motet.cli.compose.translate import documents
from motet.kinds.attachments import NetworkKey
from motet.kinds.catalogue import Catalogue
from motet.kinds.schema.validate import check

HERE = Path(__file__).parent
EVERYTHING = HERE / "everything"
DOCUMENTATION = HERE.parents[2] / "docs" / "compose.md"
ENVIRONMENT = {"TOLD": "by the environment", "COMPOSE_PROFILES": "full"}
EXTERNALS = {"back": NetworkKey("gate", "back")}
SPECIFICATION = [line for line in (HERE / "specification.txt").read_text().splitlines() if not line.startswith("#")]


@cache
def documented() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """What the table says: the keys that hold, those that are read and change nothing, and those that are refused."""
    text = DOCUMENTATION.read_text().split("## Every key\n")[1].split("\n## ")[0]
    found: tuple[set[str], set[str], set[str]] = (set(), set(), set())
    for line in text.splitlines():
        if not line.startswith("| `") and not line.startswith("| top"):
            continue
        where, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        parent = "" if where.startswith("top") else f"{where.strip('`')}."
        for cell, keys in zip(cells, found, strict=True):
            keys |= {f"{parent}{key}" for key in re.findall(r"`([^`]+)`", cell)}
    return frozenset(found[0]), frozenset(found[1]), frozenset(found[2])


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every path of a document, in the specification's notation."""
    if isinstance(value, list):
        for item in value:
            yield from paths(item, f"{path}[]")
    elif isinstance(value, dict):
        for key, below in value.items():
            named = f"{path}.{key}" if path else str(key)
            here = next((known for known in SPECIFICATION if matches(known, named)), "")
            if here:
                yield here
            yield from paths(below, here or f"{path}.*")


def matches(known: str, path: str) -> bool:
    return re.fullmatch(re.escape(known).replace(r"\*", "[^.]+"), path.replace("*", "x")) is not None


def below_refused(path: str) -> bool:
    return any(path.startswith((f"{refused}.", f"{refused}[]")) for refused in REFUSED)


def test_the_table_has_every_key_of_the_specification() -> None:
    holds, idle, refused = documented()
    assert set(SPECIFICATION) - (holds | idle | refused) == {path for path in SPECIFICATION if below_refused(path)}
    assert holds | idle <= set(SPECIFICATION)
    assert len(holds) + len(idle) + len(refused) == len(holds | idle | refused)


def test_the_table_and_the_code_refuse_the_same() -> None:
    assert documented()[2] == frozenset(REFUSED)


def test_the_example_of_everything_has_every_key_that_is_read() -> None:
    holds, idle, _ = documented()
    assert set(paths(example())) == holds | idle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(EVERYTHING, tmp_path_factory.mktemp("project") / "everything"))


@cache
def example() -> Any:
    return yaml.load((EVERYTHING / "compose.yaml").read_text(), yaml.BaseLoader)


def outcome(folder: Path, without: str = "") -> Any:
    """What becomes of the example, or of the example without a key; None for a complaint."""
    tree = copy.deepcopy(example())
    if without:
        remove(tree, without.split("."))
    file = folder / "compose.yaml"
    file.write_text(json.dumps(tree))
    try:
        found = read(file, ENVIRONMENT)
    except ComposeError:
        return None
    return beside(found), documents(found, {}, EXTERNALS)


def beside(project: Project) -> Any:
    """What is done without a document: images are built and pulled, directories made, and others' things looked for."""
    return (
        [(service.build, service.pull, [mount.create for mount in service.mounts]) for service in project.services],
        [(each.name, each.title, each.external) for each in (*project.secrets, *project.configs)],
        [(each.name, each.external) for each in (*project.networks, *project.volumes)],
    )


def remove(value: Any, path: list[str]) -> None:
    """Take a key away wherever it is."""
    head, *rest = path
    lists = head.count("[]")
    head = head.removesuffix("[]" * lists)
    for key in list(value) if head == "*" else [head]:
        if not isinstance(value, dict) or key not in value:
            continue
        if not rest:
            del value[key]
            continue
        below = [value[key]]
        for _ in range(lists):
            below = [item for each in below if isinstance(each, list) for item in each]
        for each in below:
            if isinstance(each, dict):
                remove(each, rest)


@pytest.mark.parametrize("section", ["services", "networks", "volumes", "secrets", "configs", ""])
def test_a_key_that_holds_makes_a_difference_and_an_idle_one_none(folder: Path, section: str) -> None:
    holds, idle, _ = documented()
    whole = outcome(folder)
    assert whole is not None
    chosen = [path for path in sorted(holds | idle) if (path.partition(".")[0] if "." in path else "") == section]
    assert chosen
    assert [path for path in chosen if (outcome(folder, path) == whole) != (path in idle)] == []


def test_the_example_is_read_without_a_complaint_and_becomes_valid_documents() -> None:
    project = read(EVERYTHING / "compose.yaml", ENVIRONMENT)
    catalogue = Catalogue()
    for document in documents(project, {"web": "web", "inline": "inline"}, EXTERNALS):
        kind = catalogue.by_kind(document["apiVersion"], document["kind"])
        assert kind is not None
        kind.default(document)
        assert check(kind.schema, document) == []
        assert kind.validate(document, None) == []


@pytest.mark.parametrize(("path", "why"), REFUSED.items())
def test_a_key_that_is_refused_is_named_with_the_reason(tmp_path: Path, path: str, why: str) -> None:
    tree: dict[str, Any] = {"services": {"s": {"image": "x"}}}
    plant(tree, path.split("."))
    file = tmp_path / "compose.yaml"
    file.write_text(yaml.safe_dump(tree))
    with pytest.raises(ComposeError) as caught:
        read(file, {})
    said = [problem for problem in caught.value.problems if problem.message == f"not supported: {why}"]
    assert [re.sub(r"\[\d+\]", "[]", problem.path) for problem in said] == [path.replace("*", "s")]
    assert all(problem.line > 0 for problem in said)


def plant(value: dict[str, Any], path: list[str]) -> None:
    head, *rest = path
    key = "s" if head == "*" else head.removesuffix("[]")
    if not rest:
        value[key] = {"s": "x"} if not head.endswith("[]") else ["x"]
        return
    if head.endswith("[]"):
        value[key] = [{}]
        plant(value[key][0], rest)
    else:
        plant(value.setdefault(key, {}), rest)
