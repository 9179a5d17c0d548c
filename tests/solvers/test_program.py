from __future__ import annotations

import numpy as np
import pytest

from hasten.core.plan import Combination, Plan, Row
from hasten.core.process import EDM, Flow
from hasten.solvers import SOLVERS, build, stock_plan
from hasten.solvers.program import Program, compile_plan

TERMS = {
    "ddim": 2,
    "euler": 2,
    "heun": 3,
    "dpm_2": 3,
    "dpm_3": 4,
    "dpmpp_2s": 2,
    "dpmpp_3s": 3,
    "dpm_fast": 4,
    "dpmpp_fast": 3,
    "dpmpp_2m": 3,
    "dpmpp_3m": 4,
    "dpmpp_2m_exact": 3,
    "dpmpp_3m_exact": 4,
    "dpm_2m": 4,
    "ancestral": 3,
    "ddpm_large": 3,
    "dpmpp_sde": 4,
    "dpmpp_2m_sde": 4,
    "dpmpp_3m_sde": 5,
    "dpmpp_2m_sde_exact": 4,
    "dpmpp_3m_sde_exact": 5,
    "edm": 4,
    "lms2": 4,
    "lms3": 6,
    "lms4": 8,
    "ipndm2": 4,
    "ipndm3": 6,
    "ipndm4": 8,
    "ipndm3_v": 6,
    "deis2": 4,
    "deis3": 6,
    "deis2_t": 4,
    "deis3_t": 6,
    "unipc1": 3,
    "unipc2": 4,
    "unipc3": 5,
    "unipc1_bh1": 3,
    "unipc2_bh1": 4,
    "unipc3_bh1": 5,
}


def _expand(plan: Plan, program: Program) -> list[np.ndarray]:
    """The absolute weights of every input and of the result, from the instructions."""
    rows, width = plan.nfe, 1 + 2 * plan.nfe + len(program.noises)
    vectors = {register: np.eye(1, width, register)[0] for register in range(width)}
    found = []
    for row, terms in enumerate([*program.inputs, program.result]):
        x = sum((weight * vectors[register] for register, weight in terms), np.zeros(width))
        found.append(x)
        if row < rows:
            vectors[program.input(row)] = x
    return found


@pytest.mark.parametrize("grid", ["karras", "logsnr", "uniform"])
@pytest.mark.parametrize("name", list(SOLVERS))
@pytest.mark.parametrize("process", [EDM(), Flow()], ids=["edm", "flow"])
def test_instructions_are_the_plan(name: str, grid: str, process: EDM | Flow) -> None:
    plan = stock_plan(process, name, grid, 12)
    program = compile_plan(plan)
    combinations = [*(row.input for row in plan.rows), plan.result]
    scale = plan.rows[0].sigma
    for combination, weights in zip(combinations, _expand(plan, program), strict=True):
        assert weights[0] * scale == pytest.approx(combination.start * scale, rel=1e-11, abs=1e-9)
        outputs = dict(combination.outputs)
        for row in range(plan.nfe):
            assert weights[program.output(row)] == pytest.approx(outputs.get(row, 0), abs=1e-9)
        noises = dict(combination.noise)
        for k, noise in enumerate(program.noises):
            register = 1 + 2 * plan.nfe + k
            assert program.noise(register) == noise
            assert weights[register] == pytest.approx(noises.get(noise, 0), abs=1e-9)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_every_solver_needs_few_terms_and_moderate_weights(name: str) -> None:
    program = compile_plan(stock_plan(EDM(), name, "karras", 30))
    assert max(len(terms) for terms in program.inputs) == TERMS[name]
    weights = [abs(weight) for terms in program.inputs for r, weight in terms if r < 61]
    assert max(weights) < 10


@pytest.mark.parametrize("name", list(SOLVERS))
def test_few_tensors_are_held_at_a_time(name: str) -> None:
    program = compile_plan(stock_plan(EDM(), name, "karras", 30))
    held: set[int] = {0}
    most = 0
    for row, terms in enumerate(program.inputs):
        held |= {r for r, _ in terms} | ({program.input(row), program.output(row)} & program.kept)
        most = max(most, len(held - {0}))  # register 0 is the same tensor as the first input
        assert set(program.last[row]) <= held
        held -= set(program.last[row])
    assert {r for r, _ in program.result} <= held
    # what goes into an input, the input and the output; two more where forms change at the start
    assert most <= 4 + TERMS[name]


def test_a_plan_without_structure_is_carried_out_as_it_stands() -> None:
    rng = np.random.default_rng(0)
    rows = tuple(
        Row(
            sigma=float(8 - r),
            input=Combination(rng.normal(), tuple((j, rng.normal()) for j in range(r))),
            step=r,
        )
        for r in range(6)
    )
    plan = Plan(rows, Combination(0.0, tuple((j, rng.normal()) for j in range(6))))
    program = compile_plan(plan)
    for row, weights in zip(rows, _expand(plan, program), strict=False):
        outputs = dict(row.input.outputs)
        found = {r: weights[program.output(r)] for r in outputs}
        assert found == pytest.approx(outputs)
        assert weights[0] == pytest.approx(row.input.start)


def test_programs_are_compiled_once() -> None:
    first = compile_plan(build(SOLVERS["heun"], [2.0, 1.0]))
    assert compile_plan(build(SOLVERS["heun"], [2.0, 1.0])) is first


@pytest.mark.parametrize("name", list(SOLVERS))
def test_ties_may_go_to_the_newest_input(name: str) -> None:
    """It is the same plan in as many terms, and the early rows begin where the later ones do."""
    plan = stock_plan(EDM(), name, "karras", 8)
    shortest, newest = compile_plan(plan), compile_plan(plan, newest=True)
    pairs = zip(_expand(plan, shortest), _expand(plan, newest), strict=True)
    for (row, (a, b)), terms, others in zip(
        enumerate(pairs),
        (*shortest.inputs, shortest.result),
        (*newest.inputs, newest.result),
        strict=True,
    ):
        size = np.abs(a).max()
        assert np.abs(a - b).max() < 1e-12 * max(size, 1), row
        assert len(terms) == len(others)
        if len(others) > 2 and row > 1 and plan.rows[row - 1].step:
            assert others[0][0] > 0, "not from the start"
