from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import nets
from hasten.core.clock import Clock
from hasten.core.model import Call, Codec, Model
from hasten.core.plan import Combination, Plan, Row
from hasten.core.process import EDM, VP, V
from hasten.errors import EditOpen, OutputError, PlanError
from hasten.models.mixture import MixtureNet, mixture_model
from hasten.solvers import SOLVERS, Brownian, build, run, sample, start_noise, stock_plan
from hasten.solvers.noise import depth_for
from hasten.solvers.program import compile_plan

SEEDS = list(range(6))
SIGMAS = np.geomspace(20, 0.1, 7)


def _literal(model: Model, plan: Plan, seeds: list[int]) -> Tensor:
    """A plan carried out as it is written, term by term."""
    path = Brownian(seeds, model.shape, depth_for(compile_plan(plan).noises))
    start = plan.rows[0].sigma * start_noise(seeds, model.shape).double()
    outputs: list[Tensor] = []

    def combine(c: Combination) -> Tensor:
        x = c.start * start
        for row, weight in c.outputs:
            x = x + weight * outputs[row]
        for noise, weight in c.noise:
            x = x + weight * path.increment(noise.high, noise.low).double()
        return x

    for row in plan.rows:
        outputs += [model.denoise(combine(row.input), row.sigma)]
    return combine(plan.result)


@pytest.mark.parametrize("name", list(SOLVERS))
def test_the_plan_is_carried_out(name: str) -> None:
    model = mixture_model(dtype=torch.float64)
    plan = stock_plan(model.process, name, "karras", 10)
    assert (run(model, plan, SEEDS) - _literal(model, plan, SEEDS)).abs().max().item() < 1e-10


@pytest.mark.parametrize("name", list(SOLVERS))
def test_single_precision_suffices(name: str) -> None:
    plan = stock_plan(VP(), name, "karras", 20)
    single = run(mixture_model(VP(), V()), plan, SEEDS)
    double = run(mixture_model(VP(), V(), dtype=torch.float64), plan, SEEDS)
    assert single.dtype == torch.float32
    assert double.dtype == torch.float64
    assert (single - double).abs().max().item() < 1e-3
    assert (single - double).abs().median().item() < 1e-5


@pytest.mark.parametrize("name", ["heun", "ancestral"])
@pytest.mark.parametrize("batch", [1, 4, 6, 100])
def test_batches_do_not_matter(name: str, batch: int) -> None:
    model = mixture_model(labels=(0, 0, 1, 1))
    plan = build(SOLVERS[name], SIGMAS)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    whole = sample(model, plan, SEEDS, labels)
    parts = sample(model, plan, SEEDS, labels, batch=batch)
    assert torch.allclose(whole, parts, atol=1e-5)


def test_samples_depend_on_their_seed_alone() -> None:
    model, plan = mixture_model(), build(SOLVERS["ancestral"], SIGMAS)
    forward, backward = run(model, plan, SEEDS), run(model, plan, SEEDS[::-1])
    assert torch.allclose(forward, backward.flip(0), atol=1e-5)
    assert not torch.allclose(forward, backward, atol=1e-2)


class Listening(nn.Module):
    """Passes on to the mixture and writes down the clock."""

    def __init__(self, inner: nn.Module, clock: Clock) -> None:
        super().__init__()
        self.inner, self.clock = inner, clock
        self.seen: list[tuple[int, int, float, int]] = []
        self.inference: list[bool] = []

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        clock = self.clock
        self.seen.append((clock.run, clock.row, clock.sigma, clock.slot))
        self.inference.append(torch.is_inference_mode_enabled())
        out = self.inner(x, time)
        assert isinstance(out, Tensor)
        return out


def _listening() -> tuple[Model, Listening]:
    model = mixture_model()
    net = Listening(model.net, model.clock)
    model.net = net
    return model, net


def test_the_clock_tells_the_row() -> None:
    model, net = _listening()
    plan = build(SOLVERS["heun"], SIGMAS)
    run(model, plan, SEEDS)
    first = net.seen[0][0]
    assert first > 0
    assert net.seen == [(first, i, row.sigma, row.slot) for i, row in enumerate(plan.rows)]
    assert all(net.inference)
    assert model.clock.run == 0
    run(model, plan, SEEDS)
    assert net.seen[-1][0] > first


def test_the_clock_stops_when_something_breaks() -> None:
    model = mixture_model()

    def breaks(index: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, build(SOLVERS["ddim"], SIGMAS), SEEDS, on_row=breaks)
    assert model.clock.run == 0


