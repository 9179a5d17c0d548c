"""``hasten tune`` and ``hasten report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import choices


def report(
    run: choices.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The page; by default RUN/report.html.", show_default=False
        ),
    ] = None,
) -> None:
    """Make the page of a finished run."""
    from hasten.report import write

    typer.echo(str(write(run, out)))
