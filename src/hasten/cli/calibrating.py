"""``hasten calibrate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import RecipeError

if TYPE_CHECKING:
    from hasten.core.plan import Plan


def calibrate(
    model: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A shower model as hasten train writes it.")
    ],
    data: Annotated[Path, typer.Option(help="The showers it was trained on.", show_default=False)],
    recipe: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--recipe",
            help="Calibrate for samples of this plan alone: a recipe file, a stock plan such as "
            "dpmpp_2m:karras:6, or a recipe of the model.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[int, typer.Option("-n", min=500, help="Showers to sample for it.")] = 3000,
    threads: choices.Threads = None,
) -> None:
    """Put the spread of a shower model's cells right, by the showers it was trained on.

    The model in FOLDER is sampled as exactly as may be, which takes minutes; what it makes of each
    ring is then mapped to what true showers have there. The map is part of the model from then on.
    With -r it is sampled by that plan, and the map is taken wherever that very plan is used: few
    evaluations blur cells otherwise than many do. Stopped, the same command goes on with it.
    """
    import torch

    from hasten.train.calibrate import calibrate as put_right

    if threads:
        torch.set_num_threads(threads)
    plan = None if recipe is None else _plan(recipe, model)
    again = shlex.join(["hasten", *sys.argv[1:]])
    with talk.resumable(again), talk.progress("sampling") as advance:
        put_right(model, data, n, lambda done, total: advance(done, total), plan=plan)
    typer.echo(str(model))


def _plan(text: str, folder: Path) -> Plan:
    """The rows of a recipe for the model in a folder."""
    from hasten.core.method import refuse

    net = subjects.open_model(str(folder))
    found = subjects.open_recipe(text, net, str(folder))
    if found.methods:
        raise RecipeError(
            "a calibration is for samples of a plan alone, and this recipe has methods",
            where=text,
            hint="a recipe of a [plan] only, as hasten plan find or tune --only plan writes it",
        )
    refuse(net.name, found.obstacles(net))
    return found.resolve(net.process)
