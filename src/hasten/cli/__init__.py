"""The command line: reads what is asked, calls the room that does it, says what came of it.

One file a group of commands; ``talk`` speaks, ``choices`` holds shared options, ``subjects`` turns
what the user named into values. Nothing here imports torch before a command needs it.
"""

from __future__ import annotations

from typing import Annotated

import typer

from hasten.cli import (
    calibrating,
    checking,
    data,
    exporting,
    listing,
    measuring,
    physics,
    plans,
    sampling,
    training,
    tuning,
)
from hasten.cli.talk import Guarded

app = typer.Typer(
    name="hasten",
    cls=Guarded,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Makes trained diffusion models sample many times faster, and proves that the samples "
    "stay as good.",
)


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("hasten"))
        except PackageNotFoundError:
            typer.echo("source tree")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


for command, summary in (
    (tuning.tune, "Find the fastest way to sample, and prove it."),
    (sampling.sample, "Sample from a model."),
    (checking.check, "What a recipe would do, and what stands in its way."),
    (checking.inspect, "A model's process, size, cost and sites."),
    (measuring.measure, "Time, cost and quality of one recipe."),
    (measuring.compare, "Recipes side by side, in pairs."),
    (physics.physics, "Showers against true ones."),
    (training.train, "Train a model."),
    (calibrating.calibrate, "Put a shower model's cells right."),
    (exporting.export, "A folder that samples without hasten."),
    (tuning.report, "The page of a finished run."),
    (listing.methods, "Accelerations, solvers and grids."),
    (listing.models, "Models that come with hasten."),
):
    app.command(short_help=summary)(command)
app.add_typer(data.app, name="data")
app.add_typer(plans.app, name="plan")


def main() -> None:
    """Run the command line."""
    app()
