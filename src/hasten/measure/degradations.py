"""Slight, stated damage to real data: how far it moves them is the just-visible distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hasten.errors import DataError


@final
@dataclass(frozen=True)
class Blur:
    """Gaussian blur of images.

    Attributes:
        pixels: Standard deviation of the kernel.
    """

    pixels: float = 0.5

    @property
    def name(self) -> str:
        """For people."""
        return f"blur of {self.pixels:g} pixel"

    def __call__(self, images: Tensor) -> Tensor:
        """Blurred images [n, C, H, W], edges repeated.

        Raises:
            DataError: If these are no images.
        """
        if images.ndim != 4:
            raise DataError(
                f"images [n, C, H, W] are needed, got {tuple(images.shape)}", where="blur"
            )
        reach = math.ceil(4 * self.pixels)
        at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
        kernel = torch.exp(-0.5 * (at / self.pixels) ** 2)
        kernel = kernel / kernel.sum()
        lines = images.reshape(-1, 1, *images.shape[2:])
        lines = F.pad(lines, (reach, reach, 0, 0), mode="replicate")
        lines = F.conv2d(lines, kernel.reshape(1, 1, 1, -1))
        lines = F.pad(lines, (0, 0, reach, reach), mode="replicate")
        return F.conv2d(lines, kernel.reshape(1, 1, -1, 1)).reshape(images.shape)


@final
@dataclass(frozen=True)
class Smear:
    """Every number times 1 plus a normal share: a calibration error of a detector's cells.

    Attributes:
        share: Standard deviation of the factor.
        seed: Of the noise.
    """

    share: float = 0.02
    seed: int = 0

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.share:.0%} smearing"

    def __call__(self, samples: Tensor) -> Tensor:
        """Smeared samples [n, ...]."""
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(samples.shape, generator=generator).to(samples)
        return samples * (1 + self.share * noise)


@final
@dataclass(frozen=True)
class Shift:
    """Every number times the same factor: an error of a detector's energy scale.

    Attributes:
        share: What the factor has above 1.
    """

    share: float = 0.01

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.share:+.0%} shift"

    def __call__(self, samples: Tensor) -> Tensor:
        """Shifted samples [n, ...]."""
        return samples * (1 + self.share)
