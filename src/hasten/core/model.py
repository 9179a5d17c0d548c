"""Model: a net with the facts a sampler needs; it answers one question, ``denoise``."""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from hasten.core.clock import Clock
from hasten.core.process import Prediction, Process, as_tensor
from hasten.errors import ModelError, OutputError


@final
@dataclass(frozen=True)
class Call:
    """How a net wants its arguments, and which of its outputs is the prediction.

    Attributes:
        cond: Keyword under which the condition is passed; None if the net takes none.
        time: Keyword under which the time is passed; None passes it second, as most nets have it.
        extra: Further constant keyword arguments.
        channels: Keep only this many leading channels of the output (learned-variance nets).
    """

    cond: str | None = None
    time: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    channels: int | None = None

    def __call__(self, net: nn.Module, x: Tensor, time: Tensor, cond: Tensor | None) -> Tensor:
        """Ask the net about ``x`` [B, ...] at ``time`` [B]; returns its prediction [B, ...]."""
        second = () if self.time else (time,)
        named = {name: value for name, value in ((self.cond, cond), (self.time, time)) if name}
        out = net(x, *second, **named, **self.extra)
        if isinstance(out, (tuple, list)):
            out = out[0]
        if not isinstance(out, Tensor):
            raise OutputError(f"the net returned {type(out).__name__}, not a tensor", where="net")
        return out if self.channels is None else out[:, : self.channels]


class Codec(abc.ABC):
    """What happens before and after the denoising: conditions in, samples out. Always timed."""

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:  # noqa: ARG002
        """What the user gives as condition, made into what the net takes; once a run.

        Whatever is drawn at random on the way depends on the seeds alone, one a sample.
        """
        return cond

    @abc.abstractmethod
    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """Samples for people from x0 [B, ...] and what `encode` gave; once a run."""

    def models(self) -> Sequence[Model]:
        """Models that it asks on the way."""
        return ()


@final
@dataclass(frozen=True)
class Identity(Codec):
    """Nothing to do."""

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:  # noqa: ARG002
        return x


@final
@dataclass(frozen=True)
class Pixels(Codec):
    """Images held in [-1, 1], shown in [0, 1]."""

    def decode(self, x: Tensor, cond: Tensor | None) -> Tensor:  # noqa: ARG002
        return x.add(1).div(2).clamp(0, 1)


