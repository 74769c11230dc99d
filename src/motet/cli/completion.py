"""`motet completion`: what a shell needs to complete Motet's commands."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a completion script.

    \b
      motet completion bash > /etc/bash_completion.d/motet
      motet completion zsh > "${fpath[1]}/_motet"
      motet completion fish > ~/.config/fish/completions/motet.fish
    """
    maker = get_completion_class(shell)
    assert maker is not None
    root = ctx.find_root()
    click.echo(maker(root.command, {}, "motet", "_MOTET_COMPLETE").source())
