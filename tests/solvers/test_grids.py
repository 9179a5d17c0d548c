from __future__ import annotations

import numpy as np
import pytest

from hasten.core.process import EDM, SIGMA_CAP, VP, DiscreteVP, Eps, Flow, Law, Process
from hasten.errors import PlanError
from hasten.solvers import GRIDS, explicit
from hasten.solvers.grids import AYS, resample

TABLE = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
PROCESSES = [EDM(), VP(), VP(Law.LINEAR), TABLE, Flow()]


@pytest.mark.parametrize("process", PROCESSES, ids=repr)
@pytest.mark.parametrize("name", sorted(GRIDS.keys() - AYS.keys()))
@pytest.mark.parametrize("n", [1, 2, 10, 25])
def test_grids_start_at_the_top_and_descend(process: Process, name: str, n: int) -> None:
    grid = GRIDS[name](process, n)
    assert len(grid) == n
    assert grid[0] == pytest.approx(process.sigma_max, rel=1e-9)
    assert (np.diff(grid) < 0).all()
    assert grid[-1] >= process.sigma_min * (1 - 1e-9)
    assert (process.snap(grid) == grid).all()


@pytest.mark.parametrize("name", ["uniform", "quadratic", "karras", "logsnr", "beta"])
def test_these_end_at_the_smallest_level(name: str) -> None:
    assert GRIDS[name](EDM(), 10)[-1] == pytest.approx(EDM().sigma_min, rel=1e-9)


def test_karras_is_equation_5() -> None:
    i, n = np.arange(18), 18
    top, bottom = 80 ** (1 / 7), 0.002 ** (1 / 7)
    expected = (top + i / (n - 1) * (bottom - top)) ** 7
    assert GRIDS["karras"](EDM(), 18) == pytest.approx(expected, rel=1e-12)


def test_quadratic_has_equal_steps_in_the_root_of_time() -> None:
    times = VP(Law.LINEAR).t_of_sigma(GRIDS["quadratic"](VP(Law.LINEAR), 12))
    steps = np.diff(np.sqrt(times))
    assert steps == pytest.approx(steps[0] * np.ones(11), rel=1e-6)


def test_beta_crowds_both_ends_alike() -> None:
    times = Flow().t_of_sigma(GRIDS["beta"](Flow(), 11))
    steps = -np.diff(times)
    assert steps == pytest.approx(steps[::-1], rel=1e-3)
    assert steps[4] > 2 * steps[0]


@pytest.mark.parametrize("name", list(AYS))
def test_align_your_steps_is_the_published_list_and_lies_between_for_other_lengths(
    name: str,
) -> None:
    wide = EDM(sigma_max=700.0)
    assert GRIDS[name](wide, 10) == pytest.approx(AYS[name])
    more = GRIDS[name](wide, 19)
    assert more[::2] == pytest.approx(AYS[name])
    assert more[1::2] == pytest.approx(np.sqrt(more[:-1:2] * more[2::2]))


def test_a_list_for_another_model_is_refused() -> None:
    with pytest.raises(PlanError, match="begins at sigma = 700") as caught:
        GRIDS["ays_svd"](EDM(), 10)
    assert caught.value.hint


def test_logsnr_has_equal_ratios() -> None:
    grid = GRIDS["logsnr"](VP(), 9)
    assert np.diff(np.log(grid)) == pytest.approx(np.log(0.01 / 80) / 8)


def test_times_of_a_table() -> None:
    assert TABLE.time(GRIDS["trailing"](TABLE, 10)) == pytest.approx(np.arange(999, 0, -100))
    assert TABLE.time(GRIDS["uniform"](TABLE, 4)) == pytest.approx([999, 666, 333, 0])


def test_trailing_flow_has_equal_steps_to_zero() -> None:
    t = Flow().t_of_sigma(GRIDS["trailing"](Flow(), 4))
    assert t == pytest.approx([1, 0.75, 0.5, 0.25], abs=2 / SIGMA_CAP)


@pytest.mark.parametrize("name", ["uniform", "trailing", "quadratic", "karras", "logsnr", "beta"])
def test_a_flow_begins_with_nothing_but_noise(name: str) -> None:
    """On the way to a grid and back the cap may lose its last bits, and must stay the cap."""
    for steps in (1, 4, 10):
        grid = GRIDS[name](Flow(), steps)
        assert Flow(time_scale=1000.0).time(grid)[0] == 1000
        with pytest.raises(PlanError, match="signal is zero"):
            Eps().coefficients(Flow(), grid)


def test_explicit_levels_move_to_the_table() -> None:
    grid = explicit(TABLE, [TABLE.table[900] * 1.001, TABLE.table[400] * 0.999])
    assert (grid == TABLE.table[[900, 400]]).all()


@pytest.mark.parametrize(
    "levels", [[1.0, 1.0], [1.0, 2.0], [], [1.0, 0.0], [np.inf, 1.0], [np.nan], [[2.0, 1.0]], [-1]]
)
def test_what_is_no_grid(levels: list[float]) -> None:
    with pytest.raises(PlanError):
        explicit(EDM(), levels)


def test_duplicates_after_snapping_say_where() -> None:
    close = [TABLE.table[500] * 1.0001, TABLE.table[500] * 0.9999]
    with pytest.raises(PlanError, match="steps 0 and 1") as caught:
        explicit(TABLE, close)
    assert caught.value.hint


def test_too_many_steps_for_a_table() -> None:
    with pytest.raises(PlanError, match="descend"):
        GRIDS["karras"](TABLE, 500)


@pytest.mark.parametrize("name", list(GRIDS))
def test_no_steps(name: str) -> None:
    with pytest.raises(PlanError, match="0 steps"):
        GRIDS[name](EDM(), 0)


def test_resampling_keeps_the_ends() -> None:
    grid = GRIDS["logsnr"](EDM(), 5)
    assert resample(grid, 9)[::2] == pytest.approx(grid)
