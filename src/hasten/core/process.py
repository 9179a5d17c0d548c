"""Noise processes and prediction types, seen from one coordinate system.

A process mixes data and noise as ``x_t = alpha_t x0 + sigma_t eps``. Divided by ``alpha_t`` every
one of them reads ``x_hat = x0 + sigma eps`` with a single number ``sigma = sigma_t / alpha_t``, and
all share one probability-flow equation ``d x_hat / d sigma = (x_hat - x0(x_hat, sigma)) / sigma``.
So the rest of hasten knows nothing but ``sigma``, and a process has to answer three questions about
it: how the net's input is scaled, what the net is told of time, and where the useful range ends.

    process      alpha(sigma)             net's time                 range of t, t = 1 is noise
    VP           1 / sqrt(1 + sigma^2)    t * time_scale             linear or cosine law
    DiscreteVP   the same                 index into a beta table    t = (index + 1) / T
    EDM (VE)     1                        log(sigma) / 4             t = sigma / sigma_max
    Flow         1 / (1 + sigma)          t * time_scale             t = sigma / (1 + sigma)

Sources: Karras et al. 2022 (arXiv 2206.00364), eqs. 4 and 7; Lu et al. 2022 (arXiv 2206.00927).
"""

# ruff: noqa: ARG002 (an override says what its base says)
from __future__ import annotations

import abc
import enum
import functools
import math
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hasten.errors import ModelError, PlanError

SIGMA_CAP = 1e4
"""No process is sampled above this noise level: alpha would be lost in single precision."""

_AT_CAP = SIGMA_CAP * (1 - 1e-9)
"""From here on a level is the cap, to which a grid in t comes but for rounding."""

Floats = NDArray[np.float64]


