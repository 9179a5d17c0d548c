"""Recall: a net that answers from memory what it was asked before.

A number of row k changes nothing before row k, so most of what the net is asked on the way to a
derivative is word for word what it was asked for the plan itself. `play` borrows whole rows for
that; where samplers are opaque (transforms that sample on their own, codecs) the net remembers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from hasten.core.method import Stage
from hasten.core.model import Model
from hasten.recipe import Recipe


@final
class Recalling(nn.Module):
    """Stands for a net, with its weights and their names; answers are the same bit for bit.

    All answers since `begin` are kept where the net is: for a plan of k rows, k times the samples.

    Args:
        inner: The net.

    Attributes:
        asked: How often the net itself had to be asked.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.training = inner, inner.training
        self.asked = 0
        self._answers: dict[bytes, Any] = {}
        self._keeping = False

    def begin(self, *, anew: bool) -> None:
        """Forget, and remember from here on; or else only recall."""
        self._keeping = anew
        if anew:
            self._answers.clear()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The net's answer."""
        key = _digest((args, kwargs))
        if key in self._answers:
            return self._answers[key]
        self.asked += 1
        answer = self.inner(*args, **kwargs)
        if self._keeping:
            self._answers[key] = answer
        return answer

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """The net's state under its usual names, so that it is known as the same."""
        return self.inner.state_dict(*args, **kwargs)


def recalling(model: Model, recipe: Recipe) -> tuple[Model, Recalling]:
    """The model with a net that recalls, if a recipe leaves its net as it is.

    What a method puts into a net may depend on more than the net is asked, and on earlier rows;
    then the model comes back as it is, and nothing is recalled.
    """
    net = Recalling(model.net)
    leaves = all(method.stage is Stage.DECODE for method in recipe.methods)
    return (model.replace(net=net) if leaves else model), net


def _digest(asked: Any) -> bytes:
    found = hashlib.blake2b(digest_size=16)
    for part in _parts(asked):
        found.update(part)
    return found.digest()


def _parts(value: Any) -> Iterable[bytes]:
    """Everything a question consists of, with its forms."""
    if isinstance(value, Tensor):
        yield repr((value.shape, value.dtype)).encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield from _parts(torch.from_numpy(value))
    elif isinstance(value, Mapping):
        yield b"{"
        for key, each in value.items():
            yield repr(key).encode()
            yield from _parts(each)
        yield b"}"
    elif isinstance(value, (tuple, list)):
        yield b"("
        for each in value:
            yield from _parts(each)
        yield b")"
    else:
        yield repr(value).encode()
