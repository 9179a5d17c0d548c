"""What the tests of agreement with diffusers share: how schedulers are made, and noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

Make = Callable[..., Any]
"""A scheduler, from further facts of its configuration."""

COUNT = 16
STEPS = [5, 10, 20]

# their tensors become arrays in a way that numpy 2 is about to drop
QUIET = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*dpmsolver. is deprecated:FutureWarning"),
]


def noise(generator: torch.Generator | None = None) -> Tensor:
    """Standard normal points [16, 2]; without a generator always the same."""
    source = generator or torch.Generator().manual_seed(5)
    return torch.randn(COUNT, 2, dtype=torch.float64, generator=source)


def multistep(order: int, algorithm: str = "dpmsolver++", kind: str = "midpoint") -> Make:
    """DPM-Solver, with noise or without."""

    def make(**facts: Any) -> Any:
        return diffusers.DPMSolverMultistepScheduler(
            algorithm_type=algorithm, solver_order=order, solver_type=kind, **facts
        )

    return make


def deis(order: int) -> Make:
    """DEIS in log sigma; it never goes to 0."""

    def make(**facts: Any) -> Any:
        return diffusers.DEISMultistepScheduler(solver_order=order, **facts)

    return make


def unipc(order: int, kind: str = "bh2", **own: Any) -> Make:
    """UniPC."""

    def make(**facts: Any) -> Any:
        return diffusers.UniPCMultistepScheduler(
            solver_order=order, solver_type=kind, **own, **facts
        )

    return make
