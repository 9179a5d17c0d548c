"""Time grids: where a sampler asks the net.

A grid is a function ``(process, n) -> n noise levels``, strictly descending from the process's
sigma_max; the final 0 is not listed, because every solver's last step ends there. So n is the
number of steps. (k-diffusion's convention. Others count n points, n - 1 steps, and stop at
sigma_min.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers.build import check_levels

Floats = NDArray[np.float64]
Grid = Callable[[Process, int], Floats]

RHO = 7.0
"""Karras et al. 2022, section 3."""


def uniform(process: Process, n: int) -> Floats:
    """Equal steps in t from t = 1 (or the largest level) to the cleanest, both included.

    Table 1 of Karras et al. 2022, row "VP"; also ``linspace`` of the diffusers schedulers.
    """
    ends = process.t_of_sigma(np.array([process.sigma_max, process.sigma_min]))
    return explicit(process, process.sigma_of_t(np.linspace(ends[0], ends[1], _count(n))))


def trailing(process: Process, n: int) -> Floats:
    """Equal steps in t from t = 1 to t = 0, the last of which is the step to clean data.

    Lin et al. 2024 (arXiv 2305.08891), table 2.
    """
    top = process.t_of_sigma(np.array([process.sigma_max]))
    return explicit(process, process.sigma_of_t(top * (1 - np.arange(_count(n)) / n)))


def karras(process: Process, n: int) -> Floats:
    """Equal steps in sigma^(1/7): Karras et al. 2022, eq. 5."""
    ends = np.array([process.sigma_max, process.sigma_min]) ** (1 / RHO)
    return explicit(process, np.linspace(ends[0], ends[1], _count(n)) ** RHO)


def logsnr(process: Process, n: int) -> Floats:
    """Equal steps in log sigma: Lu et al. 2022 (arXiv 2206.00927), section 3.4."""
    return explicit(process, np.geomspace(process.sigma_max, process.sigma_min, _count(n)))


def explicit(process: Process, sigmas: Sequence[float] | Floats) -> Floats:
    """Given noise levels, moved to the nearest ones the net knows.

    Raises:
        PlanError: If they do not descend strictly, or two of them fall on the same trained level.
    """
    return check_levels(process.snap(np.asarray(sigmas, dtype=np.float64)))


def resample(sigmas: Sequence[float] | Floats, n: int) -> Floats:
    """A grid of another length: log sigma interpolated over the index (as AYS does)."""
    levels = check_levels(sigmas)
    places = np.linspace(0, len(levels) - 1, _count(n))
    return np.exp(np.interp(places, np.arange(len(levels)), np.log(levels)))


def _count(n: int) -> int:
    if n < 1:
        raise PlanError(f"a grid of {n} steps", hint="at least one step")
    return n


GRIDS: Mapping[str, Grid] = MappingProxyType(
    {"uniform": uniform, "trailing": trailing, "karras": karras, "logsnr": logsnr}
)
