"""Sufficient statistics of samples in cells, and the Fréchet distance computed from them.

A delete-group jackknife needs the distance of all samples but one group, for every group. Samples
are therefore summed once into fifty cells; 10 groups of five cells (for the bias) and 25 groups of
two (for the standard error) are sums of cells, and what is left without a group is the total minus
its sum.

                  cells        0  1  2  3  4  5  6  7  8  9  ...  49
    25 groups, variance       [ 0 ][ 1 ][ 2 ][ 3 ][ 4 ]      ...  [24]
    10 groups, bias           [      0      ][      1      ] ...  [9 ]
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.errors import BudgetError, DataError

Floats = NDArray[np.float64]
CELLS, BIAS_GROUPS, SPREAD_GROUPS = 50, 10, 25


def as_features(features: Tensor | ArrayLike, where: str = "features") -> NDArray[np.float32]:
    """Features [n, d] in single precision on the host.

    Raises:
        DataError: If there are not two axes, no column, or numbers that are not finite.
    """
    held = features.detach().cpu().numpy() if isinstance(features, Tensor) else np.asarray(features)
    table: NDArray[np.float32] = held.astype(np.float32, copy=False)
    if table.ndim != 2 or not table.shape[1]:
        raise DataError(f"features must be a table [n, d], got shape {table.shape}", where=where)
    if not np.isfinite(table).all():
        bad = int((~np.isfinite(table)).any(axis=1).sum())
        raise DataError(
            f"{bad} of {len(table)} samples have features that are not finite",
            where=where,
            hint="look at these samples: the sampler probably diverged",
        )
    return table


def scattered(n: int) -> NDArray[np.intp]:
    """A fixed order of n samples in which neighbours have nothing in common.

    Conditions often come in cycles or in runs; groups of cells must not inherit them. Sorting by a
    hash of the index (splitmix64; Steele et al. 2014) gives the same order on every machine.
    """
    x = (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.argsort(x ^ (x >> np.uint64(31)), kind="stable")


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Count, sum and sum of outer products; leading axes, if any, number the sets.

    Attributes:
        count: Number of samples [...].
        total: Sum of features [..., d].
        square: Sum of features times features [..., d, d].
    """

    count: Floats
    total: Floats
    square: Floats

    @classmethod
    def of(cls, features: Tensor | ArrayLike, cells: int = CELLS) -> Moments:
        """Moments of scattered cells of nearly equal size, first axis ``cells``.

        Raises:
            BudgetError: If there are fewer samples than cells.
        """
        table = as_features(features)
        if len(table) < cells:
            raise BudgetError(
                f"{len(table)} samples cannot fill {cells} groups",
                hint=f"draw at least {cells}; a distance needs several times its features",
            )
        order = np.array_split(scattered(len(table)), cells)
        # torch, not numpy, multiplies and decomposes here: it keeps to the number of threads set
        parts = [torch.from_numpy(table[i]).double() for i in order]
        return cls(
            np.array([len(part) for part in parts], dtype=np.float64),
            torch.stack([part.sum(dim=0) for part in parts]).numpy(),
            torch.stack([part.T @ part for part in parts]).numpy(),
        )

    def groups(self, k: int) -> Moments:
        """Sums of neighbouring cells; ``k`` divides their number."""
        count = self.count.reshape(k, -1).sum(axis=1)
        total = self.total.reshape(k, -1, *self.total.shape[1:]).sum(axis=1)
        return Moments(count, total, self.square.reshape(k, -1, *self.square.shape[1:]).sum(axis=1))

    def all(self) -> Moments:
        """The sum over the first axis."""
        return Moments(self.count.sum(0), self.total.sum(0), self.square.sum(0))

    def without_each(self) -> Moments:
        """What is left without the first set, without the second, ..."""
        whole = self.all()
        return Moments(
            whole.count - self.count, whole.total - self.total, whole.square - self.square
        )

    @property
    def mean(self) -> Floats:
        """Means [..., d]."""
        return self.total / self.count[..., None]

    @property
    def cov(self) -> Floats:
        """Unbiased covariances [..., d, d]."""
        mean = self.mean
        outer = mean[..., :, None] * mean[..., None, :]
        count = self.count[..., None, None]
        return (self.square - count * outer) / (count - 1)


@final
@dataclass(frozen=True, eq=False)
class Gaussian:
    """One side of a Fréchet distance, with the square root of its covariance kept.

    Attributes:
        mean: [d].
        cov: [d, d], symmetric.
    """

    mean: Floats
    cov: Floats

    @functools.cached_property
    def root(self) -> Floats:
        """``r`` [d, rank] with ``r r^T = cov``; directions without variance are left out."""
        values, vectors = (x.numpy() for x in torch.linalg.eigh(torch.from_numpy(self.cov)))
        kept = values > max(float(values[-1]), 0.0) * 1e-14
        found: Floats = vectors[:, kept] * np.sqrt(values[kept])
        return found

    def distance(self, other: Moments) -> Floats:
        """Fréchet distances to the sets in ``other`` [...] (Dowson and Landau 1982).

        ``|m - m'|^2 + tr C + tr C' - 2 tr (C C')^(1/2)``; the last trace is the sum of the square
        roots of the eigenvalues of ``r^T C' r``, which is symmetric, so nothing complex ever
        appears.
        """
        cov, root = other.cov, torch.from_numpy(self.root)
        values = torch.linalg.eigvalsh(root.T @ torch.from_numpy(cov) @ root).numpy()
        shift = np.square(other.mean - self.mean).sum(-1)
        spread = np.trace(self.cov) + np.trace(cov, axis1=-2, axis2=-1)
        found: Floats = shift + spread - 2 * np.sqrt(np.maximum(values, 0)).sum(-1)
        return found


@final
@dataclass(frozen=True, eq=False)
class Jackknife:
    """An estimate, the same without its 1/n term, and its values without each of 25 groups.

    Attributes:
        n: Number of samples.
        plain: The estimate from all of them.
        corrected: ``k E - (k - 1) mean_g E(without g)`` with k = 10, free of bias in 1/n
            (Quenouille 1956).
        left: The estimate without each group [25], moved so that they scatter about `corrected`.
    """

    n: int
    plain: float
    corrected: float
    left: Floats

    @classmethod
    def of(cls, n: int, plain: Any, tenths: Floats, left: Floats) -> Jackknife:
        """From the estimate, its ten values without a tenth, and its 25 without one group."""
        k = len(tenths)
        corrected = k * float(plain) - (k - 1) * float(tenths.mean())
        return cls(n, float(plain), corrected, corrected + (left - left.mean()))

    @property
    def se(self) -> float:
        """Standard error, ``SE^2 = (K - 1) / K sum_g (E_g - mean E)^2`` (Shao and Wu 1989)."""
        return jackknife_se(self.left)


def jackknife_se(left: Floats) -> float:
    """Standard error from values without each of K groups."""
    k = len(left)
    return float(np.sqrt((k - 1) / k * np.square(left - left.mean()).sum()))


def jackknife_cov(left_a: Floats, left_b: Floats) -> Floats:
    """Covariance [2, 2] of two estimates from their values without the same groups."""
    both, k = np.stack([left_a, left_b]), len(left_a)
    away = both - both.mean(axis=1, keepdims=True)
    found: Floats = (k - 1) / k * away @ away.T
    return found
