"""The verdict: is a candidate's distance to real data within a margin of the baseline's?

    T = FD_c - FD_b - M,   M = m max(FD_b, FD_jv)          both distances free of bias in 1/n
    SE from the jackknife over 25 groups of seed pairs     what both arms share cancels
    within      T + z SE < 0
    outside     T - z SE > 0
    undecided   else; about n (z SE / |T|)^2 samples would decide

This is a non-inferiority test stated before the data are seen: m, the seeds, the number of
finalists and the looks are fixed first. A better candidate is within. z is 1.645 for one finalist,
one look and 95 %. The claim is about the distance to this reference set; its own sampling error is
common to both arms.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hasten.errors import BudgetError, DataError
from hasten.measure.intervals import ratio_interval
from hasten.measure.moments import CELLS, Floats, jackknife_cov, jackknife_se
from hasten.measure.quality import Arm, Reference, frechet
from hasten.measure.result import Measurement, Record

SAMPLES_PER_FEATURE = 4
"""Below this the covariance is too poor for any verdict."""


class Outcome(enum.StrEnum):
    """The three answers."""

    WITHIN = "within"
    OUTSIDE = "outside"
    UNDECIDED = "undecided"


@final
@dataclass(frozen=True)
class Verdict(Record):
    """An answer and everything it rests on.

    Attributes:
        outcome: `within`, `outside` or `undecided`.
        reason: One sentence for people.
        ratio: FD_c / FD_b with Fieller's two-sided interval; above 1 the candidate is worse.
        distance_candidate: FD_c, corrected.
        distance_baseline: FD_b, corrected.
        contrast: T; negative when the candidate lies inside the margin.
        margin: m, fixed beforehand.
        margin_abs: M, in units of the distance.
        just_visible: FD_jv.
        se: Standard error of T.
        se_share: SE / FD_b.
        rho: Correlation of the two arms' features over the pairs; 1 where every pair is equal.
        n: Number of pairs.
        n_needed: If undecided, about how many pairs would decide; None if no number would.
        error: One-sided error spent on this answer.
        critical: The z that belongs to it.
        confidence: What holds for all finalists and looks together.
        metric: Name of the features.
    """

    outcome: Outcome
    reason: str
    ratio: Measurement
    distance_candidate: Measurement
    distance_baseline: Measurement
    contrast: float
    margin: float
    margin_abs: float
    just_visible: float
    se: float
    se_share: float
    rho: float
    n: int
    n_needed: int | None
    error: float
    critical: float
    confidence: float
    metric: str

    def planned_n(self, power: float = 0.9) -> int | None:
        """Pairs at which a candidate as good as the baseline would be found `within` so often.

        Args:
            power: Probability of that answer.

        Returns:
            ``n ((z + z_power) SE / M)^2``; None when SE or M is not known.
        """
        reach = (self.critical + NormalDist().inv_cdf(power)) * self.se
        return _times(self.n, reach, self.margin_abs)


def judge_contrast(
    candidate: Tensor | ArrayLike | Arm,
    baseline: Tensor | ArrayLike | Arm,
    reference: Reference,
    margin: float = 0.05,
    just_visible: float | None = None,
    confidence: float = 0.95,
    looks: int | Sequence[int] = 1,
    *,
    finalists: int = 1,
) -> Verdict:
    """Judge a candidate against a baseline on the same seeds and conditions.

    Args:
        candidate: Features [n, d] in the order of the seeds, or an `Arm` made by `frechet`.
        baseline: The same for the better of the references (`better_reference`).
        reference: Real data in the same features.
        margin: m, the share of the baseline's distance that is granted.
        just_visible: FD_jv; the reference's own by default.
        confidence: For all finalists and looks together.
        looks: How often this candidate may be judged while samples are added. A number shares the
            error equally; a sequence of planned sizes, of which n must be one, spends little early
            and nearly all at the end.
        finalists: How many candidates are judged on these seeds.

    Returns:
        A verdict; `undecided` when there are too few samples for any.

    Raises:
        DataError: If the arms differ in length or features, or are not finite.
        BudgetError: If margin, confidence, looks or finalists make no sense.
    """
    granted = reference.just_visible if just_visible is None else just_visible
    _check_settings(margin, granted, confidence, finalists)
    first, second = (
        _table(candidate, reference, "candidate"),
        _table(baseline, reference, "baseline"),
    )
    if len(first) != len(second):
        raise DataError(
            f"{len(first)} samples of the candidate against {len(second)} of the baseline",
            where="verdict",
            hint="draw both with the same seeds and conditions",
        )
    n = len(first)
    error = (1 - confidence) / finalists * _error_share(looks, n, 1 - confidence)
    critical = NormalDist().inv_cdf(1 - error)
    least = max(CELLS, SAMPLES_PER_FEATURE * reference.dims)
    if n < CELLS:
        unknown = Measurement(math.nan, -math.inf, math.inf, n, context=reference.context())
        return Verdict(
            Outcome.UNDECIDED,
            f"{n} samples are too few for any verdict",
            ratio=unknown,
            distance_candidate=unknown,
            distance_baseline=unknown,
            contrast=math.nan,
            margin=margin,
            margin_abs=math.nan,
            just_visible=granted,
            se=math.inf,
            se_share=math.inf,
            rho=math.nan,
            n=n,
            n_needed=least,
            error=error,
            critical=critical,
            confidence=confidence,
            metric=reference.metric,
        )
    c, b = _arm(candidate, reference, "candidate"), _arm(baseline, reference, "baseline")
    same = np.array_equal(first, second)
    value = float(_contrast(c.distance.corrected, b.distance.corrected, margin, granted))
    se = jackknife_se(_contrast(c.distance.left, b.distance.left, margin, granted))
    if same:
        se = 0.0  # what the jackknife finds is the margin's spread, no doubt about the arms
    outcome = _decide(value, critical * se, same=same, enough=n >= least)
    needed = None
    if outcome is Outcome.UNDECIDED:
        more = _times(n, critical * se, value)
        needed = None if more is None else max(more, n + 1, least)
    return Verdict(
        outcome,
        _reason(outcome, n, least, margin, needed),
        ratio=_ratio(c, b, confidence, same=same),
        distance_candidate=c.measurement(confidence),
        distance_baseline=b.measurement(confidence),
        contrast=value,
        margin=margin,
        margin_abs=margin * max(b.distance.corrected, granted),
        just_visible=granted,
        se=se,
        se_share=se / b.distance.corrected if b.distance.corrected > 0 else math.inf,
        rho=pairing(first, second),
        n=n,
        n_needed=needed,
        error=error,
        critical=critical,
        confidence=confidence,
        metric=reference.metric,
    )


def better_reference(arms: Mapping[str, Arm]) -> str:
    """Which of several references a candidate must hold its own against: the nearest to real data.

    Args:
        arms: By name, all on the same seeds: the card's sampler and the converged ODE.

    Raises:
        DataError: If there is none, or they differ in number of samples.
    """
    if not arms or len({arm.n for arm in arms.values()}) != 1:
        raise DataError("references must be drawn with the same seeds", where=", ".join(arms))
    return min(arms, key=lambda name: arms[name].distance.corrected)


def pairing(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Correlation of two sets of features [n, d] over their pairs, all features together."""
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (first, second))
    scale = math.sqrt(float(np.square(a).sum()) * float(np.square(b).sum()))
    return float((a * b).sum()) / scale if scale else math.nan


