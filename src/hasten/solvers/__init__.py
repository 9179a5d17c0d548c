"""How to sample: solvers, time grids, noise, and the one executor.

``grids`` says where a sampler asks the net; ``one_step``, ``multistep`` and ``stochastic`` how it
goes from one noise level to the next, as step functions in the papers' letters. ``build`` runs a
step function on basis vectors and writes the rows of a plan, ``program`` finds the cheapest way to
carry them out, ``loop`` carries them out. ``noise`` is keyed by seed and noise level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from hasten.core.plan import Plan, Reuse
from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers.build import Evaluation, Run, Solver, Vector, build
from hasten.solvers.grids import GRIDS, Grid, explicit
from hasten.solvers.loop import run, sample
from hasten.solvers.multistep import dpmpp_2m, ipndm, lms, unipc
from hasten.solvers.noise import Brownian, start_noise
from hasten.solvers.one_step import euler, heun
from hasten.solvers.stochastic import ddim

__all__ = [
    "GRIDS",
    "SOLVERS",
    "Brownian",
    "Evaluation",
    "Grid",
    "Run",
    "Solver",
    "Vector",
    "build",
    "ddim",
    "explicit",
    "ipndm",
    "lms",
    "run",
    "sample",
    "start_noise",
    "stock_plan",
    "unipc",
]

_ALL = (
    Solver("ddim", euler, 1, 1, "Song, Meng and Ermon 2021, arXiv 2010.02502, eq. 12, eta = 0"),
    Solver("euler", euler, 1, 1, "the same formula as ddim, under its name for EDM and flows"),
    Solver("heun", heun, 2, 2, "Karras et al. 2022, arXiv 2206.00364, algorithm 1"),
    Solver("dpmpp_2m", dpmpp_2m, 1, 2, "Lu et al. 2022, arXiv 2211.01095, algorithm 2"),
    ddim(1.0),
    *(lms(k) for k in (2, 3, 4)),
    *(ipndm(k) for k in (2, 3, 4)),
    *(unipc(p) for p in (2, 3)),
)

SOLVERS: Mapping[str, Solver] = MappingProxyType({solver.name: solver for solver in _ALL})
"""The stock solvers by name."""


def stock_plan(
    process: Process,
    solver: str,
    grid: str,
    steps: int,
    *,
    reuse: Iterable[Reuse] | None = None,
    guidance: float | Sequence[float] | None = None,
) -> Plan:
    """The plan of a stock solver on a stock grid.

    Raises:
        PlanError: If there is no such solver or grid, or the grid has no such number of steps.
    """
    if solver not in SOLVERS:
        raise PlanError(f"unknown solver {solver!r}", hint=f"known: {', '.join(SOLVERS)}")
    if grid not in GRIDS:
        raise PlanError(f"unknown grid {grid!r}", hint=f"known: {', '.join(GRIDS)}")
    return build(
        SOLVERS[solver],
        GRIDS[grid](process, steps),
        reuse=reuse,
        guidance=guidance,
        label=f"{solver} {grid} {steps}",
    )
