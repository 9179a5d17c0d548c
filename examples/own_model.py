"""A net of your own, with neither images nor attention.

Use it as ``hasten inspect examples/own_model.py:ring``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hasten.adapters.module import from_module
from hasten.core.model import Model
from hasten.core.process import EDM, Raw


class Points(nn.Module):
    """A denoiser of point clouds [B, n, 2]: a point sees itself, the mean point and the time."""

    def __init__(self, width: int = 64, depth: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(5, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.last = nn.Linear(width, 2)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """The net's raw output [B, n, 2] at ``time`` [B], which under EDM is log(sigma) / 4."""
        mean = x.mean(dim=1, keepdim=True).expand_as(x)
        h = self.first(torch.cat([x, mean, time[:, None, None].expand_as(x[..., :1])], dim=-1))
        for block in self.blocks:
            h = h + block(torch.nn.functional.silu(h))
        return self.last(h)


def ring() -> Model:
    """Clouds of 32 points; load your weights into the net here."""
    torch.manual_seed(0)
    return from_module(Points(), EDM(sigma_max=10.0), Raw(0.7), (32, 2), name="ring")
