"""The judge judged: its three rates on planted distances; broken judges would be found out."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from gaussians import paired_noise, planted, population

from hasten.measure.moments import jackknife_se
from hasten.measure.quality import Arm, frechet
from hasten.measure.verdict import Outcome, Verdict, judge_contrast

TRIALS, MARGIN = 200, 0.05
FALSE_LIMIT = 18  # 99 % binomial limit of 5 % in 200 trials
BASELINE, RHO = 0.06, 0.9  # distance as a share of total variance; noise in common
RATIOS = {"equal": 1.0, "at the margin": 1 + MARGIN, "beyond": (1 + MARGIN) * 1.15}


@dataclasses.dataclass
class Trial:
    verdict: Verdict
    candidate: Arm
    baseline: Arm


def draw(n: int, share: float, which: tuple[str, ...], seed: int) -> dict[str, list[Trial]]:
    rng, real = np.random.default_rng(seed), population()
    found: dict[str, list[Trial]] = {name: [] for name in which}
    for _ in range(TRIALS):
        first, second = paired_noise(rng, n, RHO)
        baseline = frechet(planted(share, first), real)
        for name in which:
            candidate = frechet(planted(share * RATIOS[name], second), real)
            verdict = judge_contrast(candidate, baseline, real, MARGIN)
            found[name].append(Trial(verdict, candidate, baseline))
    return found


@cache
def many() -> dict[str, list[Trial]]:
    return draw(2500, BASELINE, ("equal", "at the margin", "beyond"), seed=1)


@cache
def few() -> list[Trial]:
    """A good baseline and few samples: the bias in 1/n is larger than the distance itself."""
    return draw(500, BASELINE / 3, ("at the margin",), seed=2)["at the margin"]


def count(trials: list[Trial], outcome: Outcome) -> int:
    return sum(trial.verdict.outcome is outcome for trial in trials)


def test_a_candidate_at_the_margin_is_rarely_let_in() -> None:
    assert count(many()["at the margin"], Outcome.WITHIN) <= FALSE_LIMIT


def test_nor_with_few_samples_of_a_good_baseline() -> None:
    assert count(few(), Outcome.WITHIN) <= FALSE_LIMIT


def test_an_equal_candidate_is_let_in() -> None:
    equal = many()["equal"]
    assert count(equal, Outcome.WITHIN) >= 0.8 * TRIALS
    assert count(equal, Outcome.OUTSIDE) <= 5


def test_a_candidate_beyond_the_margin_is_kept_out() -> None:
    assert count(many()["beyond"], Outcome.OUTSIDE) >= 0.8 * TRIALS


@pytest.mark.parametrize("name", list(RATIOS))
def test_the_interval_of_the_ratio_covers_the_truth(name: str) -> None:
    inside = [
        trial.verdict.ratio.low <= RATIOS[name] <= trial.verdict.ratio.high
        for trial in many()[name]
    ]
    assert 0.9 * TRIALS <= sum(inside) < TRIALS  # 95 %; an interval that always covers is too wide


def test_the_standard_error_is_the_spread_of_the_contrast() -> None:
    trials = many()["at the margin"]
    spread = np.std([trial.verdict.contrast for trial in trials], ddof=1)
    told = np.sqrt(np.mean([trial.verdict.se**2 for trial in trials]))
    assert told == pytest.approx(spread, rel=0.15)


def test_pairing_is_reported() -> None:
    assert np.mean([t.verdict.rho for t in many()["equal"]]) == pytest.approx(RHO, abs=0.01)


def test_a_judge_that_does_not_correct_the_bias_would_be_found_out() -> None:
    """With plain distances too many candidates at the margin get in."""
    wrong = 0
    for trial in few():
        c, b = trial.candidate.distance, trial.baseline.distance
        value = c.plain - (1 + MARGIN) * b.plain
        wrong += value + trial.verdict.critical * trial.verdict.se < 0
    assert wrong > FALSE_LIMIT


def test_a_judge_that_ignores_the_pairs_would_be_found_out() -> None:
    """With the standard errors of the two arms added too few equal candidates get in."""
    right = 0
    for trial in many()["equal"]:
        c, b = trial.candidate.distance, trial.baseline.distance
        se = np.hypot(c.se, (1 + MARGIN) * b.se)
        right += trial.verdict.contrast + trial.verdict.critical * se < 0
    assert right < 0.8 * TRIALS


def test_a_judge_with_too_small_a_standard_error_would_be_found_out() -> None:
    """A bootstrap-like shortcut: the spread of the groups without the factor K - 1."""
    wrong = 0
    for trial in many()["at the margin"]:
        left = trial.candidate.distance.left - (1 + MARGIN) * trial.baseline.distance.left
        se = jackknife_se(left) / np.sqrt(len(left) - 1)
        wrong += trial.verdict.contrast + trial.verdict.critical * se < 0
    assert wrong > FALSE_LIMIT


def test_a_loss_that_plain_distances_hide() -> None:
    """36 % worse: from 500 samples the ratio of plain distances says 7 %."""
    rng, real, share, truth = np.random.default_rng(3), population(), 0.0039, 1.36
    naive, ours, covered = [], [], 0
    for _ in range(20):
        first, second = paired_noise(rng, 500, RHO)
        candidate = frechet(planted(share * truth, second), real)
        baseline = frechet(planted(share, first), real)
        verdict = judge_contrast(candidate, baseline, real, margin=0.10)
        naive.append(candidate.distance.plain / baseline.distance.plain)
        ours.append(verdict.outcome)
        covered += verdict.ratio.low <= truth <= verdict.ratio.high
    assert np.mean(naive) == pytest.approx(1.07, abs=0.03)
    assert Outcome.WITHIN not in ours
    assert covered >= 17
