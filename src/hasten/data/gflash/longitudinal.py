"""How deep a shower goes: the Gamma profile of GFlash and its fluctuations.

    dE/dt = E (beta t)^(alpha - 1) beta exp(-beta t) / Gamma(alpha),   T = (alpha - 1) / beta

with the depth t in X0 and the maximum at T. From shower to shower ln T and ln alpha are drawn from
a correlated normal law whose moments depend on ln y, y = E / Ec.

Source: Grindhammer and Peters (hep-ex/0001020), appendices A.1 (homogeneous) and A.2 (sampling);
the numbers are those on which independent codes agree, but for the slips of single ones.
"""

# ruff: noqa: N803, N806, N815 (the paper's letters)

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainc

from hasten.data.gflash.medium import Medium

Floats = NDArray[np.float64]

LARGEST_SIGMA = 0.5
LEAST_T, LEAST_ALPHA = 1.0, 1.1
_LEAST_ARGUMENT = 0.1  # of a logarithm; matters below 100 MeV only


@final
@dataclass(frozen=True)
class Moments:
    """Of the joint normal law of (ln T, ln alpha), each [n].

    Attributes:
        ln_T: Mean of ln T, T in X0.
        sigma_T: Standard deviation of ln T.
        ln_alpha: Mean of ln alpha.
        sigma_alpha: Standard deviation of ln alpha.
        rho: Their correlation.
    """

    ln_T: Floats
    sigma_T: Floats
    ln_alpha: Floats
    sigma_alpha: Floats
    rho: Floats


def average(medium: Medium, ln_y: Floats) -> tuple[Floats, Floats]:
    """T and alpha of the mean profile (hep-ex/0001020, appendices A.1 and A.2).

    The profile averaged over fluctuating showers is close to the one with these.

    Args:
        medium: What it develops in.
        ln_y: ln(E / Ec) [n].

    Returns:
        T in X0 and alpha, [n] each.
    """
    T = ln_y - 0.858
    alpha = 0.21 + (0.492 + 2.38 / medium.z) * ln_y
    if medium.sampling is not None:
        F_S, e_mip = medium.sampling.frequency, medium.sampling.e_mip
        T = T - 0.59 / F_S - 0.53 * (1 - e_mip)
        alpha = alpha - 0.444 / F_S
    return T, alpha


def moments(medium: Medium, ln_y: Floats) -> Moments:
    """Law of single showers (hep-ex/0001020, appendices A.1 and A.2).

    Standard deviations are kept at or below `LARGEST_SIGMA`, as the fits have poles at low energy.

    Args:
        medium: What they develop in.
        ln_y: ln(E / Ec) [n].
    """
    T = ln_y - 0.812
    alpha = 0.81 + (0.458 + 2.26 / medium.z) * ln_y
    if medium.sampling is None:
        spread_T, spread_alpha = -1.4 + 1.26 * ln_y, -0.58 + 0.86 * ln_y
        rho = 0.705 - 0.023 * ln_y
    else:
        F_S, e_mip = medium.sampling.frequency, medium.sampling.e_mip
        T = T - 0.55 / F_S - 0.69 * (1 - e_mip)
        alpha = alpha - 0.476 / F_S
        spread_T, spread_alpha = -2.5 + 1.25 * ln_y, -0.82 + 0.79 * ln_y
        rho = 0.784 - 0.023 * ln_y
    return Moments(
        np.log(np.maximum(T, _LEAST_ARGUMENT)),
        1 / np.maximum(spread_T, 1 / LARGEST_SIGMA),
        np.log(np.maximum(alpha, _LEAST_ARGUMENT)),
        1 / np.maximum(spread_alpha, 1 / LARGEST_SIGMA),
        rho,
    )


def correlated(law: Moments, normal: Floats) -> tuple[Floats, Floats]:
    """T and alpha of single showers.

    With ``p, q = sqrt((1 +- rho) / 2)`` (hep-ex/0001020, appendix A.1):
    ``ln T = <ln T> + sigma_T (p z1 + q z2)`` and
    ``ln alpha = <ln alpha> + sigma_alpha (p z1 - q z2)``.

    Args:
        law: From `moments`.
        normal: Independent standard normal numbers z1 and z2, [n, 2].

    Returns:
        T in X0 (at least `LEAST_T`) and alpha (at least `LEAST_ALPHA`), [n] each.
    """
    z1, z2 = normal[:, 0], normal[:, 1]
    p, q = np.sqrt((1 + law.rho) / 2), np.sqrt((1 - law.rho) / 2)
    T = np.exp(law.ln_T + law.sigma_T * (p * z1 + q * z2))
    alpha = np.exp(law.ln_alpha + law.sigma_alpha * (p * z1 - q * z2))
    return np.maximum(T, LEAST_T), np.maximum(alpha, LEAST_ALPHA)


def shares(T: Floats, alpha: Floats, edges: Floats) -> Floats:
    """Part of the energy between depths: differences of the regularised incomplete Gamma function.

    Args:
        T: Depth of the maximum [n], X0.
        alpha: [n], above 1.
        edges: Ascending depths [layers + 1], X0.

    Returns:
        [n, layers]; what is missing to 1 lies before the first edge and behind the last.
    """
    beta = (alpha - 1) / T
    shares: Floats = np.diff(gammainc(alpha[:, None], beta[:, None] * edges), axis=1)
    return shares
