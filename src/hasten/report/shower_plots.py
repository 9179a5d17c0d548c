"""Panels of a report on showers as drawings: every arm over the real showers, and its ratio below.

Bands are one standard error, of the real showers (around 1 in the strip below a panel) and of the
arm the report is about. The other arms' are as wide; drawn too, they would hide each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from hasten.report.axes import plain_log
from hasten.report.plots import HEROES, Drawing
from hasten.report.shower_panels import Floats, Panel
from hasten.report.story import REAL, Physics, Story
from hasten.report.svg import ACCENT, INK, SOFT, canvas, frame
from hasten.report.words import ROLE_NAMES, minus

ORDER = ("baseline", "fewer_steps", "best", "closest")
"""Arms, in which order."""
TALL, LOW, HEAD, FOOT, LEFT, GAP = 120.0, 40.0, 38.0, 38.0, 40.0, 14.0
"""Pixels: a panel, its strip of ratios, its title, its ticks, an axis' numbers, between columns."""
KEY, LETTER = 26.0, 0.57
"""Pixels of the line above all panels that says who is who; a letter's width over its height."""
SPANS = (0.03, 0.06, 0.15, 0.3)
"""What a strip of ratios may show on either side of 1."""
WELL = 0.1
"""Relative error of a bin that is known well."""
LOST = 0.3
"""And of one whose ratio says nothing."""
LEAST = 3e-4
"""Of the highest bin: below, a logarithmic axis shows little but chance."""

_BANDS = (REAL, *HEROES)
_LOOKS: Mapping[str, dict[str, Any]] = {
    REAL: {"color": SOFT, "linewidth": 2.2, "alpha": 0.45},
    "baseline": {"color": INK, "linewidth": 1.0},
    "fewer_steps": {"color": INK, "linewidth": 1.0, "linestyle": (0, (2, 2))},
    "best": {"color": ACCENT, "linewidth": 1.6},
    "closest": {"color": ACCENT, "linewidth": 1.6},
}


def drawing(physics: Physics, panels: Sequence[Panel], wide: int, narrow: int) -> Drawing:
    """A drawing of panels.

    Args:
        physics: What they show.
        panels: In their order.
        wide: Panels side by side on a wide page.
        narrow: And on a narrow one.
    """

    def draw(_: Story, width: float) -> Figure:
        return _grid(physics, panels, wide if width > 500 else narrow, width)

    return draw


def drawable(physics: Physics, panels: Sequence[Panel]) -> list[Panel]:
    """Those that have bins in this run, and arms to be drawn over the real showers."""
    return [
        panel
        for panel in panels
        if panel.has(physics, REAL)
        and any(panel.has(physics, name) for name in physics.arms)
        and len(panel.edges(physics)) > 1
    ]


