"""Aim: all free numbers of a plan at once, by what they do to the distribution of the samples.

A small error to the teacher's endpoints is not yet a good distribution: where few evaluations do
not allow the first, the second may still be within reach. So the numbers of `learn` are moved until
mean m and covariance C of the samples' features come nearest to those of real data, m' and C':

    |m - m'|^2 + ||C^(1/2) - C'^(1/2)||^2

is the Fréchet distance if C and C' commute, and never less than it (the distance is the minimum of
the same over all rotations of one root; Bhatia, Jain and Lim 2019, arXiv 1712.01504). It is a sum
of squares, and smooth in the numbers as long as the noise stays the same.

Source: sampling plans trained on sample quality (Watson et al. 2022, arXiv 2202.05830; there a
kernel distance, by gradients through the net).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.errors import DataError, OutputError
from hasten.measure.moments import Gaussian, Moments
from hasten.tuning.learn import REACH, Numbers
from hasten.tuning.newton import Floats, gauss_newton
from hasten.tuning.play import Played


@final
@dataclass(frozen=True)
class Aimed:
    """A plan whose samples are distributed more like the data, on the seeds it was aimed with.

    Attributes:
        plan: Under the label it had; never worse than it was given.
        before: The sum of squares of the plan as it was given.
        after: That of this plan.
        runs: How many times features were asked for.
    """

    plan: Plan
    before: float
    after: float
    runs: int


def aim(
    features: Callable[[Plan, bool], Tensor | ArrayLike],
    reference: Gaussian,
    plan: Plan,
    process: Process,
    *,
    rounds: int = 3,
    tolerance: float = 0.01,
) -> Aimed:
    """Move a plan's numbers to where the features of its samples are distributed like real ones.

    Args:
        features: Of the samples of a plan [n, d], always from the same seeds; n is to be several
            times d. The second argument is whether the plan is near the last one with which it was
            not, and has its first rows. A move that raises `OutputError` or `PlanError` is not
            made.
        reference: Mean and covariance of the features of real data.
        plan: Where to begin.
        process: Bounds of the noise levels.
        rounds: At most this many Gauss-Newton steps; each asks for features about as many times as
            there are numbers.
        tolerance: Stop when a step improves the sum of squares by less than this share.

    Raises:
        PlanError: As `Numbers`.
        OutputError: If the features at the beginning are no table of finite numbers.
        BudgetError: If there are fewer than 50 samples.
    """
    numbers, runs = Numbers(plan, process), 0

    def run(which: Plan, near: bool) -> Played:
        nonlocal runs
        runs += 1
        table = features(which, near)
        try:
            moments = Moments.of(table).all()
        except DataError as error:
            raise OutputError(error.what, where=which.label, hint=error.hint) from error
        away = torch.from_numpy(deviations(Gaussian(moments.mean, moments.cov), reference))
        # as if the deviations were one sample and the target zero: then the mean of the samples'
        # errors, which Gauss-Newton makes least, is the root of the mean of these squares
        return Played(which, which, away[None], (), which.nfe)

    given = run(plan, False)

    def ask(place: Floats, before: Played | None) -> Played:
        same = np.allclose(place, numbers.start, rtol=0, atol=1e-9)
        return given if same else run(numbers.plan(place), before is not None)

    found = gauss_newton(
        ask,
        torch.zeros_like(given.end),
        numbers.start,
        nudges=numbers.nudges,
        legal=numbers.legal,
        reach=REACH,
        rounds=rounds,
        tolerance=1 - math.sqrt(1 - tolerance),
    )
    best = min(given, found.played, key=_squares)  # a beginning made legal may have become worse
    return Aimed(best.plan, _squares(given), _squares(best), runs)


def deviations(found: Gaussian, wanted: Gaussian) -> Floats:
    """What differs in mean and root of covariance [d + d (d + 1) / 2], squares to be summed.

    Entries off the diagonal come once for the two they stand for, times the root of two.
    """
    apart = _half(found) - _half(wanted)
    rows, columns = np.triu_indices(len(apart))
    twice = np.where(rows == columns, 1.0, math.sqrt(2))
    return np.concatenate([found.mean - wanted.mean, twice * apart[rows, columns]])


def _half(gaussian: Gaussian) -> Floats:
    """The symmetric root of the covariance [d, d]."""
    root = gaussian.root  # its columns are eigenvectors as long as the roots of their eigenvalues
    half: Floats = root / np.linalg.norm(root, axis=0) @ root.T
    return half


def _squares(played: Played) -> float:
    return float(played.end.square().sum())
