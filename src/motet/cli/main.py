"""The `motet` command. Each verb lives in a module of its own and is imported only when it is typed."""

from __future__ import annotations

import importlib
import sys

import click

from motet.base import release
from motet.base.errors import ApiError, MotetError

_VERBS = {
    "up": "motet.cli.up",
    "down": "motet.cli.down",
    "ps": "motet.cli.ps",
    "logs": "motet.cli.logs",
    "exec": "motet.cli.exec",
    "scale": "motet.cli.scale",
    "rollout": "motet.cli.rollout",
    "rebalance": "motet.cli.rebalance",
    "status": "motet.cli.status",
    "why": "motet.cli.why",
    "doctor": "motet.cli.doctor",
    "init": "motet.cli.init",
    "join": "motet.cli.join",
    "leave": "motet.cli.leave",
    "join-token": "motet.cli.join_token",
    "node": "motet.cli.node",
    "ca": "motet.cli.ca",
    "secrets": "motet.cli.secrets",
    "server": "motet.cli.server",
    "agent": "motet.cli.agent",
    "kubeconfig": "motet.cli.kubeconfig",
    "image": "motet.cli.image",
    "completion": "motet.cli.completion",
    "backup": "motet.cli.backup",
    "restore": "motet.cli.restore",
    "start": "motet.cli.start",
    "stop": "motet.cli.stop",
    "reset": "motet.cli.reset",
    "testbed": "motet.cli.testbed",
    "daemon": "motet.cli.daemon",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _VERBS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version=release.VERSION, prog_name="motet")
def cli() -> None:
    """Motet runs your containers: on this machine with two words, on many with two more.

    \b
      motet up compose.yaml     a cluster on this machine, the app on it, an address to open
      motet ps                  what runs
      motet down                stop the app; its volumes stay

    \b
      motet init                a cluster for many machines: prints what to type on the others
      motet join --token ...    make this machine a node of it
    """


def main() -> None:
    """Entry point. Errors of ours are one sentence on standard error and exit code 1; wrong usage exits with 2."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ApiError as error:
        _fail(error.message)
    except MotetError as error:
        _fail(str(error))


def _fail(message: str) -> None:
    click.echo(f"{click.style('error:', fg='red') if sys.stderr.isatty() else 'error:'} {message}", err=True)
    sys.exit(1)
