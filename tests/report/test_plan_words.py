from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from hasten.core.plan import HOLD, Combination, Plan, Reuse, Row
from hasten.core.process import EDM, VP, DiscreteVP, Process
from hasten.report import plan_words
from hasten.report.plan_words import Term
from hasten.solvers import SOLVERS, stock_plan


def cells(plan: Plan, process: Process | None = None) -> list[dict[str, str]]:
    columns, rows = plan_words.table(plan, process)
    names = [name.removeprefix(">") for name in columns]
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_dpmpp_2m_reads_as_in_its_paper() -> None:
    """Lu et al. 2022, arXiv 2211.01095, algorithm 2: from the second step on, one form."""
    plan = stock_plan(EDM(), "dpmpp_2m", "karras", 7)
    s = plan.sigmas
    for i, form in enumerate(plan_words.short_forms(plan)[:-1]):
        if i < 2:
            continue
        q = s[i] / s[i - 1]
        r = math.log(s[i - 2] / s[i - 1]) / math.log(s[i - 1] / s[i])
        expected = {
            f"x[{i - 1}]": q,
            f"out[{i - 1}]": (1 - q) * (1 + 1 / (2 * r)),
            f"out[{i - 2}]": -(1 - q) / (2 * r),
        }
        assert {term.name: term.weight for term in form} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_the_short_forms_are_the_plan(name: str) -> None:
    plan = stock_plan(EDM(), name, "karras", 6)
    noises = list(dict.fromkeys(n for c in (*_inputs(plan), plan.result) for n, _ in c.noise))
    rng = np.random.default_rng(0)
    start, out, drawn = rng.normal(), rng.normal(size=plan.nfe), rng.normal(size=len(noises))
    x: list[float] = []
    for form in plan_words.short_forms(plan):
        hand = {"start": [start], "x": x, "out": out, "noise": drawn}
        x.append(sum(term.weight * hand[term.kind][term.index] for term in form))
    for found, c in zip(x, (*_inputs(plan), plan.result), strict=True):
        expected = c.start * start
        expected += sum(weight * out[row] for row, weight in c.outputs)
        expected += sum(weight * drawn[noises.index(noise)] for noise, weight in c.noise)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def _inputs(plan: Plan) -> list[Combination]:
    return [row.input for row in plan.rows]


def test_formulas_are_written_with_signs_and_without_ones() -> None:
    form = (
        Term("noise", 0, -2.5),
        Term("out", 2, -0.51234),
        Term("x", 4, 1.0),
        Term("out", 3, 1.5),
    )
    assert plan_words.formula(form) == "x[4] + 1.5 out[3] - 0.512 out[2] - 2.5 noise[0]"
    assert plan_words.formula((Term("start", 0, -1.0),)) == "-start"
    assert plan_words.formula(()) == "0"


def test_a_row_says_where_and_of_what_the_net_is_asked() -> None:
    process = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    plan = stock_plan(process, "ddim", "trailing", 4)
    found = cells(plan, process)
    assert [row["net's time"] for row in found] == ["999", "749", "499", "249", ""]
    assert [row["outputs"] for row in found] == ["0", "1", "1", "1", "1"]
    for row, shown in zip(plan.rows, found, strict=False):
        alpha = 1 / math.sqrt(1 + row.sigma**2)
        snr = 2 * math.log(alpha / (alpha * row.sigma))
        assert float(shown["log-SNR"]) == pytest.approx(snr, abs=0.006)
        assert float(shown["sigma"]) == pytest.approx(row.sigma, rel=1e-3)
    assert found[0]["input x ="] == "start"
    assert found[-1] == dict.fromkeys(found[0], "") | {
        "row": "end",
        "sigma": "0",
        "input x =": "out[3]",
        "outputs": "1",
    }
    assert "net's time" not in cells(plan)[0]


def test_columns_that_would_say_nothing_are_left_out() -> None:
    plan = stock_plan(VP(), "ddim", "karras", 3)
    assert {"slot", "guidance"}.isdisjoint(cells(plan)[0])
    guided = stock_plan(VP(), "heun", "karras", 3, guidance=[1.0, 2.5, 1.0])
    found = cells(guided)
    assert [row["slot"] for row in found] == ["0", "1", "0", "1", "0", ""]
    assert [row["guidance"] for row in found] == ["1", "1", "2.5", "2.5", "1", ""]
    mixed = dataclasses.replace(plan.rows[1], guidance=2.0)
    rows = (plan.rows[0], mixed, plan.rows[2])
    assert [r["guidance"] for r in cells(Plan(rows, plan.result))] == ["", "2", "", ""]


def test_totals_count_what_there_is() -> None:
    column = [Reuse(), HOLD, Reuse(), Reuse("forecast", 1), HOLD]
    plan = stock_plan(VP(), "dpmpp_2m_sde", "karras", 5, reuse=column)
    found = plan_words.totals(plan)
    assert found["evaluations"] == "5: 2 full, 2 held, 1 forecast"
    assert found["earlier outputs"] == "up to 2 in one input"
    assert found["noise"] == "drawn in 4 rows"
    assert found["fingerprint"] == plan.fingerprint()
    last = dataclasses.replace(plan, result=plan.rows[-1].input)
    assert plan_words.totals(last)["noise"] == "drawn in 4 rows", "x[4] holds what was drawn"
    calm = Plan((Row(80.0, Combination(1.0), 0),), Combination(0.0, ((0, 1.0),)))
    assert plan_words.totals(calm)["noise"] == "none after the start"
    assert plan_words.totals(calm)["plan"] == "own plan"
