from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from hasten.core.plan import Plan
from hasten.errors import PlanError
from hasten.solvers import SOLVERS, Solver, build, churn, dpmpp_2m_sde, exponential
from hasten.solvers.options import OPTIONS, check_options, known_options, with_options

SIGMAS = np.geomspace(10, 0.1, 6)
OTHER = {"eta": 0.5, "churn": 1.5, "low": 1.0, "high": 1.0, "scale": 1.1}
"""Values that are nobody's default; between 0.1 and 10, an end of edm's window matters."""


def _plan(solver: Solver) -> Plan:
    return build(solver, SIGMAS)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_nothing_stated_is_the_stock_solver(name: str) -> None:
    assert _plan(with_options(name, {})) == _plan(SOLVERS[name])


@pytest.mark.parametrize(
    ("name", "option"), [(name, option) for name in OPTIONS for option in known_options(name)]
)
def test_every_option_makes_another_plan(name: str, option: str) -> None:
    default = known_options(name)[option].default
    other = not default if isinstance(default, bool) else OTHER[option]
    assert _plan(with_options(name, {option: default})) == _plan(SOLVERS[name])
    assert _plan(with_options(name, {option: other})) != _plan(SOLVERS[name])


def test_options_arrive_where_they_are_meant() -> None:
    window = {"low": 0.5, "high": 5.0, "scale": 1.01}
    assert _plan(with_options("edm", {"churn": 2, **window})) == _plan(churn(2.0, **window))
    plain = exponential(3, noise=True, lower_final=False)
    assert _plan(with_options("deis3", {"lower_final": False})) == _plan(plain)
    assert _plan(with_options("ddim", {"eta": 1})) == _plan(SOLVERS["ancestral"])
    assert _plan(with_options("dpmpp_2m_sde", {"eta": 0.5})) == _plan(dpmpp_2m_sde(0.5))


@pytest.mark.parametrize(
    ("solver", "given", "what", "hint"),
    [
        ("heun", {"eta": 1.0}, "heun has no option 'eta'", "heun has none; eta belongs to ddim"),
        ("edm", {"chrn": 1.0}, "edm has no option 'chrn'", "edm has churn, low, high, scale"),
        ("ddim", {"eta": 1.1}, "eta = 1.1", "a number from 0 to 1"),
        ("ddim", {"eta": math.nan}, "eta = nan", "a number from 0 to 1"),
        ("ddim", {"eta": True}, "eta = True", "a number from 0 to 1"),
        ("edm", {"churn": "much"}, "churn = 'much'", "a number, at least 0"),
        ("edm", {"low": -1}, "low = -1", "a number, at least 0"),
        ("unipc3", {"lower_final": 0}, "lower_final = 0", "true or false"),
    ],
)
def test_what_a_solver_cannot_take_is_refused(
    solver: str, given: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(PlanError) as caught:
        check_options(solver, given)
    assert caught.value.what == what
    assert hint in caught.value.hint
    assert caught.value.where in given


def test_whole_numbers_become_floats_and_switches_stay() -> None:
    found = check_options("edm", {"churn": 40})
    assert type(found["churn"]) is float
    assert check_options("lms3", {"lower_final": True})["lower_final"] is True
