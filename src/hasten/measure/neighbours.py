"""Distances that look at single real samples: kernel distance, density and coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hasten.errors import BudgetError
from hasten.measure.intervals import mean_interval, share_interval, two_sided
from hasten.measure.moments import SPREAD_GROUPS, Floats, jackknife_se, scattered
from hasten.measure.reference import NEIGHBOURS, Reference, squared_distances
from hasten.measure.result import Measurement


def kid(
    features: Tensor | ArrayLike, reference: Reference, confidence: float = 0.95
) -> Measurement:
    """Kernel distance: unbiased MMD^2 with the kernel ``(x.y / d + 1)^3``.

    Its expectation does not depend on n (Binkowski et al. 2018, arXiv 1801.01401, eq. 4), so it
    stands beside the Fréchet distance as a check. The interval is from the jackknife over 25
    groups.
    """
    table = reference.check(features, "kid")
    if len(table) < 2 * SPREAD_GROUPS:
        raise BudgetError(f"{len(table)} samples are too few", hint=f"draw {2 * SPREAD_GROUPS}")
    order = np.array_split(scattered(len(table)), SPREAD_GROUPS)
    x = table[np.concatenate(order)].astype(np.float64)
    size = np.array([len(group) for group in order], dtype=np.float64)
    starts = np.cumsum([0, *size[:-1]]).astype(int)
    real, m = reference.features.astype(np.float64), len(reference.features)
    within = (_kernel(real, real).sum() - _diagonal(real).sum()) / (m * (m - 1))
    cross = np.array([_kernel(group, real).sum() for group in np.split(x, starts[1:])])
    pairs = np.stack(
        [
            np.add.reduceat(_kernel(group, x).sum(axis=0), starts)
            for group in np.split(x, starts[1:])
        ]
    )
    pairs -= np.diag(np.add.reduceat(_diagonal(x), starts))

    def value(inside: Any, outside: Any, n: Any) -> Any:
        return inside / (n * (n - 1)) + within - 2 * outside / (n * m)

    n = size.sum()
    found = float(value(pairs.sum(), cross.sum(), n))
    inside = pairs.sum() - 2 * pairs.sum(axis=1) + pairs.diagonal()
    left_out = value(inside, cross.sum() - cross, n - size)
    reach = two_sided(confidence) * jackknife_se(left_out)
    facts = {**reference.context(), "estimator": "unbiased MMD^2, cubic kernel"}
    return Measurement(
        found, found - reach, found + reach, len(table), confidence=confidence, context=facts
    )


def density_coverage(
    features: Tensor | ArrayLike, reference: Reference, confidence: float = 0.95
) -> tuple[Measurement, Measurement]:
    """How densely samples lie where real ones do, and the share of real ones with a sample near.

    Naeem et al. 2020 (arXiv 2002.09797), eqs. 4 and 6, with five neighbours. Coverage grows with
    the number of samples, so at most as many are used as the reference keeps; compare at equal n
    only.
    """
    table = reference.check(features, "density and coverage")
    if not len(table) or len(reference.features) <= NEIGHBOURS:
        raise BudgetError("too few samples for neighbours", where="density and coverage")
    used = table[scattered(len(table))[: len(reference.features)]]
    inside = squared_distances(used, reference.features) <= reference.radii
    per_sample = inside.sum(axis=1) / NEIGHBOURS
    hits, m = int(inside.any(axis=0).sum()), len(reference.features)
    facts = {**reference.context(), "neighbours": NEIGHBOURS, "kept": m}
    return (
        Measurement(
            float(per_sample.mean()),
            *mean_interval(per_sample, confidence),
            len(used),
            confidence=confidence,
            context=facts,
        ),
        Measurement(
            hits / m,
            *share_interval(hits, m, confidence),
            len(used),
            confidence=confidence,
            context=facts,
        ),
    )


def _kernel(a: Floats, b: Floats) -> Floats:
    inner = torch.from_numpy(a) @ torch.from_numpy(b).T
    found: Floats = inner.div_(a.shape[1]).add_(1).pow_(3).numpy()
    return found


def _diagonal(a: Floats) -> Floats:
    found: Floats = np.power(np.square(a).sum(axis=1) / a.shape[1] + 1, 3)
    return found
