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

import contextlib
import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from hasten.core.fingerprint import fingerprint
from hasten.core.process import SIGMA_CAP
from hasten.core.values import a_list, number, only, tuples, whole
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
            raise PlanError(
                "only a forecast has an order, and it is at least 1",
                where=self.kind,
                hint="full, hold or forecast:K",
            )

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

MOST = 1e30
"""No coefficient is larger: single precision ends soon above."""


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

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise PlanError(
                f"noise from level {self.high} to {self.low}",
                hint="[high, low, weight] with 0 < low < high, both finite",
            )

    def __str__(self) -> str:
        return f"{self.high:g} to {self.low:g}"


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
            raise PlanError("a plan needs at least one evaluation", hint="write a row")
        before = None
        for index, row in enumerate(self.rows):
            with _at(f"row {index}"):
                _check_row(row, before)
                _check(row.input, index)
            before = row
        check_reuse((row.slot, row.reuse) for row in self.rows)
        with _at("result"):
            _check(self.result, len(self.rows))

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
        PlanError: On unknown or missing keys, on values of another type, and on what a plan cannot
            say; with the row.
    """
    only(facts, {"label", "rows", "result"}, {"rows", "result"})
    rows = []
    for index, entry in enumerate(a_list(facts["rows"], "rows")):
        with _at(f"row {index}"):
            rows.append(_read_row(entry))
    with _at("result"):
        result = _read_combination(facts["result"])
    return Plan(tuple(rows), result, str(facts.get("label", "")))


def _read_row(entry: Any) -> Row:
    known = {"sigma", "step", "input", "slot", "reuse", "guidance"}
    only(entry, known, {"sigma", "step", "input"})
    return Row(
        sigma=number(entry["sigma"], "sigma"),
        input=_read_combination(entry["input"]),
        step=whole(entry["step"], "step"),
        slot=whole(entry.get("slot", 0), "slot"),
        reuse=Reuse.parse(str(entry.get("reuse", "full"))),
        guidance=number(entry["guidance"], "guidance") if "guidance" in entry else None,
    )


def _read_combination(table: Any) -> Combination:
    only(table, {"start", "outputs", "noise"}, {"start"})
    outputs = [
        (whole(row, "a row"), number(weight, "a weight"))
        for row, weight in tuples(table.get("outputs", ()), "outputs", "[row, weight]")
    ]
    noise = [
        (
            Noise(number(high, "a noise level"), number(low, "a noise level")),
            number(weight, "a weight"),
        )
        for high, low, weight in tuples(table.get("noise", ()), "noise", "[high, low, weight]")
    ]
    _check_once("output", [row for row, _ in outputs])
    _check_once("noise", [interval for interval, _ in noise])
    return Combination(number(table["start"], "start"), tuple(outputs), tuple(noise))


def _check_once(name: str, terms: Sequence[int | Noise]) -> None:
    if len(set(terms)) < len(terms):
        twice, _ = Counter(terms).most_common(1)[0]
        raise PlanError(f"{name} {twice} is named more than once", hint="add up its weights")


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


@contextlib.contextmanager
def _at(place: str) -> Iterator[None]:
    """Say of what is refused here where it is."""
    try:
        yield
    except PlanError as error:
        raise PlanError(error.what, where=place, hint=error.hint) from error


def _check_row(row: Row, before: Row | None) -> None:
    if not (math.isfinite(row.sigma) and row.sigma > 0):
        raise PlanError(f"noise level {row.sigma} is not positive and finite", hint="sigma > 0")
    if row.sigma > SIGMA_CAP * (1 + 1e-9):  # a grid comes to the cap but for rounding
        raise PlanError(
            f"noise level {row.sigma:g} is above {SIGMA_CAP:g}",
            hint="nothing of the data is left there; begin lower",
        )
    if before is not None and row.sigma > before.sigma and not row.input.noise:
        raise PlanError(
            f"noise level {row.sigma:g} is above the {before.sigma:g} of the row before, "
            "and the input draws no noise",
            hint="rows go from the noisiest down; to go up, give the input noise",
        )
    earliest = 0 if before is None else before.step
    if not earliest <= row.step <= earliest + (before is not None):
        raise PlanError(
            f"step = {row.step}" + ("" if before is None else f" after step {before.step}"),
            hint="steps are counted from 0, every one has a row, and they do not go back",
        )
    if row.slot < 0:
        raise PlanError(f"slot = {row.slot}", hint="0 for the first evaluation of a step")
    if row.guidance is not None and not math.isfinite(row.guidance):
        raise PlanError(f"guidance = {row.guidance}", hint="a finite weight; 1 is none")


def _check(combination: Combination, available: int) -> None:
    weights = [combination.start, *(w for _, w in combination.outputs)]
    weights += [w for _, w in combination.noise]
    for weight in weights:
        if not abs(weight) <= MOST:
            raise PlanError(
                f"a coefficient is not finite, or too large: {weight:g}", hint=f"at most {MOST:g}"
            )
    for index, _ in combination.outputs:
        if not 0 <= index < available:
            raise PlanError(
                f"refers to output {index}, which is not yet made",
                hint=f"outputs 0 to {available - 1} are there"
                if available
                else "no row comes before, so leave outputs out",
            )
