"""Family: plans of few numbers, from a solver off the shelf and a grid between all known ones.

    sigma_k = (a + k / (n - 1) (b - a))^rho,   a = top^(1/rho),  b = last^(1/rho)

Karras et al. 2022, eq. 5, with the exponent and the last level free: rho = 7 is theirs, a large
rho is uniform in log sigma, a small one crowds the levels at the top. The last level, from which
the step to clean data is taken, matters as much with few steps: grids "trailing" and "uniform"
differ in little else.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import qmc

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.tuning.newton import Floats
from hasten.tuning.refine import distinct
from hasten.tuning.space import Candidate

LEADS = ("dpmpp_2m", "unipc2", "unipc3", "unipc3_bh1", "ipndm3")
"""Solvers that come first with few steps, each in some place."""
RHO = (1.5, 25.0)
"""Exponents."""
CLEAN = 1.0
"""The last level is not above this; data have about unit size."""


def power_grid(top: float, last: float, rho: float, steps: int) -> Floats:
    """The formula above."""
    ends = np.array([top, last]) ** (1 / rho)
    return np.asarray(np.linspace(ends[0], ends[1], steps) ** rho, dtype=np.float64)


def family(process: Process, steps: int, count: int) -> list[Candidate]:
    """So many plans, spread evenly over solvers, exponents and last levels.

    They are points of a Halton sequence, so that more of them are the same ones and some others.
    """
    points = qmc.Halton(3, scramble=False)
    points.fast_forward(1)  # the first is the corner
    lowest = 2 * process.sigma_min
    found = []
    for which, bend, end in points.random(count):
        rho = RHO[0] * (RHO[1] / RHO[0]) ** bend
        last = lowest * (max(CLEAN, lowest) / lowest) ** end
        grid = power_grid(process.sigma_max, last, rho, steps)
        try:
            levels = distinct(process, grid)
        except PlanError:
            continue
        found.append(Candidate.of(LEADS[int(which * len(LEADS))], levels, fitted=False))
    return found
