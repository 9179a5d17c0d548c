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
        sums: [4, columns], sums over the samples of what people want to see the mean of, and of its
            second to fourth powers; or None.
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
        """What the sums say [4, columns], where there are sums.

        Means, their standard errors, standard deviations over the samples, and the standard errors
        of these: ``sqrt((m4 - s^4) / n) / (2 s)``, whatever the law, to leading order.
        """
        if self.sums is None:
            return None
        n = len(self.features)
        mean, second, third, fourth = self.sums / n
        variance = (second - mean**2).clamp_min(0)
        central = fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4
        spread = (variance * n / max(n - 1, 1)).sqrt()
        error = ((central - variance**2).clamp_min(0) / n).sqrt() / (2 * spread)
        error = torch.where(spread > 0, error, 0.0)
        return torch.stack([mean, spread / n**0.5, spread, error])
