from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from hasten.core.plan import Noise
from hasten.errors import PlanError
from hasten.solvers import Brownian, start_noise
from hasten.solvers.noise import DEEPEST, depth_for

SHAPE = (3, 5)
LEVELS = [80.0, 31.0, 30.0, 12.4, 2.0, 0.5, 0.11, 0.002]


def test_start_noise_does_not_depend_on_the_batch() -> None:
    whole = start_noise([3, 1, 2], SHAPE)
    assert torch.equal(whole, torch.cat([start_noise([seed], SHAPE) for seed in (3, 1, 2)]))
    assert whole.dtype == torch.float32


def test_start_noise_is_pinned() -> None:
    """Results are compared across versions and machines; a change of the numbers is a break."""
    start, increment = start_noise([0], (3,))[0], Brownian([0], (3,)).increment(10.0, 1.0)[0]
    assert start.tolist() == pytest.approx([0.27287662, -0.87503761, -0.91581035], abs=1e-6)
    assert increment.tolist() == pytest.approx([-1.61643910, -0.44485089, -2.22482610], abs=1e-5)


def test_seeds_and_levels_are_independent_and_normal() -> None:
    n = 4000
    path = Brownian([5, 6], (n,))
    columns = [*start_noise([5, 6], (n,))]
    for high, low in itertools.pairwise(LEVELS):
        columns += [*path.increment(high, low)]
    table = torch.stack(columns)
    correlation = table @ table.T / n
    # 16 x 17 / 2 products with standard error 1 / sqrt(n) (variances: sqrt 2 of it), judged at 5
    assert (correlation - torch.eye(len(table))).abs().max().item() < 5 * math.sqrt(2 / n)
    assert table.mean(1).abs().max().item() < 5 / math.sqrt(n)
    assert table.pow(4).mean(1) == pytest.approx(torch.full((len(table),), 3.0), abs=1.0)


def test_increments_do_not_depend_on_the_batch() -> None:
    whole = Brownian([7, 8, 9], SHAPE)
    alone = Brownian([8], SHAPE)
    for high, low in itertools.pairwise(LEVELS):
        assert torch.equal(whole.increment(high, low)[1:2], alone.increment(high, low))


def test_refined_intervals_add_up() -> None:
    """W(a) - W(c) = W(a) - W(b) + W(b) - W(c): a run with more steps walks the same path."""
    coarse, fine = Brownian([1], SHAPE), Brownian([1], SHAPE)
    # powers of two lie on the path's own points, so lengths are exact
    levels = [64.0, 16.0, 8.0, 0.25, 0.125]
    parts = sum(
        math.sqrt(math.log2(high / low)) * fine.increment(high, low)
        for high, low in itertools.pairwise(levels)
    )
    whole = math.sqrt(math.log2(levels[0] / levels[-1])) * coarse.increment(64.0, 0.125)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_order_of_asking_does_not_matter() -> None:
    down, up = Brownian([4], SHAPE), Brownian([4], SHAPE)
    pairs = list(itertools.pairwise(LEVELS))
    first = [down.increment(high, low) for high, low in pairs]
    second = [up.increment(high, low) for high, low in pairs[::-1]]
    assert all(torch.equal(a, b) for a, b in zip(first, second[::-1], strict=True))


def test_depth_is_as_little_as_a_plan_needs() -> None:
    octaves = [Noise(8.0, 4.0), Noise(4.0, 1.0)]
    assert depth_for(octaves) == 7  # 128 cells for 32 octaves
    assert depth_for([*octaves, Noise(1.0, 0.99)]) == 14
    assert depth_for([]) >= 1


@pytest.mark.parametrize(("steps", "depth"), [(8, 8), (8, 10), (64, 11)])
def test_depth_changes_a_path_little(steps: int, depth: int) -> None:
    """The coarsest path in use and a fine one share most of every increment."""
    levels = np.geomspace(80, 0.01, steps + 1)
    fine = Brownian([0], (4000,), DEEPEST)
    coarse = Brownian([0], (4000,), depth)
    assert depth >= depth_for([Noise(high, low) for high, low in itertools.pairwise(levels)])
    for high, low in itertools.pairwise(levels):
        product = fine.increment(high, low) * coarse.increment(high, low)
        assert product.mean().item() > 0.8


@pytest.mark.parametrize(
    ("high", "low"),
    [(1.0, 2.0), (1.0, 1.0), (1.0, 0.9999), (1.0, 0.0), (1e9, 1.0), (math.nan, 1.0), (1.0, -1.0)],
)
def test_impossible_intervals(high: float, low: float) -> None:
    with pytest.raises(PlanError):
        Brownian([0], SHAPE).increment(high, low)


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_impossible_seeds(seed: int) -> None:
    with pytest.raises(PlanError, match="seeds"):
        start_noise([seed], SHAPE)
