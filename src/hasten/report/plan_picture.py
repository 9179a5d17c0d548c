"""Plans as a picture: where the net is asked, what may be reused, and what each input is made of.

    name                                            5 full, 1 held
      ●        ●      ●     ●     ○     □           marks at the noise levels of the evaluations
               ▪      ▪     ▪     ▪     ▪           below each, what its input takes up:
                      ▪     ▪     ▪                 the newest output, the one before, ...

A lane a plan, and within it a line of marks for every evaluation that a step may have.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from hasten.core.plan import Plan
from hasten.report.axes import sigma_axis
from hasten.report.plan_words import Form, Term, draws, kinds, memory, outputs, short_forms
from hasten.report.svg import ACCENT, HAIR, INK, LIGHT, PAPER, SOFT, canvas, frame

WIDTH = 900.0
_SIDE, _HEAD, _FOOT = 30.0, 64.0, 118.0
_NAME, _MARK, _GAP = 28.0, 20.0, 14.0
"""Heights in pixels: of a lane's name, a line of marks, and what keeps lanes apart."""

_ROOMY, _DEEPEST = 46.0, 6
"""Weights are written where marks are this far apart, and no more cells than that below one."""

_SHADES = LinearSegmentedColormap.from_list("shares", ["#d5500b", "#f4f1ec", "#1f6fb4"])
_NOISE = "#a83e8c"

_FULL = {"marker": "o", "color": LIGHT[INK], "markerfacecolor": LIGHT[INK]}
_LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("computed in full", _FULL),
    "hold": (
        "features held",
        {"marker": "o", "color": LIGHT[ACCENT], "markerfacecolor": LIGHT[PAPER]},
    ),
    "forecast": (
        "features forecast",
        {"marker": "D", "color": "#8a5a00", "markerfacecolor": "#f2c14e"},
    ),
}
_SAMPLE: dict[str, Any] = {
    "marker": "s",
    "color": LIGHT[INK],
    "markerfacecolor": LIGHT[PAPER],
    "markersize": 6.0,
}


@final
@dataclass(frozen=True)
class Lane:
    """One plan and the space it takes; lengths are pixels.

    Attributes:
        name: What the user called it.
        plan: The plan.
        forms: Its short forms, the last for the sample.
        places: Where each row lies from left to right, and last the sample.
        deep: Most cells below one mark.
        apart: Between the closest marks that stand in one line.
    """

    name: str
    plan: Plan
    forms: tuple[Form, ...]
    places: tuple[float, ...]
    deep: int
    apart: float

    @classmethod
    def of(cls, name: str, plan: Plan, place: Callable[[float], float], end: float) -> Lane:
        """The lane of a plan, given where noise levels lie, and where the sample does."""
        forms = short_forms(plan)
        places = (*(place(row.sigma) for row in plan.rows), end)
        slots = (*(row.slot for row in plan.rows), _slots(plan)[0])
        in_lines = itertools.pairwise(sorted(zip(slots, places, strict=True)))
        gaps = [b - a for (line, a), (other, b) in in_lines if line == other]
        back = [_back(row, term) for row, form in enumerate(forms) for term in outputs(form)]
        return cls(name, plan, forms, places, max(back, default=0), min(gaps, default=math.inf))

    @property
    def written(self) -> bool:
        """Whether there is room for the weights as numbers."""
        return self.apart >= _ROOMY and self.deep <= _DEEPEST

    @property
    def cell(self) -> tuple[float, float]:
        """Width and height of a cell; many cells are lower."""
        if self.written:
            return 14.0, 13.0
        return max(2.5, min(11.0, self.apart - 1.4)), max(3.0, min(9.0, 60 / max(self.deep, 1)))

    @property
    def mark(self) -> float:
        """Size of a mark."""
        return max(3.0, min(9.0, 0.78 * self.apart))

    @property
    def line(self) -> float:
        """Height of a line of marks with the cells below it."""
        return _MARK + self.cell[1] * self.deep + 6

    @property
    def height(self) -> float:
        """Of everything."""
        return _NAME + self.line * len(_slots(self.plan)) + _GAP


def draw(plans: Sequence[tuple[str, Plan]], model: str = "") -> Figure:
    """Plans below each other on one axis of noise levels; to be drawn under ``style(LIGHT)``.

    Args:
        plans: Names and plans, from the top; at least one.
        model: Whose plans they are, for the title; may be empty.
    """
    sides = {"left": _SIDE, "right": _SIDE}
    # the axis decides about the room of a lane, and the lanes about the figure's height
    sketch = frame(canvas(WIDTH, 100), bottom=0, top=0, **sides)
    place, end = _place(sketch, plans)
    lanes = [Lane.of(name, plan, place, end) for name, plan in plans]
    body = sum(lane.height for lane in lanes)
    figure = canvas(WIDTH, _HEAD + body + _FOOT)
    _place(frame(figure, bottom=_FOOT, top=_HEAD, **sides), plans)
    board = _board(figure, bottom=_FOOT, top=_HEAD)
    top = body
    for lane in lanes:
        _lane(board, lane, top)
        top -= lane.height
    _title(_board(figure, bottom=_FOOT + body, top=0), len(lanes), model)
    _legend(_board(figure, bottom=12, top=_HEAD + body + 62), lanes)
    return figure


