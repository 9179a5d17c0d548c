from __future__ import annotations

import sys
from statistics import NormalDist

import numpy as np
import pytest
import torch
from made_showers import ODD, SMALL, showers

from hasten.data.geometry import SIW, Geometry, Layer
from hasten.errors import BudgetError, DataError, MissingExtra
from hasten.measure.physics.auc import cross_validated, delong
from hasten.measure.physics.classifier import challenge_table, high_level_auc, low_level_auc
from hasten.measure.physics.neighbours import neighbours
from hasten.measure.physics.observables import observe


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


# ------------------------------------------------------------------------------------------ ranks


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    above, below = np.array([3.0, 1.0, 2.0, 2.0]), np.array([0.0, 2.0, 1.0])
    pairs = [(a > b) + 0.5 * (a == b) for a in above for b in below]
    assert delong(above, below)[0] == pytest.approx(np.mean(pairs))
    assert delong(-above, -below)[0] == pytest.approx(1 - np.mean(pairs))
    assert delong(above + 9, below) == (1.0, 0.0)


def test_its_interval_covers() -> None:
    rng = np.random.default_rng(0)
    exact = NormalDist().cdf(0.7 / np.sqrt(2))
    found = np.array(
        [delong(rng.standard_normal(150) + 0.7, rng.standard_normal(250)) for _ in range(1500)]
    )
    assert found[:, 0].mean() == pytest.approx(exact, abs=0.004)
    assert np.sqrt(found[:, 1]).mean() == pytest.approx(found[:, 0].std(), rel=0.08)
    inside = np.abs(found[:, 0] - exact) < 1.96 * np.sqrt(found[:, 1])
    assert 0.92 < inside.mean() < 0.97


def test_every_shower_is_scored_once_by_what_has_not_seen_it() -> None:
    held: list[int] = []
    values = np.concatenate([normal(90, 1, 0)[:, 0] + 1, normal(120, 1, 1)[:, 0]])

    def scores(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        assert not set(seen) & set(unseen)
        assert len(seen) + len(unseen) == 210
        assert abs((unseen < 90).sum() - 30) <= 1
        held.extend(unseen)
        return values[unseen]

    found = cross_validated(90, 120, scores, folds=3, seed=4, confidence=0.95, facts={"a": 1})
    assert sorted(held) == list(range(210))
    assert found.value == pytest.approx(np.mean(found.raw))
    whole, variance = delong(values[:90], values[90:])
    assert found.value == pytest.approx(whole, abs=0.02)
    assert found.high - found.value == pytest.approx(1.96 * np.sqrt(2 * variance), rel=0.15)
    assert found.context["folds"] == 3
    assert found.context["a"] == 1
    with pytest.raises(BudgetError, match="59 and 120 showers"):
        cross_validated(59, 120, scores, folds=3, seed=4, confidence=0.95, facts={})


@pytest.mark.parametrize("folds", [2, 5])
def test_folds_that_train_on_each_other_are_allowed_for(folds: int) -> None:
    found = []
    for seed in range(400):
        table = normal(240, 6, seed)  # 120 of either side, of one law

        def scores(seen: np.ndarray, held: np.ndarray, table: np.ndarray = table) -> np.ndarray:
            sides = [table[seen[mask]].mean(axis=0) for mask in (seen < 120, seen >= 120)]
            return table[held] @ (sides[0] - sides[1])

        each = cross_validated(120, 120, scores, folds=folds, seed=0, confidence=0.95, facts={})
        found.append((each.value, each.high - each.value, each.low < 0.5 < each.high))
    value, reach, inside = np.array(found).T
    assert abs(value.mean() - 0.5) < 4 * value.std() / 20
    assert 0.9 < reach.mean() / 1.96 / value.std() < 1.2
    assert inside.mean() > 0.92


# ------------------------------------------------------------------------------------- high level


def test_trees_find_a_shift_of_normals_and_nothing_in_nothing() -> None:
    x, y = normal(1500, 5, 0), normal(1500, 5, 1)
    same = high_level_auc(x, y, folds=3)
    assert same.low < 0.5 < same.high
    x[:, 2] += 1.5
    moved = high_level_auc(torch.from_numpy(x), y, folds=3)
    best = NormalDist().cdf(1.5 / np.sqrt(2))  # of any classifier
    assert best - 0.04 < moved.value < best + 0.02
    assert moved == high_level_auc(x, y, folds=3)
    with pytest.raises(DataError, match="5 numbers a shower against 4"):
        high_level_auc(x, y[:, 1:])


def test_numbers_of_showers_are_complete() -> None:
    cells, energies = showers(30)
    seen = observe(cells, energies, SMALL)
    table = challenge_table(seen)
    assert table.shape == (30, 8 * 12 + 2 + 6)
    assert np.array_equal(table[:, -6], seen.response)
    assert np.isfinite(table).all()


def test_without_scikit_learn_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtra, match="scikit-learn is not installed") as caught:
        high_level_auc(normal(200, 2, 0), normal(200, 2, 1))
    assert "showers" in caught.value.hint


