"""A whole run as one torch module: a condition and normal numbers in, decoded samples out.

    condition ─────────────┬── layer model's rows ── layers' energies ─┐
    noise [B, numbers] ────┼───────────────────────── cells' rows ─────┴─ decoding ── samples

`hasten.solvers.loop` plays a plan with seeds, hooks and checks; this plays the same programme with
torch operations alone, for an exporter to follow. A model with a layer model has two stages, any
other one. What the executor would draw from seeds comes in as one row of standard normal numbers a
sample, cut into the pieces that `pieces` names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from hasten.adapters.showers import HUGE, LayerEnergies, Showers, aside
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import ModelError
from hasten.solvers.noise import Brownian, depth_for, start_noise
from hasten.solvers.program import Program, Terms, compile_plan

ORDERS = ("z-phi-r", "r-phi-z")
"""How cells are numbered, the slowest index first; hasten's own (CaloChallenge) and Par04's."""
UNITS = {"MeV": 1.0, "GeV": 1e3}
"""Units of energies in the output, in MeV."""
SEEDS = 16777213
"""Seeds of the noise in a graph are below this prime, the largest that float32 can tell apart."""

FARTHEST = 1.5
"""Nets are told no unit energy beyond; trained were -1 to 1, and far from it they say anything."""

Ask = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A net behind its call: noisy data, time and condition to prediction."""


@final
@dataclass(frozen=True)
class Form:
    """What a graph takes and gives.

    Attributes:
        noise: ``input``, a second input; or ``seed``, drawn in the graph.
        seed: Of the noise drawn in the graph; None leaves it to the runtime.
        order: Of the cells, one of `ORDERS`.
        units: Of the energies that come out, one of `UNITS`; incident energies are in GeV.
        columns: Of the condition; the incident energy is the first, others are ignored.
        deposits: Whether cells are what was deposited in the active material, not readings.
        guidance: Weight where a row states none.
    """

    noise: str = "input"
    seed: int | None = 0
    order: str = ORDERS[0]
    units: str = "MeV"
    columns: int = 1
    deposits: bool = False
    guidance: float = 1.0

    def unit(self, model: Model) -> float:
        """One in the output as an energy that the model makes, MeV."""
        unit, codec = UNITS[self.units], model.codec
        if self.deposits and isinstance(codec, Showers):
            unit /= codec.geometry.share
        return unit


@final
@dataclass(frozen=True)
class Stage:
    """A model and the plan it is sampled with.

    Attributes:
        name: ``layers`` for a layer model, else ``samples``.
        model: The model.
        plan: The plan.
        guidance: Weight where a row states none.
    """

    name: str
    model: Model
    plan: Plan
    guidance: float = 1.0

    @property
    def program(self) -> Program:
        """The plan's register instructions."""
        return compile_plan(self.plan)

    @property
    def size(self) -> int:
        """Numbers of one sample."""
        return int(np.prod(self.model.shape))

    @property
    def numbers(self) -> int:
        """Normal numbers that one sample needs."""
        return self.size * (1 + len(self.program.noises))

    def draw(self, seeds: Sequence[int]) -> Tensor:
        """The normal numbers [B, numbers] that the executor draws for these seeds."""
        own = aside(seeds) if self.name == "layers" else seeds
        parts = [start_noise(own, self.model.shape)]
        noises = self.program.noises
        if noises:
            path = Brownian(own, self.model.shape, depth_for(noises))
            parts += [path.increment(noise.high, noise.low) for noise in noises]
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def stages(model: Model, plan: Plan, guidance: float = 1.0) -> tuple[Stage, ...]:
    """What is sampled for a model, in order."""
    own = Stage("samples", model, plan, guidance)
    codec = model.codec
    return (
        (Stage("layers", codec.layers, codec.plan), own) if isinstance(codec, Showers) else (own,)
    )


