"""Race: everybody on a few seeds, the better ones on more, the best on all.

An error on 32 seeds tells most entrants apart, since all begin with the same noise. Whoever leaves
keeps the figure it has, and the figure keeps its n.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, final

import numpy as np
import torch

from hasten.tuning.journal import Journal
from landscape.entrants import Entrant
from landscape.ground import Ground, Where

MANY = 20
"""Beyond so many evaluations a race has fewer seeds."""

E = TypeVar("E", bound=Entrant)
Job = tuple[Entrant, int, int]


@final
@dataclass(frozen=True)
class Round:
    """Who takes part, and on how many seeds.

    Attributes:
        seeds: Sample size after this round.
        best: How many of the best of the round before go on, or which share of them.
        each: ``solver`` or ``family``: the best of each goes on as well.
    """

    seeds: int
    best: float = math.inf
    each: str = ""


SHORT = (Round(32), Round(64, 0.25, "solver"), Round(256, 8, "family"))
"""Up to `MANY` evaluations."""
LONG = (Round(16), Round(32, 0.25, "solver"), Round(128, 5, "family"))
"""Beyond."""


def survivors(ranked: Sequence[E], best: float, each: str) -> list[E]:
    """Who goes on: the first ``best`` (a share if below 1), and the first of each group."""
    count = math.ceil(best * len(ranked)) if best < 1 else min(best, len(ranked))
    seen: set[str] = set()
    found = []
    for place, entrant in enumerate(ranked):
        group = getattr(entrant, each) if each else ""
        if place < count or (each and group not in seen):
            found.append(entrant)
        seen.add(group)
    return found


@final
@dataclass
class Race:
    """Runs entrants and remembers their errors.

    Attributes:
        journal: One line a finished piece: ``KEY|first-last`` and its errors.
        measure: Yields the errors of jobs, in their order.
        tell: Told what is going on.
        errors: Errors of each entrant so far, by its key, in the order of the seeds.
    """

    journal: Journal
    measure: Callable[[Iterable[Job]], Iterator[list[float]]]
    tell: Callable[[str], None] = print
    errors: dict[str, list[float]] = field(default_factory=dict)

    def run(self, entrants: Sequence[E], rounds: Sequence[Round], most: int) -> list[E]:
        """All rounds on at most so many seeds; entrants by their errors, best first."""
        ranked, running, done = list(entrants), list(entrants), 0
        for stage in rounds:
            running = survivors(running, stage.best, stage.each)
            last = min(stage.seeds, most)
            if last > done:
                self._extend(running, done, last)
                done = last
            running.sort(key=self.mean)
            ranked = [*running, *(e for e in ranked if e not in running)]
        return ranked

    def mean(self, entrant: Entrant) -> float:
        """Mean error so far; what is not finite counts as infinite."""
        found = float(np.mean(self.errors[entrant.key]))
        return found if math.isfinite(found) else math.inf

    def _extend(self, entrants: Sequence[Entrant], first: int, last: int) -> None:
        jobs = [(entrant, first, last) for entrant in entrants]
        missing = [job for job in jobs if _name(job) not in self.journal]
        for job, errors in zip(missing, self.measure(missing), strict=True):
            self.journal.put(_name(job), errors)
        for job in jobs:
            self.errors.setdefault(job[0].key, []).extend(self.journal.get(_name(job)))
        evaluations = entrants[0].evaluations
        self.tell(f"{evaluations} evaluations, {last} seeds: {len(jobs)} entrants")


def _name(job: Job) -> str:
    entrant, first, last = job
    return f"{entrant.key}|{first}-{last}"


def race_all(
    race: Race, entrants: Mapping[int, Sequence[E]], most: int, *, full: bool = False
) -> dict[int, list[E]]:
    """One race at every number of evaluations; a full one has all entrants on all seeds."""
    return {
        evaluations: race.run(running, rounds(evaluations, most if full else None), most)
        for evaluations, running in sorted(entrants.items())
    }


def rounds(evaluations: int, whole: int | None) -> Sequence[Round]:
    """The rounds of a race, or the only one of a whole race on so many seeds."""
    if whole is not None:
        return (Round(whole),)
    return SHORT if evaluations <= MANY else LONG


def measurer(where: Where, processes: int) -> Callable[[Iterable[Job]], Iterator[list[float]]]:
    """A function of jobs that yields their errors in order.

    Args:
        where: Of the ground.
        processes: How many share the work; 1 stays in this one.
    """
    _ground(where)  # so that several processes need not make it at once
    work = functools.partial(_measure, where)
    if processes == 1:
        return functools.partial(map, work)
    return functools.partial(multiprocessing.get_context("spawn").Pool(processes).imap, work)


@functools.cache
def _ground(where: Where) -> Ground:
    torch.set_num_threads(1)
    return Ground.of(*where)


def _measure(where: Where, job: Job) -> list[float]:
    return _ground(where).errors(*job)
