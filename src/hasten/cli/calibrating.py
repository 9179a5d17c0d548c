"""``hasten calibrate``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import RecipeError


def calibrate(
    model: Annotated[
        str, typer.Argument(metavar="FOLDER", help="A shower model as hasten train writes it.")
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="The showers it was trained on; without -r.", show_default=False),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--recipe",
            help='Prepare this recipe, which has method = "calibrate", and leave what comes of it '
            "in FOLDER, for all who use the model from there.",
            show_default=False,
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", min=500, help="Showers to sample for it; without -r.")
    ] = 3000,
    threads: choices.Threads = None,
) -> None:
    """Put the spread of a shower model's cells right, by the showers it was trained on.

    The model in FOLDER is sampled as exactly as may be, which takes minutes; what it makes of each
    ring is then mapped to what true showers have there. The maps and the spread of the true showers
    are part of the model from then on. Stopped, the same command goes on with it.

    Few evaluations blur cells otherwise than many do. A recipe with [[method]] method =
    "calibrate" has maps of its own, made when it is first used; with -r they are made now and come
    along with the model.
    """
    import torch

    from hasten.applying import apply
    from hasten.preparing import ARTIFACTS
    from hasten.train.calibrate import calibrate as put_right

    if threads:
        torch.set_num_threads(threads)
    if (data is None) == (recipe is None):
        raise typer.BadParameter("give either the showers (--data) or a recipe (-r)")
    folder = Path(model)
    if data is not None:
        again = shlex.join(["hasten", *sys.argv[1:]])
        with talk.resumable(again), talk.progress("sampling") as advance:
            put_right(folder, data, n, lambda done, total: advance(done, total))
        typer.echo(model)
        return
    assert recipe is not None
    net = subjects.open_model(model)
    chosen = subjects.open_recipe(recipe, net, model)
    if not any(chosen.transforms):
        raise RecipeError(
            "there is nothing to prepare in this recipe",
            where=recipe,
            hint=f"{recipe}+calibrate",
        )
    store = Path(net.card.get("folder", folder)) / ARTIFACTS
    with (
        talk.progress("preparing") as advance,
        apply(net, chosen, store=store, progress=talk.part(advance, "preparing")),
    ):
        typer.echo(str(store))
