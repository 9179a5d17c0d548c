"""Guidance by a weaker model, on mixtures whose scores are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import nets
from hasten.core.model import Call, Classes, Model
from hasten.core.process import EDM, VP, X0, Eps, V
from hasten.errors import ModelError
from hasten.models.mixture import MixtureNet, mixture_model
from hasten.solvers import run, stock_plan

SIGMA, WEIGHT = 0.7, 2.2
BLURRED = (0.4, 0.5, 0.3, 0.6)
"""Variances of a model that has learned less."""


def _model(**facts: object) -> Model:
    return mixture_model(labels=(0, 0, 1, 1), dtype=torch.float64, **facts)  # type: ignore[arg-type]


def _x() -> tuple[Tensor, Tensor]:
    x = 1.5 * torch.randn(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return x, torch.arange(6) % 2


def test_weight_one_is_the_model_bit_for_bit() -> None:
    plain = _model()
    guided = plain.replace(guide=_model(variances=BLURRED))
    x, labels = _x()
    assert torch.equal(guided.denoise(x, SIGMA, labels), plain.denoise(x, SIGMA, labels))
    plan = stock_plan(plain.process, "heun", "karras", 5)
    found, expected = (run(model, plan, range(6), labels) for model in (guided, plain))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.5, 2.0, 7.0])
def test_a_model_that_guides_itself_is_not_guided(weight: float) -> None:
    plain = _model()
    x, labels = _x()
    found = plain.replace(guide=plain).denoise(x, SIGMA, labels, weight)
    assert (found - plain.denoise(x, SIGMA, labels)).abs().max().item() < 1e-14


def _log_density(net: object, x: Tensor, labels: Tensor) -> Tensor:
    """Of the noisy data of a mixture's classes, up to a constant."""
    assert isinstance(net, MixtureNet)
    total = net.variances + SIGMA**2
    distance = (x[:, None] - net.means).square().sum(-1)
    logits = net.weights.log() - x.shape[1] / 2 * total.log() - distance / (2 * total)
    allowed = net.get_buffer("allowed")[labels]
    return logits.masked_fill(~allowed, -torch.inf).logsumexp(-1)


def test_the_guided_score_is_that_of_the_product_of_powers() -> None:
    """p^w p_guide^(1 - w), both under the condition; the score is (D - x) / sigma^2."""
    guide = _model(variances=BLURRED, weights=(0.1, 0.4, 0.4, 0.1))
    model = _model().replace(guide=guide)
    x, labels = _x()
    x.requires_grad_()
    density = WEIGHT * _log_density(model.net, x, labels)
    density = density + (1 - WEIGHT) * _log_density(guide.net, x, labels)
    (score,) = torch.autograd.grad(density.sum(), x)
    found = model.denoise(x.detach(), SIGMA, labels, WEIGHT)
    assert (found - x.detach() - SIGMA**2 * score).abs().max().item() < 1e-12


@pytest.mark.parametrize(
    ("process", "prediction"), [(VP(sigma_min=0.002), Eps()), (VP(sigma_min=0.002), V())]
)
def test_a_guide_may_be_trained_otherwise(process: VP, prediction: Eps | V) -> None:
    """Its own net, process, prediction and call; only the range of noise must be the same."""
    x, labels = _x()
    same = _model(variances=BLURRED)
    other = _model(process=process, prediction=prediction, variances=BLURRED)
    first, second = (
        _model().replace(guide=guide).denoise(x, SIGMA, labels, WEIGHT) for guide in (same, other)
    )
    assert (first - second).abs().max().item() < 1e-10


def test_a_guide_takes_the_place_of_the_null_class() -> None:
    """A guide without classes is the null class, if it has seen the same data."""
    x, labels = _x()
    by_null = _model().denoise(x, SIGMA, labels, WEIGHT)
    free = mixture_model(dtype=torch.float64)
    by_guide = _model().replace(guide=free).denoise(x, SIGMA, labels, WEIGHT)
    assert (by_null - by_guide).abs().max().item() < 1e-14
    unlabelled = mixture_model(dtype=torch.float64).replace(guide=free)
    assert torch.equal(unlabelled.denoise(x, SIGMA, None, WEIGHT), free.denoise(x, SIGMA))
    with pytest.raises(ModelError, match="guide"):
        free.denoise(x, SIGMA, None, WEIGHT)


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (mixture_model(means=[[0.0] * 3], variances=[1.0], weights=[1.0]), "shape"),
        (mixture_model(EDM(sigma_max=20.0)), "noise levels 0.002 to 20, not 0.002 to 80"),
        (mixture_model(EDM(sigma_min=0.1)), "noise levels 0.1 to 80"),
        (mixture_model(labels=(0, 1, 2, 2)), "3 classes, not 2"),
    ],
)
def test_a_guide_of_other_data_is_refused(guide: Model, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        _model().replace(guide=guide)
    assert caught.value.hint


def test_a_guide_must_not_want_more_than_the_model_is_given() -> None:
    with pytest.raises(ModelError, match="wants a condition"):
        mixture_model(dtype=torch.float64).replace(guide=_model())


def test_a_guide_moves_with_its_model() -> None:
    model = nets.uvit()
    guide = nets.uvit()
    moved = model.replace(guide=guide).to(dtype=torch.float64)
    assert moved.dtype == guide.dtype == torch.float64


def test_a_model_that_is_not_to_move_is_left_alone() -> None:
    class Still(torch.nn.Identity):
        def to(self, *_: object, **__: object) -> Still:
            raise AssertionError("moved")

    model = mixture_model().replace(net=Still())
    assert model.to() is model
    with pytest.raises(AssertionError, match="moved"):
        model.to(dtype=torch.float64)


def test_precision_is_that_of_the_sampler_whatever_the_guides() -> None:
    x, labels = _x()
    single = mixture_model(labels=(0, 0, 1, 1), variances=BLURRED)
    found = _model().replace(guide=single).denoise(x, SIGMA, labels, WEIGHT)
    exact = _model().replace(guide=_model(variances=BLURRED)).denoise(x, SIGMA, labels, WEIGHT)
    assert found.dtype == torch.float64
    assert (found - exact).abs().max().item() < 1e-5


def test_a_guide_with_another_keyword() -> None:
    class Renamed(torch.nn.Module):
        def __init__(self, net: torch.nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor, time: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.net(x, time, y)
            return out

    x, labels = _x()
    weak = _model(variances=BLURRED)
    renamed = Model(
        Renamed(weak.net), EDM(), X0(), (2,), Call(cond="y"), classes=Classes(2), name="weak"
    )
    first, second = (
        _model().replace(guide=guide).denoise(x, SIGMA, labels, WEIGHT) for guide in (weak, renamed)
    )
    assert torch.equal(first, second)
