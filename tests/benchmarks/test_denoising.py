"""The slope of an exact denoiser is 1, that of one which says half is 2."""

from __future__ import annotations

import pytest
import torch

import denoising


@pytest.mark.parametrize("said", [1.0, 0.5])
def test_slopes_say_how_much_a_denoiser_holds_back(said: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x0 = torch.randn(3000, 10, 8, 4, generator=rng)
    noisy = x0 + 2 * torch.randn(x0.shape, generator=rng)
    exact = noisy / 5  # the posterior's mean of unit normals under noise of variance 4
    basis = torch.ones(len(x0), 1, dtype=torch.float64)
    true, told = denoising.properties(x0), denoising.properties(said * exact)
    assert set(true) == {"where around the axis", "how far from the axis", "how much"}
    for name in true:
        found = denoising.slope(*(denoising.beyond(each[name], basis) for each in (told, true)))
        assert found["low"] < 1 / said < found["high"]
        assert found["high"] - found["low"] < 0.2 / said


def test_a_shower_to_one_side_is_seen_around_the_axis() -> None:
    x0 = torch.zeros(2, 10, 8, 4)
    x0[1, :, 2, 0] = 1.0  # a quarter of the way around: along the second axis
    found = denoising.properties(x0)
    around = found["where around the axis"][1].reshape(denoising.GROUPS, 2)
    torch.testing.assert_close(around, torch.tensor([[0.0, 2.0]] * 5).double(), atol=1e-6, rtol=0)
    assert (found["how far from the axis"][1] == -3).all()
    assert (found["how much"][1] == 2).all()
