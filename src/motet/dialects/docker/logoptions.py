"""Options of the json-file logging driver, as marks of a pod: how large its logs grow, how many files of them are kept. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from motet.kinds import podmarks

DRIVERS = ("json-file", "local")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kmg]?)b?", re.IGNORECASE)
_FACTORS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def marks(options: Mapping[str, str]) -> dict[str, str]:
    """Annotations of the pod. Raises ValueError for an option that cannot be honoured."""
    found = {}
    for name, value in options.items():
        match name:
            case "max-size":
                found[podmarks.LOG_SIZE] = str(_size(value))
            case "max-file":
                found[podmarks.LOG_FILES] = value
            case _:
                raise ValueError(f"{name}: the node keeps logs as they are; expected max-size or max-file")
    if problems := podmarks.validate(found):
        raise ValueError(problems[0].detail)
    return found


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"max-size: expected a size such as 10m, found {text!r}")
    return int(float(match[1]) * _FACTORS[match[2].lower()])