# -------------------------------------------------------------------------------------- low level


def test_the_network_finds_damage_to_cells_and_nothing_in_nothing() -> None:
    (x, e), (y, f) = showers(600, 11), showers(600, 12)
    state = torch.get_rng_state()
    same = low_level_auc(x, e, y, f, SMALL)
    assert same.low < 0.5 < same.high
    assert torch.equal(torch.get_rng_state(), state)
    bright = low_level_auc(1.2 * x, e, y, f, SMALL)
    assert bright.low > 0.7
    few = (x[:150], e[:150], y[:150], f[:150])
    tensors = [torch.from_numpy(each) for each in few]
    assert low_level_auc(*tensors, SMALL, folds=2) == low_level_auc(*few, SMALL, folds=2)


def test_unsuitable_cells_are_refused() -> None:
    x, e = showers(100)
    sick = x.copy()
    sick[3, 3] = np.nan
    with pytest.raises(DataError, match="not finite"):
        low_level_auc(sick, e, x, e, SMALL)
    with pytest.raises(DataError, match=r"\[n, 288\]"):
        low_level_auc(x[:, 1:], e, x, e, SMALL)
    with pytest.raises(BudgetError, match="100 and 100"):
        low_level_auc(x, e, x, e, SMALL, folds=6)
    # cells below 0 are a sampler's, not a reason to stop
    found = low_level_auc(x - 0.5, e, x, e, SMALL, folds=2)
    assert np.isfinite(found.value)


# ------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize("geometry", [SMALL, SIW, ODD], ids=lambda g: g.name)
def test_neighbours_lie_next_to_each_other(geometry: Geometry) -> None:
    near = neighbours(geometry)
    none = geometry.cells
    assert near.shape == (6, none)
    x, y = geometry.across
    layers = np.append(geometry.layer_of, -9)
    for cell in range(0, none, max(1, none // 97)):
        before, after, inside, outside, front, behind = near[:, cell]
        assert cell not in (before, after, inside, outside, front, behind)
        for side in (before, after, inside, outside):
            assert side == none or layers[side] == layers[cell]
        for side, step in ((front, -1), (behind, 1)):
            assert side == none or layers[side] == layers[cell] + step
        for one, other in ((before, 1), (inside, 3), (outside, 2), (after, 0)):
            assert one == none or near[other, one] == cell
    if geometry.shape:
        depth, sectors, rings = geometry.shape
        grid = np.arange(none).reshape(depth, sectors, rings)
        assert np.array_equal(near[0], np.roll(grid, 1, axis=1).ravel())
        assert (near[2] == none).sum() == (near[3] == none).sum() == depth * sectors
        assert np.array_equal(near[5].reshape(grid.shape)[:-1], grid[1:])
        assert (near[4].reshape(grid.shape)[0] == none).all()
        apart = np.hypot(x - np.append(x, 0)[near[0]], y - np.append(y, 0)[near[0]])
        assert apart == pytest.approx(2 * geometry.radius * np.sin(np.pi / sectors))


def test_neighbours_in_other_layers_hold_the_middle() -> None:
    geometry = Geometry("two", (Layer((0.0, 10.0), 2), Layer((0.0, 4.0, 8.0), 4)), 0.0)
    near = neighbours(geometry)
    # cells 0, 1: halves of a disc with middles at r = 5 and angles -pi/2, pi/2
    # cells 2..9: quarters of two rings; the outer ring of the quarter from -pi/2 is 5
    assert near[5, :2].tolist() == [2 + 1 * 2 + 1, 2 + 3 * 2 + 1]
    assert near[4, 2:].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert (near[:2, :2] == [[1, 0], [1, 0]]).all()
    assert (near[2:4, :2] == 10).all()
