"""`authorizer.group("").resource("pods").namespace("x").check("get").allowed()`: what somebody may do.

An expression only names what is asked; the answer comes from whoever evaluates it (`asking`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from motet.kinds.cel.library import ANY, BOOL, STRING, Function, tagged, untagged

# Given what is asked (verb, group, resource, subresource, namespace, name, path; `account` for whom, if for another), answers
# whether it is allowed and why.
Answer = Callable[[dict[str, str]], tuple[bool, str]]

_TAG, _DECISION = "authorizer", "decision"
AUTHORIZER = tagged(_TAG, {"of": ""})
_answer: ContextVar[Answer] = ContextVar("motet_authorizer")


@contextmanager
def asking(answer: Answer) -> Iterator[None]:
    """Expressions evaluated inside get their answers from `answer`."""
    token = _answer.set(answer)
    try:
        yield
    finally:
        _answer.reset(token)


def with_request(asked: dict[str, str]) -> dict[str, Any]:
    """The authorizer, with `authorizer.requestResource`: the very resource that a request is about."""
    return {**AUTHORIZER, "requestResource": tagged(_TAG, {"of": "resource", **asked})}


def _with(kinds: tuple[str, ...], now: str, name: str) -> Callable[[Any, str], dict[str, Any]]:
    def more(value: Any, text: str) -> dict[str, Any]:
        asked = untagged(_TAG, value)
        if asked["of"] not in kinds:
            raise ValueError("no such overload")
        return tagged(_TAG, {**asked, "of": now, name: text})

    return more


def _account(value: Any, namespace: str, name: str) -> dict[str, Any]:
    untagged(_TAG, value)
    return tagged(_TAG, {"of": "", "account": f"system:serviceaccount:{namespace}:{name}"})


def _check(value: Any, verb: str) -> dict[str, Any]:
    asked = untagged(_TAG, value)
    if asked["of"] not in ("path", "resource"):
        raise ValueError("no such overload")
    answer = _answer.get(None)
    if answer is None:
        raise ValueError("nobody is there to ask")
    allowed, reason = answer({**asked, "verb": verb})
    return tagged(_DECISION, {"allowed": allowed, "reason": reason})


def _of(name: str) -> Callable[[Any], Any]:
    return lambda value: untagged(_DECISION, value)[name]


def _never(value: Any) -> bool:
    """Ours decides from what is in memory, and so never fails."""
    untagged(_DECISION, value)
    return False


def _no_error(value: Any) -> str:
    untagged(_DECISION, value)
    return ""


FUNCTIONS = (
    Function("path", (ANY, STRING), ANY, _with(("",), "path", "path"), member=True),
    Function("group", (ANY, STRING), ANY, _with(("",), "group", "group"), member=True),
    Function("serviceAccount", (ANY, STRING, STRING), ANY, _account, member=True),
    Function("resource", (ANY, STRING), ANY, _with(("group",), "resource", "resource"), member=True),
    Function("subresource", (ANY, STRING), ANY, _with(("resource",), "resource", "subresource"), member=True),
    Function("namespace", (ANY, STRING), ANY, _with(("resource",), "resource", "namespace"), member=True),
    Function("name", (ANY, STRING), ANY, _with(("resource",), "resource", "name"), member=True),
    Function("check", (ANY, STRING), ANY, _check, member=True),
    Function("allowed", (ANY,), BOOL, _of("allowed"), member=True),
    Function("reason", (ANY,), STRING, _of("reason"), member=True),
    Function("errored", (ANY,), BOOL, _never, member=True),
    Function("error", (ANY,), STRING, _no_error, member=True),
)
