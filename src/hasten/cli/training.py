"""``hasten train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import talk
from hasten.errors import ModelError


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A training configuration.")],
    data: Annotated[
        Path, typer.Option(help="Images or showers in any readable form.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", help="Run folder; an earlier run there is continued."),
    ] = Path("runs/train"),
    minutes: Annotated[
        float | None,
        typer.Option(min=0, help="Stop with a checkpoint after this long.", show_default=False),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="A trained model of the same net, whose weights to start from.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Train a model, or go on training; OUT/model is what hasten can then load."""
    if not config.is_file():
        raise ModelError(
            "there is no such configuration", where=str(config), hint="configs/ holds examples"
        )
    from hasten.cli.subjects import as_device
    from hasten.loading import load
    from hasten.train.run import train_config

    as_device(device)
    again = shlex.join(["hasten", *sys.argv[1:]])
    with talk.resumable(again), talk.progress("training") as advance:
        state = train_config(
            config,
            data,
            out,
            minutes=float("inf") if minutes is None else minutes,
            device=device,
            start=None if start is None else load(start),
            progress=lambda seen, total, loss: advance(seen, total, detail=f"loss {loss:.4f}"),
        )
    talk.say(f"{state.step:,} steps done")
    if not (out / "model" / "card.toml").is_file():
        talk.say(f"the layer model is not done yet, so there is no model; go on with\n{again}")
        return
    typer.echo(str(out / "model"))
