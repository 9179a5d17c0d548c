"""What differs between two plans, row by row.

Rows are matched by step, and within a step by their place in it; coefficients by what they belong
to, not by its number, so that a plan with an evaluation more is not different everywhere.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, final

from hasten.core.plan import Combination, Noise, Plan, Row

Key: TypeAlias = tuple[int, int]
Owner: TypeAlias = str | Key | Noise

COLUMNS = ("slot", "sigma", "reuse", "guidance")
"""What a row has besides its combination."""


@final
@dataclass(frozen=True)
class Change:
    """A coefficient that differs.

    Attributes:
        term: What it belongs to: ``start``, ``out of step 3``, ``noise of 80 to 19.8``.
        a: In the first plan; 0 where the term is absent.
        b: In the second.
        size: How much it moves the combination, in units of the data: the difference, times the
            first noise level for the starting point, which is that large.
    """

    term: str
    a: float
    b: float
    size: float


@final
@dataclass(frozen=True)
class Difference:
    """One row that is not the same in both plans.

    Attributes:
        step: The row's step; None for the combination that is the sample.
        place: The how-manieth evaluation of that step.
        only: ``a`` or ``b`` if the other plan has no such row, else empty.
        fields: What differs of `COLUMNS`, as pairs.
        changes: The coefficients that differ, those first that matter most.
    """

    step: int | None
    place: int = 0
    only: str = ""
    fields: tuple[tuple[str, Any, Any], ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def where(self) -> str:
        """``step 3``, ``step 3, evaluation 1`` or ``the sample``."""
        return "the sample" if self.step is None else _place((self.step, self.place))


def compare(a: Plan, b: Plan) -> tuple[Difference, ...]:
    """What differs, to the last bit, except in the labels; empty if the plans are equal."""
    keys = _keys(a), _keys(b)
    rows = tuple(dict(zip(k, p.rows, strict=True)) for k, p in zip(keys, (a, b), strict=True))
    scale = max(a.rows[0].sigma, b.rows[0].sigma)

    def changes(left: Combination, right: Combination) -> tuple[Change, ...]:
        return _changes(_weights(left, keys[0]), _weights(right, keys[1]), scale)

    found = []
    for key in sorted(rows[0].keys() | rows[1].keys()):
        left, right = rows[0].get(key), rows[1].get(key)
        if left is None or right is None:
            found.append(Difference(*key, only="b" if left is None else "a"))
            continue
        found.append(
            Difference(*key, fields=_fields(left, right), changes=changes(left.input, right.input))
        )
    found.append(Difference(None, changes=changes(a.result, b.result)))
    return tuple(entry for entry in found if entry.only or entry.fields or entry.changes)


def _keys(plan: Plan) -> list[Key]:
    seen: Counter[int] = Counter()
    keys = []
    for row in plan.rows:
        keys.append((row.step, seen[row.step]))
        seen[row.step] += 1
    return keys


def _fields(a: Row, b: Row) -> tuple[tuple[str, Any, Any], ...]:
    pairs = [(name, getattr(a, name), getattr(b, name)) for name in COLUMNS]
    return tuple(
        (name, *((str(x), str(y)) if name == "reuse" else (x, y))) for name, x, y in pairs if x != y
    )


def _weights(combination: Combination, keys: Sequence[Key]) -> dict[Owner, float]:
    weights: defaultdict[Owner, float] = defaultdict(float, {"start": combination.start})
    for row, weight in combination.outputs:
        weights[keys[row]] += weight
    for noise, weight in combination.noise:
        weights[noise] += weight
    return weights


def _name(owner: Owner) -> str:
    if isinstance(owner, Noise):
        return f"noise of {owner.high:.4g} to {owner.low:.4g}"
    return owner if isinstance(owner, str) else f"out of {_place(owner)}"


def _place(key: Key) -> str:
    return f"step {key[0]}" + (f", evaluation {key[1]}" if key[1] else "")


def _changes(a: dict[Owner, float], b: dict[Owner, float], scale: float) -> tuple[Change, ...]:
    found = []
    for owner in dict.fromkeys((*a, *b)):
        x, y = a.get(owner, 0.0), b.get(owner, 0.0)
        if x != y:
            size = abs(x - y) * (scale if owner == "start" else 1.0)
            found.append(Change(_name(owner), x, y, size))
    return tuple(sorted(found, key=lambda change: -change.size))


def table(found: Sequence[Difference]) -> tuple[list[str], list[list[str]]]:
    """The differences for reading: headings, and one row of cells for each."""
    columns: dict[str, list[str]] = {"where": [entry.where for entry in found]}
    if any(entry.only for entry in found):
        columns["only in"] = [entry.only.upper() for entry in found]
    for name in COLUMNS:
        pairs = [{n: (x, y) for n, x, y in entry.fields}.get(name) for entry in found]
        if any(pairs):
            columns[name] = ["" if pair is None else _pair(*pair) for pair in pairs]
    if any(entry.changes for entry in found):
        columns["coefficients, the largest change"] = [_largest(e.changes) for e in found]
    return list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def summary(a: Plan, b: Plan, found: Sequence[Difference]) -> str:
    """``3 of 6 rows and the sample differ: sigma in 1, coefficients in 3``."""
    if not found:
        return f"the same in all {a.nfe} rows"
    total = len({*_keys(a), *_keys(b)})
    rows = [entry for entry in found if entry.step is not None]
    who = [f"{len(rows)} of {total} rows"] if rows else []
    who += ["the sample"] if len(rows) < len(found) else []
    counts: Counter[str] = Counter()
    for entry in found:
        counts.update(name for name, _, _ in entry.fields)
        counts.update({f"only in {entry.only.upper()}": 1} if entry.only else {})
        counts.update(["coefficients"] if entry.changes else [])
    what = ", ".join(
        f"{n} {name}" if name.startswith("only") else f"{name} in {n}" for name, n in counts.items()
    )
    verb = "differs" if who == ["the sample"] else "differ"
    return f"{' and '.join(who)} {verb}: {what}"


def largest(found: Sequence[Difference]) -> str:
    """Where a combination changes most, and by how much; empty if none does."""
    changed = [entry for entry in found if entry.changes]
    if not changed:
        return ""
    entry = max(changed, key=lambda e: e.changes[0].size)
    return f"{entry.where}, {_spell(entry.changes[0])}"


def _largest(changes: Sequence[Change]) -> str:
    if not changes:
        return ""
    more = len(changes) - 1
    return _spell(changes[0]) + (f", and {more} more" if more else "")


def _spell(change: Change) -> str:
    return f"{change.term}: {_pair(change.a, change.b)}"


def _pair(a: Any, b: Any) -> str:
    """``1.337 -> 1.4``: numbers with as many digits as it takes to tell them apart."""
    if not (isinstance(a, float) and isinstance(b, float)):
        return " -> ".join("the run's" if value is None else str(value) for value in (a, b))
    texts = [(f"{a:.{n}g}", f"{b:.{n}g}") for n in range(4, 18)]
    return " -> ".join(next((pair for pair in texts if pair[0] != pair[1]), texts[-1]))
