"""How to sample: solvers, time grids, noise, and the one executor.

``grids`` says where a sampler asks the net; ``one_step``, ``multistep``, ``exponential``, ``deis``,
``unipc`` and ``stochastic`` how it goes from one noise level to the next, as step functions in the
papers' letters; ``adaptive`` finds a grid by error control on a pilot batch. ``build`` runs a
step function on basis vectors and writes the rows of a plan, ``program`` finds the cheapest way to
carry them out, ``loop`` carries them out. ``noise`` is keyed by seed and noise level.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from hasten.core.plan import Plan, Reuse
from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers.adaptive import Pilot, adaptive_plan, pilot
from hasten.solvers.build import Evaluation, Run, Solver, Vector, build
from hasten.solvers.deis import deis_t
from hasten.solvers.exponential import dpm_2m, dpmpp_2m, dpmpp_3m, exponential
from hasten.solvers.grids import GRIDS, Grid, check_steps, explicit
from hasten.solvers.loop import run, sample
from hasten.solvers.multistep import ipndm, ipndm_v, lms
from hasten.solvers.noise import Brownian, start_noise
from hasten.solvers.one_step import dpm_2, dpm_3, dpmpp_2s, dpmpp_3s, euler, fast, heun
from hasten.solvers.stochastic import (
    churn,
    ddim,
    ddpm_large,
    dpmpp_2m_sde,
    dpmpp_3m_sde,
    dpmpp_sde,
    exponential_sde,
)
from hasten.solvers.unipc import unipc

__all__ = [
    "GRIDS",
    "SOLVERS",
    "Brownian",
    "Evaluation",
    "Grid",
    "Pilot",
    "Run",
    "Solver",
    "Vector",
    "adaptive_plan",
    "build",
    "churn",
    "ddim",
    "deis_t",
    "dpmpp_2m_sde",
    "dpmpp_3m",
    "dpmpp_3m_sde",
    "dpmpp_sde",
    "explicit",
    "exponential",
    "exponential_sde",
    "ipndm",
    "ipndm_v",
    "lms",
    "pilot",
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
    Solver("dpm_2", dpm_2, 2, 2, "Lu et al. 2022, arXiv 2206.00927, algorithm 1"),
    Solver("dpm_3", dpm_3, 3, 3, "Lu et al. 2022, arXiv 2206.00927, algorithm 2"),
    Solver("dpmpp_2s", dpmpp_2s, 2, 2, "Lu et al. 2022, arXiv 2211.01095, algorithm 1"),
    Solver("dpmpp_3s", dpmpp_3s, 3, 3, "Lu et al. 2022, arXiv 2211.01095, the authors' code"),
    Solver("dpm_fast", fast(dpm_3, dpm_2), 3, 2, "Lu et al. 2022, arXiv 2206.00927, section 3.4"),
    Solver("dpmpp_fast", fast(dpmpp_3s, dpmpp_2s), 3, 2, "the same split with DPM-Solver++"),
    Solver("dpmpp_2m", dpmpp_2m, 1, 2, "Lu et al. 2022, arXiv 2211.01095, algorithm 2"),
    dpmpp_3m(),
    *(exponential(p) for p in (2, 3)),
    Solver("dpm_2m", dpm_2m, 1, 2, "Lu et al. 2022, arXiv 2206.00927, the authors' code"),
    ddim(1.0),
    Solver("ddpm_large", ddpm_large, 1, 1, "Ho, Jain and Abbeel 2020, arXiv 2006.11239", True),
    dpmpp_sde(),
    dpmpp_2m_sde(),
    dpmpp_3m_sde(),
    *(exponential_sde(p) for p in (2, 3)),
    churn(40.0),
    *(lms(k) for k in (2, 3, 4)),
    *(ipndm(k) for k in (2, 3, 4)),
    ipndm_v(),
    *(exponential(p, noise=True) for p in (2, 3)),
    *(deis_t(k) for k in (2, 3)),
    *(unipc(p) for p in (1, 2, 3)),
    *(unipc(p, "bh1") for p in (1, 2, 3)),
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
        GRIDS[grid](process, check_steps(steps)),
        reuse=reuse,
        guidance=guidance,
        label=f"{solver} {grid} {steps}",
    )
