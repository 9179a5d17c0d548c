"""Noise keyed by (seed, Brownian time).

A sample's noise is a function of its seed and of the noise levels alone, never of a running
generator. So it does not depend on how seeds are split into batches, on the device, or on the order
of work, and a sampler with more steps walks along the same Brownian path as one with fewer.

The path is a Brownian motion W in ``u = log2 sigma``, defined by Levy's construction: its value in
the middle of an interval is the mean of its ends plus an independent normal of variance length / 4,
drawn from a generator keyed by (seed, interval). Intervals are halved `depth` times, and levels are
moved to the nearest of the points that result. What a solver gets is exactly normal with unit
variance; only its coupling with other step counts feels the shift. Every halving costs a draw, so
the executor takes the depth at which a plan's shortest interval has four cells (`depth_for`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.core.plan import Noise
from hasten.errors import PlanError

DEPTH, DEEPEST = 14, 20
LOW, HIGH = -18.0, 14.0  # log2 sigma; 4e-6 to 16384, beyond what any process allows
_BRIDGE = 1 << 24  # interval keys are below; so the root's own draw and its middle's differ
_START = 1 << 32

Floats = NDArray[np.float32]


def start_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal starting points.

    Args:
        seeds: One an image, 0 .. 2^64 - 1.
        shape: Shape of one sample.

    Returns:
        Float32 [B, *shape] on the CPU.
    """
    return torch.from_numpy(_Source(seeds, shape).draw(_START))


@final
class Brownian:
    """One Brownian path a seed.

    Args:
        seeds: As for `start_noise`, from which the paths are independent.
        shape: Shape of one sample.
        depth: Halvings of the whole range of 32 octaves. 14 resolves 1/512 of an octave.
    """

    def __init__(self, seeds: Sequence[int], shape: Sequence[int], depth: int = DEPTH) -> None:
        self._source, self._depth = _Source(seeds, shape), depth
        root = self._source.draw(1) * np.float32(math.sqrt(HIGH - LOW))
        # The way from the root to the point last asked for: (key, first cell, W there, W at end).
        # Levels are asked for in order, so the next point shares most of it.
        self._way: list[tuple[int, int, Floats, Floats]] = [(1, 0, np.zeros_like(root), root)]

    def increment(self, high: float, low: float) -> Tensor:
        """``(W(high) - W(low)) / sqrt(distance)``: standard normal, float32 [B, *shape], CPU.

        Raises:
            PlanError: If the levels do not descend, are out of range, or too close.
        """
        above, below = self._cell(high), self._cell(low)
        if above <= below:
            raise PlanError(
                f"no noise can be drawn between sigma = {high:.6g} and {low:.6g}",
                hint="levels must descend, and not too closely where a solver draws noise",
            )
        distance = (above - below) * (HIGH - LOW) / (1 << self._depth)
        upper = self._at(above)
        return torch.from_numpy((upper - self._at(below)) / np.float32(math.sqrt(distance)))

    def _at(self, cell: int) -> Floats:
        """W at a point, by halving down to it."""
        way = self._way
        while len(way) > 1 and not 0 <= cell - way[-1][1] <= self._width(len(way)):
            way.pop()
        while True:
            key, first, left, right = way[-1]
            if cell == first:
                return left
            width = self._width(len(way))
            if cell == first + width:
                return right
            # the variance of a bridge's middle is a quarter of its length
            deviation = np.float32(math.sqrt(width * (HIGH - LOW) / (1 << self._depth) / 4))
            middle = (left + right) / np.float32(2) + deviation * self._source.draw(key + _BRIDGE)
            half = first + width // 2
            if cell <= half:
                way.append((2 * key, first, left, middle))
            else:
                way.append((2 * key + 1, half, middle, right))

    def _width(self, level: int) -> int:
        """Cells in an interval ``level - 1`` halvings below the root."""
        return 1 << (self._depth - level + 1)

    def _cell(self, sigma: float) -> int:
        u = math.log2(sigma) if sigma > 0 and math.isfinite(sigma) else math.inf
        if not LOW <= u <= HIGH:
            raise PlanError(f"no noise is defined at sigma = {sigma:g}")
        return round((u - LOW) / (HIGH - LOW) * (1 << self._depth))


def depth_for(intervals: Iterable[Noise]) -> int:
    """The least depth at which the shortest interval has four cells."""
    shortest = min((math.log2(noise.high / noise.low) for noise in intervals), default=HIGH - LOW)
    if shortest <= 0:
        return DEPTH  # an error, which `Brownian.increment` puts into words
    return min(max(math.ceil(math.log2(4 * (HIGH - LOW) / shortest)), 1), DEEPEST)


@final
class _Source:
    """Standard normal numbers by (seed, key), the same on every machine (Philox 4x64)."""

    def __init__(self, seeds: Sequence[int], shape: Sequence[int]) -> None:
        self._seeds, self._shape = [int(seed) for seed in seeds], tuple(shape)
        if any(not 0 <= seed < 1 << 64 for seed in self._seeds):
            raise PlanError("seeds are whole numbers from 0 to 2^64 - 1")

        self._bits = np.random.Philox(key=0)
        self._state: Any = self._bits.state  # nothing drawn yet

    def draw(self, key: int) -> Floats:
        out = np.empty((len(self._seeds), *self._shape), dtype=np.float32)
        normal, words = np.random.Generator(self._bits), self._state["state"]
        for row, seed in zip(out.reshape(len(out), -1), self._seeds, strict=True):
            # setting the state of one generator is five times faster than making another
            words["key"][:] = seed, key
            self._bits.state = self._state
            normal.standard_normal(out=row, dtype=np.float32)
        return out
