"""The pages that say of every field whether it holds: `test_catalogue` asks whether they are true and up to date."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


evidence, statements, tables = (load(name) for name in ("field_evidence", "field_statements", "field_tables"))


@pytest.fixture(scope="module")
def made() -> tuple[dict[Path, str], list[str]]:
    return tables.rendered()


def test_no_page_is_left_over(made: tuple[dict[Path, str], list[str]]) -> None:
    assert {path.name for path in tables.PAGES.glob("*.md")} == {path.name for path in made[0]}


def test_every_field_of_every_definition_is_on_its_page(made: tuple[dict[Path, str], list[str]]) -> None:
    pages = {path.stem: text for path, text in made[0].items()}
    for name, schema in statements.published().items():
        section = next(
            text.split(f"# {name}\n")[1].split("\n##")[0] for text in pages.values() if f"# {name}\n" in text
        )
        assert [field for field in schema.fields if f"`{field}`" not in section] == [], name


def facts(entry: dict[str, object], name: str = "core.v1.Taint") -> tuple[dict[str, object], list[str]]:
    problems: list[str] = []
    found = dict(statements._facts(name, statements.published()[name], entry, problems))
    return found, problems


def test_a_field_that_is_said_to_hold_must_be_named_where_it_is_said_to_be_acted_on() -> None:
    _, problems = facts({"by": "scheduler/views:Taint"})
    assert problems == ["core.v1.Taint.timeAdded: said to hold, but nothing in scheduler/views:Taint names it"]


def test_a_field_that_is_said_to_have_no_effect_must_not_be_named_there() -> None:
    _, problems = facts({"by": "controllers/nodes:Taint", "kept": {"value": "why"}})
    assert problems == ["core.v1.Taint.value: said to have no effect, but controllers/nodes:Taint names it"]


def test_a_refusal_that_does_not_come_is_found_out() -> None:
    refused = {"hostname": {"pod": {"spec": {"hostname": "x"}}}}
    _, problems = facts({"by": ["pods", "api", "scheduler", "agent"], "refused": refused}, "core.v1.PodSpec")
    assert "core.v1.PodSpec.hostname: said to be refused, but is not, or in other words" in problems


def test_a_docstring_is_no_evidence() -> None:
    assert "honour" not in evidence.named_in("pods/unsupported")
    assert evidence.words("podCIDRs") == evidence.words("pod_cidrs")
