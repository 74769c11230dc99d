"""The node's log directory for administrators (kubelet's `/logs/`): a listing of a directory, or a file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from motet.base.errors import NotFound


def answer(root: Path, parts: Sequence[str], path: str) -> web.StreamResponse:
    """What is at `root`/`parts`, never outside `root`. Raises NotFound."""
    base = root.resolve()
    target = base.joinpath(*parts).resolve()
    if not target.is_relative_to(base) or not target.exists():
        raise NotFound(f"there is no {path}")
    if not target.is_dir():
        return web.FileResponse(target, headers={"Content-Type": "text/plain; charset=utf-8"})
    if not path.endswith("/"):
        return web.Response(status=301, headers={"Location": f"{path.rsplit('/', 1)[-1]}/"})
    names = sorted(entry.name + ("/" if entry.is_dir() else "") for entry in target.iterdir())
    links = "\n".join(f'<a href="{quote(name)}">{html.escape(name)}</a>' for name in names)
    return web.Response(text=f"<pre>\n{links}\n</pre>\n", content_type="text/html")
