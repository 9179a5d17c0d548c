"""A mixture of Gaussians noised by any process: the denoiser that is known exactly.

For data ``x0 ~ sum_k w_k N(mu_k, S_k I)`` the best estimate given ``x = x0 + sigma eps`` is

    D(x, sigma) = sum_k p_k (S_k x + sigma^2 mu_k) / (S_k + sigma^2),
    p_k proportional to w_k N(x; mu_k, (S_k + sigma^2) I).

`MixtureNet` says it the way a trained net would: it reads a scaled input and a process time, and
answers with noise, data, v or velocity. So one formula tests processes, predictions and solvers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hasten.core.model import Call, Classes, Model
from hasten.core.process import EDM, X0, Prediction, Process, as_tensor
from hasten.errors import ModelError

MEANS = ((0.9, 0.4), (-0.8, 0.6), (0.1, -0.9), (-0.5, -0.5))
VARIANCES = (0.04, 0.09, 0.06, 0.05)
WEIGHTS = (0.3, 0.2, 0.3, 0.2)


@final
class MixtureNet(nn.Module):
    """The exact denoiser of a Gaussian mixture, in the guise of a net.

    Args:
        process: How the net pretends to have been trained.
        prediction: What it answers with.
        means: [K, *shape].
        variances: [K], of every coordinate.
        weights: [K], positive; normalised here.
        labels: Class of each component [K], or None. Label ``max(labels) + 1`` means all classes.
    """

    def __init__(
        self,
        process: Process,
        prediction: Prediction,
        means: NDArray[np.float64],
        variances: NDArray[np.float64],
        weights: NDArray[np.float64],
        labels: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        count = len(means)
        if not (len(variances) == len(weights) == count and (variances > 0).all()):
            raise ModelError("a mixture needs one positive variance and one weight a component")
        if (weights <= 0).any() or (labels is not None and len(labels) != count):
            raise ModelError("a mixture needs positive weights and one label a component")
        self._process, self._prediction = process, prediction
        self.means = _fixed(means)
        self.variances = _fixed(variances)
        self.weights = _fixed(weights / weights.sum())
        allowed = np.ones((1, count), dtype=bool)
        if labels is not None:
            allowed = np.concatenate([labels == np.arange(labels.max() + 1)[:, None], allowed])
        self.register_buffer("allowed", torch.from_numpy(allowed), persistent=False)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """The prediction [B, *shape] for input [B, *shape], times [B] and labels [B]."""
        sigma = self._process.sigma_of_time(time.detach().double().cpu().numpy())
        facts = self._prediction.coefficients(self._process, sigma)
        scale, skip, out = (as_tensor(fact, x) for fact in facts)
        x_hat = x / scale
        return (self.denoise(x_hat, as_tensor(sigma, x), label) - skip * x_hat) / out

    def denoise(self, x: Tensor, sigma: Tensor, label: Tensor | None = None) -> Tensor:
        """``D(x, sigma)`` in VE coordinates, [B, *shape].

        Args:
            x: [B, *shape].
            sigma: Broadcastable against ``x``: one level, or [B, 1, ...].
            label: Class labels [B]; None means all components.
        """
        flat, means = x.flatten(1), self.means.flatten(1)
        noise = (sigma * sigma).reshape(-1, 1)  # [B or 1, 1]
        total = self.variances + noise  # [B or 1, K]
        distance = (flat[:, None] - means).square().sum(-1)  # [B, K]
        logits = self.weights.log() - flat.shape[1] / 2 * total.log() - distance / (2 * total)
        logits = logits.masked_fill(~self._allowed(label), -math.inf)
        share = logits.softmax(-1) / total  # p_k / (S_k + sigma^2)
        own = (share * self.variances).sum(-1, keepdim=True) * flat
        return (own + (share * noise) @ means).reshape(x.shape)

    def draw(self, count: int, rng: np.random.Generator, label: int | None = None) -> Tensor:
        """Data of the mixture, [count, *shape].

        Made by NumPy in double precision, so that it is the same to the last bit in every process;
        a square root of torch is not on all machines.
        """
        allowed = self._allowed(None if label is None else torch.tensor([label]))[0]
        means, variances, weights = (
            each.detach().double().cpu().numpy()
            for each in (self.means, self.variances, self.weights * allowed)
        )
        chosen = rng.choice(len(weights), count, p=weights / weights.sum())
        deviation = np.sqrt(variances[chosen]).reshape(-1, *[1] * (means.ndim - 1))
        made = means[chosen] + deviation * rng.standard_normal((count, *means.shape[1:]))
        return torch.from_numpy(made).to(self.means)

    def _allowed(self, label: Tensor | None) -> Tensor:
        allowed = self.get_buffer("allowed")
        return allowed[-1:] if label is None else allowed[label.to(allowed.device)]


def mixture_model(
    process: Process | None = None,
    prediction: Prediction | None = None,
    *,
    means: NDArray[np.float64] | Sequence[Sequence[float]] = MEANS,
    variances: NDArray[np.float64] | Sequence[float] = VARIANCES,
    weights: NDArray[np.float64] | Sequence[float] = WEIGHTS,
    labels: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """A model whose denoiser is exact.

    Args:
        process: How it is noised; EDM if None.
        prediction: What the net answers with; x0 if None.
        means: [K, *shape]; four points of the plane by default.
        variances: [K].
        weights: [K].
        labels: Class of each component, for a class-conditional model; its null label is one past
            the largest.
        dtype: float32 or float64.

    Raises:
        ModelError: If the facts contradict each other.
    """
    process, prediction = process or EDM(), prediction or X0()
    centres = np.asarray(means, dtype=np.float64)
    classes = None if labels is None else np.asarray(labels, dtype=np.int64)
    net = MixtureNet(
        process,
        prediction,
        centres,
        np.asarray(variances, dtype=np.float64),
        np.asarray(weights, dtype=np.float64),
        classes,
    )
    count = 0 if classes is None else int(classes.max()) + 1
    return Model(
        net=net.to(dtype).eval(),
        process=process,
        prediction=prediction,
        shape=centres.shape[1:],
        call=Call(cond=None if classes is None else "label"),
        classes=None if classes is None else Classes(count, null=count),
        name="mixture",
        kind="toy",
    )


def _fixed(values: NDArray[np.float64]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values)), requires_grad=False)
