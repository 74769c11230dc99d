"""The architecture page says what import-linter checks."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def rooms_of_the_page() -> list[list[str]]:
    rows = re.findall(r"^\| (`[^|]+`) \|", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    return [re.findall(r"`(\w+)`", row) for row in rows]


def layers_of_the_linter() -> list[list[str]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(contract["layers"] for contract in settings["contracts"] if contract["type"] == "layers")
    return [re.findall(r"motet\.(\w+)", line) for line in layers]


def test_the_page_lists_the_layers_in_their_order() -> None:
    assert rooms_of_the_page() == layers_of_the_linter()


def test_every_room_is_in_a_layer() -> None:
    packages = {path.parent.name for path in (ROOT / "src" / "motet").glob("*/__init__.py")}
    assert packages == {room for line in layers_of_the_linter() for room in line}