class Process(abc.ABC):
    """What a solver and a net may ask about the noise. All methods are elementwise, in float64."""

    sigma_min: float
    sigma_max: float

    @abc.abstractmethod
    def alpha(self, sigma: Floats) -> Floats:
        """Factor of the net's input: it reads ``alpha * x_hat``."""

    @abc.abstractmethod
    def time(self, sigma: Floats) -> Floats:
        """What the net is told about time at noise level ``sigma``."""

    @abc.abstractmethod
    def sigma_of_time(self, time: Floats) -> Floats:
        """Inverse of `time`: the noise level a net is asked about."""

    @abc.abstractmethod
    def sigma_of_t(self, t: Floats) -> Floats:
        """Noise level at process time ``t`` in (0, 1]; 1 is pure noise."""

    @abc.abstractmethod
    def t_of_sigma(self, sigma: Floats) -> Floats:
        """Inverse of `sigma_of_t`."""

    def snap(self, sigma: Floats) -> Floats:
        """The nearest noise levels the net was trained at; all are, unless a table says less."""
        return sigma

    def noise_std(self, sigma: Floats) -> Floats:
        """Standard deviation of the noise in the net's input: ``alpha * sigma``."""
        return self.alpha(sigma) * sigma

    def _check_range(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max <= SIGMA_CAP:
            raise ModelError(
                f"noise levels must satisfy 0 < sigma_min < sigma_max <= {SIGMA_CAP:g}, "
                f"got {self.sigma_min:g} and {self.sigma_max:g}",
                where=repr(self),
            )


class Law(enum.Enum):
    """How the log-SNR of a variance-preserving process depends on t."""

    LINEAR = "linear"  # beta grows linearly from 0.1 to 20 (Song et al. 2021, arXiv 2011.13456)
    COSINE = "cosine"  # Nichol and Dhariwal 2021 (arXiv 2102.09672), eq. 17, s = 0.008


_B0, _B1, _S = 0.1, 20.0, 0.008
_NO_SIGNAL = 1e-12


@final
@dataclass(frozen=True)
class VP(Process):
    """Variance preserving, continuous in time; the net is told ``t * time_scale``."""

    law: Law = Law.COSINE
    time_scale: float = 999.0
    sigma_min: float = 0.01
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        self._check_range()

    def alpha(self, sigma: Floats) -> Floats:
        return np.asarray(1 / np.sqrt(1 + np.square(sigma)), dtype=np.float64)

    def time(self, sigma: Floats) -> Floats:
        return self.t_of_sigma(sigma) * self.time_scale

    def sigma_of_time(self, time: Floats) -> Floats:
        return self.sigma_of_t(np.asarray(time, dtype=np.float64) / self.time_scale)

    def sigma_of_t(self, t: Floats) -> Floats:
        t = np.asarray(t, dtype=np.float64)
        if self.law is Law.LINEAR:
            return np.sqrt(np.expm1(0.5 * (_B1 - _B0) * np.square(t) + _B0 * t))
        # alpha = cos(u) / cos(u0); sigma follows from alpha without loss near t = 0 through sines:
        # 1 - alpha^2 = (sin^2 u - sin^2 u0) / cos^2 u0 = sin(u - u0) sin(u + u0) / cos^2 u0
        u0 = 0.5 * math.pi * _S / (1 + _S)
        u = 0.5 * math.pi * (t + _S) / (1 + _S)
        sine = np.sqrt(np.sin(u - u0) * np.sin(u + u0))
        return np.asarray(sine / np.maximum(np.cos(u), 1e-9), dtype=np.float64)

    def t_of_sigma(self, sigma: Floats) -> Floats:
        sigma = np.asarray(sigma, dtype=np.float64)
        if self.law is Law.LINEAR:
            big = np.log1p(np.square(sigma))
            return 2 * big / (_B0 + np.sqrt(_B0**2 + 2 * (_B1 - _B0) * big))
        u0 = 0.5 * math.pi * _S / (1 + _S)
        # tan u, with cos u = alpha cos u0, keeps its digits at both ends
        u = np.arctan2(np.sqrt(np.square(sigma) + math.sin(u0) ** 2), math.cos(u0))
        return 2 / math.pi * (1 + _S) * u - _S


@final
@dataclass(frozen=True)
class DiscreteVP(Process):
    """A table of ``abar_n = prod(1 - beta)``, as DDPM nets are trained; the net is told the index.

    Args:
        abar: Cumulative products, strictly decreasing, at most 1; index 0 is the cleanest level.
        continuous: Whether the net accepts indices between the table's (else sigmas are snapped).
    """

    abar: tuple[float, ...] = field(repr=False)
    continuous: bool = False

    def __post_init__(self) -> None:
        table = np.asarray(self.abar, dtype=np.float64)
        if table.ndim != 1 or len(table) < 2 or not (np.diff(table) < 0).all() or table[0] >= 1:
            raise ModelError(
                "a table of abar must be strictly decreasing and below 1", where="process"
            )
        self._check_range()

    @classmethod
    def from_betas(cls, betas: Floats, *, continuous: bool = False) -> DiscreteVP:
        """From the variances of DDPM, eq. 2 (arXiv 2006.11239)."""
        return cls(tuple(np.cumprod(1 - np.asarray(betas, dtype=np.float64)).tolist()), continuous)

    @functools.cached_property
    def table(self) -> Floats:
        """Noise level of every index, ascending; a terminal level beyond the cap is held at it.

        A level that has some signal (abar = 2e-9 at the end of the cosine table) is held just below
        the cap instead, because at the cap there is none.
        """
        abar = np.asarray(self.abar, dtype=np.float64)
        sigma = np.sqrt((1 - abar) / np.maximum(abar, _NO_SIGNAL))
        return np.where(abar < _NO_SIGNAL, SIGMA_CAP, np.minimum(sigma, SIGMA_CAP * (1 - 1e-6)))

    @property
    def sigma_min(self) -> float:  # type: ignore[override]
        return float(self.table[0])

    @property
    def sigma_max(self) -> float:  # type: ignore[override]
        return float(self.table[-1])

    def alpha(self, sigma: Floats) -> Floats:
        return np.asarray(1 / np.sqrt(1 + np.square(sigma)), dtype=np.float64)

    def time(self, sigma: Floats) -> Floats:
        index = self._index(sigma)
        return index if self.continuous else np.rint(index)

    def sigma_of_time(self, time: Floats) -> Floats:
        return np.exp(np.interp(time, np.arange(len(self.abar)), np.log(self.table)))

    def sigma_of_t(self, t: Floats) -> Floats:
        return self.sigma_of_time(np.asarray(t, dtype=np.float64) * len(self.abar) - 1)

    def t_of_sigma(self, sigma: Floats) -> Floats:
        return (self._index(sigma) + 1) / len(self.abar)

    def snap(self, sigma: Floats) -> Floats:
        if self.continuous:
            return sigma
        sigma = np.asarray(sigma, dtype=np.float64)
        nearest = self.table[np.rint(self._index(np.maximum(sigma, 1e-12))).astype(int)]
        return np.where(sigma == 0, 0.0, nearest)

    def _index(self, sigma: Floats) -> Floats:
        return np.interp(
            np.log(np.maximum(sigma, 1e-300)), np.log(self.table), np.arange(len(self.abar))
        )


@final
@dataclass(frozen=True)
class EDM(Process):
    """Variance exploding with the time embedding of EDM, ``log(sigma) / 4`` (arXiv 2206.00364)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        self._check_range()

    def alpha(self, sigma: Floats) -> Floats:
        return np.ones_like(sigma)

    def time(self, sigma: Floats) -> Floats:
        return np.log(np.maximum(sigma, 1e-300)) / 4

    def sigma_of_time(self, time: Floats) -> Floats:
        return np.exp(4 * np.asarray(time, dtype=np.float64))

    def sigma_of_t(self, t: Floats) -> Floats:
        return np.asarray(t, dtype=np.float64) * self.sigma_max

    def t_of_sigma(self, sigma: Floats) -> Floats:
        return np.asarray(sigma, dtype=np.float64) / self.sigma_max


@final
@dataclass(frozen=True)
class Flow(Process):
    """Rectified flow ``x_t = (1 - t) x0 + t eps`` with t = 1 noise (arXiv 2209.03003)."""

    time_scale: float = 1.0
    sigma_min: float = 1e-3
    sigma_max: float = SIGMA_CAP

    def __post_init__(self) -> None:
        self._check_range()

    def alpha(self, sigma: Floats) -> Floats:
        return 1 / (1 + np.asarray(sigma, dtype=np.float64))

    def time(self, sigma: Floats) -> Floats:
        # the net is never told a time it was not trained for: the cap means t = 1
        return np.where(np.asarray(sigma) >= _AT_CAP, 1.0, self.t_of_sigma(sigma)) * self.time_scale

    def sigma_of_time(self, time: Floats) -> Floats:
        return self.sigma_of_t(np.asarray(time, dtype=np.float64) / self.time_scale)

    def sigma_of_t(self, t: Floats) -> Floats:
        t = np.asarray(t, dtype=np.float64)
        return np.minimum(t / np.maximum(1 - t, 1e-300), SIGMA_CAP)

    def t_of_sigma(self, sigma: Floats) -> Floats:
        sigma = np.asarray(sigma, dtype=np.float64)
        return sigma / (1 + sigma)


class Prediction(abc.ABC):
    """What a net's output means: ``o = a x0 + b eps`` with ``a, b`` known from the noise level."""

    @abc.abstractmethod
    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        """The pair ``(a, b)``, for a net input ``alpha x0 + noise eps``."""

    def needs_signal(self) -> bool:
        """Whether x0 cannot be recovered where the input is pure noise."""
        return False

    def coefficients(self, process: Process, sigma: Floats) -> tuple[Floats, Floats, Floats]:
        """The linear map from net input and output to data: ``x0 = skip * x_hat + out * o``.

        Args:
            process: The process the net was trained under.
            sigma: Noise levels of any shape.

        Returns:
            ``(scale, skip, out)``: the net reads ``scale * x_hat``.

        Raises:
            PlanError: If the level carries no signal and the prediction needs it.
        """
        sigma = np.asarray(sigma, dtype=np.float64)
        alpha, noise = process.alpha(sigma), process.noise_std(sigma)
        if self.needs_signal() and (sigma >= _AT_CAP).any():
            raise PlanError(
                "a net that predicts noise says nothing about data where the signal is zero",
                where=f"sigma = {float(np.max(sigma)):g}",
                hint="start the grid lower (sigma_max), or use a v-, x0- or flow-predicting net",
            )
        a, b = self.mixture(alpha, noise)
        determinant = alpha * b - noise * a
        return alpha, b * alpha / determinant, -noise / determinant


@final
@dataclass(frozen=True)
class Eps(Prediction):
    """The noise (Ho et al. 2020)."""

    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        return np.zeros_like(alpha), np.ones_like(alpha)

    def needs_signal(self) -> bool:
        return True


@final
@dataclass(frozen=True)
class X0(Prediction):
    """The data."""

    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        return np.ones_like(alpha), np.zeros_like(alpha)


@final
@dataclass(frozen=True)
class V(Prediction):
    """The velocity ``alpha eps - sigma x0`` of Salimans and Ho 2022 (arXiv 2202.00512)."""

    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        return -noise, alpha


@final
@dataclass(frozen=True)
class Velocity(Prediction):
    """The flow's velocity ``eps - x0``."""

    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        return -np.ones_like(alpha), np.ones_like(alpha)


@final
@dataclass(frozen=True)
class Raw(Prediction):
    """The raw output F of an EDM-preconditioned net, ``x0 = c_skip x + c_out F`` (table 1 there).

    The net reads ``c_in(sigma) x_hat``; give the process `EDM` and let the net scale its own input,
    or wrap it: here the input scale is part of the prediction because it depends on sigma_data.
    """

    sigma_data: float = 0.5

    def mixture(self, alpha: Floats, noise: Floats) -> tuple[Floats, Floats]:
        sigma = noise / alpha
        total = np.sqrt(sigma**2 + self.sigma_data**2)
        c_skip, c_out = self.sigma_data**2 / total**2, sigma * self.sigma_data / total
        return (1 - c_skip) / c_out, -c_skip * sigma / c_out

    def coefficients(self, process: Process, sigma: Floats) -> tuple[Floats, Floats, Floats]:
        sigma = np.asarray(sigma, dtype=np.float64)
        total = np.sqrt(sigma**2 + self.sigma_data**2)
        return 1 / total, self.sigma_data**2 / total**2, sigma * self.sigma_data / total


def as_tensor(values: Floats, like: Tensor) -> Tensor:
    """Scalars or one number per sample, shaped to multiply ``like`` [B, ...]."""
    flat = torch.as_tensor(np.asarray(values), dtype=torch.float64).to(like.device, like.dtype)
    return flat if flat.ndim == 0 else flat.reshape(-1, *([1] * (like.ndim - 1)))
