"""Guidance that is confined to an interval of noise levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.errors import PlanError
from hasten.models.mixture import mixture_model
from hasten.solvers import SOLVERS, build, run

WEIGHT = 3.0
SEEDS = range(16)
LABELS = torch.arange(16) % 2
EVERYWHERE = (0.0, float("inf"))


def _model() -> Model:
    return mixture_model(labels=(0, 0, 1, 1), dtype=torch.float64)


def test_rows_have_the_weight_of_their_own_noise_level() -> None:
    levels = [8.0, 4.0, 2.0, 1.0]
    plan = build(SOLVERS["ddim"], levels, guidance=WEIGHT, guidance_interval=(1.0, 4.0))
    assert [row.guidance for row in plan.rows] == [1, WEIGHT, WEIGHT, 1]  # low < sigma <= high
    plan = build(SOLVERS["ddim"], levels, guidance_interval=(1.0, 4.0))
    assert [row.guidance for row in plan.rows] == [1, None, None, 1]
    assert (plan.guided(), plan.guided(WEIGHT)) == (0, 2)
    plan = build(SOLVERS["heun"], levels, guidance=WEIGHT, guidance_interval=(1.0, 4.0))
    assert plan.sigmas == (8, 4, 4, 2, 2, 1, 1)
    assert [row.guidance for row in plan.rows] == [1, *[WEIGHT] * 4, 1, 1]


@pytest.mark.parametrize("name", list(SOLVERS))
def test_all_levels_and_none_are_what_they_say(name: str) -> None:
    levels = np.geomspace(20, 0.1, 7)
    solver = SOLVERS[name]
    guided = build(solver, levels, guidance=WEIGHT)
    assert build(solver, levels, guidance=WEIGHT, guidance_interval=EVERYWHERE) == guided
    plain = build(solver, levels, guidance=1.0)
    assert build(solver, levels, guidance=WEIGHT, guidance_interval=(50.0, 60.0)) == plain
    assert build(solver, levels, guidance=1.0, guidance_interval=(0.5, 2.0)) == plain


@pytest.mark.parametrize("name", [s.name for s in SOLVERS.values() if s.evaluations == 1])
@pytest.mark.parametrize("into", [True, False], ids=["into", "out of"])
def test_a_solver_begins_anew_where_the_weight_changes(name: str, into: bool) -> None:
    """From the break on it is a run of its own, from the point the first part had come to."""
    levels, at = np.geomspace(20, 0.1, 9), 4
    before, after = (1.0, WEIGHT) if into else (WEIGHT, 1.0)
    between = float(np.sqrt(levels[at - 1] * levels[at]))
    interval = (0.0, between) if into else (between, 100.0)
    plan = build(SOLVERS[name], levels, guidance=WEIGHT, guidance_interval=interval)
    assert [row.guidance for row in plan.rows] == [before] * at + [after] * (9 - at)
    seen: list[Tensor] = []
    model = _model()
    whole = run(model, plan, SEEDS, LABELS, on_row=lambda i, sigma, x, x0: seen.append(x.clone()))
    rest = build(SOLVERS[name], levels[at:], guidance=after)
    again = run(model, rest, SEEDS, LABELS, start=seen[at])
    assert (whole - again).abs().max().item() < 1e-10


def _grid(n: int) -> np.ndarray:
    """n steps above the interval, n within, n below; its ends are noise levels."""
    parts = [np.geomspace(a, b, n + 1)[:-1] for a, b in ((40, 4), (4, 0.5))]
    return np.concatenate([*parts, np.geomspace(0.5, 0.02, n)])


@pytest.mark.parametrize("name", ["dpmpp_2m", "dpmpp_3m_exact", "unipc2"])
def test_beginning_anew_keeps_the_second_order(name: str) -> None:
    """One step of first order at a jump costs h^2, looking back across the jump costs h."""
    model, ends = _model(), (0.5, 4.0)

    def end(name: str, n: int, anew: bool = True) -> Tensor:
        sigmas = _grid(n)
        if anew:
            plan = build(SOLVERS[name], sigmas, guidance=WEIGHT, guidance_interval=ends)
        else:
            weights = [WEIGHT if ends[0] < sigma <= ends[1] else 1.0 for sigma in sigmas]
            plan = build(SOLVERS[name], sigmas, guidance=weights)
        return run(model, plan, SEEDS, LABELS)

    exact = end("dpm_3", 400)
    anew, across = (
        [(end(name, n, kind) - exact).square().mean().sqrt().item() for n in (32, 64)]
        for kind in (True, False)
    )
    assert np.log2(anew[0] / anew[1]) > 1.85
    assert np.log2(across[0] / across[1]) < 1.4
    assert anew[1] < across[1] / 3


class Counting(nn.Module):
    """Passes on to the mixture and counts what it is asked."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.samples = inner, 0

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        self.samples += len(x)
        out: Tensor = self.inner(x, time, label)
        return out


def test_outside_of_the_interval_the_second_branch_is_not_asked() -> None:
    model = _model()
    net = Counting(model.net)
    model = model.replace(net=net)
    plan = build(SOLVERS["heun"], np.geomspace(20, 0.1, 7), guidance_interval=(0.5, 4.0))
    run(model, plan, SEEDS, LABELS, WEIGHT)
    inside = sum(0.5 < sigma <= 4 for sigma in plan.sigmas)
    assert 0 < inside < plan.nfe
    assert net.samples == len(SEEDS) * (plan.nfe + inside)
    assert plan.guided(WEIGHT) == inside


@pytest.mark.parametrize("interval", [(2.0, 1.0), (1.0, 1.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_what_is_no_interval_is_refused(interval: tuple[float, float]) -> None:
    with pytest.raises(PlanError, match="interval") as caught:
        build(SOLVERS["ddim"], [2.0, 1.0], guidance_interval=interval)
    assert "low < high" in caught.value.hint


def test_weights_by_step_and_an_interval_are_one_too_many() -> None:
    with pytest.raises(PlanError, match="list of guidance weights and an interval"):
        build(SOLVERS["ddim"], [2.0, 1.0], guidance=[1.0, 2.0], guidance_interval=(0.5, 1.5))
