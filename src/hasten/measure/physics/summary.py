"""All that is said about one set of showers, and the same of true ones in their place."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.data.geometry import Floats, Geometry
from hasten.errors import BudgetError, DataError
from hasten.measure.moments import scattered
from hasten.measure.physics.classifier import challenge_table, high_level_auc, low_level_auc
from hasten.measure.physics.correlations import layer_correlations
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.fpd import BATCH, LEAST, MOST, fpd, kpd
from hasten.measure.physics.observables import (
    Observables,
    as_cells,
    as_energies,
    high_level,
    observe,
)
from hasten.measure.physics.separation import BINS, FULL, Separated, from_spectra, separation
from hasten.measure.physics.slices import SLICES, Slice, energy_slices
from hasten.measure.quality import frechet
from hasten.measure.reference import Reference
from hasten.measure.result import Measurement, Record

COSTLY = ("fpd", "kpd", "high", "low")
"""Figures that take their time: FPD, KPD, and the AUC of the high- and low-level classifiers."""


@final
@dataclass(frozen=True)
class Row(Record):
    """What is said about showers against true ones. None is what was not asked for or affordable.

    Attributes:
        separations: By observable.
        slices: Response and resolution by incident energy.
        correlation_largest: Greatest absolute difference between correlations of two layers' shares
            of the incident energy.
        correlation_rms: Root mean square of these differences.
        distance: Corrected Fréchet distance in shower features, as verdicts have it.
        fpd: Fréchet physics distance in the challenge's features.
        kpd: Kernel physics distance.
        high: AUC of boosted trees.
        low: AUC of the particle-flow network on cells.
    """

    separations: Mapping[str, Separated]
    slices: tuple[Slice, ...]
    correlation_largest: float
    correlation_rms: float
    distance: Measurement | None
    fpd: Measurement | None
    kpd: Measurement | None
    high: Measurement | None
    low: Measurement | None


@final
@dataclass(frozen=True)
class Physics(Record):
    """Showers judged, and beside them true showers judged in the same way.

    Attributes:
        judged: The showers.
        floor: As many true showers: what no generator can be asked to go below.
        geometry: Its name.
        features: Name of the shower features; empty if none were given.
        n: Showers judged, in either row.
        m: True showers they are held against, in both rows.
    """

    judged: Row
    floor: Row
    geometry: str
    features: str
    n: int
    m: int


def measure_physics(
    cells: Tensor | ArrayLike,
    energies: Tensor | ArrayLike,
    reference_cells: Tensor | ArrayLike,
    reference_energies: Tensor | ArrayLike,
    geometry: Geometry,
    *,
    truth: tuple[Tensor | ArrayLike, Tensor | ArrayLike] | None = None,
    features: ShowerFeatures | None = None,
    costly: Collection[str] = ("fpd", "kpd"),
    slices: int = SLICES,
    confidence: float = 0.95,
) -> Physics:
    """Every figure of `Physics`.

    Many of them depend on how many showers there are, so both rows get equally many: the first of
    what is longer are used. Energies on all sides must follow one law; the separation of the
    incident energy says whether they do.

    Args:
        cells: Showers judged [n, cells], MeV.
        energies: Their incident energies [n], MeV.
        reference_cells: True showers [m, cells], MeV.
        reference_energies: Theirs [m].
        geometry: Of all of them.
        truth: Other true showers and energies, for the floor; without them the reference is halved.
        features: For the distance and the high-level classifier, fixed on other true showers;
            without them there is no distance, and the classifier gets the challenge's numbers.
        costly: Which of ``fpd``, ``kpd``, ``high`` and ``low`` to compute; on one core with 3,000
            showers of 6,480 cells either side a row takes about 12 s, 6 s, 5 s (15 s without
            features) and 70 s of them, and 2 s of all the rest.
        slices: Of the incident energy.
        confidence: Of all intervals.

    Raises:
        DataError: If shapes or numbers do not fit, or a costly figure is unknown.
        BudgetError: If there are fewer than 150 showers in a row or against it.
        MissingExtra: If a classifier needs a package that is not installed.
    """
    if unknown := sorted(set(costly) - set(COSTLY)):
        raise DataError(f"no such figure: {', '.join(unknown)}", hint=f"one of {', '.join(COSTLY)}")
    if features is not None and features.geometry != geometry:
        raise DataError(
            f"features of showers in {features.geometry.name}, not in {geometry.name}",
            where=features.name,
        )
    judged = _Showers.of(cells, energies, geometry)
    real = _Showers.of(reference_cells, reference_energies, geometry)
    if truth is None:
        order = scattered(len(real.seen))
        other, real = (real.rows(part) for part in np.array_split(order, 2))
    else:
        other = _Showers.of(*truth, geometry)
    n = min(len(judged.seen), len(other.seen))
    if min(n, len(real.seen)) < FULL * BINS:
        raise BudgetError(
            f"{n} showers against {len(real.seen)} true ones",
            hint=f"give at least {FULL * BINS}, and twice as many true ones if these are halved",
        )
    rows = [
        _row(each.rows(np.arange(n)), real, features, frozenset(costly), slices, confidence)
        for each in (judged, other)
    ]
    name = features.name if features else ""
    return Physics(rows[0], rows[1], geometry.name, name, n, len(real.seen))


def showers_for_fpd(geometry: Geometry) -> int:
    """Showers that both sides must have for FPD; with fewer it is None."""
    one = observe(np.zeros((1, geometry.cells)), np.ones(1), geometry)
    return _showers_for(high_level(one).shape[1])


def _showers_for(features: int) -> int:
    """The smallest draw is a third, and without more showers than features has no covariance."""
    return 3 * (features + 1)


@final
@dataclass(frozen=True, eq=False)
class _Showers:
    """Cells and what is seen in them."""

    cells: np.ndarray
    seen: Observables

    @classmethod
    def of(
        cls, cells: Tensor | ArrayLike, energies: Tensor | ArrayLike, geometry: Geometry
    ) -> _Showers:
        table = as_cells(cells, geometry)
        return cls(table, observe(table, as_energies(energies, len(table)), geometry))

    def rows(self, which: np.ndarray) -> _Showers:
        return _Showers(self.cells[which], self.seen.rows(which))


def _row(
    judged: _Showers,
    real: _Showers,
    features: ShowerFeatures | None,
    costly: frozenset[str],
    slices: int,
    confidence: float,
) -> Row:
    a, b = judged.seen, real.seen
    size, distance = min(len(a), len(b)), None
    made: list[NDArray[Any]] = []
    if features is not None:
        made = [features.of(each) for each in (a, b)]
        if len(b) >= 2 * features.dims:
            against = Reference.of(made[1], features.name)
            distance = frechet(made[0], against).measurement(confidence)
    elif "high" in costly:
        made = [challenge_table(each) for each in (a, b)]
    tables = [high_level(each) for each in (a, b)] if costly & {"fpd", "kpd"} else []
    most = min(MOST, size)
    least = min(LEAST, most // 3)
    drawn = "fpd" in costly and size >= _showers_for(tables[0].shape[1])
    correlations = [layer_correlations(each.layers / each.incident[:, None]) for each in (a, b)]
    apart = np.abs(correlations[0] - correlations[1])
    return Row(
        separations=_separations(a, b, confidence),
        slices=energy_slices(a, b, slices=slices, confidence=confidence),
        correlation_largest=float(apart.max()),
        correlation_rms=float(np.sqrt(np.square(apart).mean())),
        distance=distance,
        fpd=fpd(*tables, least=least, most=most, confidence=confidence) if drawn else None,
        kpd=kpd(*tables, batch=min(BATCH, size)) if "kpd" in costly else None,
        high=high_level_auc(*made, confidence=confidence) if "high" in costly else None,
        low=low_level_auc(
            judged.cells, a.incident, real.cells, b.incident, a.geometry, confidence=confidence
        )
        if "low" in costly
        else None,
    )


def _observed(seen: Observables) -> dict[str, Floats]:
    """Observables by name, [n] or [n, parts]."""
    return {
        "incident energy": seen.incident,
        "response": seen.response,
        "layer energies": seen.layers,
        "centres 1": seen.centres[..., 0],
        "centres 2": seen.centres[..., 1],
        "widths 1": seen.widths[..., 0],
        "widths 2": seen.widths[..., 1],
        "radii": seen.radii,
        "radial widths": seen.spreads,
        "sparsity": seen.sparsity,
        "hits": seen.hits.sum(axis=1),
        "depth": seen.depth,
        "length": seen.length,
        "radius": seen.radius,
        "breadth": seen.breadth,
        "ring fractions": seen.rings,
    }


def _separations(a: Observables, b: Observables, confidence: float) -> dict[str, Separated]:
    found = {}
    for (name, x), y in zip(_observed(a).items(), _observed(b).values(), strict=True):
        columns = zip(x.reshape(len(a), -1).T, y.reshape(len(b), -1).T, strict=True)
        parts = [separation(one, other, confidence=confidence) for one, other in columns]
        if parts:
            found[name] = Separated.of(parts)
    if a.spectrum.any() and b.spectrum.any():
        cells = from_spectra(a.spectrum, b.spectrum, confidence=confidence)
        found["cell energies"] = Separated.of([cells])
    return found
