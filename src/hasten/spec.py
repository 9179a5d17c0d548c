"""The short form of a plan, as people write it; a process makes rows of it.

    [plan]
    solver = "edm"              # a name from hasten.solvers.SOLVERS
    churn = 40.0                # options of the solver, if it has any (hasten.solvers.options)
    grid = "karras"             # or  sigmas = [80.0, 12.4, ...]
    steps = 18
    reuse = "every:3"           # "full", "every:N" or one entry a step: ["full", "hold", ...]
    guidance = 2.0              # weight in every evaluation; without it the run's
    guidance_interval = [0.2, 3.0]      # only where low < sigma <= high; 1 elsewhere

What is left out takes the defaults of `PlanSpec`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from hasten.core.plan import FULL, HOLD, Plan, Reuse, check_reuse
from hasten.core.process import Process
from hasten.errors import PlanError, RecipeError
from hasten.solvers import GRIDS, SOLVERS, explicit
from hasten.solvers.build import build, check_interval
from hasten.solvers.grids import check_steps
from hasten.solvers.options import OPTIONS, check_options, known_options, with_options
from hasten.tables import construct, known, short


@final
@dataclass(frozen=True)
class PlanSpec:
    """The short form of a plan.

    Attributes:
        solver: A name from `hasten.solvers.SOLVERS`.
        grid: A name from `hasten.solvers.GRIDS`; None if `sigmas` are given.
        steps: Number of solver steps; None if `sigmas` are given.
        sigmas: Noise levels, descending, without the final 0; None if a grid is named.
        reuse: ``full``, ``every:N`` (the first of every N steps is full) or one entry a step.
        guidance: Weight of guidance written into every row; None takes the run's.
        guidance_interval: Noise levels ``(low, high)`` between which the net is guided, as
            `hasten.build` has it; None guides everywhere.
        options: Of the solver, by name (`hasten.solvers.options`); what is not stated is as in the
            stock solver.
    """

    solver: str = "ddim"
    grid: str | None = "uniform"
    steps: int | None = 50
    sigmas: tuple[float, ...] | None = None
    reuse: str | tuple[str, ...] = "full"
    guidance: float | None = None
    guidance_interval: tuple[float, float] | None = None
    options: Mapping[str, float | bool] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        known("solver", self.solver, SOLVERS, "[plan]")
        if self.sigmas is None:
            if self.grid is None or self.steps is None:
                raise RecipeError(
                    "a plan needs noise levels",
                    where="[plan]",
                    hint='give grid and steps (grid = "karras", steps = 12), or sigmas = [...]',
                )
            known("grid", self.grid, GRIDS, "[plan]")
        elif self.grid is not None or self.steps not in (None, len(self.sigmas)):
            raise RecipeError(
                "both a grid and a list of sigmas", where="[plan]", hint="leave out grid and steps"
            )
        try:
            if self.sigmas is None:
                check_steps(self.count)
            # as floats, so that 40 and 40.0 are one recipe
            object.__setattr__(self, "options", check_options(self.solver, self.options))
            if self.options:  # a solver may refuse together what it admits one by one
                with_options(self.solver, self.options)
            check_interval(self.guidance_interval)
        except PlanError as error:
            where = f"[plan] {error.where}".strip()
            raise RecipeError(error.what, where=where, hint=error.hint) from error
        _column(self.reuse, self.count)

    @property
    def count(self) -> int:
        """Number of solver steps."""
        return len(self.sigmas) if self.sigmas is not None else int(self.steps or 0)

    @property
    def column(self) -> tuple[Reuse, ...]:
        """The reuse column, one entry a step."""
        return _column(self.reuse, self.count)

    @property
    def label(self) -> str:
        """For people: ``dpmpp_2m karras 12``, ``edm(churn=40) karras 18``."""
        stated = ", ".join(f"{name}={short(value)}" for name, value in self.options.items())
        solver = f"{self.solver}({stated})" if stated else self.solver
        grid = self.grid if self.sigmas is None else "own grid"
        held = "" if all(entry.full for entry in self.column) else ", reuse"
        return f"{solver} {grid} {self.count}{held}{self._guided}"

    @property
    def _guided(self) -> str:
        if self.guidance_interval is None:
            return ""
        weight = "" if self.guidance is None else f" {self.guidance:g}"
        low, high = self.guidance_interval
        return f", guidance{weight} for sigma {low:g} to {high:g}"

    def resolve(self, process: Process) -> Plan:
        """The rows, for one process.

        Raises:
            PlanError: If the noise levels do not suit the process.
        """
        if self.sigmas is not None:
            sigmas = explicit(process, self.sigmas)
        else:
            sigmas = GRIDS[str(self.grid)](process, self.count)
        return build(
            with_options(self.solver, self.options) if self.options else SOLVERS[self.solver],
            sigmas,
            reuse=list(self.column),
            guidance=self.guidance,
            guidance_interval=self.guidance_interval,
            label=self.label,
        )


def to_dict(spec: PlanSpec) -> dict[str, Any]:
    """The table ``[plan]``: the fields that are stated, the options among them."""
    facts = {key: getattr(spec, key) for key in _FIELDS}
    if spec.sigmas is not None:
        del facts["steps"]
    stated = {key: value for key, value in facts.items() if value is not None}
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in {**stated, **spec.options}.items()
    }


def from_dict(table: Mapping[str, Any]) -> PlanSpec:
    """Inverse of `to_dict`; what is absent takes its default.

    Raises:
        RecipeError: On anything unknown, or of the wrong type or range.
    """
    facts = {key: value for key, value in table.items() if key in _FIELDS}
    options = {key: value for key, value in table.items() if key not in _FIELDS}
    solver = str(facts.get("solver", PlanSpec.solver))
    for key in options.keys() - _EVERY_OPTION:  # the others are refused with the solver's name
        known("key", key, [*_FIELDS, *known_options(solver)], "[plan]")
    if "sigmas" in facts:
        facts = {"grid": None, "steps": None} | facts
    return dataclasses.replace(construct(PlanSpec, facts, "[plan]"), options=options)


_FIELDS = [f.name for f in dataclasses.fields(PlanSpec) if f.name != "options"]
_EVERY_OPTION = {name for options in OPTIONS.values() for name in options.known}


def _column(reuse: str | tuple[str, ...], steps: int) -> tuple[Reuse, ...]:
    if reuse == "full":
        return (FULL,) * steps
    if isinstance(reuse, str):
        word, _, period = reuse.partition(":")
        if word != "every" or not period.isdecimal() or int(period) < 1:
            raise RecipeError(
                f"unknown reuse {reuse!r}",
                where="[plan] reuse",
                hint='"full", "every:N" or a list with one entry a step',
            )
        return tuple(HOLD if i % int(period) else FULL for i in range(steps))
    if len(reuse) != steps:
        raise RecipeError(f"{len(reuse)} reuse entries for {steps} steps", where="[plan] reuse")
    try:
        column = tuple(Reuse.parse(entry) for entry in reuse)
        # as if every step had one evaluation; what has more is checked again when it has rows
        check_reuse(((0, entry) for entry in column), "step")
    except PlanError as error:
        where = f"[plan] reuse {error.where}".strip()
        raise RecipeError(error.what, where=where, hint=error.hint) from error
    return column