def _grid(physics: Physics, panels: Sequence[Panel], columns: int, width: float) -> Figure:
    across = (width - columns * LEFT - (columns - 1) * GAP) / columns
    down = HEAD + TALL + 4 + LOW + FOOT
    height = KEY - (-len(panels) // columns) * down
    figure = canvas(width, height)
    _key(figure, [name for name in ORDER if name in physics.arms])
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        left = LEFT + column * (across + GAP + LEFT)
        right = width - left - across
        top = KEY + row * down + HEAD
        bottom = height - top - TALL
        axes = frame(figure, left=left, right=right, bottom=bottom, top=top)
        strip = frame(figure, left=left, right=right, bottom=bottom - LOW - 4, top=top + TALL + 4)
        _fill(axes, strip, panel, physics)
    return figure


def _fill(axes: Axes, strip: Axes, panel: Panel, physics: Physics) -> None:
    edges = panel.edges(physics)
    real, error = panel.curve(physics, REAL, edges)
    signed = panel.kind == "signed"
    plain = np.where(error < LOST * real, real, np.nan)
    unit = np.ones_like(real) if signed else plain
    start = np.zeros_like(real) if signed else np.ones_like(real)
    _draw(axes, strip, REAL, edges, (real, start), (error, error / unit))
    far = [np.zeros(0)]
    for name in ORDER:
        if name in physics.arms and panel.has(physics, name):
            height, own = panel.curve(physics, name, edges)
            below = start + (height - real) / unit
            _draw(axes, strip, name, edges, (height, below), (own, own / unit))
            known = np.isfinite(below) & (signed | (error < WELL * unit))
            far.append(np.abs(below - start)[known])
    _strip_scale(strip, signed, np.concatenate(far), error / unit)
    _scales(axes, strip, panel, edges, real)
    headed(axes, panel.name(physics), panel.up)
    strip.set_xlabel(panel.across, fontsize=10, labelpad=2)


def _draw(
    axes: Axes,
    strip: Axes,
    name: str,
    edges: Floats,
    values: tuple[Floats, Floats],
    errors: tuple[Floats, Floats],
) -> None:
    """Steps of one arm in a panel and its strip, with a band where it has one."""
    colour = _LOOKS[name]["color"]
    for where, value, error in zip((axes, strip), values, errors, strict=True):
        if name in _BANDS:
            low, high = (np.append(value + s * error, (value + s * error)[-1]) for s in (-1, 1))
            where.fill_between(
                edges, low, high, step="post", color=colour, alpha=0.17, linewidth=0, zorder=0
            )
        where.stairs(value, edges, baseline=None, **_LOOKS[name])


def _strip_scale(strip: Axes, signed: bool, far: Floats, error: Floats) -> None:
    """A scale that holds what is known well, and the real showers' band where it is usual."""
    band = error[np.isfinite(error)]
    if signed:
        span = 1.2 * max(far.max(initial=0), 2 * band.max(initial=0), 1e-9)
        strip.set_ylim(-span, span)
        digit = 10.0 ** np.floor(np.log10(span / 1.5))
        tick = np.floor(span / 1.5 / digit) * digit
        strip.set_yticks([-tick, 0, tick], labels=[minus(f"{-tick:g}"), "0", f"+{tick:g}"])
        return
    reach = max(far.max(), 1.5 * float(np.median(band))) if len(far) else SPANS[-1]
    span = next((each for each in SPANS if each >= reach), SPANS[-1])
    strip.set_ylim(1 - span, 1 + span)
    ticks = [1 - span * 2 / 3, 1, 1 + span * 2 / 3]
    strip.set_yticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])


def _scales(axes: Axes, strip: Axes, panel: Panel, edges: Floats, real: Floats) -> None:
    for each in (axes, strip):
        if "x" in panel.logarithmic:
            each.set_xscale("log")
        each.set_xlim(edges[0], edges[-1])
        each.tick_params(labelsize=10)
    lit = real[real > 0]
    if "y" in panel.logarithmic and len(lit):
        axes.set_yscale("log")
        axes.set_ylim(max(lit.min(), lit.max() * LEAST) / 2, lit.max() * 2)
        plain_log(axes, "y")
    elif panel.kind == "count":
        axes.set_ylim(bottom=0)
        axes.set_yticks([])
    else:
        if panel.kind == "level":
            axes.set_ylim(bottom=0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
    if "x" in panel.logarithmic:
        plain_log(strip, "x")
    else:
        strip.xaxis.set_major_locator(MaxNLocator(5, integer=panel.kind != "count"))
    axes.set_xticks([], labels=[])
    axes.set_xticks([], minor=True)


def headed(axes: Axes, title: str, detail: str) -> None:
    """Two lines above axes: what they show, and in which quantity."""
    for text, up, size, colour in ((title, 19, 12, INK), (detail, 6, 10, SOFT)):
        axes.annotate(
            text,
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, up),
            textcoords="offset points",
            fontsize=size,
            color=colour,
        )


def _key(figure: Figure, names: Sequence[str]) -> None:
    """Who is who, in one line above all panels."""
    width, height = figure.get_size_inches() * 72
    axes = frame(figure, left=0, right=0, bottom=height - KEY, top=0)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(0, KEY)
    at, line, gap, size = (LEFT, 20.0, 24.0, 11.0) if width > 500 else (0.0, 14.0, 15.0, 10.0)
    for name in (REAL, *names):
        title = ROLE_NAMES.get(name, "real")
        axes.plot([at, at + line], [KEY - 10] * 2, solid_capstyle="butt", **_LOOKS[name])
        weight = "bold" if name in HEROES else "normal"
        colour = _LOOKS[name]["color"]
        axes.text(at + line + 5, KEY - 14, title, fontsize=size, color=colour, fontweight=weight)
        at += line + LETTER * size * len(title) + gap
