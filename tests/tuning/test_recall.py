"""A net that recalls answers as the net does, and is asked less often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
import torch
from torch import Tensor, nn

from calo import shower_model, told
from hasten.adapters.made import BATCH
from hasten.applying import apply
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.methods.cache import Cache
from hasten.methods.calibrate import ROUGH, Calibrate
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import loop, stock_plan
from hasten.tuning.aim import aim
from hasten.tuning.learn import Numbers
from hasten.tuning.recall import Recalling, recalling
from hasten.tuning.standard import settle_given

RECIPE = Recipe(PlanSpec("dpmpp_2m", "karras", 4))


class Spelling(nn.Module):
    """Says how often it was asked; what it answers hangs on everything it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.asked = 0

    def forward(self, x: Tensor, time: Tensor, **more: Any) -> dict[str, Any]:
        self.asked += 1
        return {"x": x * self.weight, "time": time, "number": self.asked, **more}


def test_the_same_question_is_answered_once_and_another_is_another() -> None:
    inner = Spelling()
    net = Recalling(inner)
    x, time = torch.arange(6.0).reshape(2, 3), torch.ones(2)
    net.begin(anew=True)
    first = net(x, time, cond={"text": torch.zeros(2)}, scale=1.0)
    assert net(x.clone(), time, cond={"text": torch.zeros(2)}, scale=1.0) is first
    others: list[tuple[tuple[Tensor, ...], dict[str, Any]]] = [
        ((x.nextafter(x + 1), time), {"cond": {"text": torch.zeros(2)}, "scale": 1.0}),
        ((x.reshape(3, 2), time), {"cond": {"text": torch.zeros(2)}, "scale": 1.0}),
        ((x.double(), time), {"cond": {"text": torch.zeros(2)}, "scale": 1.0}),
        ((x, 2 * time), {"cond": {"text": torch.zeros(2)}, "scale": 1.0}),
        ((x, time), {"cond": {"text": torch.ones(2)}, "scale": 1.0}),
        ((x, time), {"cond": {"image": torch.zeros(2)}, "scale": 1.0}),
        ((x, time), {"cond": {"text": torch.zeros(2)}, "scale": 2.0}),
        ((x, time), {"cond": torch.zeros(2), "scale": 1.0}),
        ((x, time), {"cond": {"text": torch.zeros(2), "scale": 1.0}}),
        ((x, time), {"cond": np.zeros(5000), "scale": 1.0}),
        ((x, time), {"cond": np.eye(1, 5000, 2500)[0], "scale": 1.0}),
    ]
    for args, named in others:
        assert net(*args, **named)["number"] == inner.asked
    assert inner.asked == net.asked == 1 + len(others)


def test_what_is_only_recalled_is_not_remembered_and_anew_forgets() -> None:
    net = Recalling(Spelling())
    x, time = torch.ones(1), torch.ones(1)
    net.begin(anew=True)
    net(x, time)
    net.begin(anew=False)
    for _ in range(2):
        net(2 * x, time)
    assert net.asked == 3
    net(x, time)
    assert net.asked == 3
    net.begin(anew=True)
    net(x, time)
    assert net.asked == 4


def test_it_passes_for_the_model_and_samples_are_its_own() -> None:
    model = small.model()
    asked, net = recalling(model, RECIPE)
    assert model_fingerprint(asked) == model_fingerprint(model)
    net.begin(anew=True)
    for _ in range(2):
        with apply(model, RECIPE) as plain, apply(asked, RECIPE) as fast:
            assert torch.equal(plain.sample(range(8)), fast.sample(range(8)))
    assert net.asked == 4


def test_what_a_transform_samples_is_recalled_too(tmp_path: Path) -> None:
    model, recipe = told(shower_model()), Recipe(RECIPE.plan, (Calibrate(ROUGH),))
    energies = torch.tensor([2e3, 2e4, 9e4])
    asked, net = recalling(model, recipe)
    with apply(model, recipe, store=tmp_path / "plain") as plain:
        wanted = plain.sample(range(3), energies)
    counts = []
    for anew in (True, False):
        net.begin(anew=anew)
        # another store, so that it has to be calibrated again
        with apply(asked, recipe, store=tmp_path / str(anew)) as fast:
            assert torch.equal(fast.sample(range(3), energies), wanted)
        counts.append(net.asked)
    assert counts[0] == counts[1] == 4 * (ROUGH / BATCH + 1)


@pytest.mark.parametrize(("method", "alone"), [(Cache(), True), (Calibrate(), False)])
def test_a_net_that_a_method_changes_is_left_alone(method: Any, alone: bool) -> None:
    model = small.model()
    asked, _ = recalling(model, Recipe(RECIPE.plan, (method,)))
    assert (asked is model) is alone


def test_derivatives_ask_only_for_rows_that_change() -> None:
    model, plan = small.model(), stock_plan(small.model().process, "dpmpp_2m", "karras", 4)
    standard = settle_given(model, None, small.real())
    assert standard is not None
    seeds, nearby = range(200), list[int]()
    asked, net = recalling(model, RECIPE)

    def features(which: Plan, near: bool, of: Model = asked) -> Tensor:
        net.begin(anew=not near)
        before = net.asked
        samples = loop.sample(of, which, seeds)
        if near:
            nearby.append(net.asked - before)
        return standard.features.read(samples, None).features

    found = aim(features, standard.scout.gaussian, plan, model.process, rounds=1)
    # of 4 rows: every level, every shift, then one weight of row 2, two of row 3 and three of the
    # result, for which no row is asked again
    levels, shifts, weights = [4, 3, 2, 1], [3, 2, 1], [2, 1, 1, 0, 0, 0]
    assert nearby == levels + shifts + weights
    assert len(nearby) == len(Numbers(plan, model.process).start)
    plain = aim(
        lambda which, near: features(which, near, model),
        standard.scout.gaussian,
        plan,
        model.process,
        rounds=1,
    )
    assert plain.plan == found.plan
