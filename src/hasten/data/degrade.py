"""A stated damage to real images, so that a distance between sets has a size one can picture."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from hasten.errors import DataError


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Images convolved with a Gaussian.

    The kernel is ``exp(-i^2 / 2 sigma^2)`` at whole pixels within 4 sigma (at least 1), normalised,
    along both axes; edges are repeated. At sigma = .5 this is (.106, .787, .106): just softer than
    the original when both lie side by side.

    Args:
        images: [n, C, H, W] in [0, 1], or uint8.
        sigma: Standard deviation in pixels.

    Returns:
        float32 [n, C, H, W] in [0, 1], not rounded to bytes.

    Raises:
        DataError: If sigma is not positive or the images have no two axes of pixels.
    """
    if images.ndim != 4 or not sigma > 0:
        raise DataError(f"cannot blur {tuple(images.shape)} by {sigma:g} pixel")
    unit = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    reach = max(1, round(4 * sigma))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(unit.device)
    n, channels, height, width = unit.shape
    flat = unit.reshape(n * channels, 1, height, width)
    flat = F.conv2d(F.pad(flat, (reach, reach, 0, 0), mode="replicate"), kernel.view(1, 1, 1, -1))
    flat = F.conv2d(F.pad(flat, (0, 0, reach, reach), mode="replicate"), kernel.view(1, 1, -1, 1))
    return flat.reshape(n, channels, height, width)
