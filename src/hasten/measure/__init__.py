"""What a sampler costs and what its samples are worth, for any ``(seeds, cond) -> samples``.

result      Measurement and the facts every figure carries
intervals   the few confidence intervals used here
features    what a distance between sets of samples looks at
moments     sufficient statistics in cells, so that a jackknife costs no second pass
quality     Reference; bias-corrected Fréchet distance, kernel distance, density, coverage,
accuracy verdict     within, outside or undecided: the paired non-inferiority test
speed       interleaved timings and the interval of their ratio
fidelity    distance of paired samples to their converged twins
cost        parameters, multiplications, bytes, peak memory
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Sampler = Callable[[Sequence[int], Tensor | None], Tensor]
"""Decoded samples [n, ...] for n seeds and their conditions; the codec's time is part of it."""
