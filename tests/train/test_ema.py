from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from hasten.train.ema import PowerAverage, exponent


@pytest.mark.parametrize("width", [0.05, 0.1, 0.25])
def test_exponent_inverts_the_width_of_the_profile(width: float) -> None:
    g = exponent(width)
    assert np.sqrt((g + 1) / ((g + 2) ** 2 * (g + 3))) == pytest.approx(width, rel=1e-10)


def test_average_of_a_ramp_is_the_known_fraction() -> None:
    # theta_t = t under the profile (g + 1) t^g / T^(g + 1) averages to (g + 1) / (g + 2) T
    net = nn.Linear(1, 1, bias=False)
    average = PowerAverage(net, 0.1)
    steps = 4000
    for step in range(steps):
        with torch.no_grad():
            net.weight.fill_(step + 1)
        average.update(net, step, step + 1)
    g = average.gamma
    assert float(average.weights["weight"]) / steps == pytest.approx((g + 1) / (g + 2), rel=2e-3)


def test_buffers_are_copied_and_parameters_are_not() -> None:
    net = nn.BatchNorm1d(2)
    average = PowerAverage(net)
    average.update(net, 0, 1)
    net.running_mean.fill_(3.0)  # type: ignore[union-attr]
    with torch.no_grad():
        net.weight.fill_(2.0)
    average.update(net, 1, 2)
    assert average.weights["running_mean"].eq(3).all()
    assert (average.weights["weight"] < 2).all()
