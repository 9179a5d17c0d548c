from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import OutputError, PlanError
from hasten.measure.moments import Gaussian, Moments
from hasten.measure.quality import frechet
from hasten.measure.reference import Reference
from hasten.models.mixture import MixtureNet
from hasten.solvers import SOLVERS, stock_plan
from hasten.solvers.build import build
from hasten.solvers.noise import start_noise
from hasten.tuning.aim import aim, deviations
from hasten.tuning.play import play
from hasten.tuning.seeds import stream


def squares(x: Tensor) -> Tensor:
    """Points of the plane and their products [n, 5]."""
    return torch.cat([x, x * x, x.prod(1, keepdim=True)], dim=1)


@dataclass
class Sampled:
    """Features of the samples of a plan; counts what was asked."""

    model: Model
    noise: Tensor
    features: Callable[[Tensor], Tensor] = squares
    asked: list[Plan] = field(default_factory=list)
    near: list[bool] = field(default_factory=list)

    def __call__(self, plan: Plan, near: bool = False) -> Tensor:
        self.asked.append(plan)
        self.near.append(near)
        return self.features(play(self.model, plan, self.noise, None).end)


def noise(model: Model, name: str, count: int) -> Tensor:
    return start_noise(stream(0, name, count), model.shape).double()


def real(model: Model, features: Callable[[Tensor], Tensor] = squares) -> Reference:
    assert isinstance(model.net, MixtureNet)
    return Reference.of(features(model.net.draw(20_000, np.random.default_rng(0))), "mixture")


@pytest.mark.parametrize("steps", [3, 4])
def test_what_is_aimed_is_nearer_to_the_data_on_other_seeds(model: Model, steps: int) -> None:
    plan, reference = stock_plan(model.process, "dpmpp_2m", "karras", steps), real(model)
    train = Sampled(model, noise(model, "train", 1000))
    aimed = aim(train, reference.gaussian, plan, model.process, rounds=8)
    assert aimed.after < aimed.before / 20
    assert aimed.runs == len(train.asked)
    assert aimed.plan.label == plan.label
    again = Moments.of(train(aimed.plan)).all()
    away = deviations(Gaussian(again.mean, again.cov), reference.gaussian)
    assert aimed.after == pytest.approx(away @ away, rel=1e-9)
    other = Sampled(model, noise(model, "valid", 4000))
    before, after = (frechet(other(each), reference).distance for each in (plan, aimed.plan))
    assert after.corrected + 3 * after.se < before.corrected / 10


def test_a_large_tolerance_ends_it_after_one_step(model: Model) -> None:
    plan, reference = stock_plan(model.process, "dpmpp_2m", "karras", 3), real(model)
    train = Sampled(model, noise(model, "train", 200))
    one = aim(train, reference.gaussian, plan, model.process, rounds=1)
    gain = 1 - one.after / one.before
    assert 0.1 < gain < 0.99
    for tolerance, further in ((gain + 0.005, False), (gain - 0.005, True)):
        some = aim(train, reference.gaussian, plan, model.process, rounds=2, tolerance=tolerance)
        assert (some.runs > one.runs) is further
        assert (some.after < one.after) is further


def test_the_sum_of_squares_is_the_frechet_distance_where_covariances_commute() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    for axes in (np.eye(4), turn):
        one, other = (
            Gaussian(rng.standard_normal(4), axes * rng.uniform(0.1, 3, 4) @ axes.T)
            for _ in range(2)
        )
        away = deviations(one, other)
        assert len(away) == 4 + 10
        assert away @ away == pytest.approx(float(one.distance(moments(other))), abs=1e-6)


def test_the_sum_of_squares_is_never_less_than_the_frechet_distance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        tables = rng.standard_normal((2, 6, 4)) * rng.uniform(0.1, 3, (2, 1, 4))
        tables = tables @ rng.standard_normal((2, 4, 4))
        one, other = (Gaussian(each.mean(0), np.cov(each.T)) for each in tables)
        away = deviations(one, other)
        assert away @ away > float(one.distance(moments(other))) * 1.001


def moments(gaussian: Gaussian, n: int = 100) -> Moments:
    """Of n samples with exactly this mean and covariance."""
    outer = np.outer(gaussian.mean, gaussian.mean)
    return Moments(np.array(float(n)), n * gaussian.mean, (n - 1) * gaussian.cov + n * outer)


def test_where_nothing_can_be_moved_the_plan_stays(model: Model) -> None:
    plan, reference = stock_plan(model.process, "dpmpp_2m", "karras", 3), real(model)
    start = noise(model, "train", 100)
    flat = Sampled(model, start, lambda x: torch.ones(len(x), 5))
    aimed = aim(flat, reference.gaussian, plan, model.process)
    assert aimed.plan == plan
    assert aimed.after == aimed.before > 0
    assert aimed.runs == len(flat.asked)

    for wrong in (OutputError("it leaves the numbers"), PlanError("no such plan"), None):
        stuck = Sampled(model, start)

        def features(
            which: Plan, near: bool, error: Exception | None = wrong, held: Sampled = stuck
        ) -> Tensor:
            found = held(which, near)
            if which == plan:
                return found
            if error is not None:
                raise error
            return found / 0

        aimed = aim(features, reference.gaussian, plan, model.process)
        assert aimed.plan == plan
        assert aimed.after == aimed.before
        # 3 levels, 2 shifts, 1 weight of row 2 and 2 of the result, and nowhere to step
        assert aimed.runs == len(stuck.asked) == 1 + 8
        assert stuck.near == [False] + 8 * [True]


def test_numbers_that_cannot_be_moved_do_not_keep_others(model: Model) -> None:
    plan, reference = stock_plan(model.process, "dpmpp_2m", "karras", 3), real(model)
    train = Sampled(model, noise(model, "train", 200))

    def features(which: Plan, near: bool) -> Tensor:
        if which.sigmas != pytest.approx(plan.sigmas, rel=1e-9):
            raise OutputError("only these levels")
        return train(which, near)

    aimed = aim(features, reference.gaussian, plan, model.process)
    assert aimed.after < aimed.before / 2
    assert aimed.plan.sigmas == pytest.approx(plan.sigmas, rel=1e-9)


def test_a_beginning_made_legal_for_the_worse_is_given_back_as_it_was(model: Model) -> None:
    plan = build(SOLVERS["dpmpp_2m"], np.array([80.0, 0.4, 0.399]))
    train = Sampled(model, noise(model, "train", 200))
    own = Moments.of(train(plan)).all()
    aimed = aim(train, Gaussian(own.mean, own.cov), plan, model.process)
    assert len(train.asked) > 2
    assert all(each.sigmas[2] < 0.395 for each in train.asked[2:])
    assert aimed.plan == plan
    assert aimed.after == aimed.before == 0


def test_what_cannot_be_aimed_is_refused(model: Model) -> None:
    reference = real(model).gaussian
    held = Sampled(model, noise(model, "train", 100))
    with pytest.raises(PlanError, match="draws noise"):
        aim(held, reference, stock_plan(model.process, "ancestral", "karras", 4), model.process)
    assert not held.asked
    plan = stock_plan(model.process, "dpmpp_2m", "karras", 3)
    held.features = lambda x: squares(x) / 0
    with pytest.raises(OutputError, match="not finite"):
        aim(held, reference, plan, model.process)
