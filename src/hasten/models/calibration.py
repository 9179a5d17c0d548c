"""A correction of the numbers of cells, after which they are spread as those of true showers.

A sampler of thousands of numbers at once blurs what is sharp in the spread of each: the edge of the
peak of one particle, and the gap below the weakest reading. The spread of one number is easily put
right by a monotone map, ``T(x) = Q(F(x))`` with F the distribution function of what a model makes
and Q the quantiles of true showers. It moves cells that are a little too weak up and others down,
and leaves their order, so what goes together in a shower still does.

There is a map for every ring and for some energies, as spreads differ between them; for energies in
between the maps are mixed.
"""

from __future__ import annotations

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
REACH = 0.75
"""Showers so near, in distances of two energies, are taken for one of them."""
LEAST = 100
"""Showers that every one of the energies must have on either side."""
SURE = 50
"""Numbers of a model that must lie above a level for the map there to be believed."""


@final
@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """The maps.

    Attributes:
        high: Number at the last level; the first is at 0. Above, the last shift is kept.
        table: What the levels become [energies, rings, levels]; energies evenly from the least of
            the training to the greatest in the logarithm.
        plan: Label of the plan whose samples it is for; empty if it is for all. Says nothing that
            the maps do not.
    """

    high: float
    table: Tensor
    plan: str = ""

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
        return found + (numbers - self.high).clamp(min=0)

    def __repr__(self) -> str:
        """By its contents: fingerprints of models are made of it."""
        return f"Calibration({fingerprint([self.high, self.table.flatten().tolist()])})"

    @classmethod
    def fit(cls, made: Tensor, made_unit: Tensor, true: Tensor, true_unit: Tensor) -> Self:
        """The maps from the numbers of a model to those of true showers.

        Args:
            made: Of a model, sampled as exactly as may be [n, layers, sectors, rings].
            made_unit: Their unit energies [n], of the same law as the true ones'.
            true: Of true showers [m, layers, sectors, rings].
            true_unit: Their unit energies [m].

        Raises:
            BudgetError: If an energy has fewer than 100 showers on either side.
        """
        for unit in (made_unit, true_unit):
            check_enough(unit)
        high = float(true.max())
        levels = np.linspace(0, high, LEVELS)
        rows = []
        for near in zip(_near(made_unit), _near(true_unit), strict=True):
            sides = [part[some] for part, some in zip((made, true), near, strict=True)]
            rows.append(
                [
                    _mapped(levels, *(side[..., ring].flatten().double().numpy() for side in sides))
                    for ring in range(made.shape[-1])
                ]
            )
        return cls(high, torch.from_numpy(np.array(rows)).float())


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


def _mapped(
    levels: NDArray[np.float64], made: NDArray[np.float64], true: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What levels become: the quantiles of the true numbers at their ranks among the made ones."""
    ordered = np.sort(made)
    ranks = np.searchsorted(ordered, levels, side="right") / len(ordered)
    found = np.quantile(true, ranks, method="lower")  # what lies between is no reading
    known = len(ordered) * (1 - ranks) >= SURE
    if not known.any():
        return levels
    last = int(np.flatnonzero(known)[-1])
    found[last + 1 :] = levels[last + 1 :] + found[last] - levels[last]
    return np.maximum.accumulate(found)
