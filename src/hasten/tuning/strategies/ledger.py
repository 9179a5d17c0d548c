"""Ledger: what a search has tried and what it came to, so that nothing is tried twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import final

from hasten.tuning.space import Scored
from hasten.tuning.strategies.trial import Search, Trial


@final
class Ledger:
    """Trials and their outcomes, in the order in which they were made."""

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Trial, Scored]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, trial: Trial) -> bool:
        return _key(trial) in self._entries

    @property
    def entries(self) -> list[tuple[Trial, Scored]]:
        """Every trial and what it came to."""
        return list(self._entries.values())

    @property
    def outcomes(self) -> list[Scored]:
        """What every trial came to."""
        return [scored for _, scored in self._entries.values()]

    def once(self, search: Search) -> Search:
        """A search of which only new trials are passed on; it is told of the others as of these.

        Args:
            search: Proposes what it likes. As from the search itself, trials beyond the budget are
                missing at the end of what it is told.
        """
        try:
            batch = next(search)
            while True:
                new = {_key(trial): trial for trial in batch if trial not in self}
                if new:
                    scored = yield list(new.values())
                    entries = zip(new.values(), scored, strict=False)
                    self._entries.update(zip(new, entries, strict=False))
                batch = search.send([self._entries[_key(t)][1] for t in batch if t in self])
        except StopIteration:
            return


def _key(trial: Trial) -> Hashable:
    """What makes two trials the same."""
    start = trial.start.fingerprint() if trial.start is not None else None
    return trial.care, trial.candidate.key(), start, trial.seeds
