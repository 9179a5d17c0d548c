"""Strategies: ways to search one space of plans, ours and the published ones.

Each is one file and one generator (`trial`), and all are scored alike: by the distance to the
converged samples from the same noise. So they can be compared on any model; but a trial that moves
numbers takes a hundred runs of a plan, and one that only scores takes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hasten.tuning.strategies import autodiffusion, gits, joint, learned, sequential, usf
from hasten.tuning.strategies.trial import Care, Space, Strategy, Trial

__all__ = ["STRATEGIES", "Care", "Space", "Strategy", "Trial"]

_ALL = (
    Strategy(
        "joint", joint.propose, "ours", "levels, coefficients and held rows at once", reuses=True
    ),
    Strategy(
        "sequential",
        sequential.propose,
        "ours",
        "levels and coefficients first, held rows after",
        reuses=True,
    ),
    Strategy(
        "learned",
        learned.propose,
        "Shaul et al. 2024, arXiv 2403.01329",
        "levels and coefficients by Gauss-Newton on the endpoints",
    ),
    Strategy(
        "gits", gits.propose, "Chen et al. 2024, arXiv 2405.11326", "levels by dynamic programming"
    ),
    Strategy(
        "usf",
        usf.propose,
        "Liu et al. 2024, arXiv 2312.07243",
        "levels, order, prediction and corrector of each step by evolution and a predictor",
    ),
    Strategy(
        "autodiffusion",
        autodiffusion.propose,
        "Li et al. 2023, arXiv 2309.10438",
        "levels and held steps by evolution, at a cheap pace",
        reuses=True,
    ),
    Strategy(
        "autodiffusion_paper",
        autodiffusion.propose_as_published,
        "Li et al. 2023, arXiv 2309.10438",
        "the same at the paper's pace",
        reuses=True,
    ),
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType({each.name: each for each in _ALL})
"""Strategies by name."""
