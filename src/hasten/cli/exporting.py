"""``hasten export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import choices, subjects, talk


def export(
    model: choices.ModelName,
    recipe: choices.RecipeFile = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", help="A new folder, or an earlier export.")
    ] = Path("exported"),
    guidance: choices.Guidance = 1.0,
) -> None:
    """Write a model and its way of sampling as a folder that works without hasten."""
    from hasten.integrate.export import export as write

    net = subjects.open_model(model)
    chosen = subjects.open_recipe(recipe, net, model)
    with talk.progress("exporting"):
        written = write(net, chosen, out, guidance=guidance)
    for note in written.notes:
        talk.say(note)
    typer.echo(str(written.folder))
