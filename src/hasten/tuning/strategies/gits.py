"""GITS: time steps by dynamic programming on the teacher's trajectory.

    cost[i, j]     how far an Euler step along the trajectory's slope at i misses its point at j
    V[i, k]        = min over j > i of  cost[i, j] + g V[j, k - 1],     V[i, 1] = cost[i, end]

The path of k jumps with the least V is a grid. The table is made once for all step counts, and
costs one evaluation of the net for each point of the trajectory. What is best for Euler need not be
best for another solver (Chen et al. 2024 find that it mostly is; here it can also hurt solvers in
x0), so every grid is tried with several of them.

Source: Chen et al. 2024 (arXiv 2405.11326), section 4.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from hasten.errors import PlanError
from hasten.tuning.family import LEADS
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct
from hasten.tuning.space import Candidate
from hasten.tuning.strategies.trial import Search, Space, Trial
from hasten.tuning.teacher import fine_grid

POINTS = 61
"""Of the trajectory; the authors' number."""
DISCOUNTS = (1.0, 1.1, 1.15, 1.2)
"""Factors g on what is still to come; above 1 the clean end weighs more."""
SOLVERS = ("euler", *LEADS)
TRAJECTORIES = 32


def propose(space: Space, rng: np.random.Generator) -> Search:  # noqa: ARG001
    """The strategy."""
    levels, costs = cost_tables(space)
    found: dict[bytes, Floats] = {}
    for cost in costs:
        for discount in DISCOUNTS:
            try:
                path = shortest_path(cost, space.evaluations, discount)
                grid = distinct(space.bench.model.process, levels[path])
            except PlanError:
                continue
            found.setdefault(grid.tobytes(), grid)
    yield [
        Trial(Candidate.of(solver, grid, fitted=False))
        for grid in found.values()
        for solver in SOLVERS
    ]


def cost_tables(space: Space) -> tuple[Floats, list[Floats]]:
    """Noise levels [m], and the costs of Euler steps between any two, the last to 0 [m, m + 1].

    One table has mean distances, the other how much further from the straight line between the
    trajectory's ends a step lands than the trajectory is (it can be negative).
    """
    bench = space.bench
    teacher = bench.train.part(0, min(TRAJECTORIES, len(bench.train)))
    levels = fine_grid(bench.model.process, POINTS)
    with torch.inference_mode():
        points = [teacher.at(float(sigma)).flatten(1) for sigma in levels] + [
            teacher.end.flatten(1)
        ]
        slopes = [
            (x - bench.ask(x.reshape_as(teacher.end), float(sigma), teacher).flatten(1))
            / float(sigma)
            for x, sigma in zip(points, levels, strict=False)
        ]
    targets = np.append(levels, 0.0)
    axis = points[-1] - points[0]
    axis = axis / axis.norm(dim=1, keepdim=True)
    away = [_off(x - points[0], axis) for x in points]
    misses, strays = np.zeros((len(levels), len(targets))), np.zeros((len(levels), len(targets)))
    for i, slope in enumerate(slopes):
        for j in range(i + 1, len(targets)):
            there = points[i] + (targets[j] - levels[i]) * slope
            misses[i, j] = float((there - points[j]).norm(dim=1).mean())
            strays[i, j] = float((_off(there - points[0], axis) - away[j]).mean())
    return levels, [misses, strays]


def _off(x: torch.Tensor, axis: torch.Tensor) -> torch.Tensor:
    """Distances from a line through 0 [n]."""
    away: torch.Tensor = x - (x * axis).sum(1, keepdim=True) * axis
    return away.square().sum(1).sqrt()


def shortest_path(cost: Floats, jumps: int, discount: float) -> NDArray[np.int64]:
    """Where the cheapest way of so many jumps starts each of them; from point 0 to the last.

    Args:
        cost: Of a jump from i to j > i [m, m + 1].
        jumps: How many, 1 to m.
        discount: See above.

    Raises:
        PlanError: If there are fewer points than jumps.
    """
    points = len(cost)
    if not 1 <= jumps <= points:
        raise PlanError(f"{jumps} steps over a trajectory of {points} points")
    allowed = np.where(np.triu(np.ones_like(cost), 1) > 0, cost, np.inf)
    value = allowed[:, -1]  # one jump
    choices = []
    for _ in range(jumps - 1):
        ahead = allowed[:, :points] + discount * value[None, :]
        choices.append(np.argmin(ahead, axis=1))
        value = np.min(ahead, axis=1)
    path = [0]
    for choice in reversed(choices):
        path.append(int(choice[path[-1]]))
    return np.array(path)
