"""What a solver looks back on is limited by its formula, and that is said when it is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from hasten.errors import PlanError
from hasten.solvers import Solver, build, deis_t, exponential, exponential_sde, ipndm, lms, unipc
from hasten.solvers.mixed import Decision, mixed

SIGMAS = np.geomspace(20.0, 0.1, 8)


def _mixed(order: int) -> Solver:
    return mixed([Decision(order)] * len(SIGMAS))


MAKERS = [
    pytest.param(exponential, 4, id="exponential"),
    pytest.param(partial(exponential, noise=True), 4, id="deis"),
    pytest.param(exponential_sde, 4, id="exponential_sde"),
    pytest.param(deis_t, 4, id="deis_t"),
    pytest.param(lms, 4, id="lms"),
    pytest.param(ipndm, 4, id="ipndm"),
    pytest.param(unipc, 3, id="unipc"),
    pytest.param(partial(unipc, scale="bh1"), 3, id="unipc_bh1"),
    pytest.param(_mixed, 4, id="mixed"),
]


@pytest.mark.parametrize(("make", "most"), MAKERS)
def test_orders_that_there_are(make: Callable[[int], Solver], most: int) -> None:
    """Numbers of numpy count as well; and no two orders are the same plan."""
    plans = [build(make(order), SIGMAS) for order in np.arange(1, most + 1)]
    assert len({plan.fingerprint() for plan in plans}) == most


@pytest.mark.parametrize(("make", "most"), MAKERS)
@pytest.mark.parametrize("wrong", [-1, 0, 1, 1.5, 2.0], ids=["-1", "0", "above", "1.5", "2.0"])
def test_orders_that_there_are_not(
    make: Callable[[float], Solver], most: int, wrong: float
) -> None:
    order = most + 1 if wrong == 1 else wrong
    with pytest.raises(PlanError, match=f"of order {order}") as caught:
        make(order)
    assert caught.value.where == "order"
    assert caught.value.hint == f"1 to {most}"


def test_scales_that_there_are_not() -> None:
    with pytest.raises(PlanError, match="scale 'bh3'") as caught:
        unipc(2, "bh3")
    assert caught.value.hint == "one of bh1, bh2"
