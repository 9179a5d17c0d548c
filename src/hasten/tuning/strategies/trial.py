"""What strategies ask for, and what they are told.

A strategy is a generator: it yields trials and is sent what each of them came to, in order. It
knows nothing of journals, budgets or time; when the budget ends, it is not asked again. With the
same answers and the same random numbers it proposes the same, which is what makes a search
resumable.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from hasten.core.method import Tactic
from hasten.core.plan import Plan
from hasten.errors import PlanError
from hasten.tuning.bench import HOPELESS, Bench
from hasten.tuning.space import Candidate, Scored


class Care(enum.StrEnum):
    """How much is done for a candidate before its error is taken."""

    SCORE = "score"  # nothing, or the least-squares fit the candidate asks for
    REFINE = "refine"  # its noise levels are moved to where the error is least
    LEARN = "learn"  # all numbers of its plan are


@final
@dataclass(frozen=True)
class Trial:
    """One thing to try.

    Attributes:
        candidate: What.
        care: What is done for it first.
        start: The rows that learning begins with.
        seeds: Trajectories of a first look; None takes all.
    """

    candidate: Candidate
    care: Care = Care.SCORE
    start: Plan | None = None
    seeds: int | None = None

    def __post_init__(self) -> None:
        if (self.care is Care.LEARN) != (self.start is not None):
            raise PlanError("learning, and only that, begins with the rows of a plan")


Search: TypeAlias = Generator[Sequence[Trial], list[Scored], None]
"""Yields trials, is sent what they came to; those beyond the budget are missing at the end."""


@final
@dataclass(frozen=True)
class Space:
    """What a plan may be.

    Attributes:
        bench: Model, trajectories, speeds.
        evaluations: Full evaluations that a plan may take as much time as.
        options: Mechanisms of reuse to choose from; empty for plans without reuse.
    """

    bench: Bench
    evaluations: int
    options: Sequence[Tactic] = ()

    @property
    def seconds(self) -> float:
        """What a plan may cost."""
        speeds = self.bench.speeds
        return speeds.overhead + self.evaluations * speeds.full

    def fits(self, candidate: Candidate) -> bool:
        """Whether it is fast enough."""
        return self.bench.seconds(candidate) <= self.seconds * (1 + 1e-9)


Propose: TypeAlias = Callable[[Space, np.random.Generator], Search]


@final
@dataclass(frozen=True)
class Strategy:
    """A way to search, and where it is from.

    Attributes:
        name: Key in `hasten.tuning.strategies.STRATEGIES`.
        propose: The generator.
        paper: Source.
        about: For people, one line.
        reuses: Whether it chooses what is reused, too.
    """

    name: str
    propose: Propose
    paper: str
    about: str
    reuses: bool = False


def best(scored: Sequence[Scored], count: int) -> list[Scored]:
    """The nearest to the teacher, nearest first; of equal plans one, of hopeless ones none."""
    found: dict[str, Scored] = {}
    for each in sorted(scored, key=lambda s: (s.error, s.trial)):
        if each.error < HOPELESS:
            found.setdefault(each.recipe.fingerprint(), each)
    return list(found.values())[:count]
