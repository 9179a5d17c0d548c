"""The one executor: plays a plan on a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import OutputError, PlanError
from hasten.solvers.noise import Brownian, depth_for, start_noise
from hasten.solvers.program import Program, Terms, compile_plan


class Observer(Protocol):
    """Sees every evaluation of a run; must not change what it is shown."""

    def __call__(self, index: int, sigma: float, x: Tensor, x0: Tensor, /) -> None:
        """Row ``index`` asked the net about ``x`` [B, ...] at ``sigma``; it answered ``x0``."""
        ...


def sample(
    model: Model,
    plan: Plan,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    *,
    guidance: float = 1.0,
    batch: int | None = None,
) -> Tensor:
    """Decoded samples.

    Args:
        model: What to sample from.
        plan: How.
        seeds: One a sample.
        cond: What the model's codec encodes, first axis ``len(seeds)``; or None.
        guidance: Weight of classifier-free guidance, where the plan does not say.
        batch: How many to sample at a time; all if None. The samples do not depend on it.

    Returns:
        What the codec makes of x0, [n, ...].

    Raises:
        OutputError: If the net returned numbers that are not finite.
        PlanError: If there is nothing to sample, or ``cond`` does not fit.
    """
    size = len(seeds) if batch is None else batch
    if size < 1:
        raise PlanError(f"batches of {size} samples", hint="give at least one seed; batch >= 1")
    parts = []
    for first in range(0, len(seeds), size):
        chosen = slice(first, first + size)
        part = None if cond is None else cond[chosen]
        check_arguments(model, seeds[chosen], part, None)
        with torch.inference_mode():
            encoded = model.encode(part, seeds[chosen])
            x0 = _play(model, plan, seeds[chosen], encoded, guidance)
            parts.append(model.codec.decode(x0, encoded))
    return torch.cat(parts)


def run(
    model: Model,
    plan: Plan,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    guidance: float = 1.0,
    *,
    start: Tensor | None = None,
    on_row: Observer | None = None,
) -> Tensor:
    """One batch through all rows of a plan, up to but without the codec's ``decode``.

    Args:
        model: What to sample from.
        plan: How.
        seeds: One a sample [B].
        cond: As the user gives it; encoded here.
        guidance: Weight where a row states none.
        start: The starting point in VE coordinates, [B, *shape], instead of the seeds' own.
        on_row: Told of every evaluation.

    Returns:
        x0 [B, *shape], float32 (float64 for a net in double precision).

    Raises:
        OutputError: If the net's x0 is not finite, naming the row and its noise level.
        PlanError: If there are no seeds, or ``cond`` or ``start`` does not fit them.
    """
    check_arguments(model, seeds, cond, start)
    with torch.inference_mode():
        encoded = model.encode(cond, seeds)
        result = _play(model, plan, seeds, encoded, guidance, start=start, on_row=on_row)
    return result.clone()  # outside of inference mode: an ordinary tensor


def _play(
    model: Model,
    plan: Plan,
    seeds: Sequence[int],
    encoded: Tensor | None,
    guidance: float,
    *,
    start: Tensor | None = None,
    on_row: Observer | None = None,
) -> Tensor:
    """x0 [B, *shape] under conditions that are encoded already."""
    program = compile_plan(plan)
    clock = model.clock
    clock.start()
    try:
        registers = _Registers(model, program, seeds)
        registers.begin(plan.rows[0].sigma, start)
        sums = []
        for index, row in enumerate(plan.rows):
            x = registers.combine(program.inputs[index])
            clock.tick(index, row)
            weight = guidance if row.guidance is None else row.guidance
            x0 = model.denoise(x, row.sigma, encoded, weight)
            sums.append(x0.sum())
            if on_row is not None:
                on_row(index, row.sigma, x, x0)
            registers.keep(program.input(index), x)
            registers.keep(program.output(index), x0)
            registers.drop(program.last[index])
        result = registers.combine(program.result)
        _check_finite(model, plan, sums)
    finally:
        clock.stop()
    return result


class _Registers:
    """The tensors of a run that are still needed."""

    def __init__(self, model: Model, program: Program, seeds: Sequence[int]) -> None:
        self._model, self._program, self._seeds = model, program, seeds
        self._held: dict[int, Tensor] = {}
        self._path: Brownian | None = None

    def begin(self, sigma: float, start: Tensor | None) -> None:
        if start is None:
            start = starting_point(self._model, self._seeds, sigma)
        self.keep(0, _place(self._model, start))

    def keep(self, register: int, value: Tensor) -> None:
        if register in self._program.kept:
            self._held[register] = value

    def drop(self, registers: Sequence[int]) -> None:
        for register in registers:
            del self._held[register]

    def combine(self, terms: Terms) -> Tensor:
        if not terms:
            return _place(self._model, torch.zeros(len(self._seeds), *self._model.shape))
        (register, weight), *others = terms
        value = self._get(register)
        if not others and weight == 1:
            return value
        total = value * weight
        for register, weight in others:
            total.add_(self._get(register), alpha=weight)
        return total

    def _get(self, register: int) -> Tensor:
        if register not in self._held and (noise := self._program.noise(register)) is not None:
            if self._path is None:
                depth = depth_for(self._program.noises)
                self._path = Brownian(self._seeds, self._model.shape, depth)
            increment = self._path.increment(noise.high, noise.low)
            self._held[register] = _place(self._model, increment)
        return self._held[register]


def starting_point(model: Model, seeds: Sequence[int], sigma: float) -> Tensor:
    """The seeds' own noise at level ``sigma`` [B, *shape], where and as precise as in a run."""
    return _place(model, start_noise(seeds, model.shape)) * sigma


