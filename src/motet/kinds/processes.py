"""How many processes a pod may have at most: an annotation, since pods have no field for it.

    motet.dev/pids-limit: "100"

The node's own limit holds as well. The process that holds the pod together is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMIT = "motet.dev/pids-limit"
# The kernel's largest process number (PID_MAX_LIMIT of a 64-bit system).
_MOST = 4_194_304


def parse(text: str) -> int:
    """Raises ValueError with words for whoever wrote it."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= _MOST):
        raise ValueError(f"must be a number from 1 to {_MOST}")
    return int(text)


def limit(annotations: Mapping[str, str] | None, of_node: int) -> int:
    """The limit of a pod with these annotations on a node that allows `of_node` to each (0: any number); 0 for none.

    What cannot be read was never accepted, and is not there.
    """
    text = (annotations or {}).get(LIMIT)
    if text is None:
        return of_node
    try:
        own = parse(text) + 1
    except ValueError:
        return of_node
    return min(own, of_node) if of_node else own
