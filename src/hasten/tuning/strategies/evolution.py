"""Evolution: better ones of a population of genomes, by change and by crossing.

    generation 0     given ones, and random ones up to the population's size
    each next        mutants of the best so far, crossings of two of them, random ones

All that was ever tried may be a parent, so the best is never lost. Nothing is tried twice. Where a
genome can be described in numbers, more children are thought of than are tried, and a predictor
fitted on all trials so far says which.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import numpy as np

from hasten.tuning.strategies.predictor import ranked
from hasten.tuning.strategies.trial import Search, Trial

G = TypeVar("G", bound=Hashable)

PATIENCE = 50
"""Attempts at a genome that was not tried before."""


@final
@dataclass(frozen=True)
class Pace:
    """How an evolution goes.

    Attributes:
        population: Genomes of a generation.
        parents: How many of the best so far may have children.
        mutants: Changed copies in a generation.
        crossings: Children of two in a generation.
        generations: After the first.
        thoughts: Children thought of for each that is tried, where a species has features.
    """

    population: int
    parents: int
    mutants: int
    crossings: int
    generations: int
    thoughts: int = 1


@final
@dataclass(frozen=True)
class Species(Generic[G]):
    """What genomes are.

    Attributes:
        express: The trial a genome stands for; None if it cannot live.
        draw: A random genome.
        mutate: A changed copy.
        cross: A child of two.
        features: What a predictor sees of a genome, equally many numbers of each; None to try
            children as they come.
    """

    express: Callable[[G], Trial | None]
    draw: Callable[[np.random.Generator], G]
    mutate: Callable[[G, np.random.Generator], G]
    cross: Callable[[G, G, np.random.Generator], G]
    features: Callable[[G], Sequence[float]] | None = None


def evolve(species: Species[G], first: Sequence[G], pace: Pace, rng: np.random.Generator) -> Search:
    """Search by evolution.

    Args:
        species: What genomes are.
        first: Where it begins; more are drawn up to the population's size.
        pace: How it goes.
        rng: All chance.
    """
    known: dict[G, float] = {}

    def fresh(found: dict[G, Trial], make: Callable[[], G], wanted: int) -> dict[G, Trial]:
        """Add so many genomes that live and were not tried, if that many can be made."""
        enough = len(found) + wanted
        for _ in range(PATIENCE * wanted):
            if len(found) == enough:
                break
            genome = make()
            trial = None if genome in known or genome in found else species.express(genome)
            if trial is not None:
                found[genome] = trial
        return found

    def children(make: Callable[[], G], wanted: int) -> Iterator[G]:
        """Children without end; those that promise most among the first come first."""
        if species.features is not None:
            thought = [make() for _ in range(pace.thoughts * wanted)]
            tried, asked = (np.array([*map(species.features, g)]) for g in (known, thought))
            yield from (thought[k] for k in ranked(tried, np.array([*known.values()]), asked))
        while True:
            yield make()

    given = iter(first)
    some = fresh({}, lambda: next(given, None) or species.draw(rng), pace.population)
    for _ in range(pace.generations + 1):
        scored = yield list(some.values())
        known.update({genome: s.error for genome, s in zip(some, scored, strict=False)})
        if not known:  # nobody lives, or the budget was spent before anybody was tried
            return
        parents = sorted(known, key=known.__getitem__)[: pace.parents]

        def parent(among: Sequence[G] = parents) -> G:
            return among[int(rng.integers(len(among)))]

        def draw() -> G:
            return species.draw(rng)

        def mutant() -> G:
            return species.mutate(parent(), rng)

        def crossing() -> G:
            return species.cross(parent(), parent(), rng)

        some = {}
        for make, wanted in ((mutant, pace.mutants), (crossing, pace.crossings)):
            fresh(some, children(make, wanted).__next__, wanted)
        fresh(some, draw, pace.population - len(some))
