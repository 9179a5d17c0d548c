"""Reading: what a feature set says about samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor


@final
class Reading(NamedTuple):
    """What a feature set says about samples.

    Attributes:
        features: [n, dims], float32 on the CPU.
        logits: [n, classes] where the set is a classifier; else None.
        seen: [n, columns], what the features were made of and people want to see; or None.
        sums: [2, columns], sums over the samples of what people want to see the mean of, and of its
            squares; or None.
    """

    features: Tensor
    logits: Tensor | None = None
    seen: Tensor | None = None
    sums: Tensor | None = None

    @classmethod
    def joined(cls, parts: Sequence[Reading]) -> Reading:
        """Readings of neighbouring samples as one."""
        logits = [part.logits for part in parts if part.logits is not None]
        seen = [part.seen for part in parts if part.seen is not None]
        sums = [part.sums for part in parts if part.sums is not None]
        return cls(
            torch.cat([part.features for part in parts]),
            torch.cat(logits) if logits else None,
            torch.cat(seen) if seen else None,
            # samples read by an earlier version have none: sums over the others are of no use
            torch.stack(sums).sum(dim=0) if sums and len(sums) == len(parts) else None,
        )

    @property
    def means(self) -> Tensor | None:
        """Means and standard deviations over the samples [2, columns], where there are sums."""
        if self.sums is None:
            return None
        count = len(self.features)
        mean, square = self.sums / count
        variance = (square - mean.square()).clamp_min(0) * count / max(count - 1, 1)
        return torch.stack([mean, variance.sqrt()])
