from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hasten.core.clock import Clock, Scratch
from hasten.core.plan import FULL, HOLD, Combination, Noise, Plan, Reuse, Row, from_dict, to_dict
from hasten.core.process import Flow
from hasten.errors import EditOpen, PlanError
from hasten.solvers import GRIDS, SOLVERS, build


def _plan() -> Plan:
    plan = build(SOLVERS["heun"], np.geomspace(7, 0.1, 5), guidance=[1, 2.5, 0.1, 1, 1], label="x")
    return plan.with_reuse([FULL, HOLD, FULL, Reuse("forecast", 1), FULL])


@pytest.mark.parametrize("name", list(SOLVERS))
def test_tables_are_exact(name: str) -> None:
    plan = build(SOLVERS[name], np.geomspace(7, 0.1, 6), label="label")
    again = from_dict(json.loads(json.dumps(to_dict(plan))))
    assert again == plan
    assert again.fingerprint() == plan.fingerprint()


def test_tables_keep_the_columns() -> None:
    assert from_dict(json.loads(json.dumps(to_dict(_plan())))) == _plan()


def test_what_a_plan_says_of_itself() -> None:
    plan = _plan()
    assert (plan.nfe, plan.steps) == (9, 5)
    assert plan.sigmas[0] == 7
    assert plan.reuse[2:4] == (HOLD, HOLD)


def test_fingerprint_sees_numbers_but_not_the_label() -> None:
    plan = _plan()
    assert dataclasses.replace(plan, label="other").fingerprint() == plan.fingerprint()
    result = dataclasses.replace(plan.result, start=plan.result.start + 1e-15)
    rows = (dataclasses.replace(plan.rows[0], guidance=1.0000001), *plan.rows[1:])
    others = [
        dataclasses.replace(plan, result=result),
        dataclasses.replace(plan, rows=rows),
        plan.with_reuse([FULL] * 5),
    ]
    assert len({other.fingerprint() for other in [plan, *others]}) == 4


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.update(colour="red"), "unknown keys"),
        (lambda t: t.pop("result"), "missing keys"),
        (lambda t: t["rows"][0].update(color=1), "unknown keys"),
        (lambda t: t["rows"][1].pop("sigma"), "missing keys"),
        (lambda t: t["rows"][1]["input"].pop("start"), "missing keys"),
        (lambda t: t["rows"][1].update(reuse="sometimes"), "unknown reuse"),
        (lambda t: t["rows"][1].update(reuse="forecast:x"), "unknown reuse"),
        (lambda t: t["rows"][1].update(reuse="forecast:\N{SUPERSCRIPT TWO}"), "unknown reuse"),
        (lambda t: t["rows"][1].update(reuse="forecast"), "order"),
        (lambda t: t["rows"][0].update(reuse="hold"), "without an earlier full"),
        (lambda t: t["rows"][1].update(sigma=-1.0), "not positive"),
        (lambda t: t["rows"][1].update(sigma=math.nan), "not positive"),
        (lambda t: t["rows"][0]["input"].update(outputs=[[0, 1.0]]), "not yet made"),
        (lambda t: t["rows"][0]["input"].update(start=math.inf), "not finite"),
        (lambda t: t.update(rows=[]), "at least one"),
    ],
)
def test_unreadable_tables(edit: object, message: str) -> None:
    table = to_dict(build(SOLVERS["heun"], [2.0, 1.0]))
    edit(table)  # type: ignore[operator]
    with pytest.raises(PlanError, match=message):
        from_dict(table)