def _contrast(
    candidate: float | Floats, baseline: float | Floats, margin: float, just_visible: float
) -> Floats:
    found: Floats = candidate - baseline - margin * np.maximum(baseline, just_visible)
    return found


def _decide(value: float, reach: float, *, same: bool, enough: bool) -> Outcome:
    if not enough:
        return Outcome.UNDECIDED
    if same or value + reach < 0:
        return Outcome.WITHIN
    return Outcome.OUTSIDE if value - reach > 0 else Outcome.UNDECIDED


def _reason(outcome: Outcome, n: int, least: int, margin: float, needed: int | None) -> str:
    if n < least:
        return f"{n} samples are too few for these features; {least} at least"
    if outcome is Outcome.WITHIN:
        return f"the candidate is within {margin:.1%} of the baseline"
    if outcome is Outcome.OUTSIDE:
        return f"the candidate is worse than {margin:.1%} allows"
    enough = "no number of samples would" if needed is None else f"about {needed} would"
    return f"{n} samples do not decide; {enough}"


def _ratio(candidate: Arm, baseline: Arm, confidence: float, *, same: bool) -> Measurement:
    c, b = candidate.distance, baseline.distance
    if same:
        value, low, high = 1.0, 1.0, 1.0
    else:
        value = c.corrected / b.corrected if b.corrected > 0 else math.nan
        spread = jackknife_cov(c.left, b.left)
        low, high = ratio_interval(c.corrected, b.corrected, spread, confidence)
    facts = baseline.reference.context()
    return Measurement(value, low, high, baseline.n, confidence=confidence, context=facts)


