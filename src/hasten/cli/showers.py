"""What ``hasten data`` does with showers."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from hasten.cli import talk

if TYPE_CHECKING:
    from hasten.data.geometry import Geometry
    from hasten.data.showers.survey import Survey


class Part(enum.StrEnum):
    """A part of a data set."""

    TRAIN = "train"
    VALID = "valid"
    TEST = "test"


class Axes(enum.StrEnum):
    """Order of the axes of a shower."""

    Z_PHI_R = "z-phi-r"
    R_PHI_Z = "r-phi-z"


GeometryName: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--geometry",
        metavar="GEOMETRY",
        help="Showers: siw, siw-fine, atlas-photons, atlas-pions, or an XML binning file; by "
        "default told by the number of cells.",
        show_default=False,
    ),
]

AxesName: TypeAlias = Annotated[
    Axes | None,
    typer.Option(
        "--axes",
        help="Showers: order of their axes, where the shape does not tell.",
        show_default=False,
    ),
]

Rows: TypeAlias = Annotated[
    int | None,
    typer.Option(min=1, help="Showers: at most so many, the first ones.", show_default=False),
]

Scale: TypeAlias = Annotated[
    float, typer.Option(help="Showers: factor to multiply the energies of cells by.")
]

EnergyScale: TypeAlias = Annotated[
    float, typer.Option(help="Showers: factor to multiply the incident energies by.")
]


def info(path: Path, geometry: str | None, axes: Axes | None, form: talk.Format) -> None:
    """Show what files of showers hold."""
    from hasten.data.showers import open_showers
    from hasten.data.showers.survey import survey

    order: Any = axes.value if axes else None
    found = survey(open_showers(path, geometry=geometry, axes=order))
    if form is talk.Format.JSON:
        talk.emit_json(_values(found))
    else:
        talk.emit_facts(_words(found))
    if found.advice:
        talk.say(f"warning     {found.advice}", "yellow")


def convert(source: Path, target: Path, **given: Any) -> None:
    """Write showers in any readable form to one file; ``given`` is what `convert_showers` takes."""
    from hasten.data.showers import convert_showers

    with talk.progress("converting") as advance:
        count = convert_showers(source, target, **given, progress=advance)
    talk.say(f"{count:,} showers")
    typer.echo(str(target))


def _values(found: Survey) -> dict[str, Any]:
    geometry = found.geometry
    return {
        "showers": found.count,
        "files": found.files,
        "split": found.split,
        "form": found.form,
        "arrays": {name: list(shape) for name, shape in found.arrays.items()},
        "others": list(found.others),
        "geometry": {
            "name": geometry.name,
            "layers": len(geometry.layers),
            "cells": geometry.cells,
            "threshold": geometry.threshold,
        },
        "energies": {"lowest": found.lowest, "highest": found.highest, "law": found.law},
        "looked": found.looked,
        "response": {"mean": found.response, "std": found.spread},
        "empty": found.empty,
        "threshold": found.threshold,
        "warning": found.advice,
    }


def _words(found: Survey) -> dict[str, str]:
    arrays = [f"{name} {list(shape)}" for name, shape in found.arrays.items()]
    shown = ", ".join([*arrays[:8], *found.others[:8]])
    low, high = (f"{each / 1000:.4g}" for each in (found.lowest, found.highest))
    energies = f"{low} GeV" if low == high else f"{low} to {high} GeV"
    files = f"{found.files} files" if found.files > 1 else "1 file"
    return {
        "showers": f"{found.count:,} in {files}"
        + (f", the {found.split} part" if found.split else ""),
        "form": found.form,
        "arrays": f"{shown} ..." if len(arrays) > 8 or len(found.others) > 8 else shown,
        "geometry": _shape(found.geometry),
        "incident energies": f"{energies}, {found.law}",
        "energy read out": f"{found.response:.4g} of the incident energy, "
        f"standard deviation {found.spread:.2g} *",
        "empty cells": f"{found.empty:.1%} *",
        "lowest cell": f"{found.threshold:.4g} MeV *; the geometry's threshold is "
        f"{found.geometry.threshold:.4g} MeV",
        "*": f"in {found.looked:,} showers"
        + (" from all over the files" if found.looked < found.count else ""),
    }


def _shape(geometry: Geometry) -> str:
    if geometry.shape:
        sizes = " x ".join(map(str, geometry.shape))
        return f"{geometry.name}, {sizes} (layers, sectors, rings), {geometry.cells:,} cells"
    return f"{geometry.name}, {len(geometry.layers)} layers, {geometry.cells:,} cells"
