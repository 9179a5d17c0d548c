"""``hasten calibrate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import choices, talk


def calibrate(
    model: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A shower model as hasten train writes it.")
    ],
    data: Annotated[Path, typer.Option(help="The showers it was trained on.", show_default=False)],
    n: Annotated[int, typer.Option("-n", min=500, help="Showers to sample for it.")] = 3000,
    threads: choices.Threads = None,
) -> None:
    """Put the spread of a shower model's cells right, by the showers it was trained on.

    The model in FOLDER is sampled as exactly as may be, which takes minutes; what it makes of each
    ring is then mapped to what true showers have there. The map is part of the model from then on.
    Stopped, the same command goes on with it.
    """
    import torch

    from hasten.train.calibrate import calibrate as put_right

    if threads:
        torch.set_num_threads(threads)
    again = shlex.join(["hasten", *sys.argv[1:]])
    with talk.resumable(again), talk.progress("sampling") as advance:
        put_right(model, data, n, progress=lambda done, total: advance(done, total))
    typer.echo(str(model))
