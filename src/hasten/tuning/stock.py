"""Stock: what solvers off the shelf do on grids off the shelf.

The honest rival of any search is the fewest evaluations that anybody gets by choosing well among
what everybody has. So every deterministic stock solver is offered on every stock grid. Those that
draw noise are left out: with so few steps they are far behind.
"""

from __future__ import annotations

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers import GRIDS, SOLVERS
from hasten.tuning.space import Candidate


def candidates(process: Process, evaluations: int) -> list[Candidate]:
    """All stock plans with so many evaluations; of equal ones the first."""
    found: dict[str, Candidate] = {}
    for name, solver in SOLVERS.items():
        # a two-evaluation solver makes do with one in its last step
        steps = (evaluations + solver.evaluations - 1) // solver.evaluations
        if solver.stochastic or steps < 1:
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
