"""``hasten data gflash``: showers of a known law, where no others are at hand."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import subjects, talk
from hasten.errors import DataError
from hasten.files import check_writable

_FORMS = (".h5", ".hdf5", ".npz")


class Law(enum.StrEnum):
    """How incident energies are spread."""

    POWER = "power"
    UNIFORM = "uniform"


class Preset(enum.StrEnum):
    """Which GFlash."""

    STRICT = "strict"
    DS2_LIKE = "ds2-like"
    DS2_FITTED = "ds2-fitted"


class Cells(enum.StrEnum):
    """Where it is read out."""

    SIW = "siw"
    SIW_FINE = "siw-fine"


def gflash(
    n: Annotated[int, typer.Option("-n", help="Number of showers.")] = 1000,
    energies: Annotated[
        Law, typer.Option(help="As many showers in every decade (power) or GeV (uniform).")
    ] = Law.POWER,
    low: Annotated[
        float | None,
        typer.Option(metavar="GEV", help="Lowest energy; by default 1.", show_default=False),
    ] = None,
    high: Annotated[
        float | None,
        typer.Option(metavar="GEV", help="Highest energy; by default 1000.", show_default=False),
    ] = None,
    energy: Annotated[
        str | None,
        typer.Option(
            metavar="GEV,...",
            help="Fixed energies in place of a range, taken in turn: 1,10,100.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option(help="The published law, or what brings it near a silicon readout."),
    ] = Preset.DS2_LIKE,
    geometry: Annotated[
        Cells, typer.Option(help="45 x 16 x 9 cells, or 45 x 50 x 18 (siw-fine).")
    ] = Cells.SIW,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="An .h5 file, in the form of the CaloChallenge's, or .npz."
        ),
    ] = Path("gflash.h5"),
) -> None:
    """Draw electron showers in a W-Si calorimeter from GFlash, a parameterisation.

    They come from the published formulas (Grindhammer and Peters, hep-ex/0001020) and not from a
    full simulation: good for trying things and for tests, not for physics results.
    """
    subjects.positive(n, "-n")
    marks = _range(low, high) if energy is None else _fixed(energy, low, high)
    if out.suffix not in _FORMS:
        raise DataError(
            f"unknown kind of file {out.suffix or out.name!r}",
            where=str(out),
            hint=f"name it {', '.join(_FORMS)}",
        )
    check_writable(out)
    import dataclasses

    import numpy as np

    from hasten.data.energies import incident_energies
    from hasten.data.geometry import GEOMETRIES
    from hasten.data.gflash import PRESETS, checked
    from hasten.data.showers import Showers, save_showers
    from hasten.data.showers.hdf5 import require_hdf5

    if out.suffix != ".npz":
        require_hdf5()  # missed now rather than after the drawing
    marks = [float(mark) for mark in checked([1000 * mark for mark in marks])]  # MeV
    law = dataclasses.replace(PRESETS[preset], geometry=GEOMETRIES[geometry])
    rng = np.random.default_rng(seed)
    try:
        if energy is None:
            exact = incident_energies(energies, n, rng, *marks)
        else:
            exact = np.resize(marks, n)
        incident = exact.astype(np.float32)  # as written: showers are those of the file's energies
        with talk.progress("drawing showers") as advance:
            showers = law.draw(incident, rng, progress=lambda done, total: advance(done, total))
    except MemoryError as error:
        raise DataError(
            f"{n} showers do not fit in memory",
            where=f"-n {n}",
            hint="draw several files of fewer showers, each with its own --seed",
        ) from error
    spread = energies.value if energy is None else "in turn"
    facts = {
        "source": "GFlash (hep-ex/0001020), drawn by hasten",
        "preset": preset.value,
        "response": law.response,
        "spots": law.spots,
        "spot_shape": law.shape,
        "stretch": law.stretch,
        "ionisation": law.ionisation,
        "medium": law.medium.name,
        "energies": f"{spread}: {', '.join(f'{mark:g}' for mark in marks)} MeV",
        "seed": seed,
    }
    found = Showers(incident, showers, law.geometry, "GFlash")
    save_showers(out, found, attributes=facts)
    talk.say(
        f"{n} showers of GFlash: {(showers > 0).mean():.1%} of the cells hit, reading "
        f"{(showers.sum(1) / incident).mean():.3f} of the incident energy"
    )
    typer.echo(str(out))


def _range(low: float | None, high: float | None) -> list[float]:
    """Lowest and highest energy, GeV."""
    return [1.0 if low is None else low, 1000.0 if high is None else high]


def _fixed(text: str, low: float | None, high: float | None) -> list[float]:
    """The energies of ``--energy``, GeV."""
    if low is not None or high is not None:
        raise DataError(
            "energies are fixed or have a range, not both",
            where="--energy with --low or --high",
            hint="leave one of them out",
        )
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise DataError(
            "no list of energies", where=f"--energy {text}", hint="for instance --energy 1,10,100"
        ) from error
