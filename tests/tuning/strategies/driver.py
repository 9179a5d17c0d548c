"""Carries out a search without a journal, quickly."""

from __future__ import annotations

from hasten.tuning.space import Scored
from hasten.tuning.strategies.trial import Care, Search, Space, Trial


def carry_out(search: Search, space: Space, most: int = 10_000) -> list[tuple[Trial, Scored]]:
    """Every trial that a search makes, at most so many, and what it came to."""
    made = list[tuple[Trial, Scored]]()
    try:
        batch = next(search)
        while len(made) < most:
            told = [answer(space, trial, len(made)) for trial in batch[: most - len(made)]]
            made += zip(batch, told, strict=False)
            batch = search.send(told)
    except StopIteration:
        pass
    return made


def answer(space: Space, trial: Trial, number: int) -> Scored:
    """What a trial comes to if numbers are moved once only."""
    bench = space.bench
    if trial.care is Care.REFINE:
        return bench.refine(trial.candidate, number, seeds=len(bench.train), rounds=1)
    if trial.start is not None:
        seeds = len(bench.train)
        return bench.learn(trial.candidate, trial.start, number, seeds=seeds, rounds=1)
    return bench.score(trial.candidate, number)
