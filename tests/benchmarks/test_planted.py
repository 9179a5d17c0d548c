"""Planted damage is what its name says."""

from __future__ import annotations

import pytest
import torch

import planted


@pytest.mark.parametrize(
    ("name", "mean", "spread"),
    [
        ("nothing", 1.0, 0.0),
        ("all energies +3.0%", 1.03, 0.0),
        ("cells smeared by 10%", 1.0, 0.1),
        ("1% of cells dark", 0.99, 0.0995),
    ],
)
def test_damage_is_as_large_as_it_says(name: str, mean: float, spread: float) -> None:
    found = planted.DAMAGE[name](torch.ones(200, 1000))
    assert float(found.mean()) == pytest.approx(mean, abs=1e-3)
    assert float(found.std()) == pytest.approx(spread, abs=3e-3)
