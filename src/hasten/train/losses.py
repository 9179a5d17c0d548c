"""The one loss: squared error of the net's own output, whatever it predicts.

With ``o = a x0 + b eps`` (see `hasten.core.process`), the error on eps weighs x0 by SNR, on v by
SNR + 1, on EDM's F by SNR + 1 / sigma_data^2 (Salimans and Ho 2022; Karras et al. 2022, table 1).
So each net is trained with the weighting its authors chose, without a second table of weights.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.process import Floats, as_tensor


def output_loss(
    model: Model, x0: Tensor, noise: Tensor, sigma: Floats, cond: Tensor | None
) -> Tensor:
    """Squared error of the raw prediction, one number a sample.

    Args:
        model: The net in training, with its facts.
        x0: Clean data [B, *shape].
        noise: Standard normal of the same shape.
        sigma: Noise levels [B].
        cond: Conditions [B, ...], or None.

    Returns:
        Mean squared error per sample [B].
    """
    process, prediction = model.process, model.prediction
    scale, _, _ = prediction.coefficients(process, sigma)
    a, b = prediction.mixture(process.alpha(sigma), process.noise_std(sigma))
    x = x0 + as_tensor(sigma, x0) * noise
    time = as_tensor(process.time(sigma), x0).reshape(-1)
    raw = model.call(model.net, as_tensor(scale, x0) * x, time, cond)
    target = as_tensor(a, x0) * x0 + as_tensor(b, x0) * noise
    return (raw - target).square().flatten(1).mean(1)


def stratified_times(count: int, rng: torch.Generator) -> Floats:
    """Uniform t in (0, 1), one in each of ``count`` equal parts, in random order.

    Less variance than independent draws (Kingma et al. 2021, arXiv 2107.00630).
    """
    parts = torch.randperm(count, generator=rng).double()
    jitter = torch.rand(count, generator=rng, dtype=torch.float64)
    return np.asarray((parts + jitter) / count)
