"""The judge: a small classifier whose last hidden layer measures distances between sets of images.

    image in [0, 1] ─ 3x3 /2 ─ 3x3, skip ─ 3x3 /2 ─ 3x3, skip ─ 3x3 /2 ─ linear ─ linear ─ logits
           28 x 28    14 x 14    14 x 14     7 x 7      7 x 7     4 x 4     │
                                                                        features

Every convolution is followed by batch norm and SiLU, so the features are smooth functions of the
pixels; they keep where things are (no pooling), so a part that is shifted or bent counts. An image
of 28 x 28 costs 5.2 million multiplications at the widths below.

A judge in a folder is ``weights.safetensors`` and ``card.toml``; nothing there is executed.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hasten.errors import ModelError, WeightsError


@final
class _Layer(nn.Module):
    """A 3x3 convolution, batch norm and SiLU; with a skip where the size stays."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = F.silu(self.norm(self.conv(x)))
        return x + y if self.skip else y


@final
class Judge(nn.Module):
    """See the drawing above.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of labels.
        widths: Channels at the three sizes.
        features: Width of the last hidden layer.
        dropout: Share of features dropped in training.

    Raises:
        ModelError: If images are smaller than 8 x 8 or the widths are not three.
    """

    def __init__(
        self,
        shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        widths: tuple[int, int, int] = (32, 64, 64),
        features: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        channels, height, width = shape
        if min(height, width) < 8 or len(widths) != 3:
            raise ModelError(
                f"a judge needs images of at least 8 x 8 and three widths, got {shape} and {widths}"
            )
        one, two, three = widths
        self.shape = (channels, height, width)
        self.config: dict[str, Any] = {
            "shape": list(shape),
            "classes": classes,
            "widths": list(widths),
            "features": features,
            "dropout": dropout,
        }
        self.trunk = nn.Sequential(
            _Layer(channels, one, 2),
            _Layer(one, one, 1),
            _Layer(one, two, 2),
            _Layer(two, two, 1),
            _Layer(two, three, 2),
        )
        cells = -(-height // 8) * -(-width // 8)  # three halvings, each rounded up
        self.embed = nn.Sequential(
            nn.Linear(three * cells, features, bias=False), nn.BatchNorm1d(features), nn.SiLU()
        )
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [n, features] and logits [n, classes] of images [n, C, H, W] in [0, 1]."""
        if images.shape[1:] != self.shape:
            raise ModelError(
                f"this judge looks at images {self.shape}, got {tuple(images.shape[1:])}",
                hint="use a judge made for these images",
            )
        features = self.embed(self.trunk(2 * images - 1).flatten(1))
        return features, self.head(self.drop(features))


def make_judge(config: Mapping[str, Any]) -> Judge:
    """An untrained judge from the ``[net]`` table of its card.

    Raises:
        ModelError: If a key is unknown or its value unsuitable.
    """
    known = {"shape", "classes", "widths", "features", "dropout"}
    if unknown := sorted(set(config) - known):
        raise ModelError(
            f"unknown settings of a judge: {', '.join(unknown)}",
            hint=f"known are {', '.join(sorted(known))}",
        )
    try:
        facts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in config.items()
        }
        return Judge(**facts)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"unsuitable settings of a judge ({error})") from error


def load_judge(folder: str | Path) -> Judge:
    """A trained judge in evaluation mode, in single precision on the CPU.

    Args:
        folder: Holds ``card.toml`` and ``weights.safetensors``.

    Raises:
        ModelError: If the card is missing or unreadable.
        WeightsError: If the weights are missing, damaged, or not those the card describes.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card = read_card(folder)
    judge = make_judge(card.get("net", {}))
    path = Path(folder) / "weights.safetensors"
    try:
        data = path.read_bytes()
        weights = load(data)
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"the judge's weights cannot be read ({error})", where=str(path)
        ) from error
    if hashlib.sha256(data).hexdigest() != card.get("judge", {}).get("weights_sha256"):
        raise WeightsError(
            "the judge's weights are not those its card describes",
            where=str(path),
            hint="its statistics would not fit; restore both files from one source",
        )
    try:
        judge.load_state_dict({name: value.float() for name, value in weights.items()})
    except RuntimeError as error:
        raise WeightsError(
            f"these are not the weights of the net on the card ({error})", where=str(path)
        ) from error
    judge.eval().requires_grad_(requires_grad=False)
    return judge


def read_card(folder: str | Path) -> dict[str, Any]:
    """The judge's ``card.toml``: its net, how it was trained, and what was measured with it.

    Raises:
        ModelError: If it is missing or not TOML.
    """
    path = Path(folder) / "card.toml"
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ModelError("there is no card of a judge", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"the judge's card is not TOML ({error})", where=str(path)) from error


@torch.inference_mode()
def judge_images(judge: Judge, images: Tensor, batch: int = 256) -> tuple[Tensor, Tensor]:
    """Features [n, d] and logits [n, k], float32, of images in [0, 1] or uint8, in batches."""
    parts = []
    for block in torch.split(images, batch):
        unit = block.float() / 255 if block.dtype == torch.uint8 else block.float()
        parts.append(judge(unit))
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)
