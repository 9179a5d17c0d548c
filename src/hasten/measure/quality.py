"""How far samples are from real data: bias-corrected distances, and what they are held against.

A plain Fréchet distance from n samples is too large by about c / n, with the same c for any
sampler, so at small n the ratio of two of them says "no difference" whatever the truth. Every
distance here is corrected for that before anyone compares it. It is named by its features; it is
not an FID.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.errors import DataError
from hasten.measure.features import Features
from hasten.measure.intervals import share_interval, two_sided
from hasten.measure.moments import (
    BIAS_GROUPS,
    SPREAD_GROUPS,
    Floats,
    Gaussian,
    Jackknife,
    Moments,
    as_features,
)
from hasten.measure.neighbours import density_coverage, kid
from hasten.measure.reference import KEPT, Reference
from hasten.measure.result import Measurement, Record

__all__ = [
    "Arm",
    "Quality",
    "Reference",
    "accuracy",
    "density_coverage",
    "frechet",
    "just_visible",
    "kid",
    "make_reference",
    "measure_quality",
]


@final
@dataclass(frozen=True, eq=False)
class Arm:
    """One sampler's samples as a reference sees them; costs 36 eigendecompositions, once.

    Attributes:
        features: [n, d], in the order of the seeds.
        distance: The Fréchet distance with its jackknife.
        reference: Against what.
    """

    features: NDArray[np.float32]
    distance: Jackknife
    reference: Reference

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.features)

    def measurement(self, confidence: float = 0.95) -> Measurement:
        """The corrected distance and its two-sided interval."""
        value, reach = self.distance.corrected, two_sided(confidence) * self.distance.se
        facts = {**self.reference.context(), "estimator": "frechet, jackknife-corrected"}
        return Measurement(
            value, value - reach, value + reach, self.n, confidence=confidence, context=facts
        )


def frechet(features: Tensor | ArrayLike, reference: Reference, where: str = "samples") -> Arm:
    """The corrected Fréchet distance of samples to a reference (specs: FD_jk, k = 10).

    Raises:
        DataError: If the features are not those of the reference.
        BudgetError: If there are fewer than 50 samples.
    """
    table = reference.check(features, where)
    cells, target = Moments.of(table), reference.gaussian
    return Arm(
        table,
        Jackknife.of(
            len(table),
            target.distance(cells.all()) - reference.bias,
            target.distance(cells.groups(BIAS_GROUPS).without_each()) - reference.bias,
            target.distance(cells.groups(SPREAD_GROUPS).without_each()) - reference.bias,
        ),
        reference,
    )


def accuracy(
    logits: Tensor | ArrayLike, labels: Tensor | ArrayLike, confidence: float = 0.95
) -> Measurement:
    """Share of samples that the judge takes for the class that was asked for.

    Raises:
        DataError: If there is not one label a sample.
    """
    scores, wanted = as_features(logits, "logits"), np.asarray(labels).reshape(-1)
    if len(scores) != len(wanted) or not len(wanted):
        raise DataError(f"{len(scores)} samples but {len(wanted)} labels", where="accuracy")
    hits = int((scores.argmax(axis=1) == wanted).sum())
    low, high = share_interval(hits, len(wanted), confidence)
    return Measurement(hits / len(wanted), low, high, len(wanted), confidence=confidence)


def just_visible(clean: Tensor | ArrayLike, degraded: Tensor | ArrayLike) -> Jackknife:
    """Distance between the same real samples before and after a slight degradation.

    Both sides come from the same samples, so most of the sampling error is common to both; the
    groups of the jackknife leave out a sample on both sides.

    Raises:
        DataError: If the two are not of one shape.
        BudgetError: If there are fewer than 50 samples.
    """
    before, after = as_features(clean, "clean"), as_features(degraded, "degraded")
    if before.shape != after.shape:
        raise DataError(f"{before.shape} clean features against {after.shape} degraded ones")
    left, right = Moments.of(before), Moments.of(after)

    def between(k: int) -> Floats:
        a, b = left.groups(k).without_each(), right.groups(k).without_each()
        return np.array(
            [
                Gaussian(mean, cov).distance(Moments(b.count[g], b.total[g], b.square[g]))
                for g, (mean, cov) in enumerate(zip(a.mean, a.cov, strict=True))
            ]
        )

    whole = left.all()
    plain_distance = Gaussian(whole.mean, whole.cov).distance(right.all())
    return Jackknife.of(len(before), plain_distance, between(BIAS_GROUPS), between(SPREAD_GROUPS))


def make_reference(
    features: Features,
    held_out: Tensor,
    *,
    data: str,
    degrade: Callable[[Tensor], Tensor] | None = None,
    degradation: str = "",
    train: Tensor | None = None,
    keep: int = KEPT,
    cond: Tensor | None = None,
    train_cond: Tensor | None = None,
) -> Reference:
    """Everything a judge needs to know about real data, from the samples themselves.

    Args:
        features: The metric.
        held_out: Real samples that no generator was trained on [n, ...].
        data: Which, for people.
        degrade: A slight degradation of samples, for the just-visible distance.
        degradation: Its name, for people.
        train: Training data, for the floor row.
        keep: How many real samples to keep for neighbours.
        cond: Conditions of the held-out samples, where the features need them.
        train_cond: Conditions of the training data.

    Raises:
        BudgetError: If there are too few samples.
    """
    seen = features(held_out, cond)
    found: dict[str, Any] = {"degradation": degradation}
    if degrade is not None:
        found["just_visible"] = just_visible(seen, features(degrade(held_out), cond)).corrected
    reference = Reference.of(seen, features.name, data=data, keep=keep, **found)
    if train is None:
        return reference
    floor = frechet(features(train, train_cond), reference, "training data").measurement()
    return dataclasses.replace(reference, floor={"training data": floor})


@final
@dataclass(frozen=True)
class Quality(Record):
    """All that is said about one set of samples.

    Attributes:
        metric: Name of the features.
        distance: Corrected Fréchet distance.
        kernel: Kernel distance.
        density: How densely the samples lie where real ones do.
        coverage: Share of real samples with one of these near.
        accuracy: Share of samples taken for the class asked for; None without classes.
        floor: The reference's floor rows.
    """

    metric: str
    distance: Measurement
    kernel: Measurement
    density: Measurement
    coverage: Measurement
    accuracy: Measurement | None
    floor: Mapping[str, Measurement]


def measure_quality(
    features: Features, samples: Tensor, reference: Reference, cond: Tensor | None = None
) -> Quality:
    """Every figure of `Quality` from decoded samples [n, ...].

    Args:
        features: Those of the reference.
        samples: What is judged.
        reference: Real samples.
        cond: What was asked for; classes, where the features are a classifier's.

    Raises:
        DataError: If the reference was made with other features.
        BudgetError: If there are fewer than 50 samples.
    """
    if features.name != reference.metric:
        raise DataError(
            f"the reference was made with {reference.metric}, not with {features.name}",
            where=reference.data,
            hint="use the features the reference names, or make a new reference",
        )
    seen, logits, *_ = features.read(samples, cond)
    density, coverage = density_coverage(seen, reference)
    return Quality(
        metric=reference.metric,
        distance=frechet(seen, reference).measurement(),
        kernel=kid(seen, reference),
        density=density,
        coverage=coverage,
        accuracy=None if logits is None or cond is None else accuracy(logits, cond),
        floor=reference.floor,
    )
