from __future__ import annotations

import math

import pytest
import torch

from hasten.errors import DataError
from hasten.measure.degradations import Blur


def test_a_point_spreads_as_the_stated_kernel() -> None:
    point = torch.zeros(1, 2, 11, 11)
    point[..., 5, 5] = 1
    near, far = math.exp(-2), math.exp(-8)
    line = torch.tensor([far, near, 1, near, far]) / (1 + 2 * near + 2 * far)
    spread = Blur(0.5)(point)[0, 1]
    torch.testing.assert_close(spread[3:8, 3:8], line[:, None] * line)
    assert spread.count_nonzero() == 25


def test_flat_images_stay_and_bytes_become_units() -> None:
    flat = torch.full((2, 3, 6, 7), 51, dtype=torch.uint8)
    torch.testing.assert_close(Blur(1.3)(flat), torch.full((2, 3, 6, 7), 0.2))


def test_variance_added_is_sigma_squared() -> None:
    point = torch.zeros(1, 1, 31, 31)
    point[..., 15, 15] = 1
    where = torch.arange(31.0) - 15
    for sigma in (1.0, 2.0):
        row = Blur(sigma)(point)[0, 0].sum(0)
        assert float((row * where**2).sum()) == pytest.approx(sigma**2, rel=0.01)


def test_refusals() -> None:
    with pytest.raises(DataError, match="cannot blur"):
        Blur(0)(torch.zeros(1, 1, 4, 4))
    with pytest.raises(DataError, match="cannot blur"):
        Blur(1)(torch.zeros(4, 4))
