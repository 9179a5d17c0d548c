"""CaloDiT: a transformer over patches of a shower, told the energies of its layers.

    cells [Z, A, R] ── patches ─┐
    their layers' energies ─────┼─ tokens ─ block 1 ─ ... ─ block N ─ norm ─ linear ── cells
    position ───────────────────┘               │
    time ─── MLP ─┬─────────────────────────────┴── shift, scale and gate of every block
    conditions ───┘

After the DiT of Peebles and Xie (arXiv 2212.09748, adaLN-Zero) with the patches of calorimeter
transformers (Favaro et al., CaloDREAM, arXiv 2405.09629): a patch of (3, 16, 1) is one ring of
three layers around the whole axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from hasten.models.uvit import Attention, Mlp, sinusoid

TIME_SCALE = 1000.0
"""EDM tells its nets log(sigma) / 4; the embedding's frequencies are made for 0 .. 999."""


@final
class Embedding(nn.Module):
    """One vector from a time [B] and the numbers a net is conditioned on [B, K]."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.cond = nn.Sequential(nn.Linear(numbers, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor, cond: Tensor) -> Tensor:
        """The vector [B, width]."""
        waves = sinusoid(time * TIME_SCALE, self.width).to(cond.dtype)
        return nn.functional.silu(self.time(waves) + self.cond(cond))


@final
class Block(nn.Module):
    """Transformer block whose norms and branches are steered by a vector (adaLN-Zero)."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False)
        self.mlp = Mlp(width, ratio)
        self.steer = nn.Linear(width, 6 * width)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens [B, L, D] under the vector [B, D]; the same shape."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.steer(c)[:, None].chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1)
        return x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)  # type: ignore[no-any-return]


@final
class CaloDiT(nn.Module):
    """The net.

    Args:
        shape: Layers, sectors, rings (Z, A, R) of a shower.
        patch: Of a patch; divides the shape.
        width: Token width D, a multiple of ``heads``.
        depth: Blocks.
        heads: Attention heads.
        ratio: Hidden width of the MLP over D.
        extra: Numbers in front of the Z layer energies in the condition.
    """

    def __init__(
        self,
        shape: Sequence[int],
        patch: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        ratio: int = 4,
        extra: int = 1,
    ) -> None:
        super().__init__()
        if any(size % part for size, part in zip(shape, patch, strict=True)):
            raise ValueError(f"patches of {tuple(patch)} do not tile {tuple(shape)}")
        self.patch, self.extra = tuple(patch), extra
        self.grid = tuple(size // part for size, part in zip(shape, patch, strict=True))
        cells = math.prod(patch)
        self.embed = nn.Linear(cells, width)
        self.layers = nn.Linear(self.patch[0], width)
        self.position = nn.Parameter(torch.empty(1, math.prod(self.grid), width))
        self.steering = Embedding(width, extra + shape[0])
        blocks = [Block(width, heads, ratio) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.steer = nn.Linear(width, 2 * width)
        self.final = nn.Linear(width, cells)
        nn.init.trunc_normal_(self.position, std=0.02)
        for block in blocks:
            _silence(block.steer)
        _silence(self.steer)
        _silence(self.final)

    def forward(self, x: Tensor, time: Tensor, cond: Tensor) -> Tensor:
        """The net's prediction.

        Args:
            x: Showers [B, Z, A, R].
            time: Time [B] as EDM tells it, log(sigma) / 4.
            cond: Conditions [B, extra + Z]; the last Z say what the layers' energies are.

        Returns:
            Prediction [B, Z, A, R].
        """
        (z, a, r), (pz, pa, pr) = self.grid, self.patch
        count = len(x)
        cells = x.view(count, z, pz, a, pa, r, pr).permute(0, 1, 3, 5, 2, 4, 6)
        own = self.layers(cond[:, self.extra :].view(count, z, 1, pz)).expand(-1, -1, a * r, -1)
        h = self.embed(cells.reshape(count, z * a * r, pz * pa * pr))
        h = h + own.reshape(h.shape) + self.position
        c = self.steering(time, cond)
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.steer(c)[:, None].chunk(2, dim=-1)
        h = self.final(self.norm(h) * (1 + scale) + shift)
        h = h.view(count, z, a, r, pz, pa, pr).permute(0, 1, 4, 2, 5, 3, 6)
        return h.reshape(x.shape)  # type: ignore[no-any-return]


@final
class LayerNet(nn.Module):
    """Residual MLP over the energies of the layers, steered as the blocks above are.

    Args:
        numbers: Of a sample.
        width: Of the hidden vector.
        depth: Blocks.
        cond: Numbers in the condition.
    """

    def __init__(self, numbers: int, width: int, depth: int, cond: int = 1) -> None:
        super().__init__()
        self.embed = nn.Linear(numbers, width)
        self.steering = Embedding(width, cond)
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, elementwise_affine=False) for _ in range(depth)
        )
        self.steers = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.mlps = nn.ModuleList(Mlp(width, 2) for _ in range(depth))
        self.final = nn.Linear(width, numbers)
        for steer in self.steers:
            _silence(steer)
        _silence(self.final)

    def forward(self, x: Tensor, time: Tensor, cond: Tensor) -> Tensor:
        """Prediction [B, numbers] for x [B, numbers], time [B] and conditions [B, K]."""
        c, h = self.steering(time, cond), self.embed(x)
        for norm, steer, mlp in zip(self.norms, self.steers, self.mlps, strict=True):
            shift, scale, gate = steer(c).chunk(3, dim=-1)
            h = h + gate * mlp(norm(h) * (1 + scale) + shift)
        return self.final(h)  # type: ignore[no-any-return]


def _silence(layer: nn.Module) -> None:
    """Zero weights: the net begins as the identity, and the prediction as zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
