"""Sources: what a training draws its batches from, already as the net will see it.

A batch is asked for by its indices, with the generator of its step, so that a resumed training
sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import abc
from typing import final

import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.errors import DataError

Batch = tuple[Tensor, Tensor | None]
"""Clean samples [B, *shape] and what the net is told about them [B, ...], or None."""


class Source(abc.ABC):
    """Samples to train on."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abc.abstractmethod
    def draw(self, index: Tensor, rng: torch.Generator) -> Batch:
        """The samples of these numbers [B]; what is random about them comes from ``rng``."""


@final
class Pictures(Source):
    """Images, made into [-1, 1].

    Args:
        model: The net that is to see them; they go to its device.
        pixels: uint8 [n, C, H, W].
        labels: Classes [n], or None.
        flip: Whether images are mirrored at random.
        drop: Share of labels replaced by the null class, if the model has one.

    Raises:
        DataError: If they are not of the model's shape, or labels are missing.
    """

    def __init__(
        self,
        model: Model,
        pixels: Tensor,
        labels: Tensor | None,
        *,
        flip: bool = False,
        drop: float = 0.1,
    ) -> None:
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != model.shape:
            raise DataError(
                f"images of shape {tuple(pixels.shape[1:])} for a net of {model.shape}",
                hint="convert the data, or change the net's size and channels",
            )
        if labels is None and model.classes is not None:
            raise DataError("the net is conditioned on classes, but the data has no labels")
        self._pixels = pixels.to(model.device)
        self._labels = None if labels is None else labels.to(model.device)
        self._null = None if model.classes is None else model.classes.null
        self._flip, self._drop = flip, drop

    def __len__(self) -> int:
        return len(self._pixels)

    def draw(self, index: Tensor, rng: torch.Generator) -> Batch:
        index = index.to(self._pixels.device)
        x0 = self._pixels[index].float().div_(127.5).sub_(1)
        if self._flip:
            mirrored = torch.rand(len(x0), generator=rng).lt(0.5).to(x0.device)
            x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
        cond = None if self._labels is None else self._labels[index]
        if cond is not None and self._null is not None:
            dropped = torch.rand(len(x0), generator=rng).lt(self._drop).to(x0.device)
            cond = cond.masked_fill(dropped, self._null)
        return x0, cond


@final
class Rows(Source):
    """Vectors with conditions, as they are.

    Args:
        x0: Clean samples [n, d].
        cond: Conditions [n, k].
    """

    def __init__(self, x0: Tensor, cond: Tensor) -> None:
        self._x0, self._cond = x0, cond

    def __len__(self) -> int:
        return len(self._x0)

    def draw(self, index: Tensor, rng: torch.Generator) -> Batch:  # noqa: ARG002
        index = index.to(self._x0.device)
        return self._x0[index], self._cond[index]


@final
class Turned(Source):
    """Showers along the axis of their detector, turned and mirrored at random.

    Nothing tells one sector from another, so every shower stands for as many as there are.

    Args:
        x0: Clean samples [n, layers, sectors, rings], in any precision.
        cond: Conditions [n, k]; a turn leaves them as they are.
    """

    def __init__(self, x0: Tensor, cond: Tensor) -> None:
        self._x0, self._cond = x0, cond

    def __len__(self) -> int:
        return len(self._x0)

    def draw(self, index: Tensor, rng: torch.Generator) -> Batch:
        device, sectors = self._x0.device, self._x0.shape[2]
        turn = torch.randint(sectors, (len(index), 1), generator=rng)
        sense = 1 - 2 * torch.randint(2, (len(index), 1), generator=rng)
        order = (turn + sense * torch.arange(sectors)).remainder(sectors).to(device)
        index = index.to(device)
        turned = self._x0[index].gather(2, order[:, None, :, None].expand(self._drawn(index)))
        return turned.float(), self._cond[index]

    def _drawn(self, index: Tensor) -> tuple[int, ...]:
        return len(index), *self._x0.shape[1:]
