"""Heat maps of a report on showers: correlations of layers, and the mean shower.

Colours of differences fade to nothing at none, so that they suit light and dark pages.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hasten.measure.physics.correlations import layer_correlations
from hasten.report.plots import HEROES, Drawing
from hasten.report.shower_panels import Floats, Rows
from hasten.report.shower_plots import FOOT, GAP, HEAD, LEFT, WELL, headed
from hasten.report.story import REAL, Physics, Story
from hasten.report.svg import canvas, frame
from hasten.report.words import ROLE_NAMES, minus

DECADES = 4
"""How far below its greatest value a mean shower is drawn."""
LIMITS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
"""Where the colours of differences may end."""
SPREAD, MOST = (0.03, 0.1, 0.2, 0.3), 97.0
"""Where the colours of ratios may end, on either side of 1, and percent of them to be held."""
DEEP, BAR = 108.0, 48.0
"""Pixels: a mean shower, and a bar of colours with its ticks."""


def _fading(*stops: tuple[float, str, float], unknown: float = 0.0) -> Colormap:
    """Colours from (place, colour, how opaque); grey, so opaque, where nothing is known."""
    rgb = {c: [int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for _, c, _ in stops}
    listed = [(at, (*rgb[colour], alpha)) for at, colour, alpha in stops]
    return LinearSegmentedColormap.from_list("fading", listed, bad=(0.5, 0.5, 0.5, unknown))


_LESS, _MORE, _DEEP = "#1f6fb4", "#d5500b", "#0e7f72"
APART = _fading((0, _LESS, 1), (0.5, _LESS, 0), (0.5, _MORE, 0), (1, _MORE, 1), unknown=0.25)
AMOUNT = _fading((0, _DEEP, 0.04), (1, _DEEP, 1))


# -- numbers ---------------------------------------------------------------------------------------


def compared(physics: Physics) -> dict[str, Floats]:
    """Correlations of layers less those of real showers, by who is compared.

    The arm the report is about and fewer steps; last, as a measure of chance, one half of the real
    showers less the other.
    """
    names = [hero(physics), *(["fewer_steps"] if "fewer_steps" in physics.arms else [])]
    real = _correlations(physics, physics.reference)
    found = {ROLE_NAMES[n]: _correlations(physics, physics.arms[n]) - real for n in names}
    halves = [_correlations(physics, physics.reference[k::2]) for k in (0, 1)]
    return found | {"real halves": halves[0] - halves[1]}


def hero(physics: Physics) -> str:
    """The arm the report is about, or else the first."""
    return next((name for name in HEROES if name in physics.arms), next(iter(physics.arms)))


def images(physics: Physics) -> tuple[Floats, Floats, Floats] | None:
    """Mean showers [layers, rings], shares of the incident energy: real, hasten's, their ratio.

    The ratio is nan where chance alone makes more than `WELL` of it.
    """
    name = hero(physics)
    held = [physics.mean(each, "image") for each in (REAL, name)]
    if held[0] is None or held[1] is None:
        return None
    first, last = physics.columns["layers"]
    (real, real_error, *_), (own, own_error, *_) = held[0], held[1]
    lit = (real > 0) & (own > 0)
    known = np.where(lit, real, 1), np.where(lit, own, 1)
    chance = np.hypot(real_error / known[0], own_error / known[1])
    ratio = np.where(lit & (chance < WELL), own / known[0], np.nan)
    real, own, ratio = (each.reshape(last - first, -1) for each in (real, own, ratio))
    return real, own, ratio


def _correlations(physics: Physics, rows: Rows) -> Floats:
    return layer_correlations(physics.part(rows, "layers"))


# -- drawings --------------------------------------------------------------------------------------


def correlations(physics: Physics) -> Drawing:
    """Differences of correlations between layers, in one scale of colours."""
    found = compared(physics)
    largest = max(float(np.abs(each).max()) for each in found.values())
    limit = next((each for each in LIMITS if each >= largest), LIMITS[-1])
    norm = Normalize(-limit, limit)

    def draw(_: Story, width: float) -> Figure:
        columns = 3 if width > 500 else 2
        side = (width - columns * LEFT - (columns - 1) * GAP) / columns
        down = HEAD + side + FOOT
        rows = -(-len(found) // columns)
        figure = canvas(width, rows * down + BAR)
        for index, (name, apart) in enumerate(found.items()):
            row, column = divmod(index, columns)
            axes = _at(figure, LEFT + column * (side + GAP + LEFT), row * down + HEAD, side, side)
            rms = float(np.sqrt(np.square(apart).mean()))
            detail = f"RMS {rms:.3f}, largest {np.abs(apart).max():.2f}"
            _map(axes, apart, APART, norm, name, detail)
            axes.set_ylabel("layer" if column == 0 else "", fontsize=10, labelpad=2)
        bar = _at(figure, LEFT, rows * down + 8, min(width - LEFT - GAP, 2 * side), 9)
        _bar(bar, APART, norm, "correlation of two layers, less that of real showers")
        return figure

    return draw


def mean_showers(physics: Physics) -> Drawing | None:
    """Mean energies of rings and layers, and how they differ; None where no image was kept."""
    found = images(physics)
    if found is None:
        return None
    real, own, ratio = found
    top = float(max(real.max(), own.max()))
    amount = LogNorm(top / 10**DECADES, top)
    known = np.abs(ratio - 1)[np.isfinite(ratio)]
    furthest = float(np.percentile(known, MOST)) if len(known) else 0.0
    span = next((each for each in SPREAD if each >= furthest), SPREAD[-1])
    name = ROLE_NAMES[hero(physics)]
    maps: list[tuple[Floats, Colormap, Normalize, str, str]] = [
        (real, AMOUNT, amount, "real", "mean of E / E incident"),
        (own, AMOUNT, amount, name, "mean of E / E incident"),
        (ratio, APART, Normalize(1 - span, 1 + span), f"{name} over real", "ratio of the means"),
    ]

    def draw(_: Story, width: float) -> Figure:
        columns = len(maps) if width > 500 else 1
        across = (width - columns * LEFT - (columns - 1) * GAP) / columns
        down = HEAD + DEEP + FOOT + BAR
        figure = canvas(width, len(maps) // columns * down)
        for index, (values, colours, norm, title, detail) in enumerate(maps):
            row, column = divmod(index, columns)
            left, top = LEFT + column * (across + GAP + LEFT), row * down + HEAD
            axes = _at(figure, left, top, across, DEEP)
            _map(axes, values.T, colours, norm, title, detail)
            axes.set_ylabel("ring" if column == 0 else "", fontsize=10, labelpad=2)
            _bar(_at(figure, left, top + DEEP + FOOT + 8, across, 9), colours, norm, "")
        return figure

    return draw


def _map(
    axes: Axes, values: Floats, colours: Colormap, norm: Normalize, title: str, detail: str
) -> None:
    """Values [up, across] from the lower left corner."""
    seen = np.ma.masked_invalid(values)
    if isinstance(norm, LogNorm):
        seen = np.ma.masked_less_equal(seen, 0)
    axes.imshow(seen, cmap=colours, norm=norm, aspect="auto", origin="lower", interpolation="none")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))
    axes.tick_params(labelsize=10)
    axes.set_xlabel("layer", fontsize=10, labelpad=2)
    headed(axes, title, detail)


def _bar(axes: Axes, colours: Colormap, norm: Normalize, label: str) -> None:
    """What the colours mean."""
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    if isinstance(norm, LogNorm):
        decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
        ticks = 10.0**decades
        labels = [f"{100 * tick:g}\N{NO-BREAK SPACE}%" for tick in ticks]
    else:
        ticks = np.linspace(low, high, 5)
        labels = [minus(f"{tick:.3g}") for tick in ticks]
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=colours, aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([float(norm(tick)) for tick in ticks], labels=labels)
    axes.set_yticks([])
    axes.tick_params(labelsize=10)
    axes.set_xlabel(label, fontsize=10, labelpad=2)


def _at(figure: Figure, x: float, y: float, wide: float, tall: float) -> Axes:
    """Axes of this size, their upper left corner so far from the figure's, in pixels."""
    width, height = figure.get_size_inches() * 72
    return frame(figure, left=x, right=width - x - wide, top=y, bottom=height - y - tall)
