"""Gaussian samples with the spectrum of real features, at distances known exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hasten.measure.quality import Reference

DIMS = 64
SPECTRUM = 1 / np.arange(1, DIMS + 1)
TOTAL = float(SPECTRUM.sum())


def population(just_visible: float = 0.0) -> Reference:
    """Real data known exactly: mean 0, covariance ``diag(1 / k)``."""
    kept = np.random.default_rng(99).standard_normal((100, DIMS)) * np.sqrt(SPECTRUM)
    return Reference(
        mean=np.zeros(DIMS),
        cov=np.diag(SPECTRUM),
        features=kept.astype(np.float32),
        count=10**9,
        metric="planted",
        just_visible=just_visible,
    )


def planted(share: float, noise: NDArray[np.float64]) -> NDArray[np.float32]:
    """Samples whose law lies ``share * TOTAL`` from the population: half shifted, half shrunk."""
    a = np.sqrt(share / 2)
    return (np.sqrt(SPECTRUM) * (a + (1 - a) * noise)).astype(np.float32)


def paired_noise(
    rng: np.random.Generator, n: int, rho: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two normal tables [n, DIMS] that share noise to the degree rho."""
    shared, own = rng.standard_normal((2, n, DIMS))
    return shared, rho * shared + np.sqrt(1 - rho**2) * own
