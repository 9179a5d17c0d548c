from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Self, final

import pytest
import torch
from torch import Tensor, nn

import nets
from hasten.applying import apply
from hasten.core.edit import Edit, Wrapped, is_open
from hasten.core.method import Artifact, Aspect, Given, Needs, Obstacle, Stage, Tactic, Transform
from hasten.core.model import Model
from hasten.errors import EditOpen, MethodError
from hasten.methods.cache import Cache
from hasten.models.mixture import mixture_model
from hasten.recipe import PlanSpec, Recipe
from hasten.solvers import sample, stock_plan

SEEDS = [3, 1, 4, 1, 5]


def portrait(model: Model) -> Any:
    modules = dict(model.net.named_modules())
    state = {key: value.clone() for key, value in model.net.state_dict().items()}
    hooks = {name: len(module._forward_hooks) for name, module in modules.items()}
    return {name: id(module) for name, module in modules.items()}, hooks, state


def same(one: Any, other: Any) -> bool:
    tensors = all(torch.equal(one[2][key], other[2][key]) for key in one[2])
    return one[:2] == other[:2] and one[2].keys() == other[2].keys() and tensors


def held(depth: float = 0.6) -> Recipe:
    return Recipe(PlanSpec("ddim", "trailing", 4, reuse="every:2"), (Cache(depth=depth),))


def test_a_plain_recipe_is_the_plan_alone() -> None:
    model = mixture_model()
    recipe = Recipe(PlanSpec("dpmpp_2m", "karras", 6))
    with apply(model, recipe) as fast:
        got = fast.sample(SEEDS)
        assert torch.equal(fast(SEEDS), got)
    assert torch.equal(
        got, sample(model, stock_plan(model.process, "dpmpp_2m", "karras", 6), SEEDS)
    )


def test_a_tactic_acts_inside_the_block_and_only_there() -> None:
    model = nets.uvit()
    before = portrait(model)
    cond = torch.arange(5) % 3
    full = Recipe(PlanSpec("ddim", "trailing", 4))
    with apply(model, full) as plain:
        expected = plain.sample(SEEDS, cond)
    with apply(model, held()) as fast:
        assert is_open(model)
        assert not torch.equal(fast.sample(SEEDS, cond), expected)
    assert not is_open(model)
    assert same(portrait(model), before)
    with apply(model, full) as plain:
        assert torch.equal(plain.sample(SEEDS, cond), expected)


def test_a_tactic_with_an_all_full_column_changes_nothing() -> None:
    model = nets.uvit()
    cond = torch.arange(5) % 3
    spec = PlanSpec("dpmpp_2m", "trailing", 4)
    with apply(model, Recipe(spec)) as plain, apply(nets.uvit(), Recipe(spec, (Cache(),))) as fast:
        assert torch.equal(plain.sample(SEEDS, cond), fast.sample(SEEDS, cond))


def test_the_batch_does_not_matter_and_guidance_is_passed_on() -> None:
    model = nets.uvit()
    cond = torch.arange(5) % 3
    with apply(model, held(), guidance=2.0, batch=2) as fast:
        split = fast.sample(SEEDS, cond)
        whole = fast.sample(SEEDS, cond, batch=5)
        plain = fast.sample(SEEDS, cond, guidance=1.0)
    assert torch.allclose(split, whole, atol=1e-5)
    assert not torch.allclose(plain, whole, atol=1e-3)


def test_the_net_is_given_back_when_something_fails_inside() -> None:
    model = nets.uvit()
    before = portrait(model)
    with pytest.raises(ZeroDivisionError), apply(model, held()):
        raise ZeroDivisionError
    assert same(portrait(model), before)


@final
@dataclass(frozen=True)
class Breaks(Tactic):
    name, stage, touches = "breaks", Stage.COMPILE, Aspect.KERNELS
    needs, paper = Needs(), "none"

    @classmethod
    def neutral(cls) -> Self:
        return cls()

    def obstacles(self, model: Model) -> list[Obstacle]:
        return []

    def attach(self, model: Model, edit: Edit) -> None:
        edit.wrap("", Through)
        raise ZeroDivisionError


@final
class Through(Wrapped):
    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.inner(*args, **kwargs)


def test_the_net_is_given_back_when_a_tactic_fails_halfway() -> None:
    model = nets.uvit()
    before = portrait(model)
    with (
        pytest.raises(ZeroDivisionError),
        apply(model, dataclasses.replace(held(), methods=(Cache(), Breaks()))),
    ):
        pass
    assert same(portrait(model), before)


@final
@dataclass(frozen=True)
class Halve(Transform):
    """Halves the weights of the last layer: a transform nobody wants, but easily seen."""

    name, stage, touches = "halve", Stage.PRUNE, Aspect.VALUES
    needs, paper = Needs(), "none"

    def obstacles(self, model: Model) -> list[Obstacle]:
        return []

    def prepare(self, given: Given) -> Artifact:
        return Artifact({"factor": torch.tensor(0.5)})

    def apply(self, model: Model, artifact: Artifact) -> Model:
        return model.replace(net=Scaled(model.net, float(artifact.tensors["factor"])).eval())


@final
class Scaled(nn.Module):
    def __init__(self, net: nn.Module, factor: float) -> None:
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = self.net(*args, **kwargs)
        return out * self.factor


def test_a_transform_makes_another_model_and_leaves_this_one() -> None:
    model = mixture_model()
    before = portrait(model)
    spec = PlanSpec("ddim", "karras", 1)
    with apply(model, Recipe(spec)) as plain:
        expected = plain.sample(SEEDS)
    with apply(model, Recipe(spec, (Halve(),))) as fast:
        assert torch.allclose(fast.sample(SEEDS), expected / 2)
        assert fast.model is not model
    assert same(portrait(model), before)


def test_an_unsuitable_recipe_is_refused_before_anything_is_touched() -> None:
    model = mixture_model()
    reused = Recipe(PlanSpec("ddim", "karras", 4, reuse="every:2"))
    with pytest.raises(MethodError, match="no method says") as caught, apply(model, reused):
        pass
    assert "cache" in caught.value.hint
    assert not is_open(model)


def test_one_recipe_at_a_time_and_none_after_the_block() -> None:
    model = nets.uvit()
    with apply(model, Recipe(PlanSpec("ddim", "trailing", 2))) as fast:
        with pytest.raises(EditOpen), apply(model, held()):
            pass
        fast.sample(SEEDS, torch.arange(5) % 3)
    with pytest.raises(MethodError, match="no longer"):
        fast.sample(SEEDS)
