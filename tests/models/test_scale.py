from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hasten.models.scale import FARTHEST, Logit, Scale, conserve, nudge

SCALE = Scale(threshold=0.015)


@given(st.floats(0.015, 1e5), st.floats(0.1, 10), st.floats(0.1, 3))
def test_a_reading_comes_back(energy: float, soft: float, gap: float) -> None:
    scale = Scale(0.015, soft, gap)
    given_ = torch.tensor([energy], dtype=torch.float64)
    assert torch.allclose(scale.inverse(scale(given_)), given_, rtol=1e-9, atol=1e-12)


def test_nothing_is_zero_and_the_weakest_reading_a_gap_away() -> None:
    energies = torch.tensor([0.0, 0.0149, 0.015, 0.016], dtype=torch.float64)
    numbers = SCALE(energies)
    assert numbers[:2].tolist() == [0, 0]
    assert numbers[2] == SCALE.gap
    assert numbers[3] > numbers[2]
    # up to half the gap, a sampler's error makes no reading out of nothing and loses none
    assert (SCALE.inverse(numbers + 0.49)[:2] == 0).all()
    assert (SCALE.inverse(numbers - 0.49)[2:] > 0).all()


def test_far_above_the_soft_start_the_map_is_a_logarithm() -> None:
    high = SCALE(torch.tensor([1e4, 1e4 * torch.e], dtype=torch.float64))
    assert torch.isclose(high.diff(), torch.ones(1, dtype=torch.float64), atol=1e-4)


def test_sums_hold_and_nothing_weak_is_left() -> None:
    rng = torch.Generator().manual_seed(0)
    parts = torch.rand(200, 30, generator=rng, dtype=torch.float64) ** 8
    total = torch.logspace(-3, 4, 200, dtype=torch.float64)
    found = conserve(parts, total, 0.015, parts)
    wanted = torch.where(total >= 0.015, total, 0.0)
    torch.testing.assert_close(found.sum(-1), wanted, rtol=1e-12, atol=0)
    assert ((found == 0) | (found >= 0.015 * (1 - 1e-9))).all()


def test_strong_parts_take_what_is_missing() -> None:
    """Errors of the logarithms, all as large, that explain a sum are likeliest in proportion."""
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(400, 20, generator=rng, dtype=torch.float64) ** 6 * 100
    errors = 0.02 * torch.randn(truth.shape, generator=rng, dtype=torch.float64)
    made = truth * errors.exp()
    found = nudge(made, truth.sum(-1))
    left = (made * found.exp()).sum(-1) - truth.sum(-1)
    before = made.sum(-1) - truth.sum(-1)
    assert float(left.abs().mean()) < 0.05 * float(before.abs().mean())
    # it is the regression of the errors on what is seen of them: the rest knows nothing of it
    assert float(((errors + found) * found).mean() / found.square().mean()) == pytest.approx(
        0, abs=0.06
    )
    strongest = truth.argmax(-1, keepdim=True)
    spread = [each.gather(1, strongest).std() for each in (errors, errors + found)]
    assert float(spread[1]) < 0.8 * float(spread[0])
    factor = (truth.sum(-1) / made.sum(-1)).log()  # one for all cells moves weak ones for nothing
    weak = truth < 1
    common = factor[:, None].expand_as(truth)[weak]
    assert float(found[weak].abs().mean()) < 0.05 * float(common.abs().mean())


def test_a_nudge_is_bounded_and_never_undefined() -> None:
    parts = torch.tensor([[0.0, 0.0], [1.0, 1e-3], [1.0, 1.0]])
    found = nudge(parts, torch.tensor([5.0, 1e6, 0.0]))
    assert found[0].tolist() == [0, 0]
    assert found[1].tolist() == [FARTHEST, FARTHEST]
    assert found[2].tolist() == [-FARTHEST, -FARTHEST]


def test_what_adds_up_already_is_left_alone() -> None:
    parts = torch.tensor([[0.0, 0.02, 3.0, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(conserve(parts, parts.sum(-1), 0.015, parts), parts)
    assert float(nudge(parts, parts.sum(-1)).abs().max()) < 1e-9


def test_a_total_without_parts_goes_to_the_strongest() -> None:
    numbers = torch.tensor([[0.0, 0.6, 0.1], [-0.1, 0.2, 0.4]])  # of the second none is a reading
    parts, total = SCALE.inverse(numbers), torch.tensor([2.0, 2.0])
    assert conserve(parts, total, 0.015, numbers).tolist() == [[0, 2, 0], [0, 0, 2]]


def test_a_total_below_the_threshold_is_nothing() -> None:
    assert conserve(torch.ones(1, 3), torch.tensor([0.01]), 0.015, torch.ones(1, 3)).tolist() == [
        [0, 0, 0]
    ]


def test_the_logit_of_a_share_comes_back_and_is_what_the_challenge_published() -> None:
    logit, incident = Logit(), torch.tensor([[1e3], [1e5]], dtype=torch.float64)
    energies = torch.tensor([[0.0, 0.015, 10.0, 900.0], [0.0, 0.015, 10.0, 9e4]]).double()
    numbers = logit(energies, incident)
    torch.testing.assert_close(logit.inverse(numbers, incident), energies, rtol=1e-6, atol=1e-9)
    assert float(numbers[0, 0]) == pytest.approx(math.log(1e-6), abs=1e-5)
    # half of twice the incident energy is in the middle
    assert float(logit(incident, incident)[0, 0]) == pytest.approx(0, abs=1e-9)
