"""From a solver's step function to the rows of a plan, by running it on basis vectors.

A step function is written as in its paper and sees `Run`: the noise levels, the denoiser, what
earlier steps evaluated, and noise. It uses nothing of its vectors but sums and multiples by floats,
so it runs on tensors, and just as well on `Vector`, the symbolic combination of the starting point,
the outputs still to come and the noise. Each question it asks the symbolic denoiser becomes a row.
"""

# ruff: noqa: N806 (the papers' letters)
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.plan import Combination, Noise, Plan, Reuse, Row
from hasten.errors import PlanError

NEGLIGIBLE = 1e-15
"""A coefficient this small beside the largest of its combination is rounding, not arithmetic."""


@final
@dataclass(frozen=True)
class Vector:
    """A linear combination of the starting point, the outputs of rows and noise.

    Attributes:
        weights: One coefficient for each of `basis` known when it was made; later ones are zero.
    """

    weights: NDArray[np.float64]

    def __add__(self, other: Vector) -> Vector:
        long, short = sorted((self.weights, other.weights), key=len, reverse=True)
        total = long.copy()
        total[: len(short)] += short
        return Vector(total)

    def __sub__(self, other: Vector) -> Vector:
        return self + (-1.0) * other

    def __mul__(self, factor: float) -> Vector:
        return Vector(self.weights * factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Vector:
        return Vector(self.weights / divisor)


V = TypeVar("V", Vector, Tensor)


@final
@dataclass(frozen=True)
class Evaluation(Generic[V]):
    """What the net was asked and what it said."""

    sigma: float
    x: V
    D: V

    @property
    def slope(self) -> V:
        """``d x / d sigma``, which is the predicted noise."""
        return (self.x - self.D) / self.sigma


@final
class Run(Generic[V]):
    """What a step function sees.

    Args:
        sigmas: The noise levels.
        denoise: The net's x0 for a vector at a noise level.
        noise: A standard normal vector for an interval of noise levels.
        breaks: Steps before which the past is forgotten, because the denoiser jumps there.

    Attributes:
        sigmas: The noise levels, descending; step i goes from ``sigmas[i]`` to ``sigmas[i + 1]``.
        past: The first evaluation of every step since the last break, newest last.
        step: The step under way.
    """

    def __init__(
        self,
        sigmas: Sequence[float],
        denoise: Callable[[V, float], V],
        noise: Callable[[float, float], V] | None = None,
        breaks: Collection[int] = (),
    ) -> None:
        self.sigmas = [float(sigma) for sigma in sigmas]
        self.past: list[Evaluation[V]] = []
        self.step = 0
        self._breaks = breaks
        self._denoise: Callable[[V, float], V] = denoise
        self._noise: Callable[[float, float], V] | None = noise
        self._first: Evaluation[V] | None = None

    def denoise(self, x: V, sigma: float) -> V:
        """The net's x0 for ``x`` at noise level ``sigma``."""
        D = self._denoise(x, sigma)
        if self._first is None:
            self._first = Evaluation(sigma, x, D)
        return D

    def noise(self, high: float, low: float) -> V:
        """A standard normal vector, the scaled Brownian increment between two noise levels."""
        if self._noise is None:
            raise PlanError("this run has no source of noise", hint="pass noise=")
        return self._noise(high, low)

    def steps(self, step: Callable[[V, Run[V], int], V], x: V) -> V:
        """All steps in turn, from ``x`` at the first level to the last."""
        for i in range(len(self.sigmas) - 1):
            self.step, self._first = i, None
            if i in self._breaks:
                self.past.clear()
            x = step(x, self, i)
            if self._first is not None:
                self.past.append(self._first)
        return x


class Step(Protocol):
    """One step of a solver: from ``x`` at ``run.sigmas[i]`` to the next level."""

    def __call__(self, x: V, run: Run[V], i: int, /) -> V:
        """The next ``x``."""
        ...


@final
@dataclass(frozen=True)
class Solver:
    """A step function and what is known about it.

    Attributes:
        name: Key in `hasten.solvers.SOLVERS`.
        step: The formula.
        evaluations: Evaluations of the net a step; the last steps may do with fewer.
        order: Order of convergence on the ordinary differential equation, without ``lower_final``.
        paper: Where the formula is from.
        stochastic: Whether it draws noise on the way.
    """

    name: str
    step: Step
    evaluations: int
    order: int
    paper: str
    stochastic: bool = False


@final
class _Table:
    """The symbolic denoiser: writes down what it is asked."""

    def __init__(self) -> None:
        self.names: list[int | Noise] = [-1]  # -1 is the starting point, n >= 0 the output of row n
        self.asked: list[tuple[float, Combination]] = []
        self.drawn: dict[Noise, Vector] = {}

    def basis(self, name: int | Noise) -> Vector:
        self.names.append(name)
        weights = np.zeros(len(self.names))
        weights[-1] = 1.0
        return Vector(weights)

    def denoise(self, x: Vector, sigma: float) -> Vector:
        self.asked.append((float(sigma), self.combination(x)))
        return self.basis(len(self.asked) - 1)

    def noise(self, high: float, low: float) -> Vector:
        name = Noise(float(high), float(low))
        if name not in self.drawn:
            self.drawn[name] = self.basis(name)
        return self.drawn[name]

    def combination(self, x: Vector) -> Combination:
        size = np.abs(x.weights).max(initial=0.0)
        terms = [
            (name, weight)
            for name, weight in zip(self.names, x.weights.tolist(), strict=False)
            if abs(weight) > NEGLIGIBLE * size or not np.isfinite(weight)
        ]
        return Combination(
            sum((weight for name, weight in terms if name == -1), 0.0),
            tuple((n, weight) for n, weight in terms if isinstance(n, int) and n >= 0),
            tuple((n, weight) for n, weight in terms if isinstance(n, Noise)),
        )


def build(
    solver: Solver,
    sigmas: Sequence[float] | NDArray[np.float64],
    *,
    reuse: Iterable[Reuse] | None = None,
    guidance: float | Sequence[float] | None = None,
    guidance_interval: tuple[float, float] | None = None,
    label: str = "",
) -> Plan:
    """The plan of a solver on given noise levels.

    Args:
        solver: One of `hasten.solvers.SOLVERS`, or your own.
        sigmas: Strictly descending noise levels, one a step; the last step goes on to 0.
        reuse: The reuse column, one entry a step; all full if None.
        guidance: Weight of guidance, for all steps or one a step; None takes the run's.
        guidance_interval: ``(low, high)``: evaluations at ``low < sigma <= high`` have the weight
            above and all others 1, for which the net is asked once (Kynkaanniemi et al. 2024,
            arXiv 2404.07724). The guided x0 jumps where the weight does, so a multistep solver
            begins there anew, with a step of first order. None: all evaluations have the weight.
        label: For people.

    Raises:
        PlanError: If the levels do not descend, a column has the wrong length, or the interval is
            none or is given for weights that are listed by step.
    """
    levels = check_levels(sigmas)
    weights = _weights(guidance, len(levels), guidance_interval)
    table, context = _Table(), list[int]()

    def weight(step: int, sigma: float) -> float | None:
        return weights[step] if _inside(guidance_interval, sigma) else 1.0

    # weights listed by step may change gently, so they are no jumps
    firsts = [] if guidance_interval is None else [weight(i, s) for i, s in enumerate(levels)]
    breaks = {i for i in range(1, len(firsts)) if firsts[i] != firsts[i - 1]}

    def denoise(x: Vector, sigma: float) -> Vector:
        context.append(run.step)
        return table.denoise(x, sigma)

    run = Run[Vector]([*levels.tolist(), 0.0], denoise, table.noise, breaks)
    result = table.combination(run.steps(solver.step, Vector(np.ones(1))))
    # the start of a plan is as noisy as row 0, that of a solver as the first level; they differ if
    # noise is added before the net is first asked
    share = levels[0] / table.asked[0][0]
    rows = tuple(
        Row(
            sigma,
            _scaled(asked, share),
            step,
            slot=r - context.index(step),
            guidance=weight(step, sigma),
        )
        for r, ((sigma, asked), step) in enumerate(zip(table.asked, context, strict=True))
    )
    plan = Plan(rows, _scaled(result, share), label)
    return plan if reuse is None else plan.with_reuse(reuse)


def _scaled(combination: Combination, share: float) -> Combination:
    return dataclasses.replace(combination, start=float(combination.start * share))


def _weights(
    guidance: float | Sequence[float] | None, steps: int, interval: tuple[float, float] | None
) -> list[float | None]:
    """One weight a step."""
    check_interval(interval)
    if guidance is None or isinstance(guidance, (int, float)):
        return [guidance] * steps
    if interval is not None:
        raise PlanError(
            "both a list of guidance weights and an interval", hint="write ones into the list"
        )
    if len(guidance) != steps:
        raise PlanError(f"{len(guidance)} guidance weights for {steps} steps")
    return list(guidance)


def _inside(interval: tuple[float, float] | None, sigma: float) -> bool:
    return interval is None or interval[0] < sigma <= interval[1]


def check_interval(interval: tuple[float, float] | None) -> None:
    """Refuse what is no interval of noise levels.

    Raises:
        PlanError: If it does not ascend from 0 or more.
    """
    if interval is not None and not 0 <= interval[0] < interval[1]:
        raise PlanError(
            f"{list(interval)} is no interval of noise levels",
            where="guidance_interval",
            hint="[low, high] in sigma, with 0 <= low < high",
        )


def check_levels(sigmas: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """The levels as an array, if they can be a grid.

    Raises:
        PlanError: If there are none, or they are not positive, finite and strictly descending.
    """
    levels = np.asarray(sigmas, dtype=np.float64)
    if levels.ndim != 1 or not len(levels):
        raise PlanError("a grid is a list of at least one noise level")
    if not (np.isfinite(levels).all() and (levels > 0).all()):
        raise PlanError("noise levels must be positive and finite", hint="the final 0 is implied")
    if (twice := np.flatnonzero(np.diff(levels) >= 0)).size:
        i = int(twice[0])
        raise PlanError(
            "noise levels must descend strictly",
            where=f"steps {i} and {i + 1}: sigma = {levels[i]:.6g}, {levels[i + 1]:.6g}",
            hint="use fewer steps or another grid"
            if levels[i] == levels[i + 1]
            else "list them from the noisiest down, without the final 0",
        )
    return levels
