"""The report's drawings; each is made once for wide pages and once for narrow ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from hasten.report.axes import Labels, plain_log, seconds_axis, sigma_axis
from hasten.report.story import Story
from hasten.report.svg import ACCENT, HAIR, INK, PAPER, SOFT, WASH, canvas, frame, inline, style
from hasten.report.values import ROLES, Arm, Errors, Point
from hasten.report.words import ROLE_NAMES, duration, factor, sampler

WIDE, NARROW = 800.0, 360.0

HEROES = ("best", "closest")
_NAMED = (*ROLES, "closest")

Drawing: TypeAlias = Callable[[Story, float], Figure]


def responsive(draw: Drawing, story: Story, name: str, title: str) -> Markup:
    """Both widths of a drawing; the style sheet shows the one that suits."""
    parts = []
    for kind, width in (("wide", WIDE), ("narrow", NARROW)):
        with style():
            svg = inline(draw(story, width), f"{name}-{kind}", title)
        parts.append(Markup('<div class="plot {}">{}</div>').format(kind, svg))
    return Markup("").join(parts)


def quality_over_time(story: Story, width: float) -> Figure:
    """Every judged arm: time per sample against distance ratio, with intervals and margin."""
    figure = canvas(width, 380)
    axes = frame(figure, left=52, right=110 if width > 500 else 70, bottom=46, top=24)
    arms = comparable(story)
    limit = _limit(story)
    low, high = _ratio_range(arms, limit)
    axes.set_ylim(low, high)
    seconds_axis(axes, [arm.seconds for arm in arms])
    axes.set_ylabel("distance ratio")
    axes.grid(visible=True, axis="y")
    axes.axhspan(low, limit, color=WASH, linewidth=0)
    axes.axhline(limit, color=ACCENT, linewidth=1)
    axes.axhline(1, color=SOFT, linewidth=1, linestyle=(0, (2, 3)))
    labels = Labels(axes)
    for arm in arms:
        _verdict_mark(axes, labels, arm, high)
    reference = story.judge.better if width > 500 else "reference"
    number = f" {limit:.3f}" if width > 500 else ""
    for y, text, colour in ((limit, f"margin{number}", ACCENT), (1.0, reference, SOFT)):
        axes.annotate(
            text,
            (1, y),
            xycoords=("axes fraction", "data"),
            xytext=(8, -4),
            textcoords="offset points",
            color=colour,
            fontsize=11.5,
        )
    for arm in arms:
        _name(labels, arm, width, high)
    return figure


def _verdict_mark(axes: Axes, labels: Labels, arm: Arm, high: float) -> None:
    """A filled, open or crossed mark with its interval; an arrow where it lies above the frame."""
    colour = _colour(arm)
    bottom, top = (arm.ratio.low, arm.ratio.high) if arm.ratio.wide else (arm.ratio.value,) * 2
    size = 9.0 if arm.role in _NAMED else 6.5
    if arm.ratio.value > high:
        marker, y, face = "^", high, colour
    else:
        axes.plot([arm.seconds] * 2, [bottom, top], color=colour, linewidth=1.6, zorder=3)
        marker, y = "X" if arm.verdict == "outside" else "o", arm.ratio.value
        face = PAPER if arm.verdict == "undecided" else colour
    axes.plot(
        [arm.seconds],
        [y],
        marker=marker,
        markersize=size,
        color=colour,
        markeredgewidth=1.6,
        markerfacecolor=face,
        zorder=4,
        clip_on=False,
        linestyle="none",
    )
    labels.keep_clear(arm.seconds, min(bottom, y), min(top, high))


def _name(labels: Labels, arm: Arm, width: float, high: float) -> None:
    above = f"ratio {arm.ratio.value:.2f}" if arm.ratio.value > high else ""
    if arm.role in _NAMED:
        evaluations = f"{arm.nfe} evaluations" if width > 500 else ""
        text = ", ".join(filter(None, (ROLE_NAMES[arm.role], evaluations, above)))
    elif above:
        text = above
    else:
        return
    low = arm.ratio.low if arm.ratio.wide else arm.ratio.value
    top = arm.ratio.high if arm.ratio.wide else arm.ratio.value
    heavy = "bold" if arm.role in HEROES else "normal"
    labels.put(text, arm.seconds, low, top, color=_colour(arm), fontweight=heavy)


def searched(story: Story, width: float) -> Figure:
    """Every candidate that was scored: time per sample against endpoint error."""
    figure = canvas(width, 340)
    axes = frame(figure, left=58, right=16, bottom=46, top=18)
    points = [p for p in story.points if p.seconds > 0 and p.error > 0]
    seconds_axis(axes, [p.seconds for p in points])
    axes.set_yscale("log")
    axes.set_ylim(min(p.error for p in points) * 0.8, max(p.error for p in points) * 1.25)
    plain_log(axes, "y")
    axes.set_ylabel("endpoint error (RMS)")
    axes.grid(visible=True, axis="y")
    for kind, colour, marker in (("stock", SOFT, "s"), ("search", ACCENT, "o")):
        chosen = [p for p in points if p.kind == kind]
        axes.plot(
            [p.seconds for p in chosen],
            [p.error for p in chosen],
            linestyle="none",
            marker=marker,
            markersize=4,
            color=colour,
            alpha=0.55,
            markeredgewidth=0,
        )
    front = sorted((p for p in points if p.on_front), key=lambda p: p.seconds)
    axes.plot(
        [p.seconds for p in front],
        [p.error for p in front],
        color=ACCENT,
        linewidth=1.4,
        drawstyle="steps-post",
    )
    labels = Labels(axes)
    for arm, text in ((story.baseline, "baseline"), (story.hero, "chosen")):
        if arm is not None and arm.endpoint > 0 and arm.seconds > 0:
            x = arm.predicted if math.isfinite(arm.predicted) else arm.seconds
            axes.plot(
                [x],
                [arm.endpoint],
                "o",
                markersize=11,
                markerfacecolor="none",
                markeredgecolor=INK,
                markeredgewidth=1.4,
            )
            labels.put(text, x, arm.endpoint * 0.94, arm.endpoint * 1.06, fontweight="bold")
    return figure


def programmes(story: Story, width: float) -> Figure:
    """The plans of the arms, evaluation by evaluation, on the axis of noise levels."""
    arms = [arm for arm in story.trio if arm.rows]
    lane, head, foot = 62.0, 4.0, 46.0
    height = head + lane * len(arms) + foot
    figure = canvas(width, height)
    axes = frame(figure, left=8, right=8, bottom=foot, top=head)
    sigma_axis(axes, [row.sigma for arm in arms for row in arm.rows])
    axes.set_ylim(0, len(arms) * lane)
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    for index, arm in enumerate(reversed(arms)):
        _lane(axes, arm, index * lane, width)
    return figure


def _lane(axes: Axes, arm: Arm, base: float, width: float) -> None:
    colour = _colour(arm)
    y = base + 18
    sigmas = [row.sigma for row in arm.rows]
    axes.plot([max(sigmas), min(sigmas)], [y, y], color=HAIR, linewidth=1, zorder=1)
    for row in arm.rows:
        if row.slot:  # a further evaluation of the same step: joined to its first by an arc
            first = next(r for r in arm.rows if r.step == row.step)
            axes.plot([first.sigma, row.sigma], [y + 9, y + 9], color=colour, linewidth=1)
    size = min(8.5, 0.62 * width / len(sigmas))
    for full, face, extent in ((True, colour, size), (False, PAPER, size * 0.75)):
        rows = [row.sigma for row in arm.rows if row.full is full]
        axes.plot(
            rows,
            [y] * len(rows),
            linestyle="none",
            marker="o",
            markersize=extent,
            color=colour,
            markerfacecolor=face,
            markeredgewidth=1.3,
            zorder=3,
            clip_on=False,
        )
    held = arm.nfe - arm.full_evaluations
    text = f"{arm.nfe} evaluations" + (f", {held} of them partial" if held else "")
    name = ROLE_NAMES[arm.role] + (f", {sampler(arm)}" if width > 500 else "")
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    axes.annotate(name, (0, base + 40), xytext=(0, 0), fontweight="bold", color=colour, **place)
    axes.annotate(
        f"{text}, {duration(arm.seconds)}",
        (1, base + 40),
        xytext=(0, 0),
        ha="right",
        color=SOFT,
        **place,
    )


def errors(story: Story, width: float) -> Figure:
    """How far the net's estimate is from the target's sample, evaluation by evaluation."""
    shown = [(arm, story.errors[arm.role]) for arm in story.trio if arm.role in story.errors]
    figure = canvas(width, 330)
    axes = frame(figure, left=58, right=16 if width < 500 else 130, bottom=46, top=18)
    sigma_axis(axes, [s for _, e in shown for s in e.sigma])
    axes.set_yscale("log")
    # the target's own errors fall to nothing, and may leave the frame
    others = [pair for pair in shown if pair[0].role != story.search.get("target")] or shown
    positive = [v for _, e in others for v in e.error if v > 0]
    top = max(v for _, e in shown for v in e.error)
    axes.set_ylim(min(positive) * 0.5, top * 1.3)
    plain_log(axes, "y")
    axes.grid(visible=True, axis="y")
    axes.set_ylabel("error of x\N{SUBSCRIPT ZERO} (RMS)")
    ends = []
    for arm, error in shown:
        _curve(axes, arm, error)
        ends.append((float(error.error[-1]), arm))
    if width < 500:
        _key(axes, [arm for _, arm in ends])
    else:
        _end_labels(axes, ends)
    return figure


def _curve(axes: Axes, arm: Arm, error: Errors) -> None:
    colour, line = _LINES.get(arm.role, (ACCENT, "-"))
    axes.plot(error.sigma, error.error, color=colour, linewidth=1.6, linestyle=line)
    for held, face in ((False, colour), (True, PAPER)):
        chosen = error.held == held
        axes.plot(
            error.sigma[chosen],
            error.error[chosen],
            linestyle="none",
            marker="o",
            markersize=5,
            color=colour,
            markerfacecolor=face,
            markeredgewidth=1.3,
            zorder=3,
        )


_LINES: dict[str, tuple[str, str]] = {"baseline": (SOFT, "-"), "fewer_steps": (INK, "--")}


def _end_labels(axes: Axes, ends: Sequence[tuple[float, Arm]]) -> None:
    """Names beside the last point of each curve, pushed apart where they would touch."""
    low, high = (math.log(v) for v in axes.get_ylim())
    pixels = axes.get_window_extent().height
    taken = -math.inf
    for value, arm in sorted(ends, key=lambda end: end[0]):
        y = max((max(math.log(max(value, 1e-300)), low) - low) / (high - low) * pixels, taken + 17)
        taken = y
        colour = _LINES.get(arm.role, (ACCENT, ""))[0]
        axes.annotate(
            ROLE_NAMES[arm.role],
            (1, 0),
            xycoords="axes fraction",
            xytext=(10, y - 4),
            textcoords="offset points",
            color=colour,
            annotation_clip=False,
        )


def _key(axes: Axes, arms: Sequence[Arm]) -> None:
    for index, arm in enumerate(arms):
        colour = _LINES.get(arm.role, (ACCENT, ""))[0]
        axes.annotate(
            ROLE_NAMES[arm.role],
            (0, 0),
            xycoords="axes fraction",
            xytext=(8, 8 + 17 * index),
            textcoords="offset points",
            color=colour,
        )


def timing(story: Story, width: float) -> Figure:
    """Every pair of timings, as the ratio it gave."""
    arms = [arm for arm in story.trio if arm.role != "baseline" and len(arm.pairs) > 1]
    lane, foot = 54.0, 44.0
    figure = canvas(width, lane * len(arms) + foot)
    axes = frame(figure, left=8, right=8, bottom=foot, top=2)
    ratios = {arm.role: np.array([a / b for a, b in arm.pairs if b > 0]) for arm in arms}
    top = max(float(values.max()) for values in ratios.values())
    axes.set_xlim(0, top * 1.08)
    axes.set_ylim(0, lane * len(arms))
    axes.yaxis.set_visible(False)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
    axes.set_xlabel("times as fast as the baseline, one mark for each pair of timings")
    for index, arm in enumerate(reversed(arms)):
        colour = _colour(arm)
        y = index * lane + 16
        axes.plot([1, 1], [y - 8, y + 8], color=SOFT, linewidth=1, zorder=2)
        axes.plot([0, top * 1.08], [y, y], color=HAIR, linewidth=1, zorder=1)
        axes.plot(
            ratios[arm.role],
            np.full(len(ratios[arm.role]), y),
            "|",
            markersize=15,
            markeredgewidth=1.4,
            color=colour,
            alpha=0.7,
        )
        text = f"{ROLE_NAMES[arm.role]}, median {factor(float(np.median(ratios[arm.role])))}"
        axes.annotate(
            text, (0, y + 17), xycoords=("axes fraction", "data"), color=colour, fontweight="bold"
        )
    return figure


def _colour(arm: Arm) -> str:
    return ACCENT if arm.role in HEROES else INK if arm.role in _NAMED else SOFT


def _limit(story: Story) -> float:
    """The margin as a distance ratio to the better reference."""
    arm = story.converged if story.judge.better == "converged" else story.baseline
    better = arm.distance if arm is not None else math.nan
    if not (better > 0 and math.isfinite(story.judge.margin_abs)):
        return 1 + story.judge.margin
    return 1 + story.judge.margin_abs / better


def _ratio_range(arms: Sequence[Arm], limit: float) -> tuple[float, float]:
    """A range that shows the margin well and every mark but those far above, which get its edge."""
    values = [v for arm in arms for v in (arm.ratio.value, arm.ratio.low, arm.ratio.high)]
    values = [v for v in values if math.isfinite(v)]
    room = limit - 1
    lowest = min((arm.ratio.value for arm in arms), default=1.0)
    low = max(min(*values, 1.0) - 0.5 * room, min(1 - 4 * room, lowest - room))
    high = min(max(*values, limit) + 0.6 * room, limit + 3 * room)
    return low, high


def comparable(story: Story) -> list[Arm]:
    """Arms with a distance ratio and a time; the converged ODE is not one, but a line."""
    return [a for a in story.judged if a.ratio.known and a.seconds > 0 and a.role != "converged"]


def has_points(points: Sequence[Point]) -> bool:
    """Whether the search scored enough to be drawn."""
    return sum(p.seconds > 0 and p.error > 0 for p in points) > 1
