from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.core.process import EDM, VP, Eps, Flow, Prediction, Process, Raw, V, Velocity
from hasten.train.losses import output_loss, stratified_times


class Silent(nn.Module):
    """Predicts zero, as a net with a zero-initialised last layer does at the start."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        return torch.zeros_like(x)


def model(process: Process, prediction: Prediction) -> Model:
    return Model(Silent(), process, prediction, (1, 8, 8))


def test_edm_weighting_starts_at_one_for_every_noise_level() -> None:
    # Karras et al. 2022: with data of standard deviation sigma_data the untrained F has loss 1
    x0 = 0.5 * torch.randn(4096, 1, 8, 8)
    for level in (0.01, 0.5, 30.0):
        sigma = np.full(len(x0), level)
        loss = output_loss(model(EDM(), Raw(0.5)), x0, torch.randn_like(x0), sigma, None)
        assert loss.mean() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    ("process", "prediction", "weight"),
    [
        (VP(), Eps(), lambda s: s**-2),
        (VP(), V(), lambda s: 1 + s**-2),
        (Flow(), Velocity(), lambda s: (1 + 1 / s) ** 2),
    ],
)
def test_the_error_of_each_prediction_weighs_x0_as_published(
    process: Process, prediction: Prediction, weight: object
) -> None:
    x0, noise = torch.randn(64, 1, 8, 8).double(), torch.randn(64, 1, 8, 8).double()
    sigma = np.geomspace(0.05, 20, len(x0))
    silent = model(process, prediction)
    loss = output_loss(silent, x0, noise, sigma, None)
    x = x0 + torch.as_tensor(sigma).view(-1, 1, 1, 1) * noise
    error = (silent.denoise(x, sigma) - x0).square().flatten(1).mean(1)
    expected = torch.as_tensor(weight(sigma)) * error  # type: ignore[operator]
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)


def test_stratified_times_fill_every_part_once() -> None:
    times = stratified_times(100, torch.Generator().manual_seed(1))
    assert sorted(np.floor(times * 100).astype(int)) == list(range(100))
    assert not (np.diff(times) > 0).all()