def _board(figure: Figure, *, bottom: float, top: float) -> Axes:
    """A part of the figure whose coordinates are pixels, without anything drawn yet."""
    axes = frame(figure, left=_SIDE, right=_SIDE, bottom=bottom, top=top)
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH - 2 * _SIDE)
    axes.set_ylim(0, figure.get_figheight() * 72 - bottom - top)
    return axes


def _place(axes: Axes, plans: Sequence[tuple[str, Plan]]) -> tuple[Callable[[float], float], float]:
    """The axis of noise levels; how many pixels to the right each lies, and where 0 does.

    On a logarithmic axis 0 has no place: it is set apart, and marked as what it is.
    """
    sigmas = [sigma for _, plan in plans for sigma in plan.sigmas]
    low, high = min(sigmas), max(sigmas)
    zero = low / max((high / low) ** 0.08, 1.3)
    sigma_axis(axes, [high, zero])
    left, right = high * (high / zero) ** 0.025, zero / (high / zero) ** 0.055
    axes.set_xlim(left, right)
    digits = (1, 3) if low * 1e3 > high else (1,)
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    decades = [(d, d * 10.0**e) for e in span for d in range(1, 10)]
    inside = [(d, s) for d, s in decades if low * 0.999 <= s <= left]
    labelled = [s for d, s in inside if d in digits] or [high]
    axes.xaxis.set_major_locator(FixedLocator([*labelled, zero]))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(FixedLocator([s for d, s in inside if d not in digits]))
    axes.tick_params(axis="x", which="minor", length=2.5)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda s, _: "0" if math.isclose(s, zero) else f"{s:g}")
    )
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    scale = (WIDTH - 2 * _SIDE) / math.log(left / right)
    return lambda sigma: scale * math.log(left / sigma), scale * math.log(left / zero)


def _lane(board: Axes, lane: Lane, top: float) -> None:
    _headline(board, lane, top - 14)
    first = top - _NAME - _MARK / 2
    heights = {slot: first - line * lane.line for line, slot in enumerate(_slots(lane.plan))}
    _threads(board, lane, heights)
    for index, row in enumerate(lane.plan.rows):
        _, look = _LOOKS[row.reuse.kind]
        small = 0.86 if look["marker"] == "D" else 1.0
        edge = min(1.6, lane.mark / 4)
        _dot(
            board,
            lane.places[index],
            heights[row.slot],
            markersize=small * lane.mark,
            markeredgewidth=edge,
            **look,
        )
        _below(board, lane, index, heights[row.slot])
    _dot(board, lane.places[-1], first, **_SAMPLE)
    _below(board, lane, lane.plan.nfe, first)


def _dot(board: Axes, x: float, y: float, **look: Any) -> None:
    board.plot([x], [y], linestyle="none", zorder=4, clip_on=False, **look)


def _headline(board: Axes, lane: Lane, y: float) -> None:
    """What the plan is called, and at the right how much it asks; nothing covers anything."""
    plan = lane.plan
    given = [row.guidance for row in plan.rows if row.guidance is not None]
    facts = [f"{plan.nfe} evaluations" if plan.nfe > 1 else "1 evaluation"]
    facts += [kinds(plan)] if not all(entry.full for entry in plan.reuse) else []
    facts += [f"up to {memory(lane.forms)} outputs at once"] if memory(lane.forms) > 1 else []
    if given:
        ends = sorted({min(given), max(given)})
        facts.append("guidance " + " to ".join(f"{weight:g}" for weight in ends))
    right = _write(board, board.get_xlim()[1], y, " \N{MIDDLE DOT} ".join(facts), ha="right")
    limit = _edges(board, right)[0] - 14
    name, text = _write(board, 0, y, lane.name, fontweight="bold", color=LIGHT[INK]), lane.name
    while _edges(board, name)[1] > limit and len(text) > 8:
        text = text[2:]  # the end of a path says more than its beginning
        name.set_text(f"\N{HORIZONTAL ELLIPSIS}{text}")
    if plan.label != lane.name.replace(":", " "):
        label = _write(board, _edges(board, name)[1] + 10, y, plan.label)
        if _edges(board, label)[1] > limit:
            label.remove()


def _threads(board: Axes, lane: Lane, heights: Mapping[int, float]) -> None:
    """The run from noise to data, and what joins the evaluations of one step."""
    rows, places = lane.plan.rows, lane.places
    slot, y = next(iter(heights.items()))
    last = max(x for row, x in zip(rows, places, strict=False) if row.slot == slot)
    board.plot([places[0], last], [y] * 2, color=LIGHT[HAIR], linewidth=1.2)
    dots = (0, (1.5, 2.5))  # the step to 0 is not to scale
    board.plot([last, places[-1]], [y] * 2, color=LIGHT[SOFT], linewidth=1, linestyle=dots)
    before: dict[int, tuple[float, float]] = {}
    for row, x in zip(rows, places, strict=False):
        here = (x, heights[row.slot])
        if row.step in before:
            ends = zip(before[row.step], here, strict=True)
            board.plot(*ends, color=LIGHT[SOFT], linewidth=0.7, zorder=1)
        before[row.step] = here


