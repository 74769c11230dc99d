"""`motet rollout resume`: an update goes on that somebody, or its failures, had paused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from motet.base import timestamps
from motet.base.clock import Clock, SystemClock
from motet.base.errors import MotetError
from motet.cli.rollout import targets
from motet.cli.rollout.pause import require_pausable
from motet.cli.rollout.targets import APP, Target
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.store.document import Document


@click.command()
@targets.options
@targets.structured_option
def command(targets: tuple[str, ...], namespace: str, data_dir: Path, output: str) -> None:
    """Let a paused update of each TARGET go on; failures that paused it count no more."""
    _resume(targets, namespace, data_dir, output)


def _resume(words: tuple[str, ...], namespace: str, data_dir: Path, form: str) -> None:
    targets.tell(targets.each(data_dir, namespace, words, resume), form)


async def resume(client: Client, target: Target, document: Document, clock: Clock | None = None) -> str:
    """Raises MotetError for what is not paused."""
    require_pausable(target, document)
    whole = document.decode()
    asked = whole["spec"].get("paused") is True
    update = (whole.get("status") or {}).get("update") or {}
    failed = target.kind is APP and update.get("state") in ("paused", "rollback_paused")
    if not asked and not failed:
        raise MotetError(f"{target} is not paused")
    patch: dict[str, Any] = {}
    if asked:
        patch["spec"] = {"paused": None}
    if failed:
        now = timestamps.format_time((clock or SystemClock()).now())
        patch["metadata"] = {"annotations": {app_kind.RESUMED: now}}
    await client.patch(target.kind, target.name, patch, document.namespace)
    return "goes on"
