"""`motet rollout undo`: what runs becomes what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from motet.base.errors import MotetError
from motet.cli.rollout import revisions, targets
from motet.cli.rollout.history import choose
from motet.cli.rollout.revisions import Revision
from motet.cli.rollout.targets import APP, DEPLOYMENT, Target
from motet.client.interface import Client, PatchType
from motet.controllers.appversion import kept_of, put_back, same, version_of
from motet.kinds import app as app_kind
from motet.store.document import Document


@click.command()
@targets.options
@targets.structured_option
@click.option(
    "--to-revision",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Which one to go back to (see: motet rollout history); 0 is the one before.",
)
def command(targets: tuple[str, ...], namespace: str, data_dir: Path, output: str, to_revision: int) -> None:
    """Go back to an earlier version of each TARGET. How many run does not change."""
    _undo(targets, namespace, data_dir, output, to_revision)


def _undo(words: tuple[str, ...], namespace: str, data_dir: Path, form: str, number: int) -> None:
    async def work(client: Client, target: Target, document: Document) -> str:
        return await undo(client, target, document, number)

    targets.tell(targets.each(data_dir, namespace, words, work), form)


async def undo(client: Client, target: Target, document: Document, number: int) -> str:
    """Write the earlier version; what was done, in words. Raises MotetError; ApiError if it was changed meanwhile."""
    if (document.decode()["spec"]).get("paused") is True:
        raise MotetError(f"{target} is paused; go on first: motet rollout resume {target}")
    found = await revisions.of(client, target, document)
    chosen = choose(found, number, target) if number else _before(found, target, document)
    was_already = f"is what revision {chosen.number} was already"
    if target.kind is APP:
        patch: Any = app_patch(document, chosen)
        if patch is not None:
            await client.patch(app_kind.KIND, target.name, patch, document.namespace, patch_type=PatchType.JSON)
        return f"goes back to revision {chosen.number}" if patch is not None else was_already
    if chosen.current:
        return was_already
    if target.kind is DEPLOYMENT:
        # Precisely this template; a merge would leave what was added since.
        patch = [{"op": "replace", "path": "/spec/template", "value": chosen.spec["template"]}]
        await client.patch(target.kind, target.name, patch, document.namespace, patch_type=PatchType.JSON)
    else:
        template = {**chosen.spec["template"], "$patch": "replace"}
        patch = {"spec": {"template": template}}
        await client.patch(target.kind, target.name, patch, document.namespace, patch_type=PatchType.STRATEGIC)
    return f"goes back to revision {chosen.number}"


def _before(found: list[Revision], target: Target, document: Document) -> Revision:
    """What a rollback goes to when nobody says: of an App, what its controller would go back to."""
    previous = (document.decode().get("status") or {}).get("previousRevision") if target.kind is APP else None
    for each in found:
        if each.name == previous:
            return each
    if len(found) < 2:
        raise MotetError(f"{target} has no earlier revision to go back to")
    return found[-2]


def app_patch(document: Document, chosen: Revision) -> list[dict[str, Any]] | None:
    """What puts back what the revision keeps and says that it is a rollback, in one write; None when it is that already.

    It fails if somebody changed the App meanwhile; its status may move on.
    """
    spec = document.decode()["spec"]
    if same(kept_of(spec), chosen.spec):
        return None
    spec = put_back(spec, chosen.spec)
    marks = {app_kind.ROLLBACK: version_of(spec), app_kind.ROLLBACK_REASON: "manually requested rollback"}
    kept = {key: value for key, value in (document.meta.annotations or {}).items() if key != app_kind.RESUMED}
    return [
        {"op": "test", "path": "/metadata/generation", "value": document.meta.generation},
        {"op": "replace", "path": "/spec", "value": spec},
        {"op": "add", "path": "/metadata/annotations", "value": {**kept, **marks}},
    ]
