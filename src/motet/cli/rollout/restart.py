"""`motet rollout restart`: every pod is replaced, by the rules of an update, though nothing is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from motet.base import timestamps
from motet.base.clock import Clock, SystemClock
from motet.base.errors import MotetError
from motet.cli.rollout import targets
from motet.cli.rollout.targets import APP, Target
from motet.client.interface import Client
from motet.store.document import Document

# kubectl's own, so that its history shows the same.
_RESTARTED = "kubectl.kubernetes.io/restartedAt"


@click.command()
@targets.options
@targets.structured_option
def command(targets: tuple[str, ...], namespace: str, data_dir: Path, output: str) -> None:
    """Replace every pod of each TARGET; run a job again."""
    _restart(targets, namespace, data_dir, output)


def _restart(words: tuple[str, ...], namespace: str, data_dir: Path, form: str) -> None:
    targets.tell(targets.each(data_dir, namespace, words, restart), form)


async def restart(client: Client, target: Target, document: Document, clock: Clock | None = None) -> str:
    """Raises MotetError while it is paused, for then nothing would happen."""
    spec = document.decode()["spec"]
    if spec.get("paused") is True:
        raise MotetError(f"{target} is paused; go on first: motet rollout resume {target}")
    patch: dict[str, Any]
    if target.kind is APP:
        patch = {"spec": {"forceUpdate": int(spec.get("forceUpdate") or 0) + 1}}
    else:
        now = timestamps.format_time((clock or SystemClock()).now())
        patch = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED: now}}}}}
    await client.patch(target.kind, target.name, patch, document.namespace)
    return "is being restarted"
