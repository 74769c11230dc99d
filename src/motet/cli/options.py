"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from motet.machine.layout import DATA_DIR


def data_dir_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--data-dir`, or MOTET_DATA_DIR."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False, readable=False, resolve_path=True),
        default=DATA_DIR,
        show_default=True,
        envvar="MOTET_DATA_DIR",
        help="Where Motet keeps its state.",
    )(function)


def node_grace_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--node-grace`; 0 when it was not given."""
    return click.option(
        "--node-grace",
        type=click.FloatRange(4, 3600),
        default=None,
        callback=lambda ctx, parameter, value: value or 0.0,
        metavar="SECONDS",
        help="How long a node may be silent before it counts as lost; 40 by default.",
    )(function)


def dual_stack_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--dual-stack`."""
    return click.option(
        "--dual-stack", is_flag=True, help="Give pods and services IPv6 addresses beside those of IPv4."
    )(function)


def encrypt_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--encrypt`."""
    return click.option(
        "--encrypt", "encrypted", is_flag=True, help="Encrypt all that is sent to pods of other nodes (WireGuard)."
    )(function)
