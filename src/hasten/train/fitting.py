"""Fitting one net of a configuration: where it is trained, how long, and what is written."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch

from hasten.adapters.card import build, save_bundle
from hasten.core.model import Model
from hasten.errors import ModelError
from hasten.train.config import Config
from hasten.train.loop import Progress, State, train
from hasten.train.sources import Source


@final
@dataclass(frozen=True)
class Effort:
    """Where, from where and how long to train.

    Attributes:
        minutes: From now on.
        device: ``cpu`` or ``cuda``.
        progress: Told after every checkpoint.
        start: A trained model whose weights are the first ones; None draws them.
        begun: When, by the monotonic clock.
    """

    minutes: float = float("inf")
    device: str = "cpu"
    progress: Progress | None = None
    start: Model | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Minutes left."""
        return self.minutes - (time.monotonic() - self.begun) / 60

    @property
    def accelerated(self) -> bool:
        """Whether half precision and compiling pay; on CPUs they cost more than they gain."""
        return torch.device(self.device).type != "cpu"

    @property
    def within(self) -> Effort:
        """The same for the model that the model's codec asks."""
        models = () if self.start is None else self.start.codec.models()
        return replace(self, start=next(iter(models), None))


def fresh(config: Config, effort: Effort) -> Model:
    """The model with its net's first weights, where it is to be trained; without its codec.

    Raises:
        ModelError: If the weights to start from are of another net.
    """
    torch.manual_seed(config.settings.seed)
    model = build(config.card, config.folder)
    if effort.start is not None:
        try:
            model.net.load_state_dict(effort.start.net.state_dict())
        except RuntimeError as cause:
            raise ModelError(
                f"its net is not the one that {model.name!r} configures",
                where=effort.start.name,
                hint="give [net] the same table as on its card, or start from nothing",
            ) from cause
    layout = torch.channels_last if effort.accelerated else torch.preserve_format
    model.net.to(effort.device, memory_format=layout)  # type: ignore[call-overload]
    return model


def fit(
    model: Model, source: Source, config: Config, out: Path, place: Path, data: str, effort: Effort
) -> State:
    """Train, or go on training, and write the averaged weights so far as a model folder.

    Args:
        model: As `fresh` gives it, with its codec.
        source: What to train it on.
        config: How.
        out: Run folder, for the checkpoint.
        place: Folder of the model.
        data: Name of the data, for the card.
        effort: Where and how long.
    """
    state = train(
        model,
        source,
        config.settings,
        out,
        minutes=effort.left,
        precision=config.precision if effort.accelerated else torch.float32,
        compiled=config.compiled and effort.accelerated,
        progress=effort.progress,
    )
    model.net.load_state_dict(state.average.weights)
    settings = {k: v for k, v in dataclasses.asdict(config.settings).items() if v is not None}
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    facts: dict[str, Any] = {"training": {"data": data, "seen": seen(state, config), **settings}}
    facts |= {k: config.card[k] for k in ("about", "reference", "judge") if k in config.card}
    save_bundle(place, model, config.card["net"], facts)
    return state


def seen(state: State, config: Config) -> int:
    """Samples seen so far."""
    return state.step * config.settings.batch
