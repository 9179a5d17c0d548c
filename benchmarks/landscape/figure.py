"""Figure: docs/solvers.png from the results.

Above, endpoint error against evaluations; a line is the best of a family of solvers, a ring the
best that diffusers has of that family. Below, distance to real data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from landscape import record
from landscape.entrants import FAMILIES

MODELS = {"fashion-unet": "U-Net", "fashion-uvit": "U-ViT", "mixture": "Gaussian mixture"}
INK, SOFT, HAIR = "#1b1b1b", "#6a6a6a", "#dedede"
COLOURS = {  # Okabe and Ito 2008, told apart by all kinds of eyes
    "unipc": "#0072B2",
    "dpmpp_m": "#E69F00",
    "ipndm": "#D55E00",
    "deis": "#009E73",
    "lms": "#CC79A7",
    "heun": "#1b1b1b",
    "ddim": "#6a6a6a",
    "dpmpp_s": "#56B4E9",
    "dpm_s": "#A08C6E",
    "dpm_m": "#A08C6E",
}
DASHES: Mapping[str, Any] = {"ddim": (0, (5, 2)), "heun": (0, (1, 1.2)), "dpm_m": (0, (3, 1))}
TICKS = (4, 5, 6, 8, 10, 15, 20, 35, 50)
LINE = 13.0
"""Height of a label's line, in points."""

Points = dict[str, list[dict[str, Any]]]


def draw(results: Path, target: Path) -> None:
    """Everything that has been measured; an empty panel says what is missing."""
    style: dict[Any, Any] = {"font.family": "DejaVu Sans", "font.size": 10, "text.color": INK}
    with mpl.rc_context(style):
        figure = Figure(figsize=(15.5, 10.4), dpi=110, facecolor="white")
        for column, model in enumerate(MODELS):
            left = 0.045 + 0.325 * column
            errors(figure.add_axes((left, 0.535, 0.222, 0.40)), results, model)
            if column < 2:
                distances(figure.add_axes((left, 0.06, 0.222, 0.385)), results, model)
        words(figure.add_axes((0.695, 0.06, 0.29, 0.385)))
        figure.savefig(target)


def errors(axes: Axes, results: Path, model: str) -> None:
    """One panel of endpoint errors."""
    frame(axes, f"{MODELS[model]}: endpoint error", TICKS)
    found = record.read(results / f"endpoint-{model}.json")
    if found is None:
        missing(axes)
        return
    lines = best(found["results"], "error")
    floor = found["floor"]["error"]
    for name, points in lines.items():
        curve(axes, name, points, "error")
    for name, points in best(rivals(results, model), "error").items():
        x, y = [p["evaluations"] for p in points], [p["error"] for p in points]
        looks: dict[str, Any] = {"color": colour(name), "markeredgewidth": 1.1}
        axes.plot(x, y, "o", markersize=7.5, markerfacecolor="none", zorder=4, **looks)
    values = [p["error"] for points in lines.values() for p in points]
    low, high = min([*values, floor]) * 0.75, min(max(values), 0.6) * 1.25
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.axhspan(low, floor, color="#f1f1f1", linewidth=0, zorder=0)
    axes.annotate(
        "the reference's own error",
        (4, floor),
        xytext=(4, -4),
        textcoords="offset points",
        va="top",
        color=SOFT,
        fontsize=8.5,
    )
    plain_ticks(axes, low, high)
    name_lines(axes, {n: (p[-1]["evaluations"], p[-1]["error"]) for n, p in lines.items()})


def distances(axes: Axes, results: Path, model: str) -> None:
    """One panel of distances to real data, with intervals and the references."""
    frame(axes, f"{MODELS[model]}: distance to real data", (4, 5, 6, 8, 10, 12, 15))
    found = record.read(results / f"distance-{model}.json")
    if found is None:
        missing(axes)
        return
    lines = best(found["results"], "distance")
    for place, (name, points) in enumerate(lines.items()):
        for p in points:  # side by side, so that intervals do not hide each other
            p["evaluations"] *= 1.008 ** (place - (len(lines) - 1) / 2)
            reach = [p["low"], p["high"]]
            axes.plot([p["evaluations"]] * 2, reach, color=colour(name), linewidth=1, alpha=0.5)
        curve(axes, name, points, "distance")
    bases = {name: p["distance"] for name, p in found["references"].items()}
    for value in bases.values():
        axes.axhline(value, color=SOFT, linewidth=0.9, linestyle=(0, (2, 3)), zorder=1)
    seen = [*bases.values(), *(p["distance"] for points in lines.values() for p in points)]
    if min(seen) > 0:
        axes.set_yscale("log")
        axes.set_ylim(min(seen) * 0.75, max(seen) * 1.25)
        plain_ticks(axes, *axes.get_ylim())
    right = axes.get_xlim()[1]
    ends = {
        name: (points[-1]["evaluations"], points[-1]["distance"]) for name, points in lines.items()
    }
    name_lines(axes, ends | {name: (right, value) for name, value in bases.items()})


