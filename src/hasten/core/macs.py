"""Multiply-accumulates of a net, counted by watching the operations it dispatches.

Two columns are kept apart because published counts differ in what they include: products with
weights (linear layers and convolutions), and products of activations with each other (attention:
``2 L^2 d`` a layer). Norms, biases and activations are not counted. What runs is what is counted,
whatever the classes are called, also where no module is (functional calls), and on the meta device.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from hasten.core.example import example, undisturbed
from hasten.core.model import Model


@final
@dataclass(frozen=True)
class Macs:
    """Multiply-accumulates.

    Attributes:
        linear_conv: Products with weights.
        attention: Products of activations with each other.
    """

    linear_conv: int = 0
    attention: int = 0

    @property
    def total(self) -> int:
        """Both columns."""
        return self.linear_conv + self.attention

    def __add__(self, other: Macs) -> Macs:
        return Macs(self.linear_conv + other.linear_conv, self.attention + other.attention)


@final
@dataclass(frozen=True)
class Product:
    """A product of activations: ``rows x inner`` times ``inner x columns``, so many times.

    Attributes:
        path: The module it happened in.
        count: Number of such products, all samples and heads together.
        rows: Queries, in attention's first product.
        columns: Keys.
        fused: Whether it is a whole fused attention.
    """

    path: str
    count: int
    rows: int
    columns: int
    fused: bool


@final
class Counter:
    """Counts what runs inside its with-block, by the innermost module it runs in.

    Args:
        net: The net about to be called.

    Attributes:
        own: Counts by module path, without those of the modules inside.
        products: Every product of activations, in order.
        softmaxes: Paths of modules in which a softmax ran.
    """

    def __init__(self, net: nn.Module) -> None:
        self.own: defaultdict[str, Macs] = defaultdict(Macs)
        self.products: list[Product] = []
        self.softmaxes: set[str] = set()
        self._net, self._stack = net, [""]
        self._exit = contextlib.ExitStack()

    def within(self, path: str) -> Macs:
        """The count of a module with everything inside it; ``""`` is the net."""
        inside = path + "." if path else ""
        return sum((m for p, m in self.own.items() if p == path or p.startswith(inside)), Macs())

    def __enter__(self) -> Self:
        for path, module in self._net.named_modules():
            enter, leave = self._hooks(path)
            self._exit.callback(module.register_forward_pre_hook(enter).remove)
            self._exit.callback(module.register_forward_hook(leave).remove)
        self._exit.enter_context(_Plain())
        self._exit.enter_context(_Operations(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    def saw(self, operation: str, args: tuple[Any, ...], out: Any) -> None:
        """Take an operation into account."""
        path = self._stack[-1]
        if _is_attention(operation):
            q, k, v = args[:3]
            count, (rows, inner), columns = math.prod(q.shape[:-2]), q.shape[-2:], k.shape[-2]
            self.own[path] += Macs(attention=count * rows * columns * (inner + v.shape[-1]))
            self.products.append(Product(path, count, rows, columns, fused=True))
        elif operation in _BATCHED:
            a, b = args[_BATCHED[operation] :][:2]
            size = out.numel() * a.shape[-1]
            if b.stride(0) == 0 and b.shape[0] > 1:  # one matrix for all: a weight, not activations
                self.own[path] += Macs(linear_conv=size)
            else:
                self.own[path] += Macs(attention=size)
                count, rows, columns = out.shape
                self.products.append(Product(path, count, rows, columns, fused=False))
        elif operation in _SINGLE:
            self.own[path] += Macs(linear_conv=out.numel() * args[_SINGLE[operation]].shape[-1])
        elif operation == "aten.convolution":
            image, weight, transposed = args[0], args[1], args[6]
            places = image.numel() if transposed else out.numel()
            self.own[path] += Macs(linear_conv=places * math.prod(weight.shape[1:]))
        elif operation in _SOFTMAX:
            self.softmaxes.add(path)

    def _hooks(self, path: str) -> tuple[Callable[..., None], Callable[..., None]]:
        def enter(*_: Any) -> None:
            self._stack.append(path)

        def leave(*_: Any) -> None:
            self._stack.pop()

        return enter, leave


# operation: position of the first factor among its arguments
_SINGLE = {
    "aten.linear": 0,
    "aten.mm": 0,
    "aten.mv": 0,
    "aten.addmm": 1,
    "aten.addmv": 1,
    "aten._int_mm": 0,
}
_BATCHED = {"aten.bmm": 0, "aten.baddbmm": 1}
_SOFTMAX = ("aten._softmax", "aten._safe_softmax")


def _is_attention(operation: str) -> bool:
    # every backend has an operation of its own, all so named, and all take q, k, v first
    return "scaled_dot_product" in operation


@final
class _Plain(TorchFunctionMode):
    """Its presence keeps transformers on the path of separate operations, which can be counted."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return func(*args, **(kwargs or {}))


@final
class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells a counter of every operation that runs, taking composite ones apart."""

    def __init__(self, counter: Counter) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._counter = counter

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        operation = str(func.overloadpacket)
        if not _is_attention(operation) and operation != "aten.linear":
            with self:  # in inference mode composite operations arrive whole
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        self._counter.saw(operation, args, out)
        return out


def count_macs(model: Model, batch: int = 1) -> Counter:
    """Count one evaluation of a model's net.

    Args:
        model: The model; its net may be on the meta device.
        batch: Number of samples evaluated.

    Returns:
        The counter: ``.within("")`` is the net's total.

    Raises:
        ModelError: If the net cannot be run on an example input.
    """
    # inference mode, because there a linear layer is one operation however it is carried out
    with undisturbed(model.net), torch.inference_mode(), Counter(model.net) as counter:
        example(model, batch).ask(model)
    return counter
