"""The physics of showers: distributions of every arm over those of real showers, and their ratios.

The band is what chance leaves of the real showers (one standard error); the lower strip of a panel
is the arm over the real showers. Below the panels stands how far apart the histograms are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from hasten.errors import BudgetError
from hasten.measure.physics.separation import separation
from hasten.report.axes import plain_log
from hasten.report.plots import responsive
from hasten.report.story import Physics, Story
from hasten.report.svg import ACCENT, HAIR, INK, SOFT, WASH, canvas, frame
from hasten.report.words import ROLE_NAMES, count

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[Floats, Floats]
"""Height of every bin and its standard error."""

BINS, SLICES = 30, 5
"""Bins of a histogram; slices of the incident energy, as many to a decade everywhere."""
FEWEST = 20
"""Showers a slice must have to be drawn."""
TALL, LOW, HEAD, FOOT, LEFT, GAP = 128.0, 44.0, 24.0, 24.0, 44.0, 22.0
"""Pixels: a panel, its strip of ratios, its title, its ticks, an axis' numbers, between columns."""
SPANS = (0.03, 0.06, 0.15, 0.3)
"""What a strip of ratios shows on either side of 1: the first that holds what is known well."""
WELL = 0.1
"""Relative error of a bin that is known well."""


@final
@dataclass(frozen=True)
class Panel:
    """One observable.

    Attributes:
        title: What it is.
        unit: Below the axis.
        edges: Of the bins, from the real showers.
        curve: Heights of the bins for some showers.
        logarithmic: Axes that are: ``x``, ``y``, ``xy`` or none.
    """

    title: str
    unit: str
    edges: Callable[[Physics], Floats]
    curve: Callable[[Physics, NDArray[np.float32], Floats], Curve]
    logarithmic: str = ""


@final
@dataclass(frozen=True)
class Shown:
    """What the section shows.

    Attributes:
        plot: The panels.
        columns: Of the table of separation powers.
        rows: Of it.
        text: What is to be seen.
    """

    plot: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text: str


def showers(story: Story) -> Shown | None:
    """The section; None if the run is not about showers."""
    physics = story.physics
    if physics is None or not physics.arms:
        return None
    first = next(iter(physics.arms.values()))
    text = (
        f"{count(len(first))} showers of every arm and {count(len(physics.reference))} real ones "
        f"({story.judge.reference}). The band is the real showers with one standard error, the "
        "strip below each panel the arm over the real ones."
    )
    plot = responsive(_draw, story, "physics", "Distributions of showers over the real ones")
    columns, rows = table(physics)
    return Shown(plot, columns, rows, text)


