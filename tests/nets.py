"""Five small denoisers of different build, each a `Model` with random weights, for all tests.

unet        diffusers' UNet2DModel: concatenated skips, attention, down and up blocks
dit         diffusers' DiTTransformer2DModel: a plain stack, adaptive norms, class labels
uvit        hasten's U-ViT: long skips between blocks of one stack
two_stream  image and text tokens side by side, joint attention, reordered returns
points      clouds [B, N, 4] without attention, conditioned on an energy
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hasten.core.model import Call, Classes, Model
from hasten.core.process import EDM, VP, DiscreteVP, Eps, Flow, Raw, V, Velocity
from hasten.models.uvit import UViT

_PLAIN = {"return_dict": False}


def unet() -> Model:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    net = UNet2DModel(
        sample_size=16,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=None,
        downsample_padding=0,
        norm_num_groups=8,
    )
    process = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))
    return Model(net.eval(), process, Eps(), (3, 16, 16), Call(extra=_PLAIN), name="unet")


def dit() -> Model:
    from diffusers import DiTTransformer2DModel

    torch.manual_seed(0)
    net = DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=2,
        out_channels=2,
        num_layers=5,
        sample_size=8,
        patch_size=2,
        norm_num_groups=1,
        num_embeds_ada_norm=10,
    )
    for block in net.transformer_blocks:
        nn.init.normal_(block.norm1.linear.bias, std=0.5)  # or the gates would hide the blocks
    call = Call(cond="class_labels", extra=_PLAIN)
    return Model(net.eval(), VP(), V(), (2, 8, 8), call, classes=Classes(10, null=10), name="dit")


def uvit() -> Model:
    torch.manual_seed(0)
    net = UViT(size=16, channels=1, patch=4, width=32, depth=6, heads=4, classes=11)
    for p in net.parameters():
        nn.init.normal_(p, std=0.2) if p.ndim > 1 else None
    classes = Classes(10, null=10)
    return Model(
        net.eval(), VP(), V(), (1, 16, 16), Call(cond="label"), classes=classes, name="uvit"
    )


class _JointBlock(nn.Module):
    """Both streams attend to both; returns text first, though it takes the image first."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 2 * width)
        self.image_qkv = nn.Linear(width, 3 * width)
        self.text_qkv = nn.Linear(width, 3 * width)
        self.image_out = nn.Linear(width, width)
        self.text_out = nn.Linear(width, width)
        self.image_mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, image: Tensor, *, text: Tensor, emb: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = self.modulation(F.silu(emb))[:, None].chunk(2, dim=-1)
        normed = F.layer_norm(image, image.shape[-1:]) * (1 + scale) + shift
        qkv = torch.cat([self.image_qkv(normed), self.text_qkv(text)], dim=1)
        batch, tokens, _ = qkv.shape
        q, k, v = qkv.view(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        mixed = (scores @ v).transpose(1, 2).reshape(batch, tokens, -1)
        image = image + self.image_out(mixed[:, : image.shape[1]])
        text = text + self.text_out(mixed[:, image.shape[1] :])
        return text, image + self.image_mlp(image)


class TwoStream(nn.Module):
    """Image [B, 3, 8, 8] under 5 text tokens, made of a label."""

    def __init__(self, width: int = 24, depth: int = 4) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, width, 2, 2)
        self.time = nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
        self.words = nn.Embedding(7, 5 * width)
        self.joint = nn.ModuleList(_JointBlock(width, 3) for _ in range(depth))
        self.leave = nn.Linear(width, 12)

    def forward(self, x: Tensor, time: Tensor, words: Tensor) -> Tensor:
        image = self.enter(x).flatten(2).transpose(1, 2)
        text = self.words(words).view(len(x), 5, -1)
        emb = self.time(time[:, None])
        for block in self.joint:
            text, image = block(image, text=text, emb=emb)
        out = self.leave(image).view(-1, 4, 4, 2, 2, 3)
        return out.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


def two_stream() -> Model:
    torch.manual_seed(0)
    net, classes = TwoStream().eval(), Classes(6, null=6)
    return Model(
        net, Flow(), Velocity(), (3, 8, 8), Call(cond="words"), classes=classes, name="two"
    )


class _PointBlock(nn.Module):
    """Each point sees the mean of all."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.local = nn.Linear(width, width)
        self.common = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, emb: Tensor) -> Tensor:
        n = self.norm(h) + emb[:, None]
        return h + self.out(F.silu(self.local(n) + self.common(n).mean(1, keepdim=True)))


class Points(nn.Module):
    """Clouds of 4 numbers a point; the stream is rescaled between blocks."""

    def __init__(self, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.enter = nn.Linear(4, width)
        self.emb = nn.Linear(2, width)
        self.layers = nn.ModuleList(_PointBlock(width) for _ in range(depth))
        self.leave = nn.Linear(width, 4)

    def forward(self, x: Tensor, time: Tensor, energy: Tensor) -> Tensor:
        emb = self.emb(torch.cat([time[:, None], energy], dim=1))
        h = self.enter(x)
        for layer in self.layers:
            h = layer(h * 0.9, emb)
        return self.leave(h)


def points() -> Model:
    torch.manual_seed(0)
    card = {"cond_shape": [1]}
    return Model(
        Points().eval(),
        EDM(),
        Raw(),
        (12, 4),
        Call(cond="energy"),
        kind="toy",
        card=card,
        name="points",
    )


NETS: dict[str, Callable[[], Model]] = {
    "unet": unet,
    "dit": dit,
    "uvit": uvit,
    "two_stream": two_stream,
    "points": points,
}
