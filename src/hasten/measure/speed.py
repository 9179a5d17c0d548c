"""How much faster one sampler is than another, on a machine that others may be using too.

    A B  A B  A B  A B  A B  A B  A B  A B  A B          after both were warmed
    └┬┘                 every pair gives one ratio; slow drifts hit both of its halves alike

The result is the median of the pairs' ratios with a distribution-free interval. The seconds are
kept and shown, but on a shared machine the ratio is the result. A ratio is refused as unstable when
the halves of the pairs disagree by more than they scatter within themselves.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor

from hasten.errors import BudgetError
from hasten.measure import Sampler
from hasten.measure.intervals import median_interval
from hasten.measure.result import Measurement, Record, context

LEAST_PAIRS = 7


@final
@dataclass(frozen=True)
class SpeedRatio(Record):
    """How many times faster B is than A.

    Attributes:
        ratio: Median of ``seconds of A / seconds of B`` over the pairs, with its interval.
        seconds_a: Seconds per sample of A: median, interval, all readings.
        seconds_b: The same of B.
        variation_a: Coefficient of variation of A's readings.
        variation_b: Of B's.
        stable: Whether the two halves of the pairs agree within their spread; quote the ratio only
            then.
        reason: Why not, for people; empty when stable.
    """

    ratio: Measurement
    seconds_a: Measurement
    seconds_b: Measurement
    variation_a: float
    variation_b: float
    stable: bool
    reason: str

    def __str__(self) -> str:
        if not self.stable:
            return f"not stable: {self.reason}"
        return f"{self.ratio.value:.2f} [{self.ratio.low:.2f}, {self.ratio.high:.2f}] times as fast"


def compare_speed(
    a: Sampler,
    b: Sampler,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    *,
    pairs: int = 9,
    warm: int = 1,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    confidence: float = 0.95,
    clock: Callable[[], float] = time.perf_counter,
) -> SpeedRatio:
    """Time two samplers in interleaved pairs on the same seeds and conditions.

    Check the fast one's output before: a wrong answer is quickly found.

    Args:
        a: The slow one, usually.
        b: The fast one.
        seeds: One a sample; the batch is as large as this.
        cond: Conditions, first axis like the seeds; or None.
        pairs: How many; at least 7.
        warm: Calls of each before the first reading.
        device: Where they run; a GPU is waited for before and after each reading.
        dtype: Of the net, for the record.
        confidence: Level of the interval.
        clock: Seconds.

    Raises:
        BudgetError: If there are fewer than 7 pairs, or no seed.
    """
    if pairs < LEAST_PAIRS:
        raise BudgetError(
            f"{pairs} pairs do not show their spread", hint=f"take {LEAST_PAIRS} or more"
        )
    read = _reader(seeds, cond, torch.device(device), clock)
    for _ in range(warm):
        read(a)
        read(b)
    taken = [(read(a), read(b)) for _ in range(pairs)]
    facts = {**context(device, dtype), "batch": len(seeds)}
    ratios = [first / second for first, second in taken]
    reason = _disagreement(ratios)
    return SpeedRatio(
        ratio=_median(ratios, "", confidence, facts),
        seconds_a=_median([first for first, _ in taken], "s/sample", confidence, facts),
        seconds_b=_median([second for _, second in taken], "s/sample", confidence, facts),
        variation_a=_variation([first for first, _ in taken]),
        variation_b=_variation([second for _, second in taken]),
        stable=not reason,
        reason=reason,
    )


def time_sampler(
    sampler: Sampler,
    seeds: Sequence[int],
    cond: Tensor | None = None,
    *,
    repeats: int = 9,
    warm: int = 1,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    confidence: float = 0.95,
    clock: Callable[[], float] = time.perf_counter,
) -> Measurement:
    """Seconds per sample of one sampler: median, interval, all readings; arguments as above.

    Never compare two of these: use `compare_speed`.

    Raises:
        BudgetError: If there is no repeat or no seed.
    """
    if repeats < 1:
        raise BudgetError("a time needs at least one reading", where="time_sampler")
    read = _reader(seeds, cond, torch.device(device), clock)
    for _ in range(warm):
        read(sampler)
    taken = [read(sampler) for _ in range(repeats)]
    facts = {**context(device, dtype), "batch": len(seeds)}
    return _median(taken, "s/sample", confidence, facts)


def _reader(
    seeds: Sequence[int], cond: Tensor | None, device: torch.device, clock: Callable[[], float]
) -> Callable[[Sampler], float]:
    if not len(seeds):
        raise BudgetError("nothing to time", where="seeds", hint="give one seed a sample")

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def read(sampler: Sampler) -> float:
        wait()
        start = clock()
        sampler(seeds, cond)
        wait()
        return (clock() - start) / len(seeds)

    return read


def _disagreement(ratios: Sequence[float]) -> str:
    """A sentence if the halves differ by more than twice the spread within them; else empty.

    Of steady normal readings it refuses 6 % at 7 pairs, 3 % at 9, next to none at 15 (simulated).
    """
    middle = len(ratios) // 2
    halves = ratios[:middle], ratios[middle:]
    first, second = (statistics.median(half) for half in halves)
    away = [(x - statistics.median(half)) ** 2 for half in halves for x in half]
    spread = math.sqrt(sum(away) / (len(ratios) - 2))
    if abs(first - second) <= 2 * spread:
        return ""
    return (
        f"the first half of the pairs says {first:.3g}, the second {second:.3g}, "
        f"and within a half they scatter by {spread:.2g}"
    )


def _median(
    values: Sequence[float], unit: str, confidence: float, facts: dict[str, Any]
) -> Measurement:
    low, high = median_interval(values, confidence)
    return Measurement(
        statistics.median(values), low, high, len(values), unit, confidence, facts, tuple(values)
    )


def _variation(values: Sequence[float]) -> float:
    return statistics.stdev(values) / statistics.fmean(values)
