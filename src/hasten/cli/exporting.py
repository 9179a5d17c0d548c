"""``hasten export``."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import DataError

if TYPE_CHECKING:
    from hasten.core.model import Model
    from hasten.recipe import Recipe


class Noise(enum.StrEnum):
    """Where the noise of a graph comes from."""

    INPUT = "input"
    SEED = "seed"


class Order(enum.StrEnum):
    """How cells are numbered, the slowest index first."""

    OWN = "z-phi-r"
    PAR04 = "r-phi-z"


class Units(enum.StrEnum):
    """Of the energies of cells."""

    MEV = "MeV"
    GEV = "GeV"


def export(
    model: choices.ModelName,
    recipe: choices.RecipeFile = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="A new folder, or an earlier export. [default: exported]",
            show_default=False,
        ),
    ] = None,
    guidance: choices.Guidance = 1.0,
    onnx: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.onnx",
            help="Instead of a folder: one ONNX graph with the whole sampler inside.",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        Noise | None,
        typer.Option(
            help="Of the graph: a second input, or drawn in it. [default: input]",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER|none",
            help="Of the noise drawn in the graph; none leaves it to the runtime. [default: 0]",
            show_default=False,
        ),
    ] = None,
    order: Annotated[
        Order | None,
        typer.Option(
            help="Of the cells of showers, the slowest index first; Par04 wants r-phi-z. "
            "[default: z-phi-r]",
            show_default=False,
        ),
    ] = None,
    units: Annotated[
        Units | None,
        typer.Option(
            help="Of the energies of cells; Par04 wants GeV. [default: MeV]", show_default=False
        ),
    ] = None,
    columns: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the condition, whose first is the incident energy in GeV; Par04 gives 8. "
            "[default: 1]",
            show_default=False,
        ),
    ] = None,
    deposits: Annotated[
        bool,
        typer.Option(
            "--deposits",
            help="Cells as deposited in the active material, as Par04 has them: readings times the "
            "share of the geometry.",
        ),
    ] = False,
) -> None:
    """Write a model and its way of sampling as a folder, or one file, that works without hasten."""
    form: dict[str, Any] = {"noise": noise, "order": order, "units": units, "columns": columns}
    form |= {"deposits": True} if deposits else {}
    form = {key: value for key, value in form.items() if value is not None}
    if seed is not None:
        form["seed"] = _seed(seed, noise)
    if onnx is None and form:
        raise DataError(
            "only a graph has a choice of these",
            where=", ".join(f"--{key}" for key in form),
            hint="add --onnx FILE.onnx, or leave them out",
        )
    if onnx is not None and out is not None:
        raise DataError(
            "a folder or a graph, not both", where=f"-o {out}, --onnx {onnx}", hint="give one"
        )
    net = subjects.open_model(model)
    chosen = subjects.open_recipe(recipe, net, model)
    if onnx is not None:
        _write_graph(net, chosen, onnx, guidance, form)
        return
    from hasten.integrate.export import export as write

    with talk.progress("exporting"):
        written = write(net, chosen, out or Path("exported"), guidance=guidance)
    for note in written.notes:
        talk.say(note)
    typer.echo(str(written.folder))


def _write_graph(
    net: Model, recipe: Recipe, path: Path, guidance: float, form: dict[str, Any]
) -> None:
    from hasten.integrate.onnx import export_onnx

    with talk.progress("tracing the net, writing and checking the graph (minutes if it is large)"):
        written = export_onnx(net, recipe, path, guidance=guidance, **form)
    for note in written.notes:
        talk.say(note)
    talk.say(f"Run in onnxruntime, it gives hasten's own samples to {written.distance:.1g}.")
    typer.echo(str(written.path))


def _seed(text: str, noise: Noise | None) -> int | None:
    if noise is not Noise.SEED:
        raise DataError(
            "noise that comes in has no seed", where="--seed", hint="--noise seed, or leave it out"
        )
    if text != "none" and not text.isdigit():
        raise DataError("neither a whole number nor none", where=f"--seed {text}", hint="--seed 1")
    return None if text == "none" else int(text)
