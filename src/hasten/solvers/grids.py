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
import scipy.stats
from numpy.typing import NDArray

from hasten.core.process import Process
from hasten.errors import PlanError
from hasten.solvers.build import check_levels

Floats = NDArray[np.float64]
Grid = Callable[[Process, int], Floats]

RHO = 7.0
"""Karras et al. 2022, section 3."""
MOST = 1000
"""Steps of a stock plan: as many as DDPM was trained with."""
BETA = 0.6
"""Both parameters of the Beta distribution."""


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


def quadratic(process: Process, n: int) -> Floats:
    """Equal steps in the root of t: Song, Meng and Ermon 2021 (arXiv 2010.02502), section D.2."""
    ends = process.t_of_sigma(np.array([process.sigma_max, process.sigma_min])) ** 0.5
    return explicit(process, process.sigma_of_t(np.linspace(ends[0], ends[1], _count(n)) ** 2))


def beta(process: Process, n: int) -> Floats:
    """Quantiles in t of the distribution Beta(0.6, 0.6), many at both ends.

    Lee et al. 2024 (arXiv 2407.12173), section 3; with the parameters of diffusers.
    """
    ends = process.t_of_sigma(np.array([process.sigma_max, process.sigma_min]))
    shares = scipy.stats.beta.ppf(1 - np.linspace(0, 1, _count(n)), BETA, BETA)
    return explicit(process, process.sigma_of_t(ends[1] + shares * (ends[0] - ends[1])))


def align_your_steps(levels: Sequence[float]) -> Grid:
    """A published list of ten noise levels; other lengths by interpolation in log sigma.

    Sabour, Fidler and Kreis 2024 (arXiv 2404.14507). The lists belong to three models; on others
    they are grids like any.
    """

    def grid(process: Process, n: int) -> Floats:
        count = _count(n)
        if levels[0] > process.sigma_max * 1.01:
            raise PlanError(
                f"this grid begins at sigma = {levels[0]:g}, above the {process.sigma_max:g} of "
                "the process",
                hint="it was made for another model; use karras or logsnr",
            )
        return explicit(process, resample(np.minimum(levels, process.sigma_max), count))

    return grid


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


def check_steps(n: int) -> int:
    """The number of steps of a stock plan.

    Raises:
        PlanError: If there are none, or more than `MOST`.
    """
    if not 1 <= n <= MOST:
        raise PlanError(f"{n} steps", where="steps", hint=f"at least 1, at most {MOST}")
    return n


def _count(n: int) -> int:
    if n < 1:
        raise PlanError(f"a grid of {n} steps", hint="at least one step")
    return n


AYS: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "ays_sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152),
        "ays_sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113),
        "ays_svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034),
    }
)
"""Align Your Steps for Stable Diffusion 1.5, XL and Video."""

GRIDS: Mapping[str, Grid] = MappingProxyType(
    {
        "uniform": uniform,
        "trailing": trailing,
        "quadratic": quadratic,
        "karras": karras,
        "logsnr": logsnr,
        "beta": beta,
        **{name: align_your_steps(levels) for name, levels in AYS.items()},
    }
)
