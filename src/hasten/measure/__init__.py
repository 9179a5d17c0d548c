"""What a sampler costs and what its samples are worth, for any ``(seeds, cond) -> samples``.

    result        Measurement and the facts every figure carries
    intervals     the few confidence intervals used here
    features      what a distance between sets of samples looks at
    degradations  slight damage to real data, for the just-visible distance
    moments       sufficient statistics in cells, so that a jackknife costs no second pass
    reference     what is kept of real data
    neighbours    kernel distance, density and coverage
    quality       the corrected Fréchet distance, and all that is said about one set of samples
    verdict       within, outside or undecided: the paired non-inferiority test
    speed         interleaved timings and the interval of their ratio
    fidelity      distance of paired samples to their converged twins
    cost          parameters, multiplications, bytes
    memory        peak memory, in a fresh process

Nothing here knows how a sampler was made faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Sampler = Callable[[Sequence[int], Tensor | None], Tensor]
"""Decoded samples [n, ...] for n seeds and their conditions; the codec's time is part of it."""
