"""Plan: a sampling programme as rows of network evaluations.

A fixed-step solver is affine in the starting point, the net's past x0-outputs and the noise it
draws. So whatever solver made it, a plan is a table: each row says at which noise level the net is
asked, of which combination of what is already there, and whether deep features may be reused; one
last combination makes the sample. Solvers are run once on basis vectors to write the table
(`hasten.solvers.build`), and one executor plays it (`hasten.solvers.loop`).

    row   sigma   input x_hat =                                   reuse
    0     80.     start                                           full
    1     12.4    .155 start + .845 out[0]                        hold
    2      2.1    .026 start + .144 out[0] + .830 out[1]          full
    end                        out[2]
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, final

from hasten.core.fingerprint import fingerprint
from hasten.errors import PlanError


@final
@dataclass(frozen=True)
class Reuse:
    """What an evaluation may take over from earlier ones.

    Attributes:
        kind: ``full`` computes everything, ``hold`` takes the kept features as they are,
            ``forecast`` extrapolates them.
        order: Degree of the polynomial that is extrapolated; 0 unless ``forecast``.
    """

    kind: str = "full"
    order: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("full", "hold", "forecast"):
            raise PlanError(f"unknown reuse entry {self.kind!r}", hint="full, hold or forecast:K")
        if (self.order > 0) != (self.kind == "forecast"):
            raise PlanError("only a forecast has an order, and it is at least 1", where=self.kind)

    @classmethod
    def parse(cls, text: str) -> Reuse:
        """``full``, ``hold`` or ``forecast:K``."""
        kind, _, order = text.partition(":")
        if order and not order.isdecimal():  # isdigit takes superscripts, int does not
            raise PlanError(f"unknown reuse entry {text!r}", hint="full, hold or forecast:K")
        return cls(kind, int(order or 0))

    def __str__(self) -> str:
        return f"{self.kind}:{self.order}" if self.order else self.kind

    @property
    def full(self) -> bool:
        """Whether everything is computed afresh."""
        return self.kind == "full"

    @property
    def needs(self) -> int:
        """Full evaluations that must have gone before: as many as the polynomial has coefficients.

        One to hold, K + 1 for a forecast of degree K.
        """
        return 0 if self.full else self.order + 1


FULL, HOLD = Reuse(), Reuse("hold")


@final
@dataclass(frozen=True)
class Noise:
    """A standard normal tensor: the scaled increment of a Brownian path between two noise levels.

    Attributes:
        high: Where the interval begins (the noisier end).
        low: Where it ends; ``0 < low < high``.
    """

    high: float
    low: float


@final
@dataclass(frozen=True)
class Combination:
    """An affine combination of what a run has at hand.

    Attributes:
        start: Coefficient of the starting point, which is noise at the level of row 0.
        outputs: Coefficients of the x0-outputs of earlier rows, by row; absent ones are zero.
        noise: Coefficients of normal tensors, by Brownian interval.
    """

    start: float
    outputs: tuple[tuple[int, float], ...] = ()
    noise: tuple[tuple[Noise, float], ...] = ()


@final
@dataclass(frozen=True)
class Row:
    """One evaluation of the net.

    Attributes:
        sigma: Noise level at which the net is asked.
        input: What it is asked about, in VE coordinates.
        step: Index of the solver's step this evaluation belongs to.
        slot: Which evaluation of that step it is (0 for one-evaluation solvers).
        reuse: Full, hold or forecast.
        guidance: Weight of guidance for this row, 1 for none; None takes the run's.
    """

    sigma: float
    input: Combination
    step: int
    slot: int = 0
    reuse: Reuse = FULL
    guidance: float | None = None


@final
@dataclass(frozen=True)
class Plan:
    """A sampling programme: rows of evaluations and the combination that is the sample.

    Attributes:
        rows: The evaluations in order, at least one.
        result: The sample, in VE coordinates.
        label: What made it, for people: ``"ddim uniform 50"``; not part of the fingerprint.
    """

    rows: tuple[Row, ...]
    result: Combination
    label: str = ""

    def __post_init__(self) -> None:
        if not self.rows:
            raise PlanError("a plan needs at least one evaluation")
        for index, row in enumerate(self.rows):
            where = f"row {index}"
            if not (math.isfinite(row.sigma) and row.sigma > 0):
                raise PlanError(f"noise level {row.sigma} is not positive and finite", where=where)
            _check(row.input, index, where)
        check_reuse((row.slot, row.reuse) for row in self.rows)
        _check(self.result, len(self.rows), "result")

    @property
    def nfe(self) -> int:
        """Number of network evaluations, full or partial."""
        return len(self.rows)

    @property
    def sigmas(self) -> tuple[float, ...]:
        """Noise level of every evaluation."""
        return tuple(row.sigma for row in self.rows)

    @property
    def reuse(self) -> tuple[Reuse, ...]:
        """The reuse column."""
        return tuple(row.reuse for row in self.rows)

    @property
    def steps(self) -> int:
        """Number of solver steps."""
        return self.rows[-1].step + 1

    def with_reuse(self, column: Iterable[Reuse]) -> Plan:
        """The same programme with another reuse column, one entry a *step*.

        Raises:
            PlanError: If the number of entries is not the number of steps.
        """
        entries = list(column)
        if len(entries) != self.steps:
            raise PlanError(f"{len(entries)} reuse entries for {self.steps} steps")
        rows = tuple(dataclasses.replace(row, reuse=entries[row.step]) for row in self.rows)
        return dataclasses.replace(self, rows=rows)

    def guided(self, guidance: float = 1.0) -> int:
        """Number of evaluations that ask two branches, in a run with this weight of guidance."""
        weights = (guidance if row.guidance is None else row.guidance for row in self.rows)
        return sum(weight != 1 for weight in weights)

    @property
    def stochastic(self) -> bool:
        """Whether noise is drawn on the way."""
        return any(c.noise for c in (*(row.input for row in self.rows), self.result))

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change when any evaluation changes."""
        return fingerprint(to_dict(dataclasses.replace(self, label="")))