WRONG_ROWS = [
    (lambda r: r[1].update(sigma="3"), "row 1", "sigma = '3'", "a number"),
    (lambda r: r[1].update(sigma=True), "row 1", "sigma = True", "a number"),
    (lambda r: r[1].update(sigma=10**400), "row 1", "not positive and finite", "sigma > 0"),
    (lambda r: r[0].update(sigma=1.1e4), "row 0", "above 10000", "begin lower"),
    (lambda r: r[2].update(sigma=4.0), "row 2", "above the 3", "give the input noise"),
    (lambda r: r[0].update(step=1), "row 0", "step = 1", "from 0"),
    (lambda r: r[0].update(step=-1), "row 0", "step = -1", "from 0"),
    (lambda r: r[2].update(step=3), "row 2", "step = 3 after step 1", "every one has a row"),
    (lambda r: r[2].update(step=0), "row 2", "step = 0 after step 1", "do not go back"),
    (lambda r: r[2].update(step=1.5), "row 2", "step = 1.5", "a whole number"),
    (lambda r: r[1].update(slot=-1), "row 1", "slot = -1", "0 for the first"),
    (lambda r: r[1].update(guidance=math.nan), "row 1", "guidance = nan", "finite"),
    (lambda r: r[1].update(input=1.0), "row 1", "expected a table", "outputs"),
    (lambda r: r.__setitem__(1, 7), "row 1", "expected a table", "sigma"),
    (lambda r: r[1]["input"].update(start=1.1e30), "row 1", "too large", "1e+30"),
    (lambda r: r[1]["input"].update(start="all"), "row 1", "start = 'all'", "a number"),
    (lambda r: r[1]["input"].update(outputs=0), "row 1", "outputs = 0", "a list"),
    (lambda r: r[1]["input"].update(outputs=[0, 1]), "row 1", "= 0", "a list"),
    (lambda r: r[1]["input"].update(outputs=[[0]]), "row 1", "[0] in outputs", "[row, weight]"),
    (lambda r: r[1]["input"].update(outputs=[[0.5, 1]]), "row 1", "a row = 0.5", "whole"),
    (lambda r: r[2]["input"].update(outputs=[[2, 1.0]]), "row 2", "output 2", "0 to 1 are there"),
    (
        lambda r: r[0]["input"].update(outputs=[[0, 1.0]]),
        "row 0",
        "output 0",
        "no row comes before",
    ),
    (lambda r: r[1]["input"].update(outputs=[[0, 1], [0, 2]]), "row 1", "output 0 is", "add up"),
    (
        lambda r: r[1]["input"].update(noise=[[3, 1, 0.1], [3, 1, 0.2]]),
        "row 1",
        "noise 3 to 1 is named more than once",
        "add up",
    ),
    *(
        (
            lambda r, pair=pair: r[1]["input"].update(noise=[[*pair, 0.1]]),
            "row 1",
            "noise from level",
            "0 < low < high",
        )
        for pair in [(1.0, 2.0), (2.0, 2.0), (2.0, 0.0), (math.inf, 1.0), (2.0, math.nan)]
    ),
    (
        lambda r: r[1]["input"].update(noise=[[2.0, 1.0]]),
        "row 1",
        "in noise",
        "[high, low, weight]",
    ),
    (lambda r: r[1].update(reuse="forecast"), "row 1", "order", "forecast:K"),
]


@pytest.mark.parametrize(("edit", "where", "what", "hint"), WRONG_ROWS)
def test_what_is_wrong_in_a_row_is_said_with_the_row(
    edit: Callable[[Any], None], where: str, what: str, hint: str
) -> None:
    table = to_dict(build(SOLVERS["ddim"], [9.0, 3.0, 1.0]))
    edit(table["rows"])
    with pytest.raises(PlanError) as caught:
        from_dict(table)
    assert caught.value.where == where
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_rows_are_a_list_and_the_result_is_checked_as_they_are() -> None:
    table = to_dict(build(SOLVERS["ddim"], [9.0, 3.0]))
    with pytest.raises(PlanError, match="rows = 2"):
        from_dict(table | {"rows": 2})
    with pytest.raises(PlanError, match="output 2") as caught:
        from_dict(table | {"result": {"start": 0.0, "outputs": [[2, 1.0]]}})
    assert caught.value.where == "result"
    assert caught.value.hint == "outputs 0 to 1 are there"


