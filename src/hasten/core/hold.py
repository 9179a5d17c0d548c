"""Holding: the three wrappers that carry out a cut.

    net        Gate     decides at the start of each evaluation whether it is held
    held       Held     remembers its result, or gives it back
    silent     Silent   runs, or returns nothing but NaN of the right shape

Whether an evaluation is held is decided once, at the net's entrance, because modules ahead of a
held one must know too: when the plan says so, and the same run has a full evaluation of the same
slot and of the same shapes behind it. Rows of the batch stay in their places, so what is kept of a
sample returns to that sample. If guidance is switched on or off between the two evaluations, shapes
differ and everything is computed afresh. Silent modules return NaN and not zeros: should anything
depend on them after all, the sampler stops in words instead of drawing something wrong.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from hasten.core.clock import Clock, Scratch
from hasten.core.edit import Wrapped
from hasten.core.parts import Cut, Streams
from hasten.errors import MethodError


@final
class Keeper:
    """What one cut keeps: a memory for every slot of the run under way.

    Attributes:
        clock: The model's.
        holding: Whether the evaluation under way is held.
        memory: Kept values by module path, of the slot under way; None outside of runs.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._scratch = Scratch()
        self.holding = False
        self.memory: dict[str, Any] | None = None

    def begin(self, form: Any) -> None:
        """Start an evaluation with inputs of this form.

        Raises:
            MethodError: If the plan asks for a forecast.
        """
        self.end()
        if not self.clock.run:
            return
        if self.clock.reuse.kind == "forecast":
            raise MethodError(
                "features are held as they are; they cannot be forecast",
                where=f"row {self.clock.row}",
                hint="write hold into the plan's reuse column",
            )
        slots = self._scratch.of(self.clock)
        memory = slots.get(self.clock.slot)
        self.holding = not self.clock.reuse.full and memory is not None and memory[""] == form
        self.memory = memory if self.holding else {"": form}
        slots[self.clock.slot] = self.memory

    def end(self) -> None:
        """The evaluation is over, or there was none."""
        self.holding, self.memory = False, None

    def recall(self, path: str) -> Any:
        """What a module kept.

        Raises:
            MethodError: If it did not run at the last full evaluation.
        """
        if self.memory is None or path not in self.memory:
            raise MethodError(
                "this module did not run at the last full evaluation, so nothing is kept of it",
                where=path,
                hint="the net takes different paths at different noise levels: choose other sites",
            )
        return self.memory[path]

    def __deepcopy__(self, memo: dict[int, Any]) -> Keeper:
        twin = memo[id(self)] = Keeper(copy.deepcopy(self.clock, memo))
        return twin


@final
class Gate(Wrapped):
    """Round the net: opens and closes an evaluation."""

    def __init__(self, inner: nn.Module, keeper: Keeper) -> None:
        super().__init__(inner)
        self.keeper = keeper

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the net."""
        leaves = _leaves(args, kwargs)
        self.keeper.begin([_form(leaf) for leaf in leaves if isinstance(leaf, Tensor)])
        try:
            return self.inner(*args, **kwargs)
        finally:
            self.keeper.end()


@final
class Held(Wrapped):
    """Gives back what was kept, corrected for how far its input has moved since.

    With ``y_k, x_k`` kept and ``x`` the input now, a stream leaves as ``y_k + (x - x_k)``: the kept
    residual ``y_k - x_k`` on top of ``x``, in the order that returns ``y_k`` itself, to the last
    bit, where ``x = x_k``. Other results are returned as kept.

    Args:
        inner: The module.
        keeper: Shared by the wrappers of a cut.
        path: Its name there.
        streams: Which results continue which arguments; none to keep results as they are.
    """

    def __init__(self, inner: nn.Module, keeper: Keeper, path: str, streams: Streams) -> None:
        super().__init__(inner)
        self.keeper, self.path, self.streams = keeper, path, streams

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run and keep, or return what is kept."""
        keeper = self.keeper
        if keeper.holding:
            outputs, inputs, spec = keeper.recall(self.path)
            if inputs:
                outputs, given = list(outputs), _leaves(args, kwargs)
                for (out, position), x in zip(self.streams, inputs, strict=True):
                    outputs[out] = outputs[out] + (given[position] - x)
            return _assemble(outputs, spec)
        result = self.inner(*args, **kwargs)
        if keeper.memory is not None:
            leaves, spec = _take_apart(result)
            given = _leaves(args, kwargs) if self.streams else ()
            inputs = [given[position].detach() for _, position in self.streams]
            outputs = [x.detach() if isinstance(x, Tensor) else x for x in leaves]
            keeper.memory[self.path] = outputs, inputs, spec
        return result


@final
class Silent(Wrapped):
    """Does nothing while its result is not needed."""

    def __init__(self, inner: nn.Module, keeper: Keeper, path: str) -> None:
        super().__init__(inner)
        self.keeper, self.path = keeper, path

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run, or return NaN of the shape last seen."""
        if self.keeper.holding:
            forms, spec = self.keeper.recall(self.path)
            return _assemble([_blank(form) for form in forms], spec)
        result = self.inner(*args, **kwargs)
        if self.keeper.memory is not None:
            leaves, spec = _take_apart(result)
            self.keeper.memory[self.path] = [_form(leaf) for leaf in leaves], spec
        return result


class Wraps(Protocol):
    """What `install` needs of an edit."""

    def wrap(self, path: str, make: Callable[[nn.Module], Wrapped]) -> Any:
        """Put a wrapper in a module's place."""


def install(edit: Wraps, clock: Clock, cut: Cut) -> None:
    """Put the wrappers of a cut on a net.

    Raises:
        MethodError: If one of its modules is missing or tied.
    """
    keeper = Keeper(clock)
    for index, path in enumerate(cut.held):
        streams = cut.streams[index] if cut.streams else ()
        edit.wrap(path, lambda inner, p=path, s=streams: Held(inner, keeper, p, s))  # type: ignore[misc]
    for path in cut.silent:
        edit.wrap(path, lambda inner, p=path: Silent(inner, keeper, p))  # type: ignore[misc]
    edit.wrap("", lambda inner: Gate(inner, keeper))


def _leaves(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Sequence[Any]:
    # the general way costs as much as a small layer, and mostly the arguments are plain tensors
    if not kwargs and all(isinstance(x, Tensor) or x is None for x in args):
        return args
    return pytree.tree_leaves((args, kwargs))


def _take_apart(result: Any) -> tuple[list[Any], pytree.TreeSpec | None]:
    return ([result], None) if isinstance(result, Tensor) else pytree.tree_flatten(result)


def _assemble(leaves: Sequence[Any], spec: pytree.TreeSpec | None) -> Any:
    return leaves[0] if spec is None else pytree.tree_unflatten(leaves, spec)


def _form(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf


def _blank(form: Any) -> Any:
    if not (isinstance(form, tuple) and len(form) == 3 and isinstance(form[1], torch.dtype)):
        return form
    shape, dtype, device = form
    filler = float("nan") if dtype.is_floating_point or dtype.is_complex else 0
    return torch.full((), filler, dtype=dtype, device=device).expand(shape)
