"""Calling a net just to look at it: made-up inputs, and no traces left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.errors import ModelError


@final
@dataclass(frozen=True)
class Example:
    """What a net takes.

    Attributes:
        x: Its input, scaled as the process scales it, [B, *shape].
        time: Its time, [B].
        cond: Its condition, [B, ...]; or None.
    """

    x: Tensor
    time: Tensor
    cond: Tensor | None

    def ask(self, model: Model) -> Tensor:
        """The net's own prediction [B, *shape].

        Raises:
            ModelError: If the net cannot be run on this input.
        """
        try:
            return model.call(model.net, self.x, self.time, self.cond)
        except (TypeError, RuntimeError, IndexError, ValueError, AttributeError) as error:
            raise ModelError(
                f"the net fails on an example input ({type(error).__name__}: {error})",
                where=model.name,
                hint="check shape, call and classes; for a condition that is no label, state its "
                "shape without the batch axis as cond_shape in the model's card",
            ) from error


def example(model: Model, batch: int) -> Example:
    """A plausible input from the middle of the process; always the same for the same batch.

    Args:
        model: Whose net is to be asked.
        batch: Number of samples.
    """
    rng = torch.Generator().manual_seed(batch)
    sigma = model.process.snap(model.process.sigma_of_t(np.asarray(0.5)))
    scale = float(model.prediction.coefficients(model.process, sigma)[0])
    x = torch.randn(batch, *model.shape, generator=rng) * scale * (1 + float(sigma) ** 2) ** 0.5
    # as the sampler has it: single precision, or double for a net in double precision
    precise = torch.promote_types(model.dtype, torch.float32)
    time = torch.full((batch,), float(model.process.time(sigma)), dtype=precise)
    cond: Tensor | None = None
    if model.call.cond is not None:
        if model.classes is not None:
            labels = torch.arange(batch) % model.classes.count
            cond = model.encode(labels, range(batch))
        elif model.energies is not None:
            cond = model.encode(model.energies.at(torch.linspace(0, 1, batch)), range(batch))
        elif (shape := model.card.get("cond_shape")) is not None:
            cond = torch.rand(batch, *shape, generator=rng).to(model.device, precise)
    return Example(x.to(model.device, model.dtype), time.to(model.device), cond)


@contextlib.contextmanager
def undisturbed(net: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards modes and random generators are as they were."""
    modes = [(module, module.training) for module in net.modules()]
    parameters = next(net.parameters(), None)
    devices = [parameters.device] if parameters is not None and parameters.is_cuda else []
    with torch.random.fork_rng(devices):
        try:
            net.eval()
            yield
        finally:
            for module, mode in modes:
                module.training = mode