def test_a_row_may_be_noisier_than_the_last_if_it_draws_noise() -> None:
    up = Combination(0.0, ((0, 1.0),), ((Noise(3.0, 1.0), 3.0),))
    rows = (Row(1.0, Combination(1.0), 0), Row(3.0, up, 1))
    assert Plan(rows, Combination(0.0, ((1, 1.0),))).sigmas == (1.0, 3.0)
    with pytest.raises(PlanError, match="draws no noise"):
        Plan((rows[0], dataclasses.replace(rows[1], input=Combination(1.0))), rows[0].input)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_what_solvers_make_on_a_flow_is_a_plan(name: str) -> None:
    """Its grids begin at the cap, or above it by rounding."""
    for grid in GRIDS.values():
        assert build(SOLVERS[name], grid(Flow(), 6)).steps == 6


def test_each_slot_starts_full() -> None:
    """Holding in the second evaluation of the first step: nothing is kept for that slot yet."""
    plan = build(SOLVERS["heun"], [3.0, 2.0, 1.0])
    with pytest.raises(PlanError, match="slot 1"):
        dataclasses.replace(
            plan, rows=(plan.rows[0], dataclasses.replace(plan.rows[1], reuse=HOLD))
        )
    with pytest.raises(PlanError, match="2 reuse entries for 3 steps"):
        plan.with_reuse([FULL, HOLD])


@pytest.mark.parametrize(
    ("column", "row"),
    [
        ("hold full full", 0),
        ("full forecast:1 full", 1),
        ("full hold forecast:1", 2),  # what is held adds nothing
        ("full full forecast:2", 2),
        ("full full forecast:1 forecast:2", 3),
        ("full full full forecast:3", 3),
    ],
)
def test_a_polynomial_needs_as_many_full_evaluations_as_coefficients(column: str, row: int) -> None:
    entries = [Reuse.parse(entry) for entry in column.split()]
    plan = build(SOLVERS["ddim"], np.geomspace(7, 0.1, len(entries)))
    with pytest.raises(PlanError, match=str(entries[row])) as caught:
        plan.with_reuse(entries)
    assert caught.value.where == f"row {row}"
    assert "K + 1" in caught.value.hint
    # with one full evaluation more in front, it has enough
    more = build(SOLVERS["ddim"], np.geomspace(7, 0.1, len(entries) + 1))
    enough = [FULL, *entries]
    assert more.with_reuse(enough).reuse == tuple(enough)


def test_evaluations_of_other_slots_do_not_count() -> None:
    """Two steps of Heun are two evaluations of either slot."""
    plan = build(SOLVERS["heun"], np.geomspace(7, 0.1, 4))
    degree = [FULL, FULL, Reuse("forecast", 1), FULL]
    assert sum(not entry.full for entry in plan.with_reuse(degree).reuse) == 2
    degree[2] = Reuse("forecast", 2)
    with pytest.raises(PlanError, match="3 earlier full evaluations in slot 0") as caught:
        plan.with_reuse(degree)
    assert caught.value.where == "row 4"


@pytest.mark.parametrize("text", ["full", "hold", "forecast:1", "forecast:3"])
def test_reuse_entries_read_as_they_print(text: str) -> None:
    assert str(Reuse.parse(text)) == text


def test_noise_survives_the_table() -> None:
    rows = (Row(2.0, Combination(1.0), 0),)
    plan = Plan(rows, Combination(0.0, ((0, 1.0),), ((Noise(2.0, 0.3), 0.1),)))
    assert from_dict(to_dict(plan)) == plan


def test_scratch_forgets_between_runs() -> None:
    clock, scratch = Clock(), Scratch()
    clock.start()
    scratch.of(clock)["x"] = 1
    assert scratch.of(clock) == {"x": 1}
    with pytest.raises(EditOpen):
        clock.start()
    clock.stop()
    clock.start()
    assert scratch.of(clock) == {}
