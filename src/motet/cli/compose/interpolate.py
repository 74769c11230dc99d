"""Variables in Compose files (Compose Specification, "Interpolation").

`$NAME`, `${NAME}`, and the forms with a default, an error or a replacement.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")


def fill_in(text: str, variables: Mapping[str, str]) -> str:
    """Replace every variable. `$$` is a dollar sign; one that is not set is empty. Raises ValueError."""
    if "$" not in text:
        return text
    filled, at = _until(text, 0, variables, closing=False)
    assert at == len(text)
    return filled


def _until(text: str, at: int, variables: Mapping[str, str], *, closing: bool) -> tuple[str, int]:
    """Fill in up to the end, or up to the brace that closes an enclosing expression."""
    parts: list[str] = []
    while at < len(text):
        character = text[at]
        if closing and character == "}":
            return "".join(parts), at
        if character != "$":
            parts.append(character)
            at += 1
        elif text.startswith("$$", at):
            parts.append("$")
            at += 2
        elif text.startswith("${", at):
            part, at = _braced(text, at + 2, variables)
            parts.append(part)
        elif name := _NAME.match(text, at + 1):
            parts.append(variables.get(name[0], ""))
            at = name.end()
        else:
            raise ValueError(f"{text!r} has a single $ that is not a variable; write $$ for a dollar sign")
    if closing:
        raise ValueError(f"{text!r} has a ${{ without its closing brace")
    return "".join(parts), at


def _braced(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    name = _NAME.match(text, at)
    if name is None:
        raise ValueError(f"{text!r} has no variable name after ${{")
    value = variables.get(name[0])
    at = name.end()
    if text.startswith("}", at):
        return value or "", at + 1
    operator = _OPERATOR.match(text, at)
    if operator is None:
        raise ValueError(f"{text!r}: expected one of - :- ? :? + :+ or }} after ${{{name[0]}")
    word, at = _until(text, operator.end(), variables, closing=True)
    present = bool(value) if operator[0].startswith(":") else value is not None
    match operator[0][-1]:
        case "-":
            result = value if present else word
        case "+":
            result = word if present else ""
        case _:
            if not present:
                raise ValueError(f"the variable {name[0]} is required: {word or 'it is not set'}")
            result = value
    return result or "", at + 1


def read_env_file(
    path: Path, variables: Mapping[str, str] | None = None, *, raw: bool = False, labels: bool = False
) -> dict[str, str]:
    """A file of NAME=VALUE lines. Single quotes keep text as it is; double quotes know \\n, \\t, \\" and \\\\.

    Variables outside of single quotes are filled in from `variables` and the lines before; a name alone takes its value from
    `variables`, if it is there. `raw` takes every value as it is written; `labels` have names of any form. Raises
    ValueError, OSError.
    """
    known = dict(variables or {})
    found: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        stripped = line.strip().removeprefix("export ").lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        name = name.strip()
        if not labels and not _NAME.fullmatch(name):
            raise ValueError(f"{path}:{number}: {name!r} is not a variable name")
        if not equals:
            if name in known:
                found[name] = known[name]
            continue
        try:
            found[name] = value if raw else _unquote(value.strip(), {**known, **found})
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    return found


def _unquote(value: str, variables: Mapping[str, str]) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        escapes = {"\\n": "\n", "\\t": "\t", '\\"': '"', "\\\\": "\\"}
        return _filled(re.sub(r'\\[nt"\\]', lambda match: escapes[match[0]], value[1:-1]), variables)
    return _filled(re.split(r"\s+#", value, maxsplit=1)[0], variables)


def _filled(value: str, variables: Mapping[str, str]) -> str:
    """Unlike in a Compose file, a dollar sign that begins nothing stands for itself."""
    return fill_in(re.sub(r"\$\$|\$(?![A-Za-z_{])", "$$", value), variables)
