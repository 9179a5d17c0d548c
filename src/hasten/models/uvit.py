"""U-ViT: a transformer over patches, time and label, with long skips (Bao et al., CVPR 2023).

    patches ─┐
    time    ─┼─ tokens ─ in 1 ─ in 2 ─ in 3 ─ mid ─ out 1 ─ out 2 ─ out 3 ─ linear ─ 3x3 conv
    label   ─┘             │      │      └─────────────┘       │       │
                           │      └────────────────────────────┘       │
                           └───────────────────────────────────────────┘   (concatenate, project)

Tensor names follow the authors' checkpoints, so those load as they are. arXiv 2209.12152.
"""

from __future__ import annotations

import math
from typing import final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn


def sinusoid(time: Tensor, width: int) -> Tensor:
    """Cosine half, then sine half, of ``time`` [B] at geometric frequencies; returns [B, width]."""
    half = width // 2
    frequencies = torch.exp(
        -math.log(1e4) * torch.arange(half, dtype=torch.float32, device=time.device) / half
    )
    angles = time.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


@final
class Attention(nn.Module):
    """Multi-head self-attention with one projection for queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, L, D] to tokens [B, L, D]."""
        batch, length, width = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        out = F.scaled_dot_product_attention(q, k, v)
        return self.proj(out.transpose(1, 2).reshape(batch, length, width))  # type: ignore[no-any-return]


@final
class Mlp(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, ratio * width)
        self.fc2 = nn.Linear(ratio * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, L, D] to tokens [B, L, D]."""
        return self.fc2(F.gelu(self.fc1(x)))  # type: ignore[no-any-return]


@final
class Block(nn.Module):
    """Pre-norm transformer block; one of the second half first merges its long skip."""

    def __init__(self, width: int, heads: int, ratio: int, *, skip: bool = False) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, ratio)
        self.skip_linear = nn.Linear(2 * width, width) if skip else None

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """Tokens [B, L, D], and the mirrored block's output of the same shape."""
        if self.skip_linear is not None and skip is not None:
            x = self.skip_linear(torch.cat([x, skip], dim=-1))
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]


@final
class PatchEmbed(nn.Module):
    """Image [B, C, H, W] to tokens [B, H W / p^2, D]."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """Rows of patches, left to right."""
        return self.proj(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


@final
class UViT(nn.Module):
    """The net.

    Args:
        size: Height and width of the image, a multiple of ``patch``.
        channels: Its channels.
        patch: Edge of a patch.
        width: Token width D, a multiple of ``heads``.
        depth: Blocks outside the middle, an even number; there are ``depth + 1`` in all.
        heads: Attention heads.
        ratio: Hidden width of the MLP over D.
        classes: Number of labels including the null label; None for an unconditional net.
        conv: Whether a 3x3 convolution follows the projection to pixels.
    """

    def __init__(
        self,
        size: int,
        channels: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        ratio: int = 4,
        classes: int | None = None,
        conv: bool = True,
    ) -> None:
        super().__init__()
        self.patch, self.width, self.channels = patch, width, channels
        self.patch_embed = PatchEmbed(channels, patch, width)
        self.label_emb = None if classes is None else nn.Embedding(classes, width)
        self.extras = 1 if classes is None else 2
        self.pos_embed = nn.Parameter(torch.zeros(1, self.extras + (size // patch) ** 2, width))
        half = depth // 2
        self.in_blocks = nn.ModuleList(Block(width, heads, ratio) for _ in range(half))
        self.mid_block = Block(width, heads, ratio)
        self.out_blocks = nn.ModuleList(Block(width, heads, ratio, skip=True) for _ in range(half))
        self.norm = nn.LayerNorm(width)
        self.decoder_pred = nn.Linear(width, patch**2 * channels)
        self.final_layer = nn.Conv2d(channels, channels, 3, padding=1) if conv else nn.Identity()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.apply(_initialise)

    def forward(self, x: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        """The net's prediction.

        Args:
            x: Images [B, C, H, W].
            time: Time [B] on the scale 0 .. 999.
            label: Labels [B], integers, for a conditional net.

        Returns:
            Prediction [B, C, H, W].
        """
        height, width = x.shape[-2:]
        extras = [sinusoid(time, self.width).to(x.dtype)[:, None]]
        if self.label_emb is not None:
            extras.insert(0, self.label_emb(label)[:, None])
        h = torch.cat([*extras, self.patch_embed(x)], dim=1) + self.pos_embed
        skips = []
        for block in self.in_blocks:
            h = block(h)
            skips.append(h)
        h = self.mid_block(h)
        for block in self.out_blocks:
            h = block(h, skips.pop())
        h = self.decoder_pred(self.norm(h))[:, self.extras :]
        p, rows, columns = self.patch, height // self.patch, width // self.patch
        h = h.view(len(x), rows, columns, p, p, self.channels)
        image = h.permute(0, 5, 1, 3, 2, 4).reshape(len(x), self.channels, height, width)
        return self.final_layer(image)  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
