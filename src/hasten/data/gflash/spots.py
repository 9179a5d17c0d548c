"""How grainy a shower is: energy comes in spots, and a cell has as many as chance gives it.

GFlash places spot by spot. Here no spot is ever placed: if the number of spots of a layer follows a
Poisson law, the numbers in its cells are independent Poisson numbers, and the sum of k spots whose
energies follow Gamma(a) follows Gamma(k a). So two draws a cell give the same showers at a cost
that does not grow with the energy.

Source: Grindhammer and Peters (hep-ex/0001020), appendices A.1 and A.2, for the number of spots
and their longitudinal profile.
"""

# ruff: noqa: N803, N806 (the paper's letters)

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hasten.data.gflash.longitudinal import LEAST_ALPHA
from hasten.data.gflash.medium import Medium

Floats = NDArray[np.float64]

_LEAST_WEIGHT = 1e-30


def number(medium: Medium, gev: Floats) -> Floats:
    """Mean number of spots of showers of these energies in GeV (hep-ex/0001020, A.1 and A.2)."""
    if medium.sampling is None:
        return 93 * math.log(medium.z) * gev**0.876
    return 10.3 / medium.sampling.resolution * gev**0.959


def profile(medium: Medium, T: Floats, alpha: Floats) -> tuple[Floats, Floats]:
    """T and alpha of the spots of a shower, from those of its energy (hep-ex/0001020, A.1, A.2)."""
    z = medium.z
    if medium.sampling is None:
        T, alpha = T * (0.698 + 0.00212 * z), alpha * (0.639 + 0.00334 * z)
    else:
        T, alpha = T * (0.813 + 0.0019 * z), alpha * (0.844 + 0.0026 * z)
    return T, np.maximum(alpha, LEAST_ALPHA)


def scatter(
    rng: np.random.Generator,
    energies: Floats,
    spots: Floats,
    rings: Floats,
    sectors: int,
    shape: float = math.inf,
) -> tuple[Floats, Floats]:
    """Spread the layers of one shower over their cells.

    The energy of every layer is conserved: what its spots weigh is scaled to it. A layer on which
    no spot fell is given one.

    Args:
        rng: Where chance comes from.
        energies: Of the layers [layers], any unit, none below 0.
        spots: Their mean numbers of spots [layers].
        rings: Probabilities of the rings, and of none of them, [layers, rings + 1].
        sectors: Equal parts of the full angle.
        shape: Of the Gamma law of a spot's energy; infinite if all spots weigh the same.

    Returns:
        Energies of the cells [layers, sectors, rings] and of what fell beside them [layers].
    """
    rates = spots[:, None] * rings
    size = (len(energies), sectors, rings.shape[1] - 1)
    inside = rng.poisson(rates[:, None, :-1] / sectors, size)
    beside = rng.poisson(rates[:, -1])
    bare = np.flatnonzero(inside.sum((1, 2)) + beside == 0)
    if len(bare):
        # as many random numbers as layers are bare: at low energies most are
        reached = np.cumsum(rings[bare], 1)
        ring = (rng.random((len(bare), 1)) * reached[:, -1:] >= reached).sum(1)
        sector = rng.integers(sectors, size=len(bare))
        out = ring == size[2]
        inside[bare[~out], sector[~out], ring[~out]] = 1
        beside[bare[out]] = 1
    cells, outside = _weights(rng, inside, shape), _weights(rng, beside, shape)
    scale = energies / (cells.sum((1, 2)) + outside)
    return cells * scale[:, None, None], outside * scale


def _weights(rng: np.random.Generator, counts: NDArray[np.int64], shape: float) -> Floats:
    """Energies of cells with so many spots, in units of a spot's."""
    if math.isinf(shape):
        return counts.astype(np.float64)
    weights = np.zeros(counts.shape)
    hit = counts > 0
    # float32 gives an exact 0 once in 2^24 draws, and a layer's only spot must weigh something
    drawn = rng.standard_gamma((shape * counts[hit]).astype(np.float32), dtype=np.float32)
    weights[hit] = np.maximum(drawn, np.float32(_LEAST_WEIGHT))
    return weights
