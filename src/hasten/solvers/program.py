"""The cheapest way to carry out a plan's rows.

A plan says of every input how it follows from the starting point and *all* earlier outputs: exact,
but n terms for row n. Nearly every solver needs far fewer, because an input differs from an earlier
one by the newest outputs alone:

    x[5] = .016 start + .022 out[0] + .043 out[1] + ... + .44 out[4]      as the plan says
    x[5] = .56 x[4] + .44 out[4]                                         as it is computed

`compile_plan` tries a few such forms for every row and takes the one with the fewest terms. It then
notes after which row a tensor is used for the last time, so that the executor can let go of it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hasten.core.plan import Combination, Noise, Plan

NEGLIGIBLE = 1e-13
"""A term this small beside the largest of its combination is dropped."""

REACH = 4
"""How many earlier inputs a form may use: a linear multistep method of order k needs k."""

Floats = NDArray[np.float64]
Terms = tuple[tuple[int, float], ...]


@final
@dataclass(frozen=True)
class Program:
    """A plan as register instructions.

    Registers are numbered: 0 the starting point, then each row's input, then each row's output,
    then the noises.

    Attributes:
        inputs: For every row the terms ``(register, weight)`` of its input.
        result: The terms of the sample.
        noises: What the noise registers hold, in order of first use.
        last: For every row the registers not needed after its evaluation.
        kept: Registers that anything reads.
    """

    inputs: tuple[Terms, ...]
    result: Terms
    noises: tuple[Noise, ...]
    last: tuple[tuple[int, ...], ...]
    kept: frozenset[int]

    def input(self, row: int) -> int:
        """Register of a row's input."""
        return 1 + row

    def output(self, row: int) -> int:
        """Register of a row's output."""
        return 1 + len(self.inputs) + row

    def noise(self, register: int) -> Noise | None:
        """What a register holds, if it is noise."""
        index = register - 1 - 2 * len(self.inputs)
        return self.noises[index] if index >= 0 else None


@functools.lru_cache(maxsize=32)
def compile_plan(plan: Plan, *, newest: bool = False) -> Program:
    """The program of a plan.

    Args:
        plan: What to carry out.
        newest: Where two forms have equally many terms, take the one that begins at the newest
            input: then the first rows of a solver read like its later ones.
    """
    rows = len(plan.rows)
    combinations = [*(row.input for row in plan.rows), plan.result]
    noises = tuple(dict.fromkeys(noise for c in combinations for noise, _ in c.noise))
    places = {noise: 1 + rows + k for k, noise in enumerate(noises)}
    table = np.stack([_dense(c, places, 1 + rows + len(noises)) for c in combinations])
    # a unit of the starting point is as large as its noise level; outputs and noise are about 1
    size = np.ones(table.shape[1])
    size[0] = plan.rows[0].sigma
    forms = [_cheapest(table, row, size, newest) for row in range(rows + 1)]
    # table columns to registers: outputs and noises make room for the inputs
    terms = [
        (
            *((1 + base, weight) for base, weight in bases),
            *((column if column == 0 else column + rows, weight) for column, weight in rest),
        )
        for bases, rest in forms
    ]
    final_use: dict[int, int] = {}
    for row, uses in enumerate(terms):
        final_use.update((register, row) for register, _ in uses)
    last = tuple(
        tuple(register for register, use in final_use.items() if use == row) for row in range(rows)
    )
    return Program(tuple(terms[:-1]), terms[-1], noises, last, frozenset(final_use))


def _dense(c: Combination, places: dict[Noise, int], width: int) -> Floats:
    dense = np.zeros(width)
    dense[0] = c.start
    for row, weight in c.outputs:
        dense[1 + row] += weight
    for noise, weight in c.noise:
        dense[places[noise]] += weight
    return dense


def _cheapest(table: Floats, row: int, size: Floats, newest: bool) -> tuple[Terms, Terms]:
    """The form of a row with the fewest terms: multiples of earlier inputs, and what remains."""
    scale = float((np.abs(table[row]) * size).max(initial=np.finfo(np.float64).tiny))
    bases, factors = list[int](), np.zeros(0)
    remainder, count = table[row], int(np.count_nonzero(table[row]))
    for more_bases, more_factors in _candidates(table, row):
        if count <= 1 + len(more_bases):
            break
        left = table[row] - more_factors @ table[more_bases]
        left = np.where(np.abs(left) * size > NEGLIGIBLE * scale, left, 0.0)
        terms = len(more_bases) + int(np.count_nonzero(left))
        tie = terms == count and not bases and more_bases != [0]  # x[0] is the start, as a rule
        if terms < count or (newest and tie):
            bases, factors, remainder, count = more_bases, more_factors, left, terms
    return (
        tuple(zip(bases, factors.tolist(), strict=True)),
        tuple((int(column), float(remainder[column])) for column in np.flatnonzero(remainder)),
    )


def _candidates(table: Floats, row: int) -> Iterator[tuple[list[int], Floats]]:
    """Earlier inputs, and multiples of them, that may leave little of a row."""
    near = list(range(max(0, row - REACH), row))
    for base in reversed(near):  # one input, scaled to cancel the starting point
        if table[base, 0]:
            yield [base], np.array([table[row, 0] / table[base, 0]])
    for number in range(2, len(near) + 1):  # several, to cancel all that is older than the oldest
        bases = near[-number:]
        older = np.ones(table.shape[1], dtype=bool)
        older[1 + bases[0] : 1 + row] = False
        matrix, target = table[bases][:, older], table[row, older]
        factors = np.linalg.lstsq(matrix.T, target, rcond=1e-14)[0]
        if np.abs(factors).max() < 1e3:  # else single precision would be lost in differences
            yield bases, factors
