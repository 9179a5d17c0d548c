"""Moves: small changes of a candidate, for a local search over the front.

A held row costs less than a full one, so a plan may hold a row it has, or add a held row where none
was. Which of those pays depends on the net; the fit of the coefficients makes up for much of what a
held row gets wrong. Tried are all changes of one thing (Paquete et al. 2004, Pareto local search).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from hasten.core.method import Tactic
from hasten.core.process import Process
from hasten.tuning.refine import Floats, legal
from hasten.tuning.space import Candidate

T = TypeVar("T")

FEWEST = 2
"""Steps below which nothing is proposed."""


def neighbours(
    candidate: Candidate, sigmas: Floats, options: Sequence[Tactic], process: Process
) -> list[Candidate]:
    """Every candidate that differs in one thing.

    Args:
        candidate: From where.
        sigmas: Its noise levels.
        options: Mechanisms of reuse to choose from.
        process: Bounds of the levels.
    """
    levels, held = list(sigmas), list(candidate.held)
    found: list[Candidate] = []

    def propose(levels: Sequence[float], held: Sequence[bool], tactic: Tactic | None) -> None:
        if len(levels) >= FEWEST and (tactic is not None or not any(held)):
            found.append(
                Candidate.of(candidate.spec.solver, levels, held=held, tactic=tactic, fitted=True)
            )

    own = candidate.tactic
    for tactic in options if own is None else (own,):
        for k in range(1, len(levels)):
            propose(levels, _with(held, k, value=not held[k]), tactic)
        for k in range(len(levels)):
            between = _between(levels, k, process)
            if between is not None:
                propose(_inserted(levels, k, between), _inserted(held, k, True), tactic)
    for k in range(1, len(levels)):
        fewer = [*held[:k], *held[k + 1 :]]
        propose([*levels[:k], *levels[k + 1 :]], fewer, own if any(fewer) else None)
    if own is not None:
        for tactic in options:
            if tactic != own:
                propose(levels, held, tactic)
    return list({each.key(): each for each in found}.values())


def shaken(sigmas: Floats, size: float, rng: np.random.Generator, process: Process) -> Floats:
    """The levels moved at random in log sigma, in order and within bounds."""
    moved = np.log(sigmas) + size * rng.standard_normal(len(sigmas))
    return legal(moved, process.sigma_max, process.sigma_min)


def _with(held: Sequence[bool], k: int, *, value: bool) -> list[bool]:
    return [*held[:k], value, *held[k + 1 :]]


def _inserted(items: Sequence[T], k: int, item: T) -> list[T]:
    return [*items[: k + 1], item, *items[k + 1 :]]


def _between(levels: Sequence[float], k: int, process: Process) -> float | None:
    """A level after the k-th: half way to the next, or half way from the last to the lowest."""
    low = levels[k + 1] if k + 1 < len(levels) else process.sigma_min
    middle = float(np.sqrt(levels[k] * low))
    return middle if low * 1.02 < middle < levels[k] / 1.02 else None
