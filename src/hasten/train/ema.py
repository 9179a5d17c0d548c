"""Averages of weights over training, with a length that grows with it.

A power-function average keeps the same relative width whenever training stops (Karras et al. 2023,
arXiv 2312.02696, eqs. 4-5 and algorithm 2), which is what short and resumed runs need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor, nn


def exponent(width: float) -> float:
    """The power gamma whose profile has relative standard deviation ``width`` (eq. 5 inverted)."""
    roots = np.roots([1, 7, 16 - width**-2, 12 - width**-2])
    return float(roots.real[np.abs(roots.imag) < 1e-9].max())


@final
class PowerAverage:
    """The running average of a net's parameters; buffers are copied.

    Args:
        net: The net in training.
        width: Relative width of the profile, about .05 to .25 of the training so far.
    """

    def __init__(self, net: nn.Module, width: float = 0.1) -> None:
        self.gamma = exponent(width)
        self.weights = {k: v.detach().float().clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def update(self, net: nn.Module, before: int, after: int) -> None:
        """Take in the weights after ``after`` images; the last update was at ``before``."""
        beta = (before / after) ** (self.gamma + 1)
        for name, trained in net.named_parameters():
            self.weights[name].lerp_(trained.float(), 1 - beta)
        for name, buffer in net.named_buffers():
            if name in self.weights:  # not all buffers are stored
                self.weights[name].copy_(buffer)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Continue from a stored average."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
