"""Why a task has no node, in Swarm's words (SwarmKit, manager/scheduler: the filters' Explain) and in the scheduler's own. Pure."""

from __future__ import annotations

import re
from collections import Counter

_REFUSAL = re.compile(r"0/(?P<nodes>\d+) nodes are available: (?P<reasons>.+)\.")
_REASON = re.compile(r"(\d+) ([^,]+)(?:, |$)")
_RESOURCES = ("Insufficient ", "Too many pods")
_LACK = "insufficient resources on {}"
# By how the scheduler's reason begins. What Swarm does not know stays as it is.
_WORDS = {
    "node(s) were unschedulable": "{} not available for new tasks",
    "node(s) had untolerated taint": "{} not available for new tasks",
    "node(s) didn't match Pod's node affinity/selector": "scheduling constraints not satisfied on {}",
    "node(s) didn't match scheduler-enforced node affinity": "scheduling constraints not satisfied on {}",
    "node(s) didn't have free ports": "host-mode port already in use on {}",
}


def said(message: str) -> str:
    """`no suitable node (insufficient resources on 2 nodes): 0/2 nodes ...`; what is no refusal of the scheduler's stays as it is.

    The scheduler counts a node that lacks several resources under each, and every other node under one reason: so those
    that lack any are the rest.
    """
    refusal = _REFUSAL.fullmatch(message)
    if refusal is None:
        return message
    counted: Counter[str] = Counter()
    lacking = False
    for count, reason in _REASON.findall(refusal["reasons"]):
        if reason.startswith(_RESOURCES):
            lacking = True
        else:
            words = next((words for begin, words in _WORDS.items() if reason.startswith(begin)), reason)
            counted[words] += int(count)
    if lacking:
        counted[_LACK] = int(refusal["nodes"]) - counted.total()
    told = [
        words.format(f"{count} node{'s' if count > 1 else ''}") if words.count("{}") else f"{count} {words}"
        for words, count in counted.items()
    ]
    return f"no suitable node ({'; '.join(told)}): {message}"
