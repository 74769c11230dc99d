"""/livez, /readyz, /healthz (Kubernetes "API health endpoints"): the only paths open to everyone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from motet.api.http import answers

PATHS = frozenset({"/livez", "/readyz", "/healthz"})

# Gives an empty string when all is well, else what is wrong.
Check = Callable[[], str]


def answer(path: str, checks: Mapping[str, Check], *, verbose: bool) -> web.StreamResponse:
    """`ok`, or each check on a line of its own when asked for or when one failed."""
    failed = False
    lines = []
    for name, check in checks.items():
        problem = check()
        failed = failed or bool(problem)
        # The reason may tell things about the inside, so everybody gets the name only.
        lines.append(f"[-]{name} failed: reason withheld" if problem else f"[+]{name} ok")
    kind = path.strip("/").partition("/")[0]
    if not failed and not verbose:
        return answers.text("ok")
    lines.append(f"{kind} check {'failed' if failed else 'passed'}")
    return answers.text("\n".join(lines) + "\n", status=503 if failed else 200)