def drawn(parts: Sequence[Stage], seeds: Sequence[int]) -> Tensor:
    """The noise [B, numbers] that the executor draws for these seeds, float32."""
    return torch.cat([stage.draw(seeds) for stage in parts], dim=1)


@final
@dataclass(frozen=True)
class Piece:
    """A piece of the noise.

    Attributes:
        stage: Whose.
        what: ``start``, or the interval of a Brownian path whose scaled increment it is.
        first: Where it begins.
        count: How long it is.
    """

    stage: str
    what: str
    first: int
    count: int


def pieces(parts: Sequence[Stage]) -> tuple[Piece, ...]:
    """How the noise is laid out: every stage's start, then its increments in order of use."""
    found: list[Piece] = []
    first = 0
    for stage in parts:
        intervals = [f"{n.high:.6g} to {n.low:.6g}" for n in stage.program.noises]
        for what in ("start", *intervals):
            found.append(Piece(stage.name, what, first, stage.size))
            first += stage.size
    return tuple(found)


@final
class Unrolled(nn.Module):
    """The run.

    Args:
        model: The model; float32, on the CPU.
        plan: How it is sampled.
        form: What comes in and goes out.
        asks: The nets by the names of their stages.
    """

    def __init__(self, model: Model, plan: Plan, form: Form, asks: dict[str, Ask]) -> None:
        super().__init__()
        self._model, self._form, self._asks = model, form, asks
        self._stages = stages(model, plan, form.guidance)

    def forward(
        self,
        condition: Tensor | None = None,
        label: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Decoded samples; of an energy that is none (0, negative, nan), no cells at all.

        Args:
            condition: For a model of showers [B, columns], incident energies in GeV first.
            label: For a model with classes, labels [B].
            noise: Standard normal numbers [B, numbers]; drawn here if None.

        Returns:
            Samples [B, ...].
        """
        given = next(each for each in (condition, label, noise) if each is not None)
        parts = self._cut(self._noise(given) if noise is None else noise)
        if condition is None:
            return self._finish(self._samples(label, parts))
        energy = condition[:, 0] * UNITS["GeV"]
        is_one = (energy > 0) & (energy < math.exp(HUGE))
        known = self._model.energies
        assert known is not None
        samples = self._samples(torch.where(is_one, energy, known.low), parts)
        # one row that cannot be must not spoil the others, as nan in an index would
        is_one = is_one.reshape(-1, *[1] * (samples.ndim - 1))
        return self._finish(torch.where(is_one, samples, 0.0))

    def _samples(self, told: Tensor | None, parts: dict[str, Tensor]) -> Tensor:
        """Decoded samples under energies in MeV, labels or nothing."""
        encoded = self._encode(told, parts)
        own = self._stages[-1]
        codec = self._model.codec
        heard = _nearby(encoded) if isinstance(codec, (Showers, LayerEnergies)) else encoded
        x0 = played(own, self._asks[own.name], parts[own.name], heard)
        return codec.decode(x0, encoded)

    def _noise(self, given: Tensor) -> Tensor:
        shape = (given.shape[0], sum(stage.numbers for stage in self._stages))
        facts: dict[str, Any] = {"mean": 0.0, "scale": 1.0}
        if self._form.seed is not None:
            facts["seed"] = float(runtime_seed(self._form.seed))
        # torch has no operation with a seed of its own, ONNX has
        like = torch.zeros(shape, dtype=torch.float32)
        return torch.onnx.ops.symbolic(
            "::RandomNormalLike", [like], facts, dtype=torch.float32, shape=like.shape
        )

    def _cut(self, noise: Tensor) -> dict[str, Tensor]:
        counts = [stage.numbers for stage in self._stages]
        cut = torch.split(noise, counts, dim=1)
        return {stage.name: part for stage, part in zip(self._stages, cut, strict=True)}

    def _encode(self, told: Tensor | None, noise: dict[str, Tensor]) -> Tensor | None:
        codec = self._model.codec
        if told is None or not isinstance(codec, Showers):
            return codec.encode(told, ())
        stage, inner = self._stages[0], codec.layers.codec
        unit = inner.encode(told, ())
        x0 = played(stage, self._asks[stage.name], noise[stage.name], _nearby(unit))
        return codec.condition(inner.decode(x0, unit), told)

    def _finish(self, samples: Tensor) -> Tensor:
        if self._form.order != ORDERS[0]:
            cells = samples.reshape(samples.shape[0], *self._model.shape)
            samples = cells.permute(0, 3, 2, 1).flatten(1)
        unit = self._form.unit(self._model)
        return samples if unit == 1 else samples / unit


def _nearby(told: Tensor | None) -> Tensor | None:
    """What a net is told [B, 1 + ...], its unit energy no farther out than `FARTHEST`."""
    if told is None:
        return None
    return torch.cat([told[:, :1].clamp(-FARTHEST, FARTHEST), told[:, 1:]], dim=1)


def runtime_seed(seed: int) -> int:
    """The number a runtime is told in place of a seed below `SEEDS`; no two have the same.

    onnxruntime's CPU generator (minstd_rand0) takes 0 for 1, and its states after two seeds keep
    the ratio of the seeds for ever: neighbours would be visibly alike.
    """
    return 1 + (seed + 1) * 7368787 % SEEDS


def played(stage: Stage, ask: Ask, noise: Tensor, cond: Tensor | None) -> Tensor:
    """x0 [B, *shape] from normal numbers [B, numbers] under conditions that are encoded."""
    program = stage.program
    start, *increments = (
        part.reshape(-1, *stage.model.shape) for part in torch.split(noise, stage.size, dim=1)
    )
    first = 1 + 2 * len(program.inputs)
    held = {0: start * stage.plan.rows[0].sigma}
    held |= {first + index: part for index, part in enumerate(increments)}
    for index, row in enumerate(stage.plan.rows):
        x = _combined(program.inputs[index], held)
        weight = stage.guidance if row.guidance is None else row.guidance
        held[program.input(index)] = x
        held[program.output(index)] = _denoised(stage.model, ask, x, row.sigma, cond, weight)
    return _combined(program.result, held)


def _combined(terms: Terms, held: dict[int, Tensor]) -> Tensor:
    if not terms:
        return torch.zeros_like(held[0])
    (register, weight), *others = terms
    total = held[register] if weight == 1 else held[register] * weight
    for register, weight in others:
        total = total + held[register] * weight
    return total


def _denoised(
    model: Model, ask: Ask, x: Tensor, sigma: float, cond: Tensor | None, weight: float
) -> Tensor:
    """As `Model.denoise`, with the numbers that follow from the noise level written out."""
    if weight == 1:
        return _estimate(model, ask, x, sigma, cond)
    if cond is None or model.classes is None or model.classes.null is None:
        raise ModelError(
            "guidance needs class labels and a null class",
            where=model.name,
            hint="export without guidance, or state Classes(null=...) if it was trained so",
        )
    null = torch.full_like(cond, model.classes.null)
    both = _estimate(model, ask, torch.cat([x, x]), sigma, torch.cat([cond, null]))
    count = x.shape[0]
    own, free = both[:count], both[count:]
    return free + weight * (own - free)


def _estimate(model: Model, ask: Ask, x: Tensor, sigma: float, cond: Tensor | None) -> Tensor:
    level = np.asarray(sigma, dtype=np.float64)
    scale, skip, out = (float(c) for c in model.prediction.coefficients(model.process, level))
    # not len(x): a tracer would take that for a constant
    time = torch.full((x.shape[0],), float(model.process.time(level)), dtype=x.dtype)
    x0 = skip * x + out * ask(scale * x, time, cond)
    return x0 if model.clip is None else x0.clamp(-model.clip, model.clip)
