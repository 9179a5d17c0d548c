"""Stock: the best that a solver off the shelf does on a grid off the shelf, for every budget.

The honest rival of any search is the fewest evaluations that anybody gets by choosing well among
what everybody has. So all stock solvers are tried on all stock grids: first on few trajectories,
then the better half on more, until the best is known (successive halving; Jamieson and Talwalkar
2016, arXiv 1502.07943). Solvers that draw noise have no trajectory of their own and are not among
them.
"""

from __future__ import annotations

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers import GRIDS, SOLVERS
from hasten.tuning.bench import Bench
from hasten.tuning.space import Candidate, Scored

ROUNDS = ((4, 8), (16, 2))
"""Trajectories of a round, and how many go on to the next."""


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


def best_stocks(bench: Bench, evaluations: int) -> list[Scored]:
    """The best few of them, by their error on all trajectories."""
    contest = candidates(bench.model.process, evaluations)
    for seeds, stay in ROUNDS:
        if len(contest) > stay and seeds < len(bench.train):
            results = [bench.score(candidate, 0, seeds) for candidate in contest]
            order = sorted(range(len(contest)), key=lambda i: (results[i].error, i))
            contest = [contest[i] for i in order[:stay]]
    return sorted((bench.score(candidate, 0) for candidate in contest), key=lambda s: s.error)