def _place(model: Model, value: Tensor) -> Tensor:
    return value.to(model.device, torch.float64 if model.dtype == torch.float64 else torch.float32)


def check_arguments(
    model: Model, seeds: Sequence[int], cond: Tensor | None, start: Tensor | None
) -> None:
    """Whether a run can begin.

    Raises:
        PlanError: If there are no seeds, or ``cond`` or ``start`` does not fit them.
    """
    if not len(seeds):
        raise PlanError("no seeds, so nothing to sample", where=model.name)
    if cond is None and model.classes is not None:
        raise PlanError(
            "this model samples by class, and no class was given",
            where=model.name,
            hint="cond=torch.tensor([...]), one label a seed",
        )
    if cond is None and model.energies is not None:
        raise PlanError(
            "this model makes showers of given energies, and none was given",
            where=model.name,
            hint="cond=torch.tensor([...]), one incident energy a seed, in MeV",
        )
    if cond is not None and model.energies is not None:
        _check_energies(model, cond)
    if cond is not None and len(cond) != len(seeds):
        raise PlanError(f"{len(cond)} conditions for {len(seeds)} seeds", where=model.name)
    if start is not None and start.shape != (len(seeds), *model.shape):
        raise PlanError(
            f"a starting point of shape {tuple(start.shape)}",
            where=model.name,
            hint=f"it must be {(len(seeds), *model.shape)}",
        )


def _check_energies(model: Model, energies: Tensor) -> None:
    known = model.energies
    if known is None or not energies.numel():
        return
    low, high = float(energies.min()), float(energies.max())
    # float32 may round the ends of the range outwards
    if not (low >= known.low * (1 - 1e-6) and high <= known.high * (1 + 1e-6)):
        asked = _in_gev(low) if low == high else f"from {_in_gev(low)} to {_in_gev(high)}"
        raise PlanError(
            f"showers of {asked} GeV, and the model was trained from {_in_gev(known.low)} to "
            f"{_in_gev(known.high)} GeV",
            where=model.name,
            hint="--beyond samples them all the same; in Python cond is in MeV, and "
            "model.replace(energies=Energies(low, high)) states a wider range",
        )


def _in_gev(energy: float) -> str:
    return f"{energy / 1000:g}"


def _check_finite(model: Model, plan: Plan, sums: Sequence[Tensor]) -> None:
    """One look at the end: asking after every row would make a GPU wait for each of them."""
    bad = ~np.isfinite(torch.stack(list(sums)).double().cpu().numpy())
    if bad.any():
        row = int(np.argmax(bad))
        raise OutputError(
            "the net's estimate of x0 is not finite",
            where=f"{model.name}, row {row} at sigma = {plan.rows[row].sigma:.6g}",
            hint="a lower sigma_max, another solver, or float32 weights may help",
        )