def test_a_model_samples_once_at_a_time() -> None:
    model, plan = mixture_model(), build(SOLVERS["ddim"], SIGMAS)

    def nested(index: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        run(model, plan, SEEDS)

    with pytest.raises(EditOpen, match="already sampling"):
        run(model, plan, SEEDS, on_row=nested)


def test_the_observer_sees_every_row() -> None:
    model, plan = mixture_model(), build(SOLVERS["dpmpp_2m"], SIGMAS)
    seen: list[tuple[int, float]] = []

    def look(index: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append((index, sigma))
        assert torch.equal(model.denoise(x, sigma), x0)

    run(model, plan, SEEDS, on_row=look)
    assert seen == list(enumerate(SIGMAS))


def test_tensors_no_longer_needed_are_let_go() -> None:
    model, plan = mixture_model(), build(SOLVERS["dpmpp_2m"], np.geomspace(20, 0.1, 30))
    inputs, outputs = list[weakref.ref[Tensor]](), list[weakref.ref[Tensor]]()

    def look(index: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        inputs.append(weakref.ref(x))
        outputs.append(weakref.ref(x0))
        assert sum(tensor() is not None for tensor in inputs) <= 2
        assert sum(tensor() is not None for tensor in outputs) <= 3

    run(model, plan, SEEDS, on_row=look)


def test_results_are_ordinary_tensors() -> None:
    model, plan = mixture_model(), build(SOLVERS["ddim"], SIGMAS)
    for result in (run(model, plan, SEEDS), sample(model, plan, SEEDS)):
        weight = torch.ones((), requires_grad=True)
        (weight * result).sum().backward()
        assert weight.grad is not None


@dataclass
class Counting(Codec):
    encoded: list[int] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:
        assert cond is not None
        self.encoded.append(len(cond))
        return cond - 10

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        assert cond is not None
        self.decoded.append(len(x))
        return x * 2 + cond[:, None]


def test_the_codec_works_once_a_batch_and_decodes_for_what_it_encoded() -> None:
    plain = mixture_model(labels=(0, 0, 1, 1))
    codec = Counting()
    model = plain.replace(codec=codec)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    plan = build(SOLVERS["heun"], SIGMAS)
    found = sample(model, plan, SEEDS, labels + 10, batch=4)
    assert (codec.encoded, codec.decoded) == ([4, 2], [4, 2])
    expected = run(plain, plan, SEEDS, labels) * 2 + labels[:, None]
    assert torch.allclose(found, expected, atol=1e-4)


def test_guidance_of_the_run_and_of_rows() -> None:
    model = mixture_model(labels=(0, 0, 1, 1), dtype=torch.float64)
    net = model.net
    assert isinstance(net, MixtureNet)
    labels, weight = torch.tensor([0, 1, 0, 1, 0, 1]), 2.0
    x = 3 * torch.randn(6, 2, dtype=torch.float64)
    sigma = torch.tensor(3.0, dtype=torch.float64)
    free, bound = net.denoise(x, sigma), net.denoise(x, sigma, labels)
    plan = build(SOLVERS["ddim"], [3.0])
    by_run = run(model, plan, SEEDS, labels, weight, start=x)
    assert torch.allclose(by_run, free + weight * (bound - free), atol=1e-12)
    by_row = run(model, build(SOLVERS["ddim"], [3.0], guidance=weight), SEEDS, labels, start=x)
    assert torch.equal(by_row, by_run)
    off = run(model, build(SOLVERS["ddim"], [3.0], guidance=1), SEEDS, labels, weight, start=x)
    assert torch.allclose(off, bound, atol=1e-12)


class Failing(nn.Module):
    """Gives out at low noise."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        if float(4 * time[0]) < np.log(1.0):
            out[0, 0] = self.value
        return out


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_located(value: float) -> None:
    model = mixture_model()
    model.net = Failing(value)
    plan = build(SOLVERS["heun"], SIGMAS)
    first = next(i for i, sigma in enumerate(plan.sigmas) if sigma < 1)
    with pytest.raises(OutputError, match=f"row {first} at sigma = {plan.sigmas[first]:.6g}"):
        run(model, plan, SEEDS)


def test_impossible_arguments() -> None:
    model, plan = mixture_model(), build(SOLVERS["ddim"], SIGMAS)
    with pytest.raises(PlanError, match="nothing to sample"):
        run(model, plan, [])
    with pytest.raises(PlanError, match="seed"):
        sample(model, plan, [])
    with pytest.raises(PlanError, match="batch"):
        sample(model, plan, SEEDS, batch=0)
    with pytest.raises(PlanError, match="2 conditions for 6 seeds"):
        run(model, plan, SEEDS, torch.zeros(2))
    with pytest.raises(PlanError, match="starting point"):
        run(model, plan, SEEDS, start=torch.zeros(6, 3))
    with pytest.raises(PlanError, match="no class was given") as caught:
        run(nets.uvit(), plan, SEEDS)
    assert caught.value.hint


def test_a_net_may_want_its_condition_before_the_time() -> None:
    class Turned(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, label: Tensor, t: Tensor) -> Tensor:
            found: Tensor = self.net(x, t, label)
            return found

    model, plan, labels = nets.uvit(), build(SOLVERS["ddim"], SIGMAS), torch.arange(6) % 3
    turned = model.replace(net=Turned(model.net), call=Call(cond="label", time="t"))
    assert torch.equal(run(turned, plan, SEEDS, labels), run(model, plan, SEEDS, labels))


def test_a_row_may_use_nothing() -> None:
    """A plan whose second input is zero; odd, but a plan."""
    rows = (Row(2.0, Combination(1.0), 0), Row(1.0, Combination(0.0), 1))
    model = mixture_model(dtype=torch.float64)
    x0 = run(model, Plan(rows, Combination(0.0, ((1, 1.0),))), SEEDS)
    zero = torch.zeros(6, 2, dtype=torch.float64)
    assert torch.allclose(x0, model.denoise(zero, 1.0))


def test_a_plan_in_seeds_own_start_is_sigma_times_noise() -> None:
    model, seen = mixture_model(EDM()), list[Tensor]()

    def look(index: int, sigma: float, x: Tensor, x0: Tensor) -> None:
        seen.append(x)

    run(model, build(SOLVERS["ddim"], [5.0]), SEEDS, on_row=look)
    assert torch.equal(seen[0], 5 * start_noise(SEEDS, model.shape))
