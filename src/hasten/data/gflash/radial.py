"""How wide a shower is: two rational functions, a core and a tail (r in Moliere radii).

    f(r) = p 2 r Rc^2 / (r^2 + Rc^2)^2 + (1 - p) 2 r Rt^2 / (r^2 + Rt^2)^2

Both radii and the share p of the core depend on tau, the depth in units of the shower's maximum,
which makes them nearly independent of the energy.

Source: Grindhammer and Peters (hep-ex/0001020), appendices A.1 (homogeneous) and A.2 (sampling).
"""

# ruff: noqa: N803, N806 (the paper's letters)

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from hasten.data.gflash.medium import Medium

Floats = NDArray[np.float64]

_LEAST_RADIUS = 1e-3  # R_M; keeps media far from the fitted ones from a radius of nothing


@final
@dataclass(frozen=True)
class Profile:
    """Radial profile; the three broadcast against each other.

    Attributes:
        core: Rc, in R_M.
        tail: Rt, in R_M.
        share: p, of the core, in [0, 1].
    """

    core: Floats
    tail: Floats
    share: Floats

    def inside(self, r: Floats) -> Floats:
        """Part of the energy within radii r in R_M, which broadcast against the profile."""
        square = r * r
        core = square / (square + self.core * self.core)
        tail = square / (square + self.tail * self.tail)
        return self.share * core + (1 - self.share) * tail


def scaled_depth(t: Floats, T: Floats, alpha: Floats, mean_alpha: Floats) -> Floats:
    """``tau = t/T (alpha - 1)/alpha <alpha>/(<alpha> - 1)`` (hep-ex/0001020, appendix A.1).

    The mean depth of a shower, ``<t> = T alpha / (alpha - 1)``, thus has the same tau for all
    showers of one energy, whatever their fluctuation.

    Args:
        t: Depths, X0.
        T: Depth of this shower's maximum, X0.
        alpha: Of this shower.
        mean_alpha: ``exp<ln alpha>`` at its energy, above 1.
    """
    return t / T * (alpha - 1) / alpha * mean_alpha / (mean_alpha - 1)


def profile(medium: Medium, tau: Floats, gev: Floats) -> Profile:
    """Radial profile (hep-ex/0001020, appendices A.1 and A.2).

    Args:
        medium: What the shower develops in.
        tau: Scaled depths.
        gev: Incident energies, GeV, which broadcast against the depths.
    """
    Z, ln_E = medium.z, np.log(gev)
    core = 0.0251 + 0.00319 * ln_E + (0.1162 - 0.000381 * Z) * tau
    late = tau - 0.645
    tail = (0.659 - 0.00309 * Z) * (np.exp(-2.59 * late) + np.exp((0.3585 + 0.0421 * ln_E) * late))
    u = (0.401 + 0.00187 * Z - tau) / (1.313 - 0.0686 * ln_E)
    share = (2.632 - 0.00094 * Z) * np.exp(u - np.exp(u))
    if medium.sampling is not None:
        F_S, rest = medium.sampling.frequency, 1 - medium.sampling.e_mip
        fading = np.exp(-tau) / F_S
        core = core - 0.0203 * rest + 0.0397 * fading
        tail = tail - 0.14 * rest - 0.495 * fading
        share = share + rest * (0.348 - 0.642 / F_S * np.exp(-((tau - 1) ** 2)))
    return Profile(
        np.maximum(core, _LEAST_RADIUS), np.maximum(tail, _LEAST_RADIUS), np.clip(share, 0, 1)
    )


def rings(profile: Profile, edges: Floats) -> Floats:
    """Part of the energy between radii, and in the last place what lies in none of them.

    Args:
        profile: Of shape [...].
        edges: Ascending radii [rings + 1], R_M.

    Returns:
        [..., rings + 1]; sums to 1.
    """
    lifted = Profile(profile.core[..., None], profile.tail[..., None], profile.share[..., None])
    within = np.diff(lifted.inside(edges), axis=-1)
    parts: Floats = np.concatenate([within, 1 - within.sum(-1, keepdims=True)], -1)
    return parts.clip(min=0)  # a rounding may leave less than nothing beside all rings