@final
@dataclass(frozen=True)
class Classes:
    """Class labels as conditions.

    Attributes:
        count: Labels are 0 .. count - 1.
        null: The label that means "none", if the net was trained with one (needed for guidance).
        names: For people, one a class; may be empty.
    """

    count: int
    null: int | None = None
    names: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Energies:
    """Incident energies as conditions, float32 [B], MeV.

    Attributes:
        low: Least the net was trained on.
        high: Most.
        law: How they were distributed: ``power`` (uniform in the logarithm) or ``uniform``.
    """

    low: float
    high: float
    law: str = "power"

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ModelError: If it is empty, or the law is unknown.
        """
        if not 0 < self.low < self.high or self.law not in ("power", "uniform"):
            raise ModelError(
                f"energies from {self.low:g} to {self.high:g} MeV by the law {self.law!r}",
                hint="0 < low < high; law power or uniform",
            )

    def at(self, share: Tensor) -> Tensor:
        """The energies below which these shares of the law lie; float32."""
        low, high = math.log(self.low), math.log(self.high)
        if self.law == "power":
            return (low + share.double() * (high - low)).exp().float()
        return (self.low + share.double() * (self.high - self.low)).float()

    def covering(self, energy: Tensor) -> Energies:
        """The same law over a range in which these energies lie as well."""
        low, high = float(energy.min()), float(energy.max())
        return Energies(min(self.low, low), max(self.high, high), self.law)

    def unit(self, energy: Tensor) -> Tensor:
        """Energies as a net is told of them: the logarithm, -1 at the least and 1 at the most."""
        return 2 * (energy / self.low).log() / math.log(self.high / self.low) - 1

    def of_unit(self, unit: Tensor) -> Tensor:
        """Inverse of `unit`."""
        return self.low * ((unit + 1) * (math.log(self.high / self.low) / 2)).exp()


@final
@dataclass(eq=False)
class Model:
    """A trained denoiser and everything needed to sample from it.

    Attributes:
        net: The network; called through `call`.
        process: How it was noised in training.
        prediction: What its output means.
        shape: Shape of one sample before decoding, without the batch axis.
        call: How it wants its arguments.
        codec: What surrounds it.
        clip: Bound of x0 at every evaluation, as the model's own sampler has it; or None.
        classes: The labels it is conditioned on, if any.
        energies: The incident energies it is conditioned on, if any.
        guide: A weaker model of the same data, away from which this one is guided in place of its
            null class; asked in full at every guided evaluation, whatever methods do to `net`.
        name: For people and file names.
        kind: ``image``, ``shower`` or ``toy``; what its samples are, so which evidence applies.
        card: Whatever else its makers state (speed reference, judge, training).
    """

    net: nn.Module
    process: Process
    prediction: Prediction
    shape: tuple[int, ...]
    call: Call = Call()
    codec: Codec = Identity()
    clip: float | None = None
    classes: Classes | None = None
    energies: Energies | None = None
    guide: Model | None = None
    name: str = "model"
    kind: str = "image"
    card: Mapping[str, Any] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock, repr=False)

    def __post_init__(self) -> None:
        """Check that a guide answers the same questions.

        Raises:
            ModelError: If its shape, noise levels or conditions are others.
        """
        if self.guide is not None:
            _check_guide(self, self.guide)

    @property
    def device(self) -> torch.device:
        """Where the net's parameters are (the CPU for a net without)."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The net's floating-point type."""
        kinds = (p.dtype for p in self.net.parameters() if p.is_floating_point())
        return next(kinds, torch.float32)

    def encode(self, cond: Tensor | None, seeds: Sequence[int]) -> Tensor | None:
        """Conditions as the user gives them, as `denoise` takes them: on the net's device."""
        return self.codec.encode(None if cond is None else cond.to(self.device), seeds)

    def denoise(
        self,
        x: Tensor,
        sigma: float | np.ndarray[Any, np.dtype[np.float64]],
        cond: Tensor | None = None,
        guidance: float = 1.0,
    ) -> Tensor:
        """The estimate of x0 given noisy data.

        Args:
            x: ``x0 + sigma eps`` in VE coordinates, [B, *shape], in the sampler's precision.
            sigma: One level, or one per sample [B].
            cond: What `encode` gave, first axis B; or None.
            guidance: Weight w, 1 for none. Without a guide ``D_null + w (D - D_null)``, both in one
                batch (Ho and Salimans 2022, arXiv 2207.12598); with one ``D_guide + w (D -
                D_guide)``, both under the condition (Karras et al. 2024, arXiv 2406.02507).

        Returns:
            x0 [B, *shape] in the precision of ``x``.

        Raises:
            OutputError: If the net's output has the wrong shape.
            ModelError: If guidance is asked of a net without a guide or a null class.
        """
        if guidance == 1.0:
            return self._denoise(x, sigma, cond)
        if self.guide is not None:
            own, weak = self._denoise(x, sigma, cond), self.guide.denoise(x, sigma, cond)
        else:
            both = self._denoise(torch.cat([x, x]), _twice(sigma), self._with_null(cond))
            own, weak = both.chunk(2)
        return weak + guidance * (own - weak)

    def _denoise(self, x: Tensor, sigma: Any, cond: Tensor | None) -> Tensor:
        levels = np.asarray(sigma, dtype=np.float64)
        scale, skip, out = (
            as_tensor(c, x) for c in self.prediction.coefficients(self.process, levels)
        )
        time = as_tensor(self.process.time(levels), x).reshape(-1).expand(len(x))
        if cond is not None and cond.is_floating_point():
            cond = cond.to(self.dtype)
        raw = self.call(self.net, (scale * x).to(self.dtype), time, cond)
        if raw.shape != x.shape:
            raise OutputError(
                f"the net returned shape {tuple(raw.shape)} for an input of {tuple(x.shape)}",
                where=self.name,
                hint="for learned-variance nets set Call(channels=...)",
            )
        x0 = skip * x + out * raw.to(x.dtype)
        return x0 if self.clip is None else x0.clamp(-self.clip, self.clip)

    def _with_null(self, cond: Tensor | None) -> Tensor:
        if cond is None or self.classes is None or self.classes.null is None:
            raise ModelError(
                "guidance needs a guide, or a condition and a null class",
                where=self.name,
                hint="sample without guidance, name a weaker model as guide, or state "
                "Classes(null=...) if it was trained so",
            )
        return torch.cat([cond, torch.full_like(cond, self.classes.null)])

    def to(self, device: torch.device | None = None, dtype: torch.dtype | None = None) -> Model:
        """The model itself, its net and those beside it moved there; None leaves as it is."""
        if (device, dtype) != (None, None):
            self.net.to(device=device, dtype=dtype)
            for model in (*self.codec.models(), *([self.guide] if self.guide else [])):
                model.to(device, dtype)
        return self

    def replace(self, **facts: Any) -> Model:
        """The same model with other facts; the net is shared, the clock is new."""
        return dataclasses.replace(self, **{"clock": Clock(), **facts})


def _twice(sigma: Any) -> Any:
    levels = np.asarray(sigma, dtype=np.float64)
    return levels if levels.ndim == 0 else np.concatenate([levels, levels])


def _check_guide(model: Model, guide: Model) -> None:
    own, weak = model.process, guide.process
    what = ""
    if guide.shape != model.shape:
        what = f"its samples are of shape {guide.shape}, not {model.shape}"
    elif weak.sigma_max < 0.99 * own.sigma_max or weak.sigma_min > 1.01 * own.sigma_min:
        what = (
            f"it knows noise levels {weak.sigma_min:.4g} to {weak.sigma_max:.4g}, not "
            f"{own.sigma_min:.4g} to {own.sigma_max:.4g}"
        )
    elif guide.call.cond is not None and model.call.cond is None:
        what = "it wants a condition, which this model has none of"
    elif guide.classes and model.classes and guide.classes.count != model.classes.count:
        what = f"it knows {guide.classes.count} classes, not {model.classes.count}"
    if what:
        raise ModelError(
            f"{guide.name} cannot guide this model: {what}",
            where=model.name,
            hint="take a smaller or less trained model of the same data",
        )
