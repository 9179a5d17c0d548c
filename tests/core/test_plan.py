from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from hasten.core.clock import Clock, Scratch
from hasten.core.plan import FULL, HOLD, Combination, Noise, Plan, Reuse, Row, from_dict, to_dict
from hasten.errors import EditOpen, PlanError
from hasten.solvers import SOLVERS, build


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
