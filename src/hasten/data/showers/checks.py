"""Checks of showers: numbers that cannot be, units that are mixed up, parts that are no samples.

What cannot be right is an error. What is only unlikely is a warning, and the numbers stay as they
are: a physicist with a reason to have them so is not overruled.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hasten.data.geometry import Geometry
from hasten.errors import DataError, HastenWarning

LOWEST, HIGHEST = 0.01, 5.0
"""Median shares of the incident energy read out between which units are not doubted."""
GEV_BELOW, GEV_UP_TO = 50.0, 5000.0
"""Energies that begin below the one and end below the other (in MeV) look like GeV."""


class UnitWarning(HastenWarning):
    """Energies that look as if they were in another unit than they are taken for."""


class OrderWarning(HastenWarning):
    """A part of a file whose incident energies are not distributed as in the whole file."""


def check_energies(energies: NDArray[Any], where: str, first: int = 0) -> None:
    """Incident energies [n] must be finite and above 0.

    Args:
        energies: MeV.
        where: What holds them, for the message.
        first: Number of the first row, for the message.

    Raises:
        DataError: With how many are wrong, and where the first is.
    """
    if energies.size and not (energies.min() > 0 and math.isfinite(energies.max())):
        _refuse(
            energies, np.asarray(energies > 0), "incident energies", "not above 0", where, first
        )


def check_cells(cells: NDArray[Any], where: str, first: int = 0) -> None:
    """Energies of cells [n, cells] must be finite and not negative.

    Args:
        cells: MeV.
        where: What holds them, for the message.
        first: Number of the first row, for the message.

    Raises:
        DataError: With how many are wrong, and where the first is.
    """
    # two passes and no array of their own: this is asked of gigabytes
    if cells.size and not (cells.min() >= 0 and math.isfinite(cells.max())):
        _refuse(cells, np.asarray(cells >= 0), "cells", "negative", where, first)


def _refuse(
    values: NDArray[Any], allowed: NDArray[np.bool_], name: str, wrong: str, where: str, first: int
) -> None:
    finite = np.isfinite(values)
    counts = {"not finite": int((~finite).sum()), wrong: int((finite & ~allowed).sum())}
    row, *cell = np.argwhere(~(finite & allowed))[0].tolist()
    place = ", ".join([f"row {first + row}", *(f"cell {each}" for each in cell)])
    said = " and ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    raise DataError(
        f"of {values.size:,} {name}, {said}; the first is {values[row, *cell]:g} in {place}",
        where=where,
        hint="repair the file, or read only rows that are right (rows=..., --rows)",
    )


def unit_advice(
    energies: NDArray[Any],
    totals: NDArray[Any],
    geometry: Geometry,
    scale: float = 1.0,
    energy_scale: float = 1.0,
    weakest: float = 0.0,
) -> str | None:
    """What is odd about the units of showers, and what would set it right; None if nothing is.

    Args:
        energies: Incident energies [n], MeV.
        totals: Energy read out in all cells [n], MeV.
        geometry: Of the showers; its `share` tells deposits that were not divided by it.
        scale: Factor that the cells were multiplied by already.
        energy_scale: The same for incident energies.
        weakest: Energy of the weakest cell that is lit, MeV; 0 says nothing.
    """
    response = float(np.median(totals / energies)) if len(energies) else 0.0
    if not response:
        return None  # empty showers say nothing about units
    read = f"the cells of a shower add up to {response:.3g} of its incident energy (median)"
    if LOWEST <= response <= HIGHEST:
        if response < 0.1 and 0.3 < response / geometry.share < 1.5:
            return (
                f"{read}: they look like deposits not divided by the sampling fraction "
                f"{geometry.share:g}, while the geometry {geometry.name} and its threshold are for "
                f"divided ones; {_option('scale', scale / geometry.share)} divides them"
            )
        return energy_advice(energies, energy_scale) or _cell_advice(
            energies, weakest, geometry.threshold, scale, energy_scale
        )
    if LOWEST <= response * 1000 <= HIGHEST:
        fit = _option("scale", scale * 1000)
        return f"{read}: cells look like GeV; {fit} makes them MeV"
    if LOWEST <= response / 1000 <= HIGHEST:
        fit = _option("energy_scale", energy_scale * 1000)
        return f"{read}: incident energies look like GeV; {fit} makes them MeV"
    return f"{read}, which neither MeV nor GeV explains"


def energy_advice(energies: NDArray[Any], energy_scale: float = 1.0) -> str | None:
    """What is odd about the unit of incident energies [n] alone; see `unit_advice`."""
    if not len(energies) or energies.min() >= GEV_BELOW or energies.max() >= GEV_UP_TO:
        return None
    return (
        f"incident energies from {energies.min():g} to {energies.max():g} MeV look like GeV; "
        f"{_option('energy_scale', energy_scale * 1000)} makes them MeV (if the cells are in GeV "
        "too, scale does the same for them)"
    )


def _cell_advice(
    energies: NDArray[Any], weakest: float, threshold: float, scale: float, energy_scale: float
) -> str | None:
    """Whether both arrays look like GeV although the energies alone might be MeV, as 100 might.

    No cell of a detector lies far below its threshold, so one that does, and would not times 1000,
    gives the unit away.
    """
    mended = 2000 * weakest >= threshold  # to a half: a threshold is seldom known better
    if not (0 < weakest < threshold / 100 and mended) or energies.max() >= GEV_UP_TO:
        return None
    return (
        f"the weakest cell has {weakest:.3g} MeV, far below the threshold of {threshold:.3g}: "
        f"cells and incident energies look like GeV; {_option('scale', scale * 1000)} and "
        f"{_option('energy_scale', energy_scale * 1000)} make them MeV"
    )


def _option(name: str, value: float) -> str:
    option = f"--{name.replace('_', '-')} {value:.6g}"
    return f"{name}={value:.6g} (hasten data convert ... {option})"


def warn_of_units(advice: str | None, where: str, depth: int = 3) -> None:
    """Warn of what `unit_advice` found, if anything.

    Args:
        advice: The finding.
        where: The file.
        depth: How many calls above this one the user's line is.
    """
    if advice:
        warnings.warn(f"{where}: {advice}", UnitWarning, stacklevel=depth)


def warn_of_order(
    part: NDArray[Any], whole: NDArray[Any], split: str, where: str, depth: int = 3
) -> None:
    """Warn if a part of a file has other incident energies than the file, as if it were sorted.

    Args:
        part: Incident energies of the part [m].
        whole: And of the whole file [n].
        split: Name of the part.
        where: The file.
        depth: How many calls above this one the user's line is.
    """
    points = np.sort(whole)
    ranks = [np.searchsorted(np.sort(e), points, side="right") / len(e) for e in (part, whole)]
    apart = float(np.abs(ranks[0] - ranks[1]).max())  # Kolmogorov's distance of part and whole
    chance = 2 * math.sqrt((1 - len(part) / len(whole)) / len(part))  # passed in 1 of 1500
    if apart > max(0.05, chance):
        warnings.warn(
            f"{where}: the {split} part, taken in the order of the file, has other incident "
            f"energies ({part.min():g} to {part.max():g} MeV) than the file ({whole.min():g} to "
            f"{whole.max():g} MeV), as if it were sorted; shuffle its rows before it is split",
            OrderWarning,
            stacklevel=depth,
        )
