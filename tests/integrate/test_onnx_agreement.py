"""A reading more or less at a threshold is rounding; anything else is not."""

from __future__ import annotations

import numpy as np
import pytest

from hasten.integrate.agreement import of_arrays, of_parts

COUNTS, SOFT = [4, 4], 1.0


def showers(*rows: list[float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


WANT = showers([10.0, 0.02, 3.0, 0.0, 5.0, 0.0, 0.0, 2.0])


def test_the_same_are_the_same() -> None:
    assert of_parts(WANT, WANT, COUNTS, SOFT) == 0
    assert of_parts(np.zeros((2, 8)), np.zeros((2, 8)), COUNTS, SOFT) == 0
    assert of_arrays(WANT, WANT) == 0


def test_a_difference_counts_on_the_nets_own_scale() -> None:
    got = WANT.copy()
    got[0, 0] *= 1 + 1e-3
    assert of_parts(got, WANT, COUNTS, SOFT) == pytest.approx(1e-2 / 11)
    got = WANT.copy()
    got[0, 1] += 1e-3  # far below soft: as much as 1e-3 of 1 MeV
    assert of_parts(got, WANT, COUNTS, SOFT) == pytest.approx(1e-3 / 1.02)


def test_the_weakest_reading_of_a_layer_may_be_lost_to_rounding() -> None:
    kept = showers([1000.0, 0.02, 3.0, 0.0])
    gone = kept.copy()
    gone[0, 1] = 0
    gone *= kept.sum() / gone.sum()
    for pair in ((kept, gone), (gone, kept)):
        assert of_parts(*pair, [4], SOFT) < 1e-9


def test_no_other_reading_may_be_lost() -> None:
    got = WANT.copy()
    got[0, 2] = 0
    got[0, :4] *= WANT[0, :4].sum() / got[0, :4].sum()
    for pair in ((got, WANT), (WANT, got)):
        assert of_parts(*pair, COUNTS, SOFT) > 0.5


def test_a_layers_only_reading_may_not_move() -> None:
    here, there = showers([0.0, 0.5, 0.0, 0.0]), showers([0.5, 0.0, 0.0, 0.0])
    assert of_parts(here, there, [4], SOFT) == np.inf


def test_rounding_does_not_cost_many_layers_a_reading() -> None:
    kept = np.tile([1000.0, 0.02, 3.0, 0.0], (1, 3))
    gone = kept.copy()
    gone[0, [1, 5]] = 0
    assert of_parts(gone, kept, [4, 4, 4], SOFT) == np.inf


def test_a_layer_that_is_off_as_a_whole_is_off() -> None:
    got = WANT.copy()
    got[0, 4:] *= 1.01
    assert of_parts(got, WANT, COUNTS, SOFT) == pytest.approx(0.07 / 8, rel=1e-3)


def test_what_is_no_number_is_infinitely_far() -> None:
    got = WANT.copy()
    got[0, 3] = np.nan
    assert of_parts(got, WANT, COUNTS, SOFT) == np.inf
    assert of_arrays(got, WANT) == np.inf
    assert of_parts(WANT, got, COUNTS, SOFT) == np.inf


def test_arrays_are_compared_by_their_largest_number() -> None:
    assert of_arrays(np.array([2.0, 0.02]), np.array([2.0, 0.0])) == pytest.approx(0.01)