def table(physics: Physics) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Separation powers, floor taken off, with half widths of their 95 % intervals, x 1000.

    The last column is the floor of the first arm.
    """
    names = [name for name in _ORDER if name in physics.arms]
    rows = []
    for title, read in _COMPARED.items():
        cells, floor = [], ""
        for name in names:
            try:
                found = separation(
                    read(physics, physics.arms[name]), read(physics, physics.reference)
                )
            except BudgetError:
                cells.append("too few")
                continue
            floor = floor or f"{1000 * found.floor:.1f}"  # of the first, which is the baseline
            value = found.corrected
            cells.append(f"{1000 * value.value:.1f} ± {500 * (value.high - value.low):.1f}")
        rows.append((title, *cells, floor))
    columns = ("separation × 1000", *(ROLE_NAMES[name] for name in names), "chance")
    return columns, tuple(rows)


# -- observables -----------------------------------------------------------------------------------


def _histogram(name: str) -> Callable[[Physics, NDArray[np.float32], Floats], Curve]:
    def curve(physics: Physics, rows: NDArray[np.float32], edges: Floats) -> Curve:
        values = _one(physics, rows, name)
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.float64)
        return counts / len(values), np.sqrt(counts) / len(values)

    return curve


def _range(name: str) -> Callable[[Physics], Floats]:
    def edges(physics: Physics) -> Floats:
        low, high = np.quantile(_one(physics, physics.reference, name), (0.002, 0.998))
        return np.linspace(low, high if high > low else low + 1, BINS + 1)

    return edges


def _one(physics: Physics, rows: NDArray[np.float32], name: str) -> Floats:
    """An observable of one number; hits are summed over the layers."""
    return np.asarray(physics.part(rows, name).sum(axis=1), dtype=np.float64)


def _mean(name: str) -> Callable[[Physics, NDArray[np.float32], Floats], Curve]:
    def curve(physics: Physics, rows: NDArray[np.float32], _: Floats) -> Curve:
        values = physics.part(rows, name).astype(np.float64)
        return values.mean(axis=0), values.std(axis=0) / np.sqrt(len(values))

    return curve


def _places(name: str) -> Callable[[Physics], Floats]:
    return lambda physics: np.arange(physics.part(physics.reference, name).shape[1] + 1) - 0.5


def _filled(physics: Physics) -> Floats:
    """Edges of the spectrum as far as there are real cells."""
    lit = np.flatnonzero(physics.part(physics.reference, "spectrum").any(axis=0))
    return physics.edges[: int(lit.max(initial=0)) + 2]


def _spectrum(physics: Physics, rows: NDArray[np.float32], edges: Floats) -> Curve:
    value, error = _mean("spectrum")(physics, rows, edges)
    return value[: len(edges) - 1], error[: len(edges) - 1]


def _energies(physics: Physics) -> Floats:
    """Edges of the slices, GeV."""
    seen = _one(physics, physics.reference, "energy") - 3
    return np.asarray(10 ** np.linspace(seen.min(), seen.max(), SLICES + 1))


def _by_energy(
    measure: Callable[[Floats], tuple[float, float]],
) -> Callable[[Physics, NDArray[np.float32], Floats], Curve]:
    def curve(physics: Physics, rows: NDArray[np.float32], edges: Floats) -> Curve:
        energy, response = (_one(physics, rows, name) for name in ("energy", "response"))
        slice_of = np.clip(np.searchsorted(edges, 10 ** (energy - 3), "right") - 1, 0, SLICES - 1)
        parts = [response[slice_of == k] for k in range(SLICES)]
        found = [measure(p) if len(p) >= FEWEST else (np.nan, np.nan) for p in parts]
        value, error = np.array(found).T
        return value, error

    return curve


def _response(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def _resolution(values: Floats) -> tuple[float, float]:
    share = float(values.std() / values.mean())
    return share, share / float(np.sqrt(2 * len(values)))


_PANELS = (
    Panel("response", "E total / E incident", _range("response"), _histogram("response")),
    Panel("mean response", "incident energy, GeV", _energies, _by_energy(_response), "x"),
    Panel("resolution", "incident energy, GeV", _energies, _by_energy(_resolution), "xy"),
    Panel("longitudinal profile", "layer", _places("layers"), _mean("layers"), "y"),
    Panel("transverse profile", "ring", _places("rings"), _mean("rings"), "y"),
    Panel("cells of a shower", "energy, MeV", _filled, _spectrum, "xy"),
    Panel("depth", "layers", _range("depth"), _histogram("depth")),
    Panel("radius", "mm", _range("radius"), _histogram("radius")),
    Panel("hits", "", _range("hits"), _histogram("hits")),
)

_COMPARED: Mapping[str, Callable[[Physics, NDArray[np.float32]], Floats]] = {
    title: lambda physics, rows, name=name: _one(physics, rows, name)  # type: ignore[misc]
    for title, name in (
        ("response", "response"),
        ("depth", "depth"),
        ("length", "length"),
        ("radius", "radius"),
        ("breadth", "breadth"),
        ("hits", "hits"),
    )
}

# -- drawing ---------------------------------------------------------------------------------------

_ORDER = ("baseline", "fewer_steps", "best", "closest")
_LOOKS: Mapping[str, dict[str, Any]] = {
    "baseline": {"color": INK, "linewidth": 1.0},
    "fewer_steps": {"color": INK, "linewidth": 1.0, "linestyle": (0, (2, 2))},
    "best": {"color": ACCENT, "linewidth": 1.6},
    "closest": {"color": ACCENT, "linewidth": 1.6},
}


def _draw(story: Story, width: float) -> Figure:
    physics = story.physics
    if physics is None:
        return canvas(width, 10)
    panels = [p for p in _PANELS if len(p.edges(physics)) > 1]
    columns = 3 if width > 500 else 1
    across = (width - columns * LEFT - (columns - 1) * GAP) / columns
    down = HEAD + TALL + LOW + FOOT + 14
    rows = -(-len(panels) // columns)
    figure = canvas(width, rows * down)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left = LEFT + column * (across + GAP + LEFT)
        right = width - left - across
        top = row * down + HEAD
        bottom = rows * down - top - TALL
        axes = frame(figure, left=left, right=right, bottom=bottom, top=top)
        strip = frame(figure, left=left, right=right, bottom=bottom - LOW, top=top + TALL + 4)
        _fill(axes, strip, panel, physics)
        if index == 0:
            _legend(axes, [name for name in _ORDER if name in physics.arms])
    return figure


def _fill(axes: Axes, strip: Axes, panel: Panel, physics: Physics) -> None:
    edges = panel.edges(physics)
    real, error = panel.curve(physics, physics.reference, edges)
    _band(axes, edges, real, error)
    safe = np.where(real > 0, real, np.nan)
    _band(strip, edges, np.ones_like(real), error / safe)
    known, furthest = error < WELL * safe, 0.0
    for name in _ORDER:
        if name in physics.arms:
            height, _ = panel.curve(physics, physics.arms[name], edges)
            axes.stairs(height, edges, baseline=None, **_LOOKS[name])
            strip.stairs(height / safe, edges, baseline=None, **_LOOKS[name])
            furthest = max(furthest, *np.abs(height / safe - 1)[known], 0.0)
    strip.axhline(1, color=HAIR, linewidth=0.75, zorder=0)
    span = next((each for each in SPANS if each >= furthest), SPANS[-1])
    strip.set_ylim(1 - span, 1 + span)
    ticks = [1 - span * 2 / 3, 1, 1 + span * 2 / 3]
    strip.set_yticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    for each in (axes, strip):
        if "x" in panel.logarithmic:
            each.set_xscale("log")
        each.set_xlim(edges[0], edges[-1])
        each.tick_params(labelsize=10)
    if "y" in panel.logarithmic:
        axes.set_yscale("log")
        lit = real[real > 0]
        axes.set_ylim(max(lit.min(), lit.max() * 1e-5) / 2, lit.max() * 2)
        plain_log(axes, "y")
    elif panel.logarithmic == "":
        axes.set_ylim(bottom=0)
        axes.set_yticks([])
    if "x" in panel.logarithmic:
        plain_log(strip, "x")
    axes.set_xticks([], labels=[])
    axes.set_xticks([], minor=True)
    axes.set_title(panel.title, fontsize=12, loc="left", color=INK)
    strip.set_xlabel(panel.unit, fontsize=10.5, labelpad=2)


def _band(axes: Axes, edges: Floats, value: Floats, error: Floats) -> None:
    """The real showers: one standard error on either side."""
    low, high = (np.append(value + s * error, (value + s * error)[-1]) for s in (-1, 1))
    axes.fill_between(edges, low, high, step="post", color=WASH, linewidth=0, zorder=0)
    axes.stairs(value, edges, baseline=None, color=SOFT, linewidth=2.2, alpha=0.45, zorder=1)


def _legend(axes: Axes, names: Sequence[str]) -> None:
    lines = [("real", SOFT, "normal")]
    lines += [
        (ROLE_NAMES[n], _LOOKS[n]["color"], "bold" if n in ("best", "closest") else "normal")
        for n in names
    ]
    for index, (text, colour, weight) in enumerate(lines):
        axes.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(4, -12 - 13 * index),
            textcoords="offset points",
            fontsize=10,
            color=colour,
            fontweight=weight,
        )
