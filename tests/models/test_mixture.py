from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hasten.core.process import EDM, VP, X0, DiscreteVP, Eps, Flow, Prediction, Process, V, Velocity
from hasten.errors import ModelError
from hasten.models.mixture import MEANS, VARIANCES, WEIGHTS, MixtureNet, mixture_model
from hasten.solvers import sample, stock_plan

LABELS = (0, 0, 1, 1)
TABLE = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))


def _net(labels: tuple[int, ...] | None = None) -> MixtureNet:
    net = mixture_model(labels=labels, dtype=torch.float64).net
    assert isinstance(net, MixtureNet)
    return net


def _log_density(x: Tensor, sigma: float, chosen: list[int]) -> Tensor:
    parts = []
    for k in chosen:
        total = VARIANCES[k] + sigma**2
        distance = (x - torch.tensor(MEANS[k], dtype=x.dtype)).square().sum(-1)
        parts.append(np.log(WEIGHTS[k]) - np.log(total) - distance / (2 * total))
    return torch.stack(parts).logsumexp(0)


@pytest.mark.parametrize(("label", "chosen"), [(0, [0, 1]), (1, [2, 3]), (2, [0, 1, 2, 3])])
@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_denoiser_is_tweedies_formula(sigma: float, label: int, chosen: list[int]) -> None:
    """``D = x + sigma^2 grad log p``, the gradient taken by automatic differentiation."""
    x = (2 * torch.randn(20, 2, dtype=torch.float64)).requires_grad_()
    _log_density(x, sigma, chosen).sum().backward()
    assert x.grad is not None
    labels = torch.full((20,), label)
    found = _net(LABELS).denoise(x.detach(), torch.tensor(sigma, dtype=torch.float64), labels)
    assert torch.allclose(found, x.detach() + sigma**2 * x.grad, atol=1e-12)


@pytest.mark.parametrize(
    ("process", "prediction"),
    [(EDM(), X0()), (VP(), Eps()), (VP(), V()), (TABLE, V()), (Flow(), Velocity())],
    ids=repr,
)
def test_every_guise_is_the_same_denoiser(process: Process, prediction: Prediction) -> None:
    model = mixture_model(process, prediction, labels=LABELS, dtype=torch.float64)
    sigma = process.snap(np.geomspace(0.1, 30, 16))
    x = torch.randn(16, 2, dtype=torch.float64) * torch.from_numpy(sigma)[:, None]
    labels = torch.arange(16) % 3
    expected = _net(LABELS).denoise(x, torch.from_numpy(sigma)[:, None], labels)
    assert torch.allclose(model.denoise(x, sigma, labels), expected, atol=1e-9)


def test_the_null_label_is_the_absence_of_one() -> None:
    x, sigma = torch.randn(5, 2, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    null = torch.full((5,), 2)
    assert torch.equal(_net(LABELS).denoise(x, sigma, null), _net().denoise(x, sigma))


def test_samples_of_a_class_belong_to_it() -> None:
    model = mixture_model(labels=LABELS)
    plan = stock_plan(model.process, "heun", "karras", 20)
    samples = sample(model, plan, range(200), torch.zeros(200, dtype=torch.int64))
    nearest = torch.cdist(samples, torch.tensor(MEANS)).argmin(1)
    assert (nearest <= 1).double().mean().item() > 0.9


def test_sampling_gives_the_mixture() -> None:
    """Moments of 600 samples, within five standard errors of those of the mixture."""
    model = mixture_model()
    plan = stock_plan(model.process, "dpmpp_2m", "logsnr", 25)
    samples = sample(model, plan, range(600)).double().numpy()
    means, weights = np.array(MEANS), np.array(WEIGHTS)
    mean = weights @ means
    spread = weights @ (np.array(VARIANCES)[:, None] + means**2) - mean**2
    assert samples.mean(0) == pytest.approx(mean, abs=5 * np.sqrt(spread.max() / 600))
    assert samples.var(0) == pytest.approx(spread, rel=5 * np.sqrt(2 / 600))


def test_data_has_the_moments_of_the_mixture() -> None:
    rng = np.random.default_rng(0)
    data = _net(LABELS).draw(20000, rng, label=1).numpy()
    weights = np.array([0.6, 0.4])
    means = np.array(MEANS)[2:]
    mean = weights @ means
    spread = weights @ (np.array(VARIANCES)[2:, None] + means**2) - mean**2
    assert data.mean(0) == pytest.approx(mean, abs=0.03)
    assert data.var(0) == pytest.approx(spread, rel=0.05)
    assert _net().draw(3, rng).shape == (3, 2)


def test_any_shape_of_sample() -> None:
    means = np.random.default_rng(0).standard_normal((3, 1, 4, 4))
    model = mixture_model(VP(), V(), means=means, variances=[0.1] * 3, weights=[1.0] * 3)
    assert model.shape == (1, 4, 4)
    assert sample(model, stock_plan(VP(), "ddim", "uniform", 3), [1, 2]).shape == (2, 1, 4, 4)


@pytest.mark.parametrize(
    "facts",
    [
        {"variances": [0.1, 0.1, 0.1]},
        {"variances": [0.1, 0.1, 0.1, 0.0]},
        {"weights": [0.5, 0.5, 0.5, -0.5]},
        {"labels": [0, 1]},
    ],
)
def test_contradicting_facts(facts: dict[str, list[float]]) -> None:
    with pytest.raises(ModelError):
        mixture_model(**facts)  # type: ignore[arg-type]
