"""Rivals: the scheduler classes of diffusers, run by their own code on the same net and noise.

Their loop is that of every pipeline: scale the input, ask the net, step. Three things are seen to,
so that what differs is the solver and its grid alone:

- They know noise as a table of betas. Theirs here is our process, cut into 1000 levels equally
  spaced in t from its one end to its other; ``squaredcos_cap_v2`` itself goes on to sigma = 2e4.
- The net is told the true time of the level they are at, where they would round it to a row of the
  table, and no level beyond its range.
- x0 is clipped in the net, as the model's card wants it, whether or not a scheduler can clip.

Evaluations are counted by counting calls of the net.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import diffusers
import numpy as np
import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.core.process import VP, Process
from hasten.errors import ModelError, OutputError
from hasten.solvers import GRIDS, start_noise

LEVELS = 1000
SPACINGS: Mapping[str, Mapping[str, Any]] = {
    name: {"timestep_spacing": name} for name in ("linspace", "leading", "trailing")
}
SIGMAS: Mapping[str, Mapping[str, Any]] = {
    name: {"timestep_spacing": "linspace", f"use_{name}_sigmas": True}
    for name in ("karras", "exponential", "beta")
}
COSINE = "squaredcos_cap_v2"
"""Their own cosine table, for some of them, on `SPACINGS` alone.

It ends so steeply that two levels of their other grids round to one time step, and the loops of
DPM-Solver++ and UniPC run out of levels.
"""
LISTS = ("uniform", "trailing", "karras", "logsnr")
"""Our grids as lists of levels, for a class without grids of its own."""


@final
@dataclass(frozen=True)
class Kind:
    """A scheduler class and how to use it.

    Attributes:
        name: Of the class, without ``Scheduler``.
        family: Ours that solves alike.
        facts: Options that are not a matter of grid.
        order: Argument of ``step``; None where that takes none.
        sigmas: Whether it holds its levels as ``sigmas`` and offers the grids `SIGMAS`.
        steps: Steps for so many evaluations, as ``a n + b``.
    """

    name: str
    family: str
    facts: Mapping[str, Any]
    order: int | None = None
    sigmas: bool = True
    steps: tuple[float, float] = (1, 0)

    @property
    def title(self) -> str:
        """The class with its order."""
        order = self.facts.get("solver_order", self.order)
        return f"{self.name} {order}" if order else self.name


KINDS = (
    Kind("DDIM", "ddim", {"clip_sample": False}, sigmas=False),
    Kind("EulerDiscrete", "ddim", {}),
    Kind("HeunDiscrete", "heun", {}, steps=(0.5, 0.5)),
    *(Kind("DPMSolverMultistep", "dpmpp_m", {"solver_order": k}) for k in (2, 3)),
    *(Kind("UniPCMultistep", "unipc", {"solver_order": k}) for k in (2, 3)),
    *(Kind("DEISMultistep", "deis", {"solver_order": k}) for k in (2, 3)),
    Kind("LMSDiscrete", "lms", {}, order=4),
    # the second level is asked twice
    Kind("PNDM", "ipndm", {"skip_prk_steps": True, "set_alpha_to_one": True}, None, False, (1, -1)),
)
IPNDM = Kind("IPNDM", "ipndm", {}, sigmas=False)
"""Its table of betas is the list of the noise's shares at the levels themselves."""


