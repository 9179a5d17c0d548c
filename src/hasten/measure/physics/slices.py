"""Response and resolution in slices of the incident energy, against true showers.

The response is the mean of total over incident energy; the resolution its standard deviation over
its mean, and, so that far showers do not decide it, half the central 68 % range over the median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np

from hasten.data.geometry import Floats, Indices
from hasten.measure.intervals import two_sided
from hasten.measure.physics.observables import Observables
from hasten.measure.result import Measurement, Record

SLICES, FEWEST = 5, 100
"""Slices, equally wide in log E, and showers of either side that one needs."""
RESAMPLES = 400
SLACK = 1e-6
CENTRAL = (15.865, 84.135)
"""Percentiles one standard deviation from the median of a normal law."""


@final
@dataclass(frozen=True)
class Against(Record):
    """A figure of the showers judged, beside that of true ones.

    Attributes:
        judged: With its interval.
        reference: With its interval.
        ratio: Of the two; 1 for the same law.
    """

    judged: Measurement
    reference: Measurement
    ratio: Measurement


@final
@dataclass(frozen=True)
class Slice(Record):
    """Showers of about one energy. All figures are None where there are too few to say.

    Attributes:
        low: Least incident energy, MeV.
        high: Greatest, MeV.
        n: Showers judged.
        m: True ones.
        response: Mean of total over incident energy.
        resolution: Standard deviation of it over its mean.
        core: Half the central 68 % range over the median.
    """

    low: float
    high: float
    n: int
    m: int
    response: Against | None
    resolution: Against | None
    core: Against | None

    @property
    def decided(self) -> bool:
        """Whether there are enough showers for figures."""
        return self.response is not None


def energy_slices(
    seen: Observables, reference: Observables, *, slices: int = SLICES, confidence: float = 0.95
) -> tuple[Slice, ...]:
    """Slices equally wide in log E between the least and the greatest energy of the reference.

    Intervals are normal with bootstrap errors (400 resamples of showers, each side for itself).

    Args:
        seen: Showers judged.
        reference: True ones.
        slices: How many.
        confidence: Of the intervals.
    """
    low, high = float(reference.incident.min()), float(reference.incident.max())
    edges = np.geomspace(low, high, slices + 1)
    found = []
    for number in range(slices):
        inside = [_place(each.incident, edges) == number for each in (seen, reference)]
        values = [each.response[mask] for each, mask in zip((seen, reference), inside, strict=True)]
        n, m = len(values[0]), len(values[1])
        figures: list[Against | None] = [None] * 3
        if min(n, m) >= FEWEST:
            figures = [*_figures(values[0], values[1], confidence)]
        found.append(Slice(float(edges[number]), float(edges[number + 1]), n, m, *figures))
    return tuple(found)


def _place(energies: Floats, edges: Floats) -> Indices:
    """Slice of every energy; -1 outside of all by more than rounding."""
    found = np.searchsorted(edges[1:-1], energies, side="right")
    found[(energies < edges[0] * (1 - SLACK)) | (energies > edges[-1] * (1 + SLACK))] = -1
    return found


def _figures(judged: Floats, reference: Floats, confidence: float) -> list[Against]:
    rng, z = np.random.default_rng(0), two_sided(confidence)
    values, draws = [], []
    for side in (judged, reference):
        resampled = side[rng.integers(len(side), size=(RESAMPLES, len(side)))]
        values.append(_three(side[None])[:, 0])
        draws.append(_three(resampled))

    def measured(value: float, drawn: Floats, n: int) -> Measurement:
        reach = z * float(np.std(drawn, ddof=1))
        return Measurement(value, value - reach, value + reach, n, confidence=confidence)

    found = []
    for number in range(3):
        a, b = (float(each[number]) for each in values)
        drawn = [each[number] for each in draws]
        ratio = np.divide(drawn[0], drawn[1], out=np.full(RESAMPLES, np.nan), where=drawn[1] != 0)
        found.append(
            Against(
                measured(a, drawn[0], len(judged)),
                measured(b, drawn[1], len(reference)),
                measured(a / b if b else float("nan"), ratio, len(judged)),
            )
        )
    return found


def _three(responses: Floats) -> Floats:
    """Mean, relative standard deviation, relative half range [3, k] of rows [k, n]."""
    mean = responses.mean(axis=1)
    low, middle, high = np.percentile(responses, [CENTRAL[0], 50, CENTRAL[1]], axis=1)
    spread = responses.std(axis=1, ddof=1)
    top, bottom = np.stack([mean, spread, (high - low) / 2]), np.stack([1 + 0 * mean, mean, middle])
    found: Floats = np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0)
    return found
