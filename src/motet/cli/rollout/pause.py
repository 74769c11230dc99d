"""`motet rollout pause`: an update stops where it is, and a schedule begins no run."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli.rollout import targets
from motet.cli.rollout.targets import APP, DEPLOYMENT, Target
from motet.client.interface import Client
from motet.kinds import app as app_kind
from motet.store.document import Document


@click.command()
@targets.options
@targets.structured_option
def command(targets: tuple[str, ...], namespace: str, data_dir: Path, output: str) -> None:
    """Let no update of each TARGET go on, and no run of a schedule begin. Lost pods are still replaced."""
    _pause(targets, namespace, data_dir, output)


def _pause(words: tuple[str, ...], namespace: str, data_dir: Path, form: str) -> None:
    targets.tell(targets.each(data_dir, namespace, words, pause), form)


async def pause(client: Client, target: Target, document: Document) -> str:
    """Raises MotetError for what cannot be paused, or is."""
    require_pausable(target, document)
    if document.decode()["spec"].get("paused") is True:
        raise MotetError(f"{target} is paused already")
    await client.patch(target.kind, target.name, {"spec": {"paused": True}}, document.namespace)
    return "is paused"


def require_pausable(target: Target, document: Document) -> None:
    """Raises MotetError for what has no updates that could stop."""
    if target.kind not in (APP, DEPLOYMENT):
        raise MotetError(f"{target} cannot be paused or resumed: only Apps and Deployments can")
    whole = document.decode()
    if target.kind is APP and app_kind.mode(whole) in app_kind.JOBS and not whole["spec"].get("schedule"):
        raise MotetError(f"{target} is a job without a schedule: there is nothing to pause or resume")
