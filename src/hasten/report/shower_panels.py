"""What the panels of a report on showers show: observables of an arm, bin by bin, with errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from hasten.report.story import REAL, Physics

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = tuple[Floats, Floats]
"""Height of every bin and its standard error."""
Rows: TypeAlias = NDArray[np.float32]

BINS, SLICES, PROFILES = 30, 5, 3
"""Bins of a histogram; slices of the incident energy, equally wide in its logarithm, for response
and for profiles."""
FEWEST = 20
"""Showers a slice must have to be drawn."""


@final
@dataclass(frozen=True)
class Panel:
    """One observable.

    Attributes:
        title: What it is; of some panels it takes the real showers to say.
        across: Below the axis.
        up: What its height is.
        edges: Of the bins, from the real showers.
        curve: Heights of the bins for an arm.
        kind: A ``count`` needs no scale; a ``level`` is drawn from 0 on, a ``mean`` where it is.
            A ``signed`` one may be 0 everywhere: differences to the real showers are drawn below
            it, in place of ratios.
        logarithmic: Axes that are: ``x``, ``y``, ``xy`` or none.
        averaged: Name of the mean it shows; empty where single showers are looked at.
    """

    title: str | Callable[[Physics], str]
    across: str
    up: str
    edges: Callable[[Physics], Floats]
    curve: Callable[[Physics, str, Floats], Curve]
    kind: Literal["count", "level", "mean", "signed"] = "level"
    logarithmic: str = ""
    averaged: str = ""

    def has(self, physics: Physics, arm: str) -> bool:
        """Whether there is anything of this arm to draw."""
        if self.averaged:
            return physics.mean(arm, self.averaged) is not None
        return arm == REAL or arm in physics.arms

    def name(self, physics: Physics) -> str:
        """The title in this run."""
        return self.title if isinstance(self.title, str) else self.title(physics)


def single(physics: Physics, rows: Rows, name: str) -> Floats:
    """An observable of one number; hits are summed over the layers."""
    return np.asarray(physics.part(rows, name).sum(axis=1), dtype=np.float64)


# -- histograms over showers -----------------------------------------------------------------------


def _histogram(name: str, title: str, across: str, *, whole: bool = False) -> Panel:
    """Shares of showers; equally many whole numbers are in every bin if they are such."""

    def edges(physics: Physics) -> Floats:
        low, high = np.quantile(single(physics, physics.reference, name), (0.002, 0.998))
        if whole:
            first, last = math.floor(low), math.ceil(high)
            step = math.ceil((last - first + 1) / BINS)
            return np.arange(first, last + step + 1, step, dtype=np.float64) - 0.5
        return np.linspace(low, high if high > low else low + 1, BINS + 1)

    def curve(physics: Physics, arm: str, edges: Floats) -> Curve:
        values = single(physics, physics.rows(arm), name)
        counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.float64)
        return counts / len(values), np.sqrt(counts) / len(values)

    return Panel(title, across, "share of showers", edges, curve, "count")


# -- means over showers, place by place ------------------------------------------------------------


def _averages(values: NDArray[np.float32]) -> Curve:
    table = values.astype(np.float64)
    return table.mean(axis=0), table.std(axis=0) / np.sqrt(len(table))


def _places(count: int) -> Floats:
    return np.arange(count + 1, dtype=np.float64) - 0.5


def _profile(name: str, title: str, across: str, up: str) -> Panel:
    return Panel(
        title,
        across,
        up,
        lambda physics: _places(physics.part(physics.reference, name).shape[1]),
        lambda physics, arm, _: _averages(physics.part(physics.rows(arm), name)),
        logarithmic="y",
    )


def _filled(physics: Physics) -> Floats:
    """Edges of the spectrum as far as there are real cells."""
    lit = np.flatnonzero(physics.part(physics.reference, "spectrum").any(axis=0))
    return physics.edges[: int(lit.max(initial=0)) + 2]


def _spectrum(physics: Physics, arm: str, edges: Floats) -> Curve:
    value, error = _averages(physics.part(physics.rows(arm), "spectrum"))
    return value[: len(edges) - 1], error[: len(edges) - 1]


# -- by incident energy ----------------------------------------------------------------------------


def _slices(physics: Physics, count: int) -> Floats:
    """Edges of slices of the incident energy, GeV; one slice if there is but one energy."""
    seen = single(physics, physics.reference, "energy") - 3
    low, high = 10 ** seen.min(), 10 ** seen.max()
    if high < 1.05 * low:
        return np.array([low / 1.05, high * 1.05])
    return np.geomspace(low, high, count + 1)


def _slice_of(physics: Physics, rows: Rows, edges: Floats) -> NDArray[np.intp]:
    """Which slice every shower is in."""
    energy = 10 ** (single(physics, rows, "energy") - 3)
    return np.searchsorted(edges[1:-1], energy, side="right")


def _by_energy(title: str, up: str, measure: Callable[[Floats], tuple[float, float]]) -> Panel:
    def curve(physics: Physics, arm: str, edges: Floats) -> Curve:
        rows = physics.rows(arm)
        which, response = _slice_of(physics, rows, edges), single(physics, rows, "response")
        parts = [response[which == k] for k in range(len(edges) - 1)]
        found = [measure(p) if len(p) >= FEWEST else (np.nan, np.nan) for p in parts]
        value, error = np.array(found).T
        return value, error

    scale = "xy" if title == "resolution" else "x"
    edges = lambda physics: _slices(physics, SLICES)  # noqa: E731
    return Panel(title, "incident energy, GeV", up, edges, curve, "mean", scale)


def _response(values: Floats) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def _resolution(values: Floats) -> tuple[float, float]:
    away = np.square(values - values.mean())
    share = float(values.std() / values.mean())
    # the error of a variance, by the fourth moment: responses have tails
    return share, share * float(away.std() / away.mean() / np.sqrt(4 * len(values)))


def _profile_at(number: int) -> Panel:
    """The longitudinal profile in one slice of the incident energy; no edges if it has too few."""

    def inside(physics: Physics, arm: str) -> Rows:
        rows, edges = physics.rows(arm), _slices(physics, PROFILES)
        found: Rows = rows[_slice_of(physics, rows, edges) == number]
        return found

    def title(physics: Physics) -> str:
        low, high = _slices(physics, PROFILES)[number : number + 2]
        return f"{low:.3g} to {high:.3g} GeV"

    def edges(physics: Physics) -> Floats:
        few = len(inside(physics, REAL)) < FEWEST
        return np.zeros(0) if few else _places(physics.part(physics.reference, "layers").shape[1])

    def curve(physics: Physics, arm: str, _: Floats) -> Curve:
        rows = inside(physics, arm)
        if len(rows) < FEWEST:
            nothing = np.full(physics.part(rows, "layers").shape[1], np.nan)
            return nothing, nothing
        return _averages(physics.part(rows, "layers"))

    return Panel(title, "layer", "E layer / E incident", edges, curve, logarithmic="y")


# -- of means that were kept without single showers ------------------------------------------------


def _kept(
    name: str,
    title: str,
    across: str,
    up: str,
    *,
    spread: bool = False,
    kind: Literal["level", "signed"] = "level",
) -> Panel:
    """A mean, or the standard deviation over showers."""

    def edges(physics: Physics) -> Floats:
        held = physics.mean(REAL, name)
        return np.zeros(0) if held is None else _places(held.shape[1])

    def curve(physics: Physics, arm: str, edges: Floats) -> Curve:
        held = physics.mean(arm, name)
        if held is None:
            held = np.full((4, len(edges) - 1), np.nan)
        first = 2 if spread else 0
        return held[first], held[first + 1]

    return Panel(title, across, up, edges, curve, kind, averaged=name)


def _layered(
    centre: tuple[str, str], width: tuple[str, str], kind: Literal["level", "signed"]
) -> list[Panel]:
    """Mean and spread over showers of two observables of the layers: (name, title)."""
    return [
        panel
        for (name, title), sign in ((centre, kind), (width, "level"))
        for panel in (
            _kept(name, title, "layer", "mean, mm", kind=sign),
            _kept(name, f"spread of {title}", "layer", "σ over showers, mm", spread=True),
        )
    ]


ENERGY = (
    _histogram("response", "response", "E total / E incident"),
    _by_energy("mean response", "E total / E incident", _response),
    _by_energy("resolution", "σ / mean of the response", _resolution),
)
PROFILE = (
    _profile("layers", "along the axis", "layer", "E layer / E incident"),
    _profile("rings", "across the axis", "ring", "share of the energy"),
    _kept("sectors", "around the axis", "sector", "share of the energy"),
)
BY_ENERGY = tuple(_profile_at(number) for number in range(PROFILES))
MOMENTS = (
    _histogram("depth", "depth", "mean layer of the energy"),
    _histogram("length", "length", "σ of the energy along, layers"),
    _histogram("hits", "hits", "cells above the threshold", whole=True),
    _histogram("radius", "radius", "distance from the axis, mm"),
    _histogram("breadth", "breadth", "σ of that distance, mm"),
    Panel("cells", "energy of a cell, MeV", "a shower", _filled, _spectrum, logarithmic="xy"),
)
LAYERS = (
    *_layered(("centres 1", "x centre"), ("widths 1", "x width"), "signed"),
    *_layered(("centres 2", "y centre"), ("widths 2", "y width"), "signed"),
    *_layered(("radii", "radius"), ("radial widths", "radial width"), "level"),
)
