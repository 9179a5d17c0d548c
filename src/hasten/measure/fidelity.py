"""How far a fast sampler's samples are from their converged twins, drawn from the same noise.

Cheap and paired: it ranks candidates and shows where a trajectory leaves the right one. It never
claims quality: two samplers may differ in every sample and be equally good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from hasten.errors import DataError
from hasten.measure.intervals import Floats, mean_interval
from hasten.measure.result import Measurement, Record


@final
@dataclass(frozen=True)
class Endpoint(Record):
    """Distance of samples to their twins.

    Attributes:
        mean: Mean over the samples of the root mean square difference, with its interval.
        per_sample: The differences, one a sample.
        worst: Index of the sample that is furthest from its twin.
    """

    mean: Measurement
    per_sample: tuple[float, ...]
    worst: int


def endpoint_distance(samples: Tensor, target: Tensor, confidence: float = 0.95) -> Endpoint:
    """Root mean square difference of each sample [n, ...] to its twin.

    Args:
        samples: What is to be ranked.
        target: The converged samples of the same seeds and conditions.
        confidence: Level of the interval of the mean.

    Raises:
        DataError: If shapes differ, there is no sample, or one is not finite.
    """
    each = _per_sample(samples, target)
    return Endpoint(_mean(each, confidence), tuple(each.tolist()), int(each.argmax()))


def evaluation_errors(
    found: Sequence[Tensor], wanted: Sequence[Tensor], confidence: float = 0.95
) -> tuple[Measurement, ...]:
    """The same distance after each evaluation of a trajectory.

    Args:
        found: x0-outputs (or states) [n, ...], one an evaluation.
        wanted: Those of the exact run at the same evaluations.
        confidence: Level of the intervals.

    Raises:
        DataError: If the trajectories differ in length or shape.
    """
    if len(found) != len(wanted):
        raise DataError(
            f"{len(found)} evaluations against {len(wanted)}",
            where="trajectory",
            hint="compare runs of one plan, with and without reuse",
        )
    pairs = zip(found, wanted, strict=True)
    return tuple(_mean(_per_sample(one, other), confidence) for one, other in pairs)


def _per_sample(samples: Tensor, target: Tensor) -> Floats:
    if samples.shape != target.shape or samples.ndim < 1 or not len(samples):
        raise DataError(
            f"samples {tuple(samples.shape)} against targets {tuple(target.shape)}",
            where="fidelity",
            hint="draw both with the same seeds and conditions",
        )
    apart = samples.detach().cpu().to(torch.float64) - target.detach().cpu().to(torch.float64)
    each: Floats = apart.reshape(len(apart), -1).square().mean(dim=1).sqrt().numpy()
    if not np.isfinite(each).all():
        raise DataError(
            "a sample is not finite", where=f"sample {int((~np.isfinite(each)).argmax())}"
        )
    return each


def _mean(each: Floats, confidence: float) -> Measurement:
    low, high = mean_interval(each, confidence)
    return Measurement(float(each.mean()), low, high, len(each), confidence=confidence)
