"""A plan in words: what each row is made of, as short as it can be said.

A plan says every input in terms of the starting point and all earlier outputs. Readers want the
form in which a solver's paper has it, in terms of an earlier input and the newest outputs; that is
how `hasten.solvers.program` carries it out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.solvers.program import Program, compile_plan


@final
@dataclass(frozen=True)
class Term:
    """One summand of a combination.

    Attributes:
        kind: ``start``, ``x`` (an earlier row's input), ``out`` (its x0-output) or ``noise``.
        index: Row of an input or output; the how-manieth noise of the plan; 0 for the start.
        weight: Its coefficient.
    """

    kind: str
    index: int
    weight: float

    @property
    def name(self) -> str:
        """``start``, ``x[3]``, ``out[3]`` or ``noise[0]``."""
        return self.kind if self.kind == "start" else f"{self.kind}[{self.index}]"


Form: TypeAlias = tuple[Term, ...]


def short_forms(plan: Plan) -> tuple[Form, ...]:
    """The shortest combination for every row's input, and last the one for the sample."""
    program = compile_plan(plan, newest=True)
    return tuple(
        tuple(_term(program, register, weight) for register, weight in terms)
        for terms in (*program.inputs, program.result)
    )


def _term(program: Program, register: int, weight: float) -> Term:
    rows = len(program.inputs)
    if register == 0:
        return Term("start", 0, weight)
    if register <= rows:
        return Term("x", register - 1, weight)
    if register <= 2 * rows:
        return Term("out", register - 1 - rows, weight)
    return Term("noise", register - 1 - 2 * rows, weight)


def outputs(form: Form) -> Form:
    """The earlier outputs a combination takes up, newest first."""
    return tuple(sorted((t for t in form if t.kind == "out"), key=lambda t: -t.index))


def draws(form: Form) -> bool:
    """Whether noise is drawn for it."""
    return any(term.kind == "noise" for term in form)


def formula(form: Form) -> str:
    """``0.559 x[4] + 0.997 out[4] - 0.556 out[3]``."""
    rank = {"start": 0, "x": 0, "out": 1, "noise": 2}
    text = ""
    for term in sorted(form, key=lambda t: (rank[t.kind], -t.index)):
        sign = ("-" if term.weight < 0 else "") if not text else " - " if term.weight < 0 else " + "
        one = math.isclose(abs(term.weight), 1, rel_tol=1e-12)
        text += sign + ("" if one else f"{abs(term.weight):.3g} ") + term.name
    return text or "0"


def log_snr(sigma: float) -> float:
    """``log(alpha^2 / sigma_t^2)``, which is ``-2 log sigma`` whatever the process."""
    return -2 * math.log(sigma)


def table(plan: Plan, process: Process | None = None) -> tuple[list[str], list[list[str]]]:
    """The plan for reading: headings, and the cells of every row; the last is the sample.

    Columns that would say nothing (slot, guidance) are left out, and so is the net's own time
    without a process.

    Args:
        plan: What to write.
        process: The net's, which says what the net is told of time.
    """
    forms = short_forms(plan)
    columns: dict[str, list[str]] = {
        ">row": [str(index) for index in range(plan.nfe)],
        ">step": [str(row.step) for row in plan.rows],
        ">slot": [str(row.slot) for row in plan.rows],
        ">sigma": [f"{row.sigma:.4g}" for row in plan.rows],
        ">log-SNR": [f"{log_snr(row.sigma):.2f}" for row in plan.rows],
    }
    if process is not None:
        told = process.time(np.asarray(plan.sigmas, dtype=np.float64))
        columns[">net's time"] = [f"{time:.5g}" for time in told.tolist()]
    columns |= {
        "input x =": [formula(form) for form in forms[:-1]],
        ">outputs": [str(len(outputs(form))) for form in forms[:-1]],
        "reuse": [str(row.reuse) for row in plan.rows],
        ">guidance": ["" if r.guidance is None else f"{r.guidance:g}" for r in plan.rows],
    }
    if not any(row.slot for row in plan.rows):
        del columns[">slot"]
    if not any(columns[">guidance"]):
        del columns[">guidance"]
    end = {
        ">row": "end",
        ">sigma": "0",
        "input x =": formula(forms[-1]),
        ">outputs": str(len(outputs(forms[-1]))),
    }
    cells = [list(row) for row in zip(*columns.values(), strict=True)]
    return list(columns), [*cells, [end.get(name, "") for name in columns]]


def totals(plan: Plan) -> dict[str, str]:
    """What there is of everything, for the lines below the table."""
    forms = short_forms(plan)
    drawn = sum(draws(form) for form in forms)
    return {
        "plan": plan.label or "own plan",
        "evaluations": f"{plan.nfe}: {kinds(plan)}",
        "earlier outputs": f"up to {memory(forms)} in one input",
        "noise": f"drawn in {drawn} rows" if drawn else "none after the start",
        "fingerprint": plan.fingerprint(),
    }


def kinds(plan: Plan) -> str:
    """``5 full, 1 held``."""
    names = {"full": "full", "hold": "held", "forecast": "forecast"}
    found = Counter(row.reuse.kind for row in plan.rows)
    return ", ".join(f"{found[kind]} {name}" for kind, name in names.items() if found[kind])


def memory(forms: Sequence[Form]) -> int:
    """The most earlier outputs that any combination takes up."""
    return max(len(outputs(form)) for form in forms)
