"""Showers made of a gamma profile and an exponential radius: a law that moves with the energy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from hasten.data.geometry import Geometry, Layer

SMALL = Geometry.regular("small", (12, 6, 4), 5.0, 0.02, pitch=10.0)
ODD = Geometry("odd", (Layer((0, 3, 7), 1), Layer((0.0, 5.0), 4), Layer((2, 4, 9, 10), 3)), 0.5)
SPOTS = 60.0
"""A GeV; each of them deposits one GeV's share on average."""


def showers(
    n: int, seed: int = 0, low: float = 1e3, high: float = 1e5
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Cells [n, 288] of `SMALL` and energies [n], log-uniform, MeV."""
    rng = np.random.default_rng(seed)
    energy = np.exp(rng.uniform(math.log(low), math.log(high), n))
    log_energy = np.log(energy / 1e3)
    shape = 2.0 + 0.6 * log_energy + rng.normal(0, 0.3, n)
    edges = np.arange(13) * 0.7
    along = np.diff(gammainc(np.maximum(shape, 1)[:, None], edges), axis=1)
    rings = np.diff(-np.exp(-np.arange(5) * 5.0 / (6 + rng.normal(0, 0.3, (n, 1)))), axis=1)
    share = along[:, :, None, None] * rings[:, None, None, :] / 6
    spots = rng.poisson(SPOTS * energy[:, None, None, None] / 1e3 * share * np.ones((1, 1, 6, 1)))
    cells = rng.gamma(2.0 * spots) / 2 * 1e3 / SPOTS
    cells[cells < SMALL.threshold] = 0
    return cells.reshape(n, SMALL.cells).astype(np.float32), energy


def one_lit(geometry: Geometry, cell: int, energy: float) -> NDArray[Any]:
    """A shower of one cell [1, cells]."""
    cells = np.zeros((1, geometry.cells))
    cells[0, cell] = energy
    return cells