def _below(board: Axes, lane: Lane, row: int, y: float) -> None:
    """The cells below a mark, newest output on top; and the sign of fresh noise above it."""
    x, (wide, tall), form = lane.places[row], lane.cell, lane.forms[row]
    total = sum(abs(term.weight) for term in outputs(form))
    for term in outputs(form):
        bottom = y - _MARK / 2 - _back(row, term) * tall
        share = term.weight / total if total else 0.0
        _cell(board, (x - wide / 2, bottom), (wide, tall - 1), share)
        if lane.written:
            number = _write(board, x + wide / 2 + 4, bottom + 2, _weight(term.weight), fontsize=10)
            # whatever passes behind it must not be read as a part of it
            number.set_bbox({"facecolor": LIGHT[PAPER], "edgecolor": "none", "pad": 1.5})
    if draws(form):
        _dot(board, x, y + 9.5, marker="v", markersize=4.5, color=_NOISE)


def _weight(weight: float) -> str:
    """Two decimals, or two digits where that would be nothing; with a true minus."""
    size = abs(weight)
    if math.isclose(size, 1, rel_tol=1e-9):
        text = "1"
    else:
        text = f"{size:.1g}" if size < 0.095 else f"{size:.2f}" if size < 10 else f"{size:.3g}"
    return ("\N{MINUS SIGN}" if weight < 0 else "") + text


def _cell(
    board: Axes, corner: tuple[float, float], size: tuple[float, float], share: float
) -> None:
    """A shade between an output that counts fully against and one that makes it all."""
    board.add_patch(
        Rectangle(
            corner,
            *size,
            facecolor=_SHADES(0.5 + 0.5 * share),
            edgecolor=LIGHT[SOFT],
            linewidth=0.35 if size[1] > 4 else 0,
            zorder=3,
            clip_on=False,
        )
    )


def _slots(plan: Plan) -> list[int]:
    """A line of marks for each, from the top."""
    return sorted({row.slot for row in plan.rows})


def _back(row: int, term: Term) -> int:
    """How many evaluations ago an output was made."""
    return row - term.index


def _write(board: Axes, x: float, y: float, text: str, **looks: Any) -> Annotation:
    looks = {"color": LIGHT[SOFT], **looks}
    # a $ in a file's name is no formula
    return board.annotate(text, (x, y), annotation_clip=False, parse_math=False, **looks)


def _edges(board: Axes, text: Annotation) -> tuple[float, float]:
    """Where a text begins and ends."""
    box, left = text.get_window_extent(), board.get_window_extent().x0
    return box.x0 - left, box.x1 - left


def _title(board: Axes, plans: int, model: str) -> None:
    whose = f" on {model}" if model else ""
    many = "s" if plans > 1 else ""
    look: dict[str, Any] = {"fontsize": 16, "fontweight": "bold", "color": LIGHT[INK]}
    _write(board, 0, 35, f"Sampling plan{many}{whose}", **look)
    _write(
        board,
        0,
        15,
        "Each mark is one evaluation of the net; below it, the earlier outputs that its input "
        "takes up, the newest on top.",
    )


def _legend(board: Axes, lanes: Sequence[Lane]) -> None:
    """What the marks and shades mean; only what occurs."""
    rows = [row for lane in lanes for row in lane.plan.rows]
    x, y = 5.0, 32.0

    def entry(text: str, wide: float = 12.0, **look: Any) -> None:
        nonlocal x
        if look:
            _dot(board, x, y + 4, **look)
        x = _edges(board, _write(board, x + wide, y, text, fontsize=11.5))[1] + 26

    for kind, (meaning, look) in _LOOKS.items():
        if any(row.reuse.kind == kind for row in rows):
            size = 6.9 if look["marker"] == "D" else 8.0
            entry(meaning, markersize=size, markeredgewidth=1.6, **look)
    entry("the sample", **_SAMPLE)
    if any(draws(form) for lane in lanes for form in lane.forms):
        entry("fresh noise in the input", marker="v", markersize=5.5, color=_NOISE)
    if any(row.slot for row in rows):
        board.plot([x - 4, x + 12], [y + 9, y - 1], color=LIGHT[SOFT], linewidth=0.8)
        entry("evaluations of one step", 20)
    _scale(board, "numbers: the weights" if any(lane.written for lane in lanes) else "")


def _scale(board: Axes, more: str) -> None:
    """The shades: an output's share of what is below a mark; negative if it counts against."""
    cells, wide, y = 11, 13.0, 4.0
    small: dict[str, Any] = {"fontsize": 11.5}
    x = (
        _edges(
            board,
            _write(board, 0, y, "share among the weights below a mark: \N{MINUS SIGN}1", **small),
        )[1]
        + 7
    )
    for index in range(cells):
        _cell(board, (x + index * wide, y - 1), (wide - 1, 10), 2 * index / (cells - 1) - 1)
    _write(board, x + cells * wide + 6, y, f"+1    {more}", **small)