def best(entries: Sequence[Mapping[str, Any]], value: str) -> Points:
    """The best of every family at every number of evaluations, of those on the most samples."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        if entry[value] is None:
            continue
        place = (entry["family"], entry["evaluations"])
        known = found.get(place)
        if known is None or (-entry["n"], entry[value]) < (-known["n"], known[value]):
            found[place] = dict(entry)
    lines: Points = {}
    for (name, _), entry in sorted(found.items(), key=lambda item: item[0][1]):
        lines.setdefault(name, []).append(entry)
    return lines


def rivals(results: Path, model: str) -> list[dict[str, Any]]:
    found = record.read(results / f"diffusers-{model}.json")
    return [] if found is None else list(found["results"])


def frame(axes: Axes, title: str, ticks: Sequence[int]) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=10)
    axes.set_xscale("log")
    axes.set_xlim(ticks[0] * 0.94, ticks[-1] * 1.06)
    axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.set_xlabel("evaluations of the net", color=SOFT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(HAIR)
    axes.tick_params(colors=SOFT, length=3, color=HAIR)
    axes.grid(visible=True, axis="y", color=HAIR, linewidth=0.7)
    axes.set_axisbelow(True)


def curve(axes: Axes, name: str, points: Sequence[Mapping[str, Any]], value: str) -> None:
    x, y = [p["evaluations"] for p in points], [p[value] for p in points]
    axes.plot(
        x,
        y,
        color=colour(name),
        linewidth=1.8,
        linestyle=DASHES.get(name, "-"),
        marker="o",
        markersize=2.8,
        zorder=3,
    )


def plain_ticks(axes: Axes, low: float, high: float) -> None:
    """One, two, five of every decade, as plain numbers."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    places = [d * m for d in decades for m in (1, 2, 5) if low <= d * m <= high]
    axes.yaxis.set_major_locator(FixedLocator(places))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))


def name_lines(axes: Axes, ends: Mapping[str, tuple[float, float]]) -> None:
    """Names at the right, as near to the lines' ends as they fit, with hairs to them."""
    box = axes.get_window_extent()
    scale = 72 / axes.figure.dpi
    wanted = {name: axes.transData.transform(end)[1] * scale for name, end in ends.items()}
    order = sorted(wanted, key=lambda name: wanted[name])
    places = spread([wanted[n] for n in order], LINE, box.y0 * scale, box.y1 * scale)
    for name, place in zip(order, places, strict=True):
        height = axes.transAxes.inverted().transform((box.x1, place / scale))[1]
        shade = colour(name)
        hair = {"arrowstyle": "-", "color": shade, "linewidth": 0.6, "relpos": (0, 0.5)}
        axes.annotate(
            FAMILIES.get(name, name),
            ends[name],
            xytext=(1.06, height),
            textcoords="axes fraction",
            va="center",
            color=shade,
            fontsize=9.5,
            annotation_clip=False,
            arrowprops={**hair, "shrinkA": 1, "shrinkB": 3},
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending places at least ``gap`` apart, near the wanted ones, within the limits if it fits.

    Neighbours that come too close form a block, which sits where its members want it on average.
    """
    blocks: list[list[float]] = []  # [sum of wanted first places, members]
    for place in wanted:
        blocks.append([place, 1])
        while len(blocks) > 1 and _first(blocks[-2]) + gap * blocks[-2][1] > _first(blocks[-1]):
            total, members = blocks.pop()
            before = blocks[-1]
            before[0] += total - gap * before[1] * members
            before[1] += members
    found = [_first(block) + gap * k for block in blocks for k in range(int(block[1]))]
    over = max(0.0, found[-1] - high) if found else 0.0
    found = [min(place, high - gap * k) for k, place in enumerate(reversed(found))][::-1]
    return found if not over else [max(p, low + gap * k) for k, p in enumerate(found)]


def _first(block: Sequence[float]) -> float:
    return block[0] / block[1]


def colour(family: str) -> str:
    return COLOURS.get(family, SOFT)


def missing(axes: Axes) -> None:
    axes.set_yticks([])
    axes.text(0.5, 0.5, "not measured yet", transform=axes.transAxes, ha="center", color=SOFT)


def words(axes: Axes) -> None:
    """How to read it."""
    axes.set_axis_off()
    text = [
        ("Above", "root mean square error per sample of x0, from the"),
        ("", "same noise, against Heun in 64 steps."),
        ("Line", "the best solver of a family, on its best grid."),
        ("Ring", "the best that diffusers has of that family, run by"),
        ("", "its own code on the same net and noise."),
        ("Below", "Fréchet distance to real images in the features"),
        ("", "of a judge, bias-corrected, 95 % intervals; each"),
        ("", "solver on the grid with the least error above."),
    ]
    for row, (head, line) in enumerate(text):
        y = 0.93 - 0.075 * row
        axes.text(0.0, y, head, fontweight="bold", fontsize=10)
        axes.text(0.15, y, line, fontsize=10)
