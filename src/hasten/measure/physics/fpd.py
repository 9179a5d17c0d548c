"""FPD and KPD: the two distances that papers on showers quote (Kansal et al., arXiv 2211.10295).

Both are defined by a procedure, that of jetnet 0.2.5, which is followed here step by step so that
figures can be held against published ones: features divided by the greatest absolute value of the
true ones, sizes, numbers of draws, seeds. `high_level` gives the features the challenge uses.

What they do not do. The draws are with replacement from what there is, so the extrapolation removes
what the size of a draw adds, not what the size of the sample adds: FPD of two samples of one law
falls like 1/n, and is only comparable at the same n and beside its floor. KPD counts a shower drawn
twice as two, which adds the like of ``(k(x, x) - k(x, x')) / n``. Verdicts use neither, but the
jackknife-corrected distance of `measure.quality` on `ShowerFeatures`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hasten.data.geometry import Floats
from hasten.errors import BudgetError, DataError
from hasten.measure.intervals import two_sided
from hasten.measure.moments import Gaussian, Moments
from hasten.measure.result import Measurement

SEED = 42
DRAWS, SIZES = 20, 10
"""Draws of each size, and sizes, equally far apart in 1 / N."""
LEAST, MOST = 20_000, 50_000
"""Smallest and largest draw of FPD."""
BATCHES, BATCH = 10, 5_000
"""Of KPD."""
_ROWS = 1024


def fpd(
    values: Tensor | ArrayLike,
    reference: Tensor | ArrayLike,
    *,
    least: int = LEAST,
    most: int = MOST,
    seed: int = SEED,
    confidence: float = 0.95,
) -> Measurement:
    """Fréchet physics distance: Fréchet distances of draws of N, extrapolated to 1 / N = 0.

    The distance of Gaussian fits, ``|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2))``, is averaged over 20
    draws at each of 10 sizes; the intercept of a straight line in 1/N, neither intercept nor slope
    below 0, is the value, and its error that of the fit. The challenge draws 10,000 to 50,000.

    Args:
        values: Features of the showers judged [n, d].
        reference: Features of true ones [m, d]; they set the scales.
        least: Smallest draw.
        most: Largest draw; more than there are showers adds nothing.
        seed: Of the draws.
        confidence: Of the interval, which is the fit's alone: it leaves out the sample's error.

    Raises:
        DataError: If the features do not fit together or are not finite.
        BudgetError: If a draw is not above the number of features, or the sizes do not differ.
    """
    x, y = _scaled(values, reference)
    if least <= x.shape[1] or most <= least:
        raise BudgetError(
            f"draws of {least} to {most} cannot give covariances of {x.shape[1]} features",
            hint=f"ask for more than {x.shape[1]}, and for sizes that differ",
        )
    # the distance does not know where 0 is, but sums of squares do
    x, y = x - y.mean(axis=0), y - y.mean(axis=0)
    sizes = (1 / np.linspace(1 / least, 1 / most, SIZES)).astype(np.int64)
    rng = np.random.default_rng(seed)
    found = [
        np.mean([_frechet(_draw(y, size, rng), _draw(x, size, rng)) for _ in range(DRAWS)])
        for size in sizes
    ]
    value, error = intercept(1 / sizes, np.array(found))
    reach = two_sided(confidence) * error
    facts = {"estimator": "FPD", "draws": DRAWS, "sizes": [int(sizes[0]), int(sizes[-1])]}
    return Measurement(
        value,
        value - reach,
        value + reach,
        len(x),
        confidence=confidence,
        context={**facts, "reference_n": len(y), "dims": x.shape[1]},
        raw=tuple(float(each) for each in found),
    )


def kpd(
    values: Tensor | ArrayLike,
    reference: Tensor | ArrayLike,
    *,
    batches: int = BATCHES,
    batch: int = BATCH,
    seed: int = SEED,
) -> Measurement:
    """Kernel physics distance: median unbiased MMD^2 of batches with the kernel (x.y / d + 1)^4.

    Args:
        values: Features of the showers judged [n, d].
        reference: Features of true ones [m, d]; they set the scales.
        batches: How many draws.
        batch: Showers of either side in one; the challenge takes 10,000.
        seed: Of the draws.

    Returns:
        The median, which can be below 0, and as its interval half the central 16-84 % range of the
        batches to either side, as published.

    Raises:
        DataError: If the features do not fit together or are not finite.
        BudgetError: If there are fewer than two showers in a batch or no batch.
    """
    x, y = _scaled(values, reference)
    if batch < 2 or batches < 1:
        raise BudgetError(f"{batches} batches of {batch} showers", hint="ask for two showers")
    found = []
    for number in range(batches):
        rng = np.random.default_rng(seed + 1000 * number)
        true, made = (torch.from_numpy(z[rng.choice(len(z), batch)]) for z in (y, x))
        inside = sum(_kernels(z, z) - _diagonal(z) for z in (true, made)) / (batch * (batch - 1))
        found.append(inside - 2 * _kernels(true, made) / batch**2)
    low, value, high = np.percentile(found, [16, 50, 84])
    reach = (high - low) / 2
    return Measurement(
        float(value),
        float(value - reach),
        float(value + reach),
        len(x),
        confidence=0.68,
        context={"estimator": "KPD", "batch": batch, "reference_n": len(y), "dims": x.shape[1]},
        raw=tuple(found),
    )


def intercept(at: Floats, values: Floats) -> tuple[float, float]:
    """Intercept and its error of the line through points by least squares, neither part below 0.

    The error is that of an unbounded fit with the residuals' variance.
    """
    design = np.stack([np.ones_like(at), at], axis=1)
    gram = np.linalg.inv(design.T @ design)
    start, slope = gram @ design.T @ values
    if slope < 0:
        start, slope = max(float(values.mean()), 0.0), 0.0
    elif start < 0:
        start, slope = 0.0, max(float(at @ values / (at @ at)), 0.0)
    left = np.square(values - start - slope * at).sum() / max(len(at) - 2, 1)
    return float(start), math.sqrt(left * gram[0, 0])


def _scaled(values: Tensor | ArrayLike, reference: Tensor | ArrayLike) -> tuple[Floats, Floats]:
    """Features over the greatest absolute value of the reference's; what is always 0 stays."""
    x, y = (
        np.asarray(z.detach().cpu() if isinstance(z, Tensor) else z, dtype=np.float64)
        for z in (values, reference)
    )
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not (x.size and y.size):
        raise DataError(f"features {x.shape} against {y.shape}", hint="[n, d] and [m, d]")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DataError("features are not finite", where="FPD and KPD")
    most = np.abs(y).max(axis=0)
    most[most == 0] = 1
    return x / most, y / most


def _draw(table: Floats, size: int, rng: np.random.Generator) -> Moments:
    """Moments of a draw with replacement: how often each row was drawn is all that matters."""
    times = np.bincount(rng.choice(len(table), size), minlength=len(table)).astype(np.float64)
    kept = times > 0
    rows, often = torch.from_numpy(table[kept]), torch.from_numpy(times[kept])[:, None]
    total, square = (often * rows).sum(dim=0), (often * rows).T @ rows
    return Moments(np.array(float(size)), total.numpy(), square.numpy())


def _frechet(reference: Moments, sample: Moments) -> float:
    return float(Gaussian(reference.mean, reference.cov).distance(sample))


def _kernels(a: Tensor, b: Tensor) -> float:
    """Sum of the kernel over all pairs."""
    return sum(
        float((some @ b.T).div_(a.shape[1]).add_(1).square_().square_().sum())
        for some in torch.split(a, _ROWS)
    )


def _diagonal(a: Tensor) -> float:
    return float((a.square().sum(dim=1) / a.shape[1] + 1).pow(4).sum())
