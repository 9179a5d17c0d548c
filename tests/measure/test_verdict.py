from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from gaussians import DIMS, TOTAL, paired_noise, planted, population
from numpy.typing import NDArray

from hasten.errors import BudgetError, DataError
from hasten.measure.quality import frechet
from hasten.measure.verdict import Outcome, better_reference, judge_contrast


def arms(
    n: int, ratio: float, rho: float = 0.9, share: float = 0.06, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    first, second = paired_noise(np.random.default_rng(seed), n, rho)
    return planted(share * ratio, second), planted(share, first)


def test_identical_samples_are_within_without_doubt() -> None:
    _, baseline = arms(400, 1.0)
    for just_visible in (0.0, TOTAL):
        found = judge_contrast(baseline, baseline.copy(), population(), just_visible=just_visible)
        assert found.outcome is Outcome.WITHIN
        assert found.se == 0
        assert found.rho == pytest.approx(1)
        assert (found.ratio.low, found.ratio.value, found.ratio.high) == (1, 1, 1)
    perfect = planted(0.0, paired_noise(np.random.default_rng(1), 400, 1)[0])
    found = judge_contrast(perfect, perfect, population(), margin=0.0)
    assert found.outcome is Outcome.WITHIN


def test_the_three_answers_and_a_better_candidate() -> None:
    real = population()
    for ratio, outcome in [
        (0.5, Outcome.WITHIN),
        (1.0, Outcome.WITHIN),
        (1.05, Outcome.UNDECIDED),
        (1.3, Outcome.OUTSIDE),
    ]:
        found = judge_contrast(*arms(3000, ratio), real)
        assert found.outcome is outcome, ratio
        assert found.ratio.low < ratio < found.ratio.high
        assert (found.n_needed is None) == (outcome is not Outcome.UNDECIDED)
    assert judge_contrast(*arms(3000, 0.5), real).ratio.high < 1


def test_the_parts_of_a_verdict_fit_together() -> None:
    real = population()
    candidate, baseline = arms(1000, 1.04)
    found = judge_contrast(candidate, baseline, real, margin=0.05, just_visible=0.0)
    c, b = found.distance_candidate.value, found.distance_baseline.value
    assert found.margin_abs == pytest.approx(0.05 * b)
    assert found.contrast == pytest.approx(c - b - 0.05 * b)
    assert found.se_share == pytest.approx(found.se / b)
    assert found.critical == pytest.approx(1.645, abs=1e-3)
    assert found.ratio.value == pytest.approx(c / b)
    assert found.outcome is Outcome.UNDECIDED
    assert found.n_needed == pytest.approx(
        1000 * (1.645 * found.se / found.contrast) ** 2, rel=0.01
    )
    # the contrast's error by hand, from distances without each of the 25 groups
    left = frechet(candidate, real).distance.left - 1.05 * frechet(baseline, real).distance.left
    assert found.se == pytest.approx(np.sqrt(24 / 25 * np.square(left - left.mean()).sum()))
    planned = 1000 * ((1.645 + 1.2816) * found.se / found.margin_abs) ** 2
    assert found.planned_n(0.9) == pytest.approx(planned, rel=0.01)
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["outcome"] == "undecided"
    assert told["metric"] == "planted"


def test_the_margin_never_falls_below_its_share_of_the_just_visible() -> None:
    """A very good baseline: a candidate twice as far is still invisible, and let in as such."""
    candidate, baseline = arms(3000, 2.0, share=0.004)
    invisible = 0.2 * TOTAL
    strict = judge_contrast(candidate, baseline, population(), just_visible=0.0)
    fair = judge_contrast(candidate, baseline, population(just_visible=invisible))
    assert strict.outcome is Outcome.OUTSIDE
    assert fair.outcome is Outcome.WITHIN
    assert fair.margin_abs == pytest.approx(0.05 * invisible)
    assert fair.just_visible == invisible


def test_few_samples_never_decide() -> None:
    real = population()
    for n, ratio in ((10, 1.0), (49, 9.0), (60, 9.0), (4 * DIMS - 1, 9.0)):
        found = judge_contrast(*arms(n, ratio), real)
        assert found.outcome is Outcome.UNDECIDED
        assert found.n_needed is not None
        assert found.n_needed >= 4 * DIMS
        assert str(n) in found.reason
        json.dumps(found.to_dict(), allow_nan=False)
    assert judge_contrast(*arms(4 * DIMS, 9.0), real).outcome is Outcome.OUTSIDE


def test_a_baseline_that_cannot_be_told_from_real_data_has_no_ratio() -> None:
    perfect = arms(400, 1.0, share=0.0, rho=0.5)
    found = judge_contrast(*perfect, population(just_visible=0.1 * TOTAL))
    assert found.outcome is Outcome.WITHIN or found.outcome is Outcome.UNDECIDED
    assert found.ratio.to_dict()["low"] is None
    assert found.ratio.to_dict()["high"] is None


def test_the_error_is_shared_by_finalists_and_looks() -> None:
    real, (candidate, baseline) = population(), arms(400, 1.0)

    def error(looks: object = 1, finalists: int = 1, confidence: float = 0.95) -> float:
        found = judge_contrast(
            candidate, baseline, real, confidence=confidence, looks=looks, finalists=finalists
        )  # type: ignore[arg-type]
        return found.error

    assert error() == pytest.approx(0.05)
    assert error(finalists=3) == pytest.approx(0.05 / 3)
    assert error(looks=4) == pytest.approx(0.05 / 4)
    assert error(looks=2, finalists=2, confidence=0.9) == pytest.approx(0.1 / 4)
    assert error(looks=[400]) == pytest.approx(0.05)
    assert error(looks=(400, 800)) == pytest.approx(2 - 2 * 0.99720, abs=2e-4)  # 1.96 sqrt 2
    assert error(looks=(200, 400)) + error(looks=(400, 800)) == pytest.approx(0.05)
    early, late = error(looks=(400, 3200)), error(looks=(50, 400))
    assert early < 1e-5 < 0.049 < late


def test_planned_looks_keep_the_error() -> None:
    """A walk at the margin, looked at four times: it ends inside at most as often as stated."""
    real, sizes = population(), (500, 1000, 2000, 4000)
    critical = []
    for n in sizes:
        candidate, baseline = arms(n, 1.0)
        critical.append(judge_contrast(candidate, baseline, real, looks=sizes).critical)
    steps = np.random.default_rng(0).standard_normal((20000, 4)) * np.sqrt(np.diff([0, *sizes]))
    z = steps.cumsum(axis=1) / np.sqrt(sizes)
    assert 0.03 < (z < -np.array(critical)).any(axis=1).mean() < 0.054
    careless = (z < -1.645).any(axis=1).mean()
    assert careless > 0.09


def test_the_better_reference_is_the_nearer_one() -> None:
    real = population()
    worse, better = (frechet(x, real) for x in arms(400, 3.0))
    assert better_reference({"ddim 50": worse, "ode": better}) == "ode"
    with pytest.raises(DataError):
        better_reference({})
    with pytest.raises(DataError):
        better_reference({"a": worse, "b": frechet(arms(300, 1.0)[0], real)})


def test_arms_measured_once_give_the_same_verdict() -> None:
    real, (candidate, baseline) = population(), arms(400, 1.1)
    measured = judge_contrast(frechet(candidate, real), frechet(baseline, real), real)
    assert measured == judge_contrast(candidate, baseline, real)


def test_unsuitable_requests_are_refused_in_words() -> None:
    real, (candidate, baseline) = population(), arms(400, 1.0)
    with pytest.raises(DataError, match="400 samples of the candidate against 399"):
        judge_contrast(candidate, baseline[:-1], real)
    foreign = frechet(candidate, dataclasses.replace(real, bias=0.001))
    with pytest.raises(DataError, match="another reference"):
        judge_contrast(foreign, baseline, real)
    with pytest.raises(BudgetError, match="not planned"):
        judge_contrast(candidate, baseline, real, looks=(100, 200))
    for wrong in (
        {"margin": -0.1},
        {"confidence": 1.0},
        {"finalists": 0},
        {"looks": 0},
        {"just_visible": -1.0},
    ):
        with pytest.raises(BudgetError):
            judge_contrast(candidate, baseline, real, **wrong)  # type: ignore[arg-type]
