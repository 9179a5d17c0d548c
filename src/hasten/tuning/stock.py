"""Stock: what solvers off the shelf do on grids off the shelf.

The honest rival of any search is the fewest evaluations that anybody gets by choosing well among
what everybody has: a dozen deterministic solvers on the five grids that pipelines offer. Solvers
that draw noise are left out: with so few steps they are far behind. So are forms of one solver that
hardly differ with few steps, since every plan offered costs a look.
"""

from __future__ import annotations

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers import SOLVERS
from hasten.tuning.space import Candidate

OFFERED = (
    *("ddim", "heun", "dpmpp_2m", "lms2", "lms3", "ipndm2", "ipndm3"),
    *("ipndm4", "deis3", "unipc2", "unipc3", "unipc3_bh1"),
)
GRIDS = ("uniform", "trailing", "karras", "logsnr", "beta")
"""Solvers and grids off the shelf."""


def candidates(process: Process, evaluations: int) -> list[Candidate]:
    """All stock plans with so many evaluations; of equal ones the first."""
    found: dict[str, Candidate] = {}
    for name in OFFERED:
        solver = SOLVERS[name]
        # a two-evaluation solver makes do with one in its last step
        steps = (evaluations + solver.evaluations - 1) // solver.evaluations
        if steps < 1:
            continue
        for grid in GRIDS:
            candidate = Candidate.stock(name, grid, steps)
            try:
                plan = candidate.spec.resolve(process)
            except PlanError:
                continue
            if plan.nfe == evaluations:
                found.setdefault(plan.fingerprint(), candidate)
    return list(found.values())
