"""A correction of the numbers of cells, after which they are spread as those of true showers.

A sampler of thousands of numbers at once blurs what is sharp in the spread of each: the edge of the
peak of one particle, and the gap below the weakest reading. The spread of one number is easily put
right by a monotone map, ``T(x) = Q(F(x))`` with F the distribution function of what a model makes
and Q the quantiles of true showers. It moves cells that are a little too weak up and others down,
and leaves their order, so what goes together in a shower still does.

There is a map for every ring and for some energies, as spreads differ between them; for energies in
between the maps are mixed. No reading is whatever comes below the gap, and the maps go on there
with a slope of one: mixed maps then turn into readings at a mixture of the places where they do.

How many cells there are depends on the energy far more than on the sampler. So the showers of a
model must have the energies of the true ones, not only others of the same law: of a thousand drawn
energies the mean is off by a per cent, and so would be the hits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.fingerprint import fingerprint
from hasten.errors import BudgetError

LEVELS, ENERGIES = 256, 4
"""Numbers and energies at which the maps are fixed."""
POINTS, RANKS = 2048, 1024
"""Numbers at which a spread is known, and how many energies stand for those of its showers."""
REACH = 0.75
"""Showers so near, in distances of two energies, are taken for one of them."""
LEAST = 100
"""Showers that every one of the energies must have on either side."""
SURE = 50
"""Numbers of a model that must lie above a level for the map there to be believed."""

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False, repr=False)
class Spread:
    """How the numbers of cells of true showers are spread.

    Attributes:
        high: The greatest number.
        gap: The least number of a reading; no reading is 0.
        above: Share of the numbers above each of some from 0 to the greatest, evenly
            [energies, rings, points].
        units: Unit energies of the showers at even ranks, ascending [ranks].
    """

    high: float
    gap: float
    above: Tensor
    units: Tensor

    @classmethod
    def of(cls, numbers: Tensor, unit: Tensor, gap: float) -> Self:
        """From true showers.

        Args:
            numbers: Of their cells [n, layers, sectors, rings].
            unit: Their unit energies [n].
            gap: The least number of a reading.

        Raises:
            BudgetError: If an energy has fewer than 100 showers.
        """
        check_enough(unit)
        high = float(numbers.max())
        points = torch.linspace(0, high, POINTS).to(numbers)
        rows = []
        for near in _near(unit):
            rings = (numbers[near][..., ring].flatten() for ring in range(numbers.shape[-1]))
            rows.append(torch.stack([_above(points, ring) for ring in rings]))
        order = unit.double().sort().values
        return cls(high, gap, torch.stack(rows).float(), _ranked(order, RANKS).float())

    def unit(self, count: int) -> Tensor:
        """So many unit energies that are spread as those of the showers, ascending [count]."""
        return _ranked(self.units, count)

    def quantiles(self, energy: int, ring: int, ranks: Floats) -> tuple[Floats, float]:
        """The numbers at some ranks; and the share without a reading, below which they are 0."""
        points = np.linspace(0, self.high, POINTS)
        below = 1 - self.above[energy, ring].double().numpy()
        dark = float(np.interp(self.gap / 2, points, below))
        found = np.maximum(np.interp(ranks, below, points), self.gap)
        return np.where(ranks > dark, found, 0.0), dark

    def __repr__(self) -> str:
        """By its contents: fingerprints of models are made of it."""
        return f"Spread({self._mark})"

    @functools.cached_property
    def _mark(self) -> str:
        parts = (self.above.flatten().tolist(), self.units.tolist())
        return fingerprint([self.high, self.gap, *parts])


@final
@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """The maps.

    Attributes:
        high: Number at the last level; the first is at 0. Above, the last shift is kept.
        table: What the levels become [energies, rings, levels]; energies evenly from the least of
            the training to the greatest in the logarithm.
        gap: What comes below is no reading.
    """

    high: float
    table: Tensor
    gap: float = 0.0

    def __call__(self, numbers: Tensor, unit: Tensor) -> Tensor:
        """Numbers [B, layers, sectors, rings] put right, for unit energies [B]."""
        energies, rings, levels = self.table.shape
        table = self.table.to(numbers).flatten()
        at = (numbers * ((levels - 1) / self.high)).clamp(0, levels - 1)
        below = at.floor().clamp(max=levels - 2)
        ring = torch.arange(rings, device=numbers.device) * levels
        place = ((unit + 1) * ((energies - 1) / 2)).clamp(0, energies - 1).reshape(-1, 1, 1, 1)
        knot = place.floor().clamp(max=energies - 2)
        index = below.long() + ring + knot.long() * (rings * levels)
        lower, upper = (
            torch.lerp(table[index + shift], table[index + shift + 1], at - below)
            for shift in (0, rings * levels)
        )
        found = torch.lerp(lower, upper, (place - knot).expand_as(lower))
        found = found + (numbers - self.high).clamp(min=0)
        return torch.where(found < self.gap, torch.zeros_like(found), found)

    def __repr__(self) -> str:
        """By its contents: fingerprints of models are made of it."""
        facts = [self.high, self.gap, self.table.flatten().tolist()]
        return f"Calibration({fingerprint(facts)})"

    @classmethod
    def fit(cls, made: Tensor, unit: Tensor, true: Spread) -> Self:
        """The maps from the numbers of a model to those of true showers.

        Args:
            made: Of a model [n, layers, sectors, rings].
            unit: Their unit energies [n], those of the true showers: `Spread.unit`.
            true: How the numbers of true showers are spread.

        Raises:
            BudgetError: If an energy has fewer than 100 showers.
        """
        check_enough(unit)
        levels = np.linspace(0, true.high, LEVELS)
        rows = [
            [
                _mapped(levels, made[near][..., ring].flatten().double().numpy(), true, (at, ring))
                for ring in range(made.shape[-1])
            ]
            for at, near in enumerate(_near(unit))
        ]
        return cls(true.high, torch.from_numpy(np.array(rows)).float(), true.gap)


def check_enough(unit: Tensor) -> None:
    """Refuse showers, by their unit energies [n], that are too few to calibrate with.

    Raises:
        BudgetError: If one of the energies has fewer than `LEAST` of them.
    """
    found = min(int(near.sum()) for near in _near(unit))
    if found < LEAST:
        raise BudgetError(
            f"{len(unit):,} showers are too few to calibrate with: one of {ENERGIES} energies has "
            f"{found} of them",
            hint=f"every one needs {LEAST}, so take {_more(len(unit), found)}",
        )


def _more(count: int, found: int) -> str:
    """How many showers it takes, from how many there were and were found."""
    if not found:
        return "more showers, of all energies"
    return f"about {math.ceil(1.2 * count * LEAST / found / 100) * 100:,} showers"


def _near(unit: Tensor) -> Iterator[Tensor]:
    """For every one of the energies: which showers count for it, by their unit energies [n]."""
    distance = 2 / (ENERGIES - 1)
    return ((unit - knot).abs() <= REACH * distance for knot in torch.linspace(-1, 1, ENERGIES))


def _ranked(ordered: Tensor, count: int) -> Tensor:
    """So many numbers at even ranks of ascending ones [n]."""
    at = (torch.arange(count, dtype=torch.float64) + 0.5) / count * len(ordered) - 0.5
    below = at.floor().clamp(0, len(ordered) - 2).long()
    share = (at - below).clamp(0, 1).to(ordered)
    return torch.lerp(ordered[below], ordered[below + 1], share)


def _above(points: Tensor, numbers: Tensor) -> Tensor:
    """Share of numbers [n] above each of some points, ascending."""
    ordered = numbers.sort().values
    return 1 - torch.searchsorted(ordered, points, right=True).double() / len(ordered)


def _mapped(levels: Floats, made: Floats, true: Spread, which: tuple[int, int]) -> Floats:
    """What levels become: the true numbers at their ranks among the made ones."""
    ordered = np.sort(made)
    ranks = np.searchsorted(ordered, levels, side="right") / len(ordered)
    found, dark = true.quantiles(*which, ranks)
    known = len(ordered) * (1 - ranks) >= SURE
    if not known.any():
        return levels
    last = int(np.flatnonzero(known)[-1])
    found[last + 1 :] = levels[last + 1 :] + found[last] - levels[last]
    first = ordered[min(math.ceil(dark * len(ordered)), len(ordered) - 1)]  # becomes a reading
    found = np.where(levels < first, true.gap + levels - first, found)
    return np.maximum.accumulate(found)
