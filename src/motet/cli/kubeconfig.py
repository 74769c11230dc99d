"""`motet kubeconfig`: the administrator's key to the cluster, for kubectl and every Kubernetes client."""

from __future__ import annotations

from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli.options import data_dir_option


@click.command()
@data_dir_option
def command(data_dir: Path) -> None:
    """Print an administrator's kubeconfig.

    \b
      motet kubeconfig > ~/.kube/config
    """
    path = data_dir / "server" / "admin.kubeconfig"
    try:
        click.echo(path.read_text(), nl=False)
    except FileNotFoundError:
        raise MotetError(f"{path} does not exist; start a manager first: motet server, or motet up FILE") from None
    except PermissionError:
        raise MotetError(f"{path} is readable by its owner only; run this as the user who started Motet") from None
