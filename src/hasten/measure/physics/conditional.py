"""Conditional: how numbers scatter about a mean that moves with the incident energy.

Most of what varies in a shower is said by its energy: a hundred times more of it has six times more
hits. Held against that spread nothing else would be visible. Here the mean and the logarithm of the
standard deviation of every number are smooth functions of the logarithm of the energy, fixed on
reference showers, and what is left is standardised by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from hasten.data.geometry import Floats
from hasten.errors import BudgetError, DataError

KNOTS, SHOWERS_A_KNOT = 6, 250
"""Most inner knots, and how many showers each must rest on."""
CLIP = 6.0
"""Most standard deviations anything may lie from its mean."""
LEAST = 0.1
"""Least standard deviation, as a share of its mean over all energies."""
MARGIN = 0.05
"""How far outside the energies of the reference showers may lie, as a share."""
STILL = 1e-9
"""What varies less, as a share of its size, does not vary."""
ROUNDS, STRIDE = 40, 0.5
"""Of the fit of the standard deviations: rounds, and the longest step of a logarithm."""
_ORDER = 3


@final
@dataclass(frozen=True, eq=False)
class Conditional:
    """Mean and spread of several numbers as functions of the energy.

    Both are cubic splines in ln E between the knots: local, so that a kink at one energy (the first
    cells above an edge) does not bend the curve at another, as one polynomial would.

    Attributes:
        knots: Of ln E, from the least to the greatest of the reference [inner + 2].
        mean: Coefficients of the means [basis, numbers].
        log_std: Coefficients of the logarithms of the standard deviations [basis, numbers].
        centre: Mean and standard deviation of ln E in the reference [2].
    """

    knots: Floats
    mean: Floats
    log_std: Floats
    centre: Floats

    @classmethod
    def fit(cls, table: ArrayLike, energies: ArrayLike) -> Conditional:
        """From numbers [n, k] of reference showers and their energies [n].

        By maximum likelihood of a Gaussian, Fisher's scoring from the least squares on: with basis
        B and residuals z in units of the standard deviation s the steps of the coefficients are
        ``(B^T B)^-1 B^T (s z)`` and ``(B^T B)^-1 B^T (z^2 - 1) / 2``. z is clipped as it will be,
        so it is the clipped numbers that get mean 0 and variance 1, and far showers widen nothing.

        Raises:
            BudgetError: If there are fewer showers than one knot needs.
        """
        values, log_energy = np.asarray(table, np.float64), np.log(np.asarray(energies, np.float64))
        if len(values) < SHOWERS_A_KNOT:
            raise BudgetError(
                f"{len(values)} reference showers cannot fix how features depend on energy",
                hint=f"give at least {SHOWERS_A_KNOT}, better 5,000",
            )
        inner = min(KNOTS, len(values) // SHOWERS_A_KNOT)
        # between equally many showers; few distinct energies leave fewer knots
        knots = np.unique(np.quantile(log_energy, np.linspace(0, 1, inner + 2)))
        basis = _basis(log_energy, knots)
        solve = np.linalg.pinv(basis)  # finds the shortest answer where energies are few
        mean = solve @ values
        scale = np.sqrt(np.square(values - basis @ mean).mean(axis=0))
        # what never varies is left at 0, whatever it is divided by
        scale[scale <= STILL * np.abs(values).max(axis=0)] = 1.0
        log_std = np.tile(np.log(scale), (basis.shape[1], 1))
        for _ in range(ROUNDS):
            std = np.exp(basis @ log_std)
            z = np.clip((values - basis @ mean) / std, -CLIP, CLIP)
            mean = mean + solve @ (std * z)
            step = np.clip(solve @ (np.square(z) - 1) / 2, -STRIDE, STRIDE)
            # the basis is positive and sums to 1: bounded coefficients bound the curve
            log_std = np.maximum(log_std + step, np.log(LEAST * scale))
        return cls(knots, mean, log_std, np.array([log_energy.mean(), log_energy.std()]))

    def __call__(self, table: Floats, energies: Floats) -> Floats:
        """Numbers [n, k] in standard deviations from their means, clipped.

        Raises:
            DataError: If energies lie outside those of the reference.
        """
        basis = _basis(self._inside(np.log(energies)), self.knots)
        away = (table - basis @ self.mean) / np.exp(basis @ self.log_std)
        return np.clip(away, -CLIP, CLIP)

    def tilt(self, energies: Floats) -> Floats:
        """Logarithm of energies [n], of mean 0 and variance 1 in the reference; 0 if it has one."""
        mean, std = self.centre
        away = self._inside(np.log(energies)) - mean
        return away / std if std > STILL else np.zeros_like(away)

    def _inside(self, log_energy: Floats) -> Floats:
        low, high = self.knots[0], self.knots[-1]
        reach = np.log1p(MARGIN)
        if log_energy.min(initial=high) < low - reach or log_energy.max(initial=low) > high + reach:
            raise DataError(
                f"energies from {np.exp(log_energy.min()):.4g} to {np.exp(log_energy.max()):.4g} "
                f"MeV, but the reference showers have {np.exp(low):.4g} to {np.exp(high):.4g}",
                hint="judge at energies the reference has, or fit features on showers of these",
            )
        return np.clip(log_energy, low, high)


def _basis(log_energy: Floats, knots: Floats) -> Floats:
    """Cubic B-splines [n, basis]; one column of ones where there is a single energy."""
    if len(knots) < 2:
        return np.ones((len(log_energy), 1))
    from scipy.interpolate import BSpline

    ends = np.repeat(knots[:1], _ORDER), np.repeat(knots[-1:], _ORDER)
    full = np.concatenate([ends[0], knots, ends[1]])
    found: Floats = BSpline.design_matrix(log_energy, full, _ORDER).toarray()
    return found
