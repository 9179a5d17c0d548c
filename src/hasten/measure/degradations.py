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
        """Blurred images [n, C, H, W], edges repeated; bytes become numbers in [0, 1].

        The kernel is ``exp(-i^2 / 2 sigma^2)`` at whole pixels within 4 sigma, normalised, along
        both axes. At sigma = .5 this is (.106, .787, .106): just softer than the original when both
        lie side by side.

        Raises:
            DataError: If these are no images, or the kernel has no width.
        """
        if images.ndim != 4 or not self.pixels > 0:
            raise DataError(
                f"cannot blur {tuple(images.shape)} by {self.pixels:g} pixel",
                where="blur",
                hint="images [n, C, H, W], and a deviation above 0",
            )
        if images.dtype == torch.uint8:
            images = images.float() / 255
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