def to_dict(plan: Plan) -> dict[str, Any]:
    """The plan as plain tables, exact to the last bit, ready for JSON or TOML."""

    def table(c: Combination) -> dict[str, Any]:
        out: dict[str, Any] = {"start": float(c.start)}
        if c.outputs:
            out["outputs"] = [[index, float(weight)] for index, weight in c.outputs]
        if c.noise:
            out["noise"] = [[float(n.high), float(n.low), float(w)] for n, w in c.noise]
        return out

    rows = []
    for row in plan.rows:
        entry: dict[str, Any] = {"sigma": float(row.sigma), "step": row.step}
        entry["input"] = table(row.input)
        if row.slot:
            entry["slot"] = row.slot
        if not row.reuse.full:
            entry["reuse"] = str(row.reuse)
        if row.guidance is not None:
            entry["guidance"] = float(row.guidance)
        rows.append(entry)
    return {"label": plan.label, "rows": rows, "result": table(plan.result)}


def from_dict(facts: Mapping[str, Any]) -> Plan:
    """Inverse of `to_dict`.

    Raises:
        PlanError: On unknown or missing keys, naming them.
    """

    def combination(table: Mapping[str, Any], where: str) -> Combination:
        _only(table, {"start", "outputs", "noise"}, {"start"}, where)
        return Combination(
            float(table["start"]),
            tuple((int(i), float(w)) for i, w in table.get("outputs", ())),
            tuple((Noise(float(h), float(low)), float(w)) for h, low, w in table.get("noise", ())),
        )

    _only(facts, {"label", "rows", "result"}, {"rows", "result"}, "plan")
    rows = []
    for index, entry in enumerate(facts["rows"]):
        where = f"plan row {index}"
        known = {"sigma", "step", "input", "slot", "reuse", "guidance"}
        _only(entry, known, {"sigma", "step", "input"}, where)
        rows.append(
            Row(
                sigma=float(entry["sigma"]),
                input=combination(entry["input"], where),
                step=int(entry["step"]),
                slot=int(entry.get("slot", 0)),
                reuse=Reuse.parse(entry.get("reuse", "full")),
                guidance=None if "guidance" not in entry else float(entry["guidance"]),
            )
        )
    return Plan(
        tuple(rows), combination(facts["result"], "plan result"), str(facts.get("label", ""))
    )


def check_reuse(entries: Iterable[tuple[int, Reuse]], unit: str = "row") -> None:
    """Refuse to reuse what is not there yet.

    Args:
        entries: What each evaluation reuses, after the slot it is in; in order.
        unit: What an entry is one of, for people.

    Raises:
        PlanError: If too few full evaluations of the same slot precede an entry, naming it.
    """
    made = Counter[int]()
    for index, (slot, reuse) in enumerate(entries):
        if made[slot] < reuse.needs:
            few = reuse.needs
            missing = (
                "an earlier full evaluation" if few == 1 else f"{few} earlier full evaluations"
            )
            raise PlanError(
                f"{reuse} without {missing} in slot {slot}",
                where=f"{unit} {index}",
                hint="each slot begins with full evaluations: one to hold, K + 1 to forecast:K",
            )
        made[slot] += reuse.full


def _check(combination: Combination, available: int, where: str) -> None:
    weights = [combination.start, *(w for _, w in combination.outputs)]
    weights += [w for _, w in combination.noise]
    if not all(math.isfinite(w) for w in weights):
        raise PlanError("a coefficient is not finite", where=where)
    for index, _ in combination.outputs:
        if not 0 <= index < available:
            raise PlanError(f"refers to output {index}, which is not yet made", where=where)


def _only(table: Mapping[str, Any], known: set[str], needed: set[str], where: str) -> None:
    if unknown := sorted(set(table) - known):
        raise PlanError(f"unknown keys {unknown}", where=where, hint=f"known: {sorted(known)}")
    if missing := sorted(needed - set(table)):
        raise PlanError(f"missing keys {missing}", where=where)