def _error_share(looks: int | Sequence[int], n: int, alpha: float) -> float:
    """The part of the error that this look may spend; the parts of all looks sum to at most 1.

    For planned sizes, what is spent by a share t of the samples is ``2 - 2 Phi(z_{alpha/2} / sqrt
    t)``, the O'Brien-Fleming shape of Lan and DeMets 1983; each look takes the increment (a union
    bound, so no correlation between looks is assumed).
    """
    if isinstance(looks, int):
        if looks < 1:
            raise BudgetError(f"{looks} looks cannot be planned", hint="one at least")
        return 1 / looks
    sizes = list(looks)
    if sizes != sorted(set(sizes)) or n not in sizes:
        raise BudgetError(
            f"a look at {n} samples was not planned (planned: {sizes})",
            where="verdict",
            hint="state ascending sample sizes beforehand and judge at those",
        )
    normal = NormalDist()

    def spent(share: float) -> float:
        return 2 - 2 * normal.cdf(normal.inv_cdf(1 - alpha / 2) / math.sqrt(share))

    at = sizes.index(n)
    before = spent(sizes[at - 1] / sizes[-1]) if at else 0.0
    return (spent(n / sizes[-1]) - before) / alpha


def _check_settings(margin: float, just_visible: float, confidence: float, finalists: int) -> None:
    if not 0 <= margin < math.inf:
        raise BudgetError(f"a margin of {margin} makes no sense", hint="0.05 grants 5 %")
    if not 0 <= just_visible < math.inf:
        raise BudgetError(f"a just-visible distance of {just_visible} makes no sense")
    if not 0.5 < confidence < 1:
        raise BudgetError(f"a confidence of {confidence} makes no sense", hint="0.95 is usual")
    if finalists < 1:
        raise BudgetError(f"{finalists} finalists cannot be judged", hint="one at least")


def _table(arm: Tensor | ArrayLike | Arm, reference: Reference, where: str) -> NDArray[np.float32]:
    return reference.check(arm.features if isinstance(arm, Arm) else arm, where)


def _arm(arm: Tensor | ArrayLike | Arm, reference: Reference, where: str) -> Arm:
    if not isinstance(arm, Arm):
        return frechet(arm, reference, where)
    if arm.reference is not reference and arm.reference.fingerprint() != reference.fingerprint():
        raise DataError("this arm was measured against another reference", where=where)
    return arm


def _times(n: int, reach: float, distance: float) -> int | None:
    """``n (reach / distance)^2``, or None where that is no number anyone could draw."""
    share = reach / abs(distance) if distance else math.inf
    return math.ceil(n * share * share) if share < 1e6 else None
