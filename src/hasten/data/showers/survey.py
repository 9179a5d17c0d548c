"""A survey of showers: what files hold, from their shapes and a sample of their rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.data.geometry import Geometry
from hasten.data.showers.files import ShowerFiles
from hasten.data.showers.stores import open_store

_FEW = 64
_LOOK = 1024


@final
@dataclass(frozen=True)
class Survey:
    """What showers on disk are.

    Attributes:
        count: Showers.
        files: Files they are in.
        split: Part of a data set that they are, if that is known.
        arrays: Shapes of the arrays in the first file.
        others: Names of what else is in it.
        form: Format, in words.
        geometry: Of the showers.
        lowest: Lowest incident energy, MeV.
        highest: Highest, MeV.
        law: How incident energies seem to be distributed (`energy_law`).
        looked: Showers from all over the files that the rest is from.
        response: Mean of the energy read out over the incident energy.
        spread: Standard deviation of the same.
        empty: Share of cells without energy.
        threshold: Smallest energy in a cell that is not empty, MeV; 0 if all are empty.
        advice: What is odd about the units, if anything is.
    """

    count: int
    files: int
    split: str | None
    arrays: dict[str, tuple[int, ...]]
    others: tuple[str, ...]
    form: str
    geometry: Geometry
    lowest: float
    highest: float
    law: str
    looked: int
    response: float
    spread: float
    empty: float
    threshold: float
    advice: str | None


def survey(files: ShowerFiles, look: int = _LOOK) -> Survey:
    """Look at showers on disk; all incident energies are read, but only some showers.

    Args:
        files: The showers (`hasten.data.showers.files.open_showers`).
        look: About how many showers to read.

    Raises:
        DataError: If numbers that are read cannot be, or are damaged.
    """
    incident = files.energies()
    energies, cells = files.spread(look).read()
    totals = cells.sum(axis=1, dtype=np.float64)
    filled = cells[cells > 0]
    first = files.runs[0]
    with open_store(first.file) as store:
        arrays, others = dict(store.shapes), store.others
    return Survey(
        count=len(files),
        files=len({run.file for run in files.runs}),
        split=files.split,
        arrays=arrays,
        others=others,
        form=_form(files),
        geometry=files.geometry,
        lowest=float(incident.min()),
        highest=float(incident.max()),
        law=energy_law(incident),
        looked=len(energies),
        response=float((totals / energies).mean()),
        spread=float((totals / energies).std()),
        empty=1 - filled.size / cells.size,
        threshold=float(filled.min()) if filled.size else 0.0,
        advice=files.advice(energies, cells),
    )


def energy_law(energies: NDArray[Any]) -> str:
    """How incident energies [n] seem to be distributed, in words.

    ``N values`` if few values stand for all, ``log-uniform`` or ``uniform`` if their distribution
    between the lowest and the highest is no further from it than chance allows (Kolmogorov and
    Smirnov's distance, 1 in 100, and 0.02 at least), ``no law known`` otherwise.
    """
    values = np.unique(energies)
    if len(values) == 1:
        return "one value"
    if len(values) <= min(_FEW, len(energies) // 2):
        return f"{len(values)} values"
    if len(energies) < 20:
        return "too few to tell"
    ranks = (np.arange(len(energies)) + 0.5) / len(energies)
    laws = {"log-uniform": np.sort(np.log(energies)), "uniform": np.sort(energies)}
    apart = {
        name: float(np.abs((points - points[0]) / (points[-1] - points[0]) - ranks).max())
        for name, points in laws.items()
    }
    law = min(apart, key=lambda name: apart[name])
    return law if apart[law] < max(1.63 / math.sqrt(len(energies)), 0.02) else "no law known"


def _form(files: ShowerFiles) -> str:
    run = files.runs[0]
    if isinstance(run.energies, float):
        return "Par04, an array for each energy"
    if run.axes == "r-phi-z":
        return f"Par04, {run.key} (N, r, phi, z)"
    return "CaloChallenge" if len(run.inner) == 1 else f"{run.key} (N, z, phi, r)"
