"""All that a method may know about time, and where it may keep what it remembers."""

from __future__ import annotations

import itertools
from typing import Any, final

from hasten.core.plan import FULL, Reuse, Row
from hasten.errors import EditOpen

_runs = itertools.count(1)


@final
class Clock:
    """The position of a running sampler; the executor turns it, wrapped modules read it.

    Attributes:
        run: Number of the run, different for every trajectory batch ever sampled in this process;
            0 while none is under way (a plain call of the net, which must never reuse anything).
        row: Index of the evaluation in the plan.
        sigma: Its noise level.
        reuse: What the plan asks of this evaluation.
        slot: Which evaluation of its step this is; features are kept one per slot.
    """

    __slots__ = ("reuse", "row", "run", "sigma", "slot")

    def __init__(self) -> None:
        self.run, self.row, self.sigma, self.slot = 0, 0, float("nan"), 0
        self.reuse: Reuse = FULL

    def start(self) -> None:
        """Begin a run.

        Raises:
            EditOpen: If one is under way: two runs would share their memories.
        """
        if self.run:
            raise EditOpen("this model is already sampling", hint="use one model per thread")
        self.run = next(_runs)

    def tick(self, index: int, row: Row) -> None:
        """Announce the next evaluation."""
        self.row, self.sigma, self.reuse, self.slot = index, row.sigma, row.reuse, row.slot

    def stop(self) -> None:
        """End the run; nothing may be reused from here on."""
        self.run, self.row, self.sigma, self.slot = 0, 0, float("nan"), 0
        self.reuse = FULL


@final
class Scratch:
    """A memory that is empty in every new run and in every copy.

    A wrapped module keeps held features here. The clock's run number is its key, so a memory can
    outlive neither its run nor a deep copy of the net.
    """

    __slots__ = ("_kept", "_run")

    def __init__(self) -> None:
        self._run, self._kept = 0, dict[Any, Any]()

    def of(self, clock: Clock) -> dict[Any, Any]:
        """The memory of the run under way."""
        if self._run != clock.run:
            self._run, self._kept = clock.run, {}
        return self._kept

    def clear(self) -> None:
        """Free what is held."""
        self._run, self._kept = 0, {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Scratch:
        return Scratch()

    def __reduce__(self) -> tuple[type[Scratch], tuple[()]]:
        return Scratch, ()
