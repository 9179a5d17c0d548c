"""The table of a report on showers: how far apart the histograms of every observable are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hasten.errors import BudgetError
from hasten.measure.physics.separation import Separated, from_spectra, separation
from hasten.report.shower_panels import Rows, single
from hasten.report.shower_plots import ORDER
from hasten.report.story import Physics
from hasten.report.tables import Cell
from hasten.report.words import ROLE_NAMES, digits, minus

Measure: TypeAlias = Callable[[Physics, Rows, Rows], Separated]

TOO_FEW = "too few"


def table(physics: Physics) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    """Separation powers, floor taken off, with half widths of their 95 % intervals, x 1000.

    After the arms come the real showers, one half against the other, and the floor that was taken
    off in the first arm's column.
    """
    names = [name for name in ORDER if name in physics.arms]
    real = physics.reference
    pairs = [*((physics.arms[name], real) for name in names), (real[::2], real[1::2])]
    rows: list[tuple[Cell, ...]] = []
    for title, measure in _COMPARED.items():
        found = [_found(measure, physics, *pair) for pair in pairs]
        rows.append((Cell(title), *(_mean(each) for each in found), _floor(found)))
        if title == _LAYERS:
            worst = (_worst(each) for each in found)
            rows.append((Cell("the worst of them"), *worst, _floor(found, worst=True)))
    columns = ("separation × 1000", *(ROLE_NAMES[name] for name in names), "real halves", "chance")
    return columns, tuple(rows)


def _found(measure: Measure, physics: Physics, rows: Rows, real: Rows) -> Separated | None:
    try:
        return measure(physics, rows, real)
    except BudgetError:
        return None


def _mean(found: Separated | None) -> Cell:
    if found is None:
        return Cell(TOO_FEW)
    value, reach = found.corrected.value, (found.corrected.high - found.corrected.low) / 2
    # two digits of a small uncertainty, one decimal of a large one
    places = 1 - math.floor(math.log10(1000 * reach)) if 0 < 1000 * reach < 1 else 1
    rounded = round(1000 * value, places) + 0.0  # no minus before nothing
    return Cell(minus(f"{rounded:.{places}f} ± {1000 * reach:.{places}f}"))


def _worst(found: Separated | None) -> Cell:
    if found is None:
        return Cell(TOO_FEW)
    worst = found.parts[found.worst]
    return Cell(_mean(Separated.of([worst])).value, f"layer {found.worst}")


def _floor(found: Sequence[Separated | None], *, worst: bool = False) -> Cell:
    """Of the first arm there is a figure for."""
    for each in found:
        if each is not None:
            return Cell(digits(1000 * (each.parts[each.worst] if worst else each).floor, 2))
    return Cell("")


def _one(name: str) -> Measure:
    def measure(physics: Physics, rows: Rows, real: Rows) -> Separated:
        values = [single(physics, each, name) for each in (rows, real)]
        return Separated.of([separation(*values)])

    return measure


def _layers(physics: Physics, rows: Rows, real: Rows) -> Separated:
    both = [physics.part(each, "layers").T for each in (rows, real)]
    return Separated.of([separation(a, b) for a, b in zip(*both, strict=True)])


def _cells(physics: Physics, rows: Rows, real: Rows) -> Separated:
    return Separated.of([from_spectra(*(physics.part(each, "spectrum") for each in (rows, real)))])


_LAYERS = "layer energies, mean"
_COMPARED: dict[str, Measure] = {
    "response": _one("response"),
    "cell energies": _cells,
    _LAYERS: _layers,
    **{name: _one(name) for name in ("depth", "length", "radius", "breadth", "hits")},
}
