"""Runs: consecutive showers in a file, the pieces that any part of a data set consists of."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.data.showers.checks import check_energies
from hasten.data.showers.shapes import Axes
from hasten.data.showers.stores import Store, open_store
from hasten.errors import DataError

Floats = NDArray[np.float32]

_BLOCK = 1 << 26
_WIDEST = 1 << 29


@final
@dataclass(frozen=True)
class Run:
    """Consecutive showers of one array in one file.

    Attributes:
        file: The file.
        key: Name of the array of showers.
        energies: Name of the array of incident energies, or the energy all have, MeV.
        inner: Shape of one shower.
        stride: Rows that are compressed together.
        start: First row.
        stop: Last row + 1.
        axes: Order of the axes of a shower.
    """

    file: Path
    key: str
    energies: str | float
    inner: tuple[int, ...]
    stride: int
    start: int
    stop: int
    axes: Axes = "z-phi-r"

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.file}:{self.key}"

    def windows(self) -> Iterator[tuple[int, int]]:
        """Parts of at most some 64 MB; rows that are compressed together are in one of them."""
        row = 4 * math.prod(self.inner)
        step = self.stride if self.stride * row <= _WIDEST else 1
        step *= max(1, _BLOCK // (step * row))
        start = self.start
        while start < self.stop:
            stop = min((start // step + 1) * step, self.stop)
            yield start, stop
            start = stop

    def read_energies(self, store: Store, start: int, stop: int) -> NDArray[Any]:
        """Incident energies of some rows as they are stored [rows]."""
        if isinstance(self.energies, float):
            return np.full(stop - start, self.energies)
        return store.read(self.energies, start, stop).reshape(-1)


def scaled(values: NDArray[Any], scale: float) -> Floats:
    """Numbers of any type times a factor, as float32."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is then refused
        return (values if scale == 1 else values * scale).astype(np.float32, copy=False)


def energies_of(runs: Iterable[Run], scale: float = 1.0) -> Floats:
    """Incident energies of some runs [n], MeV, times a factor.

    Raises:
        DataError: If any is not finite or not above 0, or they cannot be read.
    """
    parts = []
    for run in runs:
        with open_store(run.file) as store:
            values = scaled(run.read_energies(store, run.start, run.stop), scale)
        check_energies(values, f"{run.file}:{run.energies}", run.start)
        parts.append(values)
    return np.concatenate(parts)


def bounds(rows: int | slice | None, count: int, where: str) -> tuple[int, int]:
    """First and last + 1 of the rows asked for."""
    if rows is None:
        return 0, count
    if not isinstance(rows, slice):
        if rows < 1:
            raise DataError(f"{rows} rows were asked for", where=where, hint="ask for 1 or more")
        return 0, min(rows, count)
    asked = ":".join("" if end is None else str(end) for end in (rows.start, rows.stop))
    if rows.step not in (None, 1):
        raise DataError(f"rows {asked} in steps of {rows.step}", where=where, hint="take them all")
    start, stop, _ = rows.indices(count)
    if start >= stop or any(
        end is not None and abs(end) > count for end in (rows.start, rows.stop)
    ):
        raise DataError(
            f"rows {asked} were asked for, there are {count:,}",
            where=where,
            hint=f"ask for rows from 0 to {count}",
        )
    return start, stop


def cut(runs: Iterable[Run], start: int, stop: int) -> tuple[Run, ...]:
    """Rows ``start`` to ``stop`` of all runs together."""
    kept, begin = [], 0
    for run in runs:
        low, high = max(start - begin, 0), min(stop - begin, len(run))
        if low < high:
            kept.append(replace(run, start=run.start + low, stop=run.start + high))
        begin += len(run)
    return tuple(kept)
