"""Correlations between the energies of a shower's layers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hasten.data.geometry import Floats


def layer_correlations(shares: ArrayLike) -> Floats:
    """Pearson's correlations between layers [layers, layers]; 0 for a layer that stays the same.

    Of shares of the incident energy: energies themselves rise and fall together with it, which is
    not the generator's doing.

    Args:
        shares: Energies of the layers over the incident energy [n, layers].
    """
    table = np.asarray(shares, dtype=np.float64)
    away = table - table.mean(axis=0)
    size = np.sqrt(np.square(away).sum(axis=0))
    away = np.divide(away, size, out=np.zeros_like(away), where=size > 1e-12)
    found: Floats = away.T @ away
    return found
