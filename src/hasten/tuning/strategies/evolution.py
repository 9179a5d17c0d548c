"""Evolution: better ones of a population of genomes, by change and by crossing.

    generation 0     given ones, and random ones up to the population's size
    each next        mutants of the best so far, crossings of two of them, random ones

All that was ever tried may be a parent, so the best is never lost. Nothing is tried twice.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import numpy as np

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
    """

    population: int
    parents: int
    mutants: int
    crossings: int
    generations: int


@final
@dataclass(frozen=True)
class Species(Generic[G]):
    """What genomes are.

    Attributes:
        express: The trial a genome stands for; None if it cannot live.
        draw: A random genome.
        mutate: A changed copy.
        cross: A child of two.
    """

    express: Callable[[G], Trial | None]
    draw: Callable[[np.random.Generator], G]
    mutate: Callable[[G, np.random.Generator], G]
    cross: Callable[[G, G, np.random.Generator], G]


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

        children: dict[G, Trial] = {}
        fresh(children, lambda: species.mutate(parent(), rng), pace.mutants)
        fresh(children, lambda: species.cross(parent(), parent(), rng), pace.crossings)
        some = fresh(children, draw, pace.population - len(children))
