"""Entrants: every deterministic solver on every grid that the model's process accepts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from torch import Tensor

from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers import GRIDS, SOLVERS, Solver, run, stock_plan

EVALUATIONS = (4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 20, 35, 50)
"""Numbers of evaluations of the net at which samplers are compared."""

FAMILIES = {
    "ddim": "DDIM",
    "heun": "Heun",
    "dpm_s": "DPM single",
    "dpm_m": "DPM multi",
    "dpmpp_s": "DPM++ single",
    "dpmpp_m": "DPM++ multi",
    "lms": "LMS",
    "ipndm": "iPNDM",
    "deis": "DEIS",
    "unipc": "UniPC",
}
"""Names for people; other families go by their own."""


class Entrant(Protocol):
    """A way to sample, with a fixed number of evaluations.

    Attributes:
        key: Names it in the journal; changes whenever its samples would.
        solver: What steps.
        grid: Where.
        family: Solvers of one kind, of which the best is kept in sight.
        evaluations: Evaluations of the net a sample.
    """

    @property
    def key(self) -> str: ...
    @property
    def solver(self) -> str: ...
    @property
    def grid(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def evaluations(self) -> int: ...

    def endpoint(self, model: Model, seeds: Sequence[int], cond: Tensor | None) -> Tensor:
        """The samples x0 [n, *shape] of these seeds."""
        ...


@final
@dataclass(frozen=True)
class Stock:
    """One of our solvers on one of our grids."""

    key: str
    solver: str
    grid: str
    plan: Plan

    @property
    def family(self) -> str:
        return family(self.solver)

    @property
    def evaluations(self) -> int:
        return self.plan.nfe

    def endpoint(self, model: Model, seeds: Sequence[int], cond: Tensor | None) -> Tensor:
        return run(model, self.plan, seeds, cond)


def family(solver: str) -> str:
    """A solver's name without its order and form: lms of lms3, dpmpp_m of dpmpp_3m_exact."""
    stem = re.split(r"[_\d]", solver)[0]
    if stem in ("dpm", "dpmpp"):
        return f"{stem}_m" if re.search(r"\dm", solver) else f"{stem}_s"
    return stem


def stock(process: Process, evaluations: int) -> list[Stock]:
    """All stock plans with so many evaluations; of equal ones the first.

    Solvers that draw noise on the way end elsewhere by intention, so they have no endpoint error.
    """
    found: dict[str, Stock] = {}
    for solver in SOLVERS.values():
        if not solver.stochastic:
            for entrant in on_all_grids(process, solver, evaluations):
                found.setdefault(entrant.key, entrant)
    return list(found.values())


def on_all_grids(process: Process, solver: Solver, evaluations: int) -> Iterator[Stock]:
    """The plans of one solver with so many evaluations, if it can have so many."""
    least = -(-evaluations // solver.evaluations)
    for grid in GRIDS:
        for steps in (least, least + 1):  # last steps may do with fewer evaluations
            try:
                plan = stock_plan(process, solver.name, grid, steps)
            except PlanError:
                break
            if plan.nfe == evaluations:
                yield Stock(plan.fingerprint(), solver.name, grid, plan)
                break


def left_out() -> list[str]:
    """The solvers that draw noise."""
    return [solver.name for solver in SOLVERS.values() if solver.stochastic]
