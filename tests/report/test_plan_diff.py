from __future__ import annotations

import dataclasses

import pytest

from hasten.core.plan import HOLD, Combination, Plan
from hasten.core.process import VP
from hasten.report import plan_diff
from hasten.solvers import stock_plan


@pytest.fixture
def plan() -> Plan:
    return stock_plan(VP(), "dpmpp_2m", "karras", 6)


def changed(plan: Plan, index: int, **facts: object) -> Plan:
    rows = list(plan.rows)
    rows[index] = dataclasses.replace(rows[index], **facts)
    return dataclasses.replace(plan, rows=tuple(rows))


def test_a_plan_does_not_differ_from_itself_by_another_name(plan: Plan) -> None:
    other = dataclasses.replace(plan, label="another")
    assert plan_diff.compare(plan, other) == ()
    assert plan_diff.summary(plan, other, ()) == "the same in all 6 rows"


def test_the_last_bit_of_a_noise_level_is_named(plan: Plan) -> None:
    sigma = plan.rows[3].sigma
    other = changed(plan, 3, sigma=sigma * (1 + 2**-52))
    (found,) = plan_diff.compare(plan, other)
    assert found == plan_diff.Difference(3, fields=(("sigma", sigma, other.rows[3].sigma),))
    columns, ((where, shown),) = plan_diff.table([found])
    assert columns == ["where", "sigma"]
    assert where == "step 3"
    left, right = shown.split(" -> ")
    assert left != right
    assert float(left) == pytest.approx(sigma, rel=1e-15)
    assert plan_diff.summary(plan, other, [found]) == "1 of 6 rows differ: sigma in 1"


def test_coefficients_are_ranked_by_what_they_move(plan: Plan) -> None:
    """The starting point is as large as the first noise level, outputs are of the data's size."""
    c = plan.rows[4].input
    outputs = tuple((row, w + (0.5 if row == 2 else 0.0)) for row, w in c.outputs)
    other = changed(plan, 4, input=Combination(c.start + 0.01, outputs))
    (found,) = plan_diff.compare(plan, other)
    start, out = found.changes
    assert (start.term, out.term) == ("start", "out of step 2")
    assert start.size == pytest.approx(0.01 * plan.rows[0].sigma)
    assert out.size == pytest.approx(0.5)
    assert found.fields == ()
    assert plan_diff.largest([found]).startswith("step 4, start: ")
    assert plan_diff.table([found])[1][0][-1].endswith(", and 1 more")


def test_reuse_guidance_and_the_sample_are_compared(plan: Plan) -> None:
    other = changed(plan, 2, reuse=HOLD, guidance=2.0)
    other = dataclasses.replace(other, result=Combination(0.0, ((5, 0.9), (4, 0.1))))
    row, sample = plan_diff.compare(plan, other)
    assert row.fields == (("reuse", "full", "hold"), ("guidance", None, 2.0))
    assert sample.where == "the sample"
    assert {(c.term, c.a, c.b) for c in sample.changes} == {
        ("out of step 5", 1.0, 0.9),
        ("out of step 4", 0.0, 0.1),
    }
    _, ((_, reuse, guidance, _), (_, *none, _)) = plan_diff.table([row, sample])
    assert (reuse, guidance) == ("full -> hold", "the run's -> 2.0")
    assert none == ["", ""]
    said = plan_diff.summary(plan, other, [row, sample])
    assert said == (
        "1 of 6 rows and the sample differ: reuse in 1, guidance in 1, coefficients in 1"
    )


def test_rows_are_matched_by_step_not_by_number() -> None:
    """Heun's first evaluations are at DDIM's levels; its second ones have no counterpart."""
    heun, ddim = (stock_plan(VP(), name, "karras", 3) for name in ("heun", "ddim"))
    found = plan_diff.compare(heun, ddim)
    assert [(e.step, e.place, e.only) for e in found] == [
        (0, 1, "a"),
        (1, 0, ""),
        (1, 1, "a"),
        (2, 0, ""),
    ]
    assert all(not entry.fields for entry in found)
    assert "2 only in A" in plan_diff.summary(heun, ddim, found)
    assert plan_diff.table(found)[1][0][:2] == ["step 0, evaluation 1", "A"]
    back = plan_diff.compare(ddim, heun)
    assert [entry.only for entry in back] == ["b", "", "b", ""]


def test_the_order_of_terms_and_zeros_make_no_difference(plan: Plan) -> None:
    c = plan.rows[4].input
    other = changed(plan, 4, input=Combination(c.start, (*reversed(c.outputs), (0, 0.0))))
    assert plan_diff.compare(plan, other) == ()


def test_noise_belongs_to_its_interval() -> None:
    a, b = (stock_plan(VP(), "ancestral", grid, 4) for grid in ("karras", "logsnr"))
    terms = {c.term for entry in plan_diff.compare(a, b) for c in entry.changes}
    first = f"noise of {a.sigmas[0]:.4g} to {a.sigmas[1]:.4g}"
    assert first in terms
    assert plan_diff.compare(a, a) == ()
