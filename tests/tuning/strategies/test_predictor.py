"""The predictor on tables whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from hasten.tuning.strategies.predictor import ranked


def errors(features: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Like those of plans: least somewhere inside, a factor apart, a tenth of them chance."""
    bowl = ((features[:, :3] - [0.3, -0.5, 0.2]) ** 2).sum(1) + features[:, 3] * features[:, 0]
    return np.asarray(0.05 * np.exp(bowl + 0.1 * rng.standard_normal(len(features))))


def table(count: int, rng: np.random.Generator) -> np.ndarray:
    """Three levels that matter, a switch that does, four numbers that do not, one always alike."""
    free = rng.standard_normal((count, 3))
    switch = rng.integers(0, 2, (count, 1))
    return np.hstack([free, switch, rng.standard_normal((count, 4)), np.full((count, 1), 7.0)])


def agreement(order: np.ndarray, truth: np.ndarray) -> float:
    """Rank correlation of the places in an order with the true errors."""
    return float(spearmanr(np.argsort(order), truth).statistic)


@pytest.mark.parametrize("seed", range(3))
def test_it_ranks_what_it_has_not_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tried, asked = table(120, rng), table(400, rng)
    truth = errors(asked, rng)
    order = ranked(tried, errors(tried, rng), asked)
    assert sorted(order) == list(range(400))
    assert agreement(order, truth) > 0.85
    # the best twentieth of it is far better than the middle of what was proposed
    assert np.median(truth[order[:20]]) < 0.2 * np.median(truth)
    # and what was tried with other errors than its own teaches nothing
    shuffled = ranked(tried, rng.permutation(errors(tried, rng)), asked)
    assert abs(agreement(shuffled, truth)) < 0.4


def test_more_trials_rank_better() -> None:
    rng = np.random.default_rng(0)
    asked = table(400, rng)
    truth = errors(asked, rng)

    def learned(count: int) -> float:
        tried = table(count, rng)
        return agreement(ranked(tried, errors(tried, rng), asked), truth)

    assert learned(12) < learned(300)


def test_hopeless_trials_do_not_bend_the_rest() -> None:
    rng = np.random.default_rng(1)
    tried, asked = table(120, rng), table(400, rng)
    found = errors(tried, rng)
    found[::40] = 1e9, 0.0, 1e9
    assert agreement(ranked(tried, found, asked), errors(asked, rng)) > 0.5


def test_what_is_unlike_all_trials_is_neither_good_nor_bad() -> None:
    places = np.linspace(-1, 1, 30)[:, None]
    asked = np.array([[0.9], [40.0], [-0.9]])
    for scale in (1e-3, 1.0, 1e3):
        found = scale * np.exp(-places[:, 0])
        assert ranked(places, found, asked).tolist() == [0, 1, 2]


def test_units_and_offsets_of_features_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    tried, asked = table(40, rng), table(60, rng)
    found = errors(tried, rng)
    scale = np.geomspace(1e-3, 1e3, tried.shape[1])
    other = ranked(5 + scale * tried, 100 * found, 5 + scale * asked)
    assert (other == ranked(tried, found, asked)).all()


def test_how_smooth_the_errors_are_is_told_by_the_trials() -> None:
    """Exact ones are followed closely; of those that are mostly chance the run of them is."""
    rng = np.random.default_rng(4)
    tried, asked = rng.uniform(-2, 2, (60, 1)), rng.uniform(-2, 2, (200, 1))
    exact = ranked(tried, np.exp(np.sin(2.5 * tried[:, 0])), asked)
    assert agreement(exact, np.sin(2.5 * asked[:, 0])) > 0.98
    slope = np.exp(tried[:, 0] + 2 * rng.standard_normal(60))
    assert agreement(ranked(tried, slope, asked), asked[:, 0]) > 0.95


def test_where_there_is_nothing_to_learn_the_order_stays() -> None:
    rng = np.random.default_rng(3)
    asked = table(10, rng)
    same = list(range(10))
    assert ranked(asked[:1], np.ones(1), asked).tolist() == same  # one trial
    assert ranked(asked, np.ones(10), asked).tolist() == same  # all came to the same
    assert ranked(np.ones((5, 9)), np.arange(1.0, 6.0), asked).tolist() == same  # all were alike
