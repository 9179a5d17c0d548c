"""How far two runs of the same samples lie apart, when one of them was computed elsewhere.

Other kernels round otherwise, by about 1e-6. Where a reading is cut at a threshold, that may decide
whether it is there at all, so cells of a shower cannot simply be subtracted. `of_parts` compares

- the sum of every layer;
- the readings that only one has: rounding can cost a layer its weakest reading, never its only
  one, and one reading in a thousand at the most;
- the readings that both have; in a layer with a reading more or less only as shares of what both
  have in common there, since the sum is conserved and so all others move a little.

Energies are compared on the scale the net knows them on (`Scale`): a difference counts relative to
the energy plus `soft`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def of_arrays(got: Floats, want: Floats) -> float:
    """The largest difference relative to the largest number; infinite if any is not a number."""
    return _worst(np.abs(got - want) / max(float(np.abs(want).max(initial=0)), 1e-12))


def of_parts(got: Floats, want: Floats, counts: Sequence[int], soft: float) -> float:
    """The largest difference of showers, as described above.

    Args:
        got: Energies [n, parts], MeV; 0 where nothing was read out.
        want: The same, from elsewhere.
        counts: Parts of every layer, in order.
        soft: Of the scale, MeV.

    Returns:
        A number without unit; infinite if any energy is not a number, or readings were lost as
        rounding cannot lose them.
    """
    there, lost = (got != 0) | (want != 0), (got != 0) != (want != 0)
    if lost.sum() > 1 + there.sum() // 1000:
        return np.inf
    ends = np.cumsum(counts)[:-1]
    layers = zip(np.split(got, ends, axis=1), np.split(want, ends, axis=1), strict=True)
    return max(_layer(mine, theirs, soft) for mine, theirs in layers)


def _layer(got: Floats, want: Floats, soft: float) -> float:
    whole, other = got.sum(axis=1), want.sum(axis=1)
    sums = _worst(np.abs(whole - other) / (np.abs(other) + soft))
    common = (got > 0) & (want > 0)
    mine, theirs = (np.where(common, each, 0.0) for each in (got, want))
    moved = ((got != 0) != (want != 0)).any(axis=1)
    if (moved & ~common.any(axis=1)).any():
        return np.inf
    factor = np.where(moved, theirs.sum(axis=1) / np.where(moved, mine.sum(axis=1), 1.0), 1.0)
    both = _worst(np.abs(mine * factor[:, None] - theirs) / (theirs + soft))
    return max(sums, both, _lost(got, common, soft), _lost(want, common, soft))


def _lost(cells: Floats, common: NDArray[np.bool_], soft: float) -> float:
    """By how much a reading that the other side lacks is above the weakest of its layer."""
    weakest = np.where(cells > 0, cells, np.inf).min(axis=1, keepdims=True)
    alone = (cells != 0) & ~common
    return _worst(np.where(alone, (cells - np.where(alone, weakest, 0)) / (cells + soft), 0.0))


def _worst(distances: Floats) -> float:
    return float(np.nan_to_num(distances, nan=np.inf).max(initial=0))
