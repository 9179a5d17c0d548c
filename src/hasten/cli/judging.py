"""``hasten data judge``: what a user's own showers are held against, as a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import showers, talk


def judge(
    path: Annotated[
        Path, typer.Argument(metavar="SHOWERS", help="True showers in any readable form.")
    ],
    test: Annotated[
        Path | None,
        typer.Option(
            help="Showers that nothing is trained on; by default the last 10 % of SHOWERS, and "
            "the first 80 % guide the search.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What reports call the showers; by default the file's name."),
    ] = None,
    geometry: showers.GeometryName = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder, to be named as --judge.")
    ] = Path("judge"),
) -> None:
    """Make a judge of showers: what is looked at, and what true ones look like."""
    from hasten.data.showers import load_showers
    from hasten.measure.physics.judge import publish_shower_judge

    whole = test is not None
    train = load_showers(path, geometry=geometry, split=None if whole else "train")
    held = load_showers(test or path, geometry=geometry, split=None if whole else "test")
    if name is not None:
        train, held = (replace(each, name=name) for each in (train, held))
    reference = publish_shower_judge(out, name=out.name, train=train, test=held)
    row, floor = next(iter(reference.floor.items()))
    talk.emit_facts(
        {
            "looks at": reference.metric,
            "judges by": reference.data,
            "just visible": f"{reference.degradation}, at {reference.just_visible:.3f}",
            row: f"{floor.value:.3f} ({floor.low:.3f} to {floor.high:.3f})",
            "folder": str(out),
        }
    )
