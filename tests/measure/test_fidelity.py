from __future__ import annotations

import pytest
import torch

from hasten.errors import DataError
from hasten.measure.fidelity import endpoint_distance, evaluation_errors


def test_each_sample_is_compared_with_its_twin() -> None:
    target = torch.rand(4, 1, 5, 5)
    samples = target.clone()
    samples[2] += 0.5
    samples[3, 0, 0, 0] += 1.0
    found = endpoint_distance(samples, target)
    assert found.per_sample == pytest.approx([0, 0, 0.5, 0.2], abs=1e-6)
    assert found.mean.value == pytest.approx(0.175)
    assert found.worst == 2
    # the order of pairs matters: the same samples in another order are not as near
    assert endpoint_distance(target.flip(0), target).mean.value > 0.2


def test_the_interval_of_the_mean_covers_it() -> None:
    generator = torch.Generator().manual_seed(0)
    hits = 0
    for _ in range(200):
        # RMSE of one number is its absolute value; its mean for a unit normal is sqrt(2 / pi)
        noise = torch.randn(60, 1, generator=generator)
        mean = endpoint_distance(noise, torch.zeros(60, 1)).mean
        hits += mean.low <= 0.79788 <= mean.high
    assert 0.88 * 200 <= hits < 200


def test_trajectories_are_compared_evaluation_by_evaluation() -> None:
    exact = [torch.zeros(3, 2), torch.ones(3, 2)]
    found = evaluation_errors([exact[0], exact[1] + 0.25], exact)
    assert [error.value for error in found] == pytest.approx([0, 0.25])
    with pytest.raises(DataError, match="1 evaluations against 2"):
        evaluation_errors(exact[:1], exact)


def test_samples_without_twins_are_refused() -> None:
    with pytest.raises(DataError, match="same seeds"):
        endpoint_distance(torch.zeros(3, 2), torch.zeros(4, 2))
    sick = torch.zeros(3, 2)
    sick[1, 0] = float("inf")
    with pytest.raises(DataError, match="sample 1"):
        endpoint_distance(sick, torch.zeros(3, 2))
