"""Counts of work: published numbers to the digit, and every way to write a product."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from hasten.core.macs import Macs, count_macs
from hasten.core.model import Call, Model
from hasten.core.process import VP, Eps
from hasten.models.uvit import UViT


def model_of(net: nn.Module, shape: tuple[int, ...], call: Call | None = None) -> Model:
    return Model(net.eval(), VP(), Eps(), shape, call or Call())


def test_uvit_small_counts_as_published():
    with torch.device("meta"):
        net = UViT(size=32, channels=3, patch=2, width=512, depth=12, heads=8, classes=None)
    assert sum(p.numel() for p in net.parameters()) == 44_255_328
    counter = count_macs(model_of(net, (3, 32, 32)))
    total = counter.within("")
    assert round(total.linear_conv / 1e9, 6) == 11.321564
    assert total.attention == 2 * 257**2 * 512 * 13
    assert counter.within("in_blocks.0").linear_conv == 257 * (4 + 8) * 512**2
    assert counter.within("out_blocks.5.skip_linear").linear_conv == 257 * 2 * 512**2


def test_ddpm_unet_counts_as_published():
    from diffusers import UNet2DModel

    with torch.device("meta"):
        net = UNet2DModel(
            sample_size=32,
            layers_per_block=2,
            block_out_channels=(128, 256, 256, 256),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=None,
            downsample_padding=0,
            flip_sin_to_cos=False,
            freq_shift=1,
            norm_eps=1e-6,
        )
    assert sum(p.numel() for p in net.parameters()) == 35_746_307
    total = count_macs(model_of(net, (3, 32, 32), Call(extra={"return_dict": False}))).within("")
    assert round(total.linear_conv / 1e9, 6) == 6.053954
    # five attentions at 16 x 16 and one at 4 x 4, one head of 256 channels each
    assert total.attention == 2 * 256 * (5 * 256**2 + 16**2)


class Products(nn.Module):
    """Every way to multiply, each in a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, 6, 3)
        self.conv2 = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2)
        self.conv3 = nn.Conv3d(1, 2, 2)
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.linear = nn.Linear(8, 5)
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.weight = nn.Parameter(torch.randn(5, 8))
        self.functional = Functional()

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        image = x.reshape(-1, 2, 4, 4)
        tokens = x.reshape(-1, 4, 8)
        outs = [
            self.conv1(tokens),
            self.conv2(image),
            self.conv3(image[:, :1, None].expand(-1, 1, 2, 4, 4)),
            self.up(image.reshape(-1, 4, 2, 4)),
            self.linear(tokens),
            self.mha(tokens, tokens, tokens, need_weights=False)[0],
            self.layer(tokens),
            self.functional(tokens, self.weight),
        ]
        return x + sum(out.mean() for out in outs)


class Functional(nn.Module):
    def forward(self, tokens: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        strided = tokens.transpose(1, 2).contiguous().transpose(1, 2)
        scores = torch.einsum("bld,bmd->blm", tokens, tokens)
        return F.linear(strided, weight).mean() + scores.mean() + F.linear(tokens, weight).mean()


@pytest.mark.parametrize("batch", [1, 3])
def test_every_product_is_counted_in_its_column(batch):
    counter = count_macs(model_of(Products(), (32,)), batch)
    b = batch
    assert counter.within("conv1") == Macs(b * 6 * 4 * 3 * 6)
    assert counter.within("conv2") == Macs(b * 4 * 4 * 1 * 9)
    assert counter.within("conv3") == Macs(b * 2 * 1 * 3 * 3 * 8)
    assert counter.within("up") == Macs(b * 4 * 8 * 3 * 4)
    assert counter.within("linear") == Macs(b * 4 * 8 * 5)
    # the fused paths of PyTorch's own layers are taken apart
    assert counter.within("mha") == Macs(b * 4 * 4 * 8 * 8, b * 2 * 4 * 4 * 8)
    assert counter.within("layer") == Macs(b * 4 * (4 * 64 + 2 * 8 * 16), b * 2 * 4 * 4 * 8)
    assert counter.within("functional") == Macs(b * 2 * 4 * 8 * 5, b * 4 * 4 * 8)
    assert counter.within("") == sum(counter.own.values(), Macs())


def test_counting_leaves_no_trace():
    net = Products().train()
    state = torch.get_rng_state()
    count_macs(Model(net, VP(), Eps(), (32,)))
    assert all(module.training for module in net.modules())
    assert torch.equal(torch.get_rng_state(), state)
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
