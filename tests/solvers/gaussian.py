"""What a solver, or its plan, makes of the variance of Gaussian data; without drawing noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hasten.core.plan import Combination, Plan
from hasten.core.process import EDM
from hasten.solvers import Run, Solver, Vector
from hasten.solvers.grids import karras

STD = 0.5


def ratio_of(solver: Solver, n: int) -> float:
    """Standard deviation of the samples over that of the data, from sigma = 80 to 0."""
    grid = karras(EDM(), n)
    drawn: dict[tuple[float, float], int] = {}

    def denoise(x: Vector, sigma: float) -> Vector:
        return STD**2 / (STD**2 + sigma**2) * x

    def noise(high: float, low: float) -> Vector:
        place = drawn.setdefault((high, low), 1 + len(drawn))
        return Vector(np.eye(1, place + 1, place)[0])

    run_ = Run[Vector]([*grid.tolist(), 0.0], denoise, noise)
    weights = run_.steps(solver.step, Vector(np.array([grid[0]]))).weights
    kicks = weights[1:]
    variance = weights[0] ** 2 + kicks @ correlation(list(drawn)[: len(kicks)]) @ kicks
    return float(np.sqrt(variance)) / STD


def correlation(intervals: Sequence[tuple[float, float]]) -> np.ndarray:
    """Of increments of one Brownian path in log sigma, each scaled to unit variance."""
    high, low = np.log(np.array(intervals).reshape(-1, 2)).T
    common = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    return np.maximum(common, 0) / np.sqrt(np.outer(high - low, high - low))


def ratio_of_plan(plan: Plan) -> float:
    """As `ratio_of`, of a plan whose start is as noisy as row 0, as every executor makes it."""
    noises = list(dict.fromkeys(noise for row in plan.rows for noise, _ in row.input.noise))
    outputs: list[np.ndarray] = []

    def combined(c: Combination) -> np.ndarray:
        weights = plan.rows[0].sigma * c.start * np.eye(1, 1 + len(noises))[0]
        for noise, weight in c.noise:
            weights[1 + noises.index(noise)] += weight
        return weights + sum((weight * outputs[k] for k, weight in c.outputs), 0.0)

    for row in plan.rows:
        outputs += [STD**2 / (STD**2 + row.sigma**2) * combined(row.input)]
    weights = combined(plan.result)
    kicks = weights[1:]
    variance = kicks @ correlation([(n.high, n.low) for n in noises]) @ kicks
    return float(np.sqrt(weights[0] ** 2 + variance)) / STD