@final
@dataclass(frozen=True)
class Rival:
    """A scheduler with all its options and a number of steps."""

    kind: Kind
    grid: str
    options: Mapping[str, Any]
    steps: int
    evaluations: int

    @property
    def key(self) -> str:
        return f"diffusers {diffusers.__version__} {self.solver} {self.grid} {self.steps}"

    @property
    def solver(self) -> str:
        return self.kind.title

    @property
    def family(self) -> str:
        return self.kind.family

    def endpoint(self, model: Model, seeds: Sequence[int], cond: Tensor | None) -> Tensor:
        process = model.process
        if not isinstance(process, VP):
            raise ModelError(
                "the schedulers of diffusers are run on variance-preserving processes",
                where=model.name,
                hint="take fashion-unet or fashion-uvit",
            )
        scheduler = self._scheduler(process)
        scheduler.set_timesteps(self.steps)
        named = {} if self.kind.order is None else {"order": self.kind.order}
        x = start_noise(seeds, model.shape) * float(scheduler.init_noise_sigma)
        calls = 0
        with torch.inference_mode():
            encoded = model.encode(cond, seeds)
            for i, t in enumerate(scheduler.timesteps):
                read = scheduler.scale_model_input(x, t)
                alpha, noise = self._level(scheduler, i, t)
                calls += 1
                out = velocity(model, read, alpha, noise, encoded)
                try:
                    x = scheduler.step(out, t, x, **named).prev_sample
                except (IndexError, AssertionError) as cause:  # two levels round to one time step
                    raise OutputError("it fails by its own code", where=self.key) from cause
        if calls != self.evaluations:
            raise ModelError(f"{calls} calls of the net, not {self.evaluations}", where=self.key)
        return x.clone()

    def _scheduler(self, process: VP) -> Any:
        make = getattr(diffusers, f"{self.kind.name}Scheduler")
        if self.kind.name == IPNDM.name:
            shares = process.noise_std(GRIDS[self.grid](process, self.steps))
            return make(trained_betas=[*shares.tolist(), 0.0])
        table = {} if "beta_schedule" in self.options else {"trained_betas": [*betas(process)]}
        return make(prediction_type="v_prediction", **self.kind.facts, **self.options, **table)

    def _level(self, scheduler: Any, i: int, t: Tensor) -> tuple[float, float]:
        """Shares of data and of noise in what the net is to read."""
        if self.kind.name == IPNDM.name:
            return float(scheduler.alphas[i]), float(scheduler.betas[i])
        if not self.kind.sigmas:
            bar = float(scheduler.alphas_cumprod[int(t)])
            return math.sqrt(bar), math.sqrt(1 - bar)
        sigma = float(scheduler.sigmas[i])
        return 1 / math.hypot(1, sigma), sigma / math.hypot(1, sigma)


def velocity(model: Model, x: Tensor, alpha: float, noise: float, cond: Tensor | None) -> Tensor:
    """The net's v at ``x = alpha x0 + noise eps`` [n, ...], from its clipped x0."""
    top = float(model.process.sigma_max)
    sigma = noise / alpha if noise < top * alpha else top
    x0 = model.denoise(x * math.hypot(1, sigma), sigma, cond)
    return alpha * (x - alpha * x0) / noise - noise * x0


@functools.cache
def betas(process: Process) -> tuple[float, ...]:
    """The process as diffusers knows one: variances of 1000 levels equally spaced in t."""
    ends = process.t_of_sigma(np.array([process.sigma_min, process.sigma_max]))
    bar = process.alpha(process.sigma_of_t(np.linspace(ends[0], ends[1], LEVELS))) ** 2
    return tuple((1 - bar / np.concatenate([[1.0], bar[:-1]])).tolist())


def rivals(evaluations: int) -> list[Rival]:
    """All schedulers on all their grids, with so many evaluations."""
    return [rival for rival in _rivals(evaluations) if rival.steps >= 2]


def _rivals(evaluations: int) -> Iterator[Rival]:
    for kind in KINDS:
        steps = kind.steps[0] * evaluations + kind.steps[1]
        if steps != int(steps):
            continue
        grids = {**SPACINGS, **SIGMAS} if kind.sigmas else dict(SPACINGS)
        if kind.family in ("ddim", "dpmpp_m", "unipc"):
            for grid, options in SPACINGS.items():
                grids[f"{grid}, {COSINE}"] = {**options, "beta_schedule": COSINE}
        for grid, options in grids.items():
            yield Rival(kind, grid, options, int(steps), evaluations)
    for grid in LISTS:
        yield Rival(IPNDM, grid, {}, evaluations, evaluations)
