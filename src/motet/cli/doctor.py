"""`motet doctor`: what this machine lacks for running containers, and how to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from motet.base.errors import MotetError
from motet.cli import output, session
from motet.cli.health import fix
from motet.cli.health.checks import Finding, Level
from motet.cli.health.look import look
from motet.cli.options import data_dir_option
from motet.machine import lifecycle
from motet.machine.layout import Machine

_MARKS = {Level.FINE: ("ok", "green"), Level.WARNING: ("warn", "yellow"), Level.PROBLEM: ("FAIL", "red")}


@click.command()
@data_dir_option
@click.option("--fix", "repair", is_flag=True, help="Install what is missing and load kernel modules.")
@output.output_option("text", "json", "yaml")
def command(data_dir: Path, repair: bool, output: str) -> None:
    """Check this machine. Exit code 0 means that everything needed is there."""
    machine = Machine(data_dir)
    findings = look(machine)
    if repair and any(finding.level is Level.PROBLEM for finding in findings):
        lifecycle.require_root()
        session.run(fix.repair(findings, lambda text: click.echo(text, err=True)))
        findings = look(machine)
    _show(findings, output)
    if any(finding.level is Level.PROBLEM for finding in findings):
        sys.exit(1)


def _show(findings: list[Finding], form: str) -> None:
    if form != "text":
        rows = [
            {"check": f.name, "level": f.level.value, "found": f.found, "fix": f.fix, "packages": list(f.packages)}
            for f in findings
        ]
        click.echo(output.structured(rows, form))
        return
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        mark, colour = _MARKS[finding.level]
        click.echo(f"{output.paint(f'{mark:4}', colour)}  {finding.name:{width}}  {finding.found}")
        if finding.fix and finding.level is not Level.FINE:
            click.echo(f"{'':{width + 8}}-> {finding.fix}")
    problems = [finding for finding in findings if finding.level is Level.PROBLEM]
    if any(finding.mendable for finding in problems):
        click.echo("\nmotet doctor --fix installs what is missing")
    elif not problems:
        click.echo("\nthis machine can run Motet")


def require(machine: Machine) -> None:
    """Raises MotetError, naming everything that is missing, unless Motet can run here. Quick: nothing is installed."""
    if lifecycle.running(machine):
        return
    problems = [finding for finding in look(machine) if finding.level is Level.PROBLEM]
    if not problems:
        return
    listed = "\n".join(f"  {finding.name}: {finding.found}; {finding.fix}" for finding in problems)
    step = "motet doctor --fix" if any(finding.mendable for finding in problems) else "motet doctor"
    raise MotetError(f"this machine is not ready to run containers:\n{listed}\n  next: {step}")
