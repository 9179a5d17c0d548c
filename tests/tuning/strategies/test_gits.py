from __future__ import annotations

import itertools

import numpy as np
import pytest

from hasten.errors import PlanError
from hasten.tuning.strategies.gits import shortest_path


def brute(cost: np.ndarray, jumps: int, discount: float) -> tuple[float, tuple[int, ...]]:
    """The cheapest way, by looking at all of them."""
    end = cost.shape[1] - 1
    ways = []
    for middle in itertools.combinations(range(1, end), jumps - 1):
        path = (0, *middle)
        hops = itertools.pairwise((*path, end))
        ways.append((sum(discount**k * cost[i, j] for k, (i, j) in enumerate(hops)), path))
    return min(ways)


@pytest.mark.parametrize("discount", [0.8, 1.0, 1.15])
@pytest.mark.parametrize("jumps", [1, 2, 4, 9, 10])
def test_the_path_is_the_cheapest_of_all(jumps: int, discount: float) -> None:
    for seed in range(5):
        rng = np.random.default_rng(seed)
        cost = rng.random((10, 11)) - 0.2  # deviations can be negative
        total, path = brute(cost, jumps, discount)
        found = shortest_path(cost, jumps, discount).tolist()
        assert found == list(path)
        hops = itertools.pairwise((*found, 10))
        assert sum(discount**k * cost[i, j] for k, (i, j) in enumerate(hops)) == total


def test_equal_costs_of_equal_distances_make_equal_jumps() -> None:
    places = np.arange(13)
    cost = (places[None, :] - places[:-1, None]) ** 2.0
    assert shortest_path(cost, 4, 1.0).tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize("jumps", [0, 11])
def test_more_jumps_than_points_are_refused(jumps: int) -> None:
    with pytest.raises(PlanError, match="10 points"):
        shortest_path(np.ones((10, 11)), jumps, 1.0)
