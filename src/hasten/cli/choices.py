"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hasten.cli.talk import Format

ModelName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A bundled name (hasten models), a diffusers folder or hub id, or file.py:function.",
        show_default=False,
    ),
]

RecipeFile: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="RECIPE",
        help="A recipe file, the name of one that comes with the model (hasten models) or of a "
        "published plan (hasten methods), or solver:grid:steps. Without it: the sampler named on "
        "the model's card.",
        show_default=False,
    ),
]

Output: TypeAlias = Annotated[
    Format, typer.Option("--format", help="How the result is printed on stdout.")
]

Judge: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Name or folder of a judge; by default the card's.", show_default=False),
]

Real: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Real samples in any readable form; by default those behind the judge, else the "
        "model's own converged samples.",
        show_default=False,
    ),
]

Device: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:1, mps; by default where the model was loaded.", show_default=False
    ),
]

Dtype: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16; by default that of the weights.", show_default=False
    ),
]

Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads; by default PyTorch's choice.", show_default=False),
]

Batch: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Samples in one pass.", show_default=False)
]

Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="The first sample's seed.")]

Guidance: TypeAlias = Annotated[
    float, typer.Option(help="Weight of guidance where the recipe states none; 1 is none.")
]

Guide: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WEAKER_MODEL",
        help="Named as MODEL is: guide with it in place of the null class (needs a weight).",
        show_default=False,
    ),
]

ClassNames: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="CLASSES",
        help="Numbers or names, separated by commas and taken in turn; by default all of them.",
        show_default=False,
    ),
]

Condition: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cond",
        metavar="VALUES",
        help="Conditions that are no classes: numbers separated by commas, or a .npy file. For "
        "shower models they are incident energies in MeV.",
        show_default=False,
    ),
]

Energy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--energy",
        metavar="GEV",
        help="Incident energies of showers: GeV separated by commas and taken in turn, or a file "
        "of showers whose energies are taken in its order; by default drawn as in training.",
        show_default=False,
    ),
]

Beyond: TypeAlias = Annotated[
    bool, typer.Option("--beyond", help="Allow energies the model was not trained on.")
]

Run: TypeAlias = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder of hasten tune.")]
