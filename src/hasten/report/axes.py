"""Axes as the report wants them, and labels that keep out of each other's way."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from hasten.report.svg import INK

_LETTER, _LINE = 6.9, 14.0  # width of a letter and height of a line, in pixels, with some to spare


@final
@dataclass
class Labels:
    """Names beside marks; each takes the first place around its mark that is still free."""

    axes: Axes
    _taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    def keep_clear(self, x: float, low: float, high: float, margin: float = 6) -> None:
        """No name may cover this vertical stretch (a mark with its interval), in data units."""
        (left, bottom), (_, top) = self._pixels(x, low), self._pixels(x, high)
        self._taken.append((left - margin, bottom - margin, left + margin, top + margin))

    def put(self, text: str, x: float, low: float, high: float, **looks: Any) -> None:
        """Name what stretches from ``low`` to ``high`` at ``x``."""
        width, gap = _LETTER * len(text), 14.0
        (across, bottom), (_, top) = self._pixels(x, low), self._pixels(x, high)
        middle = (bottom + top - _LINE) / 2
        places = [
            (across - width / 2, top + gap / 2),
            (across - width / 2, bottom - gap / 2 - _LINE),
            (across + gap, middle),
            (across - gap - width, middle),
            (across + gap, top + gap / 2),
            (across - gap - width, top + gap / 2),
            (across + gap, bottom - gap - _LINE),
            (across - gap - width, bottom - gap - _LINE),
        ]
        left, low_edge = min(places, key=lambda place: self._cost(place[0], place[1], width))
        self._taken.append((left, low_edge, left + width, low_edge + _LINE))
        box = self.axes.get_window_extent()
        self.axes.annotate(
            text,
            (0, 0),
            xycoords="axes pixels",
            xytext=(left - box.x0 + width / 2, low_edge - box.y0 + 3),
            textcoords="axes pixels",
            ha="center",
            **{"color": INK, "fontsize": 12, **looks},
        )

    def _cost(self, left: float, bottom: float, width: float) -> float:
        """Area that is covered twice, or lies outside the axes."""
        right, top = left + width, bottom + _LINE
        box = self.axes.get_window_extent()
        inside = _overlap((left, bottom, right, top), (box.x0, box.y0, box.x1, box.y1))
        taken = sum(_overlap((left, bottom, right, top), other) for other in self._taken)
        return taken + 2 * (width * _LINE - inside)

    def _pixels(self, x: float, y: float) -> tuple[float, float]:
        below, above = self.axes.get_ylim()
        point = self.axes.transData.transform((x, min(max(y, below), above)))
        return float(point[0]), float(point[1])


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(tall, 0.0)


def sigma_axis(axes: Axes, sigmas: Sequence[float]) -> None:
    """Noise levels from noise on the left to data on the right."""
    axes.set_xscale("log")
    axes.set_xlim(max(sigmas) * 1.25, min(sigmas) / 1.25)
    plain_log(axes, "x")
    axes.set_xlabel("noise level \N{GREEK SMALL LETTER SIGMA}, from noise to data")


def seconds_axis(axes: Axes, seconds: Sequence[float]) -> None:
    """Time per sample, logarithmic, with room at both ends."""
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 1.35, max(seconds) * 1.35)
    plain_log(axes, "x", _round_duration)
    axes.set_xlabel("time per sample")


def plain_log(axes: Axes, which: str, form: Callable[[float], str] | None = None) -> None:
    """Ticks at 1, 2, 5 (or fewer) of each decade, written without exponents."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axes.get_xlim() if which == "x" else axes.get_ylim())
    decades = math.log10(high / low)
    digits = (1,) if decades > 2.5 else (1, 3) if decades > 1.6 else (1, 2, 5)
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [d * 10.0**e for e in span for d in digits if low <= d * 10.0**e <= high]
    if decades > 6:
        ticks = ticks[::2]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    write = form or (lambda value: f"{value:g}")
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def _round_duration(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.999 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"
