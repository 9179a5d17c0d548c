"""One forward pass, watched: what every module got and gave."""

from __future__ import annotations

import contextlib
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils import _pytree as pytree

from hasten.core.edit import bare
from hasten.core.example import example, undisturbed
from hasten.core.model import Model
from hasten.errors import ModelError


@final
@dataclass(eq=False)
class Seen:
    """One call of a module.

    Attributes:
        path: Where the module is; ``""`` is the net.
        module: The module.
        inputs: Its arguments, positional before keyword, flattened.
        outputs: Its results, flattened.
        edges_in: Where each input stands in the graph of gradients; None if outside of it.
        edges_out: The same of each output.
        versions: How often each output had been written to when it was returned.
        moved: Positions of inputs that the call wrote to.
    """

    path: str
    module: nn.Module
    inputs: list[Any]
    edges_in: list[GradientEdge | None]
    outputs: list[Any] = field(default_factory=list)
    edges_out: list[GradientEdge | None] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    moved: tuple[int, ...] = ()

    @property
    def overwritten(self) -> bool:
        """Whether somebody wrote into an output after it was returned."""
        return any(
            t._version != version  # noqa: SLF001
            for t, version in zip(self.outputs, self.versions, strict=True)
            if isinstance(t, Tensor)
        )


@final
@dataclass
class Record:
    """What was watched.

    Attributes:
        calls: In order of entry; the net itself is first.
        output: What the sampler takes from it.
        tied: Paths of modules that are reachable by further paths.
    """

    calls: list[Seen]
    output: Tensor
    tied: frozenset[str]


def watch(model: Model, batch: int, *, gradients: bool) -> Record:
    """Run a model's net once on an example and write down every call.

    Args:
        model: The model; whether its net is being edited does not matter, wrappers apart.
        batch: Number of samples.
        gradients: Whether to build the graph of gradients, with every parameter in it.

    Raises:
        ModelError: If the net cannot be run on an example input.
    """
    net = bare(model.net)
    calls: list[Seen] = []
    stack: list[Seen] = []
    # the caller may be sampling; its inference mode would hide what is looked for
    with contextlib.ExitStack() as exit_, undisturbed(net), torch.inference_mode(False):
        inputs = example(model, batch)
        if gradients:
            exit_.enter_context(_differentiable(net))
            for tensor in (inputs.x, inputs.time, inputs.cond):
                if tensor is not None and tensor.is_floating_point():
                    tensor.requires_grad_()
        for path, module in net.named_modules():
            enter, leave = _hooks(path, calls, stack)
            exit_.callback(module.register_forward_pre_hook(enter, with_kwargs=True).remove)
            exit_.callback(module.register_forward_hook(leave).remove)
        exit_.enter_context(torch.set_grad_enabled(gradients))
        output = inputs.ask(model)
    uses = Tally(module for _, module in net.named_modules(remove_duplicate=False))
    tied = frozenset(path for path, module in net.named_modules() if uses[module] > 1)
    return Record(calls, output, tied)


def _hooks(
    path: str, calls: list[Seen], stack: list[Seen]
) -> tuple[Callable[..., None], Callable[..., None]]:
    before: list[list[int]] = []

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        leaves = pytree.tree_leaves((args, kwargs))
        seen = Seen(path, module, leaves, [_edge(leaf) for leaf in leaves])
        before.append(_versions(leaves))
        calls.append(seen)
        stack.append(seen)

    def leave(_: nn.Module, __: tuple[Any, ...], result: Any) -> None:
        seen = stack.pop()
        seen.outputs = pytree.tree_leaves(result)
        seen.edges_out = [_edge(leaf) for leaf in seen.outputs]
        seen.versions = _versions(seen.outputs)
        now = zip(before.pop(), _versions(seen.inputs), strict=True)
        seen.moved = tuple(i for i, (old, new) in enumerate(now) if old != new)

    return enter, leave


def _edge(leaf: Any) -> GradientEdge | None:
    return get_gradient_edge(leaf) if isinstance(leaf, Tensor) and leaf.requires_grad else None


def _versions(leaves: list[Any]) -> list[int]:
    return [leaf._version if isinstance(leaf, Tensor) else 0 for leaf in leaves]  # noqa: SLF001


@contextlib.contextmanager
def _differentiable(net: nn.Module) -> Iterator[None]:
    if any(parameter.is_inference() for parameter in net.parameters()):
        raise ModelError("its weights were made in inference mode")
    flags = [(p, p.requires_grad) for p in net.parameters()]
    try:
        for parameter, _ in flags:
            if parameter.is_floating_point():
                parameter.requires_grad_(True)
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
