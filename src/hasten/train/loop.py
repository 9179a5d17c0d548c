"""Training a denoiser: resumable to the bit, one checkpoint, an average of the weights.

Everything random in step k comes from a generator keyed by (seed, k), so a checkpoint needs no
generator state and a resumed run continues exactly where a longer one would have been.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, final

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.errors import BudgetError, RunError
from hasten.train.ema import PowerAverage
from hasten.train.losses import output_loss, stratified_times
from hasten.train.sources import Source

FIRST = 4
"""Samples by which a continued training knows its data."""

Progress = Callable[[int, int, float], None]
"""Called with samples seen, samples in all, and the recent loss."""


@final
@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        samples: Samples to see in all, the same one counted each time.
        batch: Samples a step.
        rate: Learning rate after the ramp.
        ramp: Samples over which the rate rises linearly.
        cooldown: Last share of the training over which it falls linearly to zero.
        betas: Moments of AdamW.
        decay: Weight decay of matrices and kernels; vectors are never decayed.
        clip: Largest norm of a gradient.
        drop: Share of conditions replaced by the null class, if the model has one.
        flip: Whether images are mirrored at random.
        noise: Mean and standard deviation of the logarithm of the noise levels, as EDM trains
            (Karras et al. 2022, table 1: -1.2 and 1.2); None draws the process time uniformly.
        average: Relative width of the average of the weights.
        seed: Of everything random.
        every: Steps between checkpoints.
    """

    samples: int
    batch: int = 128
    rate: float = 1e-3
    ramp: int = 20_000
    cooldown: float = 0.25
    betas: tuple[float, float] = (0.9, 0.99)
    decay: float = 0.01
    clip: float = 1.0
    drop: float = 0.1
    flip: bool = False
    noise: tuple[float, float] | None = None
    average: float = 0.1
    seed: int = 0
    every: int = 100

    def __post_init__(self) -> None:
        if self.samples < self.batch or self.batch < 1:
            raise BudgetError(f"cannot train on {self.samples} samples in batches of {self.batch}")


@final
@dataclass
class State:
    """What a checkpoint holds: the net, its average, the optimiser, how far it got and on what."""

    model: Model
    average: PowerAverage
    optimiser: torch.optim.Optimizer
    step: int = 0
    trained: str = ""

    def save(self, path: Path) -> None:
        """Write atomically: a killed run keeps its last checkpoint."""
        part = path.with_suffix(".part")
        tensors = {
            "net": self.model.net.state_dict(),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "trained": self.trained,
        }
        torch.save(tensors, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            RunError: If it cannot be read, or belongs to another net, data or size of batch.
        """
        try:
            tensors = torch.load(path, map_location=self.model.device, weights_only=True)
            trained = str(tensors["trained"])
            self.model.net.load_state_dict(tensors["net"])
            self.average.load(tensors["average"])
            self.optimiser.load_state_dict(tensors["optimiser"])
            self.step = int(tensors["step"])
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as cause:
            raise RunError(
                "this checkpoint cannot be continued",
                where=str(path),
                hint="train into a new folder",
            ) from cause
        if trained != self.trained:
            raise RunError(
                f"it was trained on {trained}, and now it is {self.trained}",
                where=str(path),
                hint="train into a new folder, or give it what it had",
            )


def train(
    model: Model,
    source: Source,
    settings: Settings,
    folder: Path,
    *,
    minutes: float = float("inf"),
    precision: torch.dtype = torch.float32,
    compiled: bool = False,
    progress: Progress | None = None,
) -> State:
    """Train, or go on training, until all samples are seen or the minutes are over.

    Args:
        model: The net with its facts; trained in place, on the device it is on.
        source: What batches are drawn from.
        settings: How.
        folder: Where ``checkpoint.pt`` and ``log.jsonl`` are; an earlier run there is continued.
        minutes: Stop with a checkpoint after this long.
        precision: Of the net's arithmetic (autocast), bfloat16 on accelerators.
        compiled: Whether the net runs through ``torch.compile`` meanwhile.
        progress: Told after every checkpoint.

    Returns:
        The state reached.
    """
    average = PowerAverage(model.net, settings.average)
    state = State(model, average, _optimiser(model, settings), trained=_trained(source, settings))
    checkpoint = folder / "checkpoint.pt"
    _prepare(folder)
    if checkpoint.exists():
        state.load(checkpoint)
    until, losses = time.monotonic() + 60 * minutes, list[Tensor]()
    model.net.train()
    with _compiled(model.net) if compiled else nullcontext():
        while (seen := state.step * settings.batch) < settings.samples and time.monotonic() < until:
            losses.append(_step(state, source, settings, seen, precision))
            if state.step % settings.every == 0:
                state.save(checkpoint)
                seen, loss = state.step * settings.batch, float(torch.stack(losses).mean())
                _log(folder, {"samples": seen, "loss": loss, "time": time.time()})
                if progress is not None:
                    progress(seen, settings.samples, loss)
                losses.clear()
    state.save(checkpoint)
    model.net.eval()
    return state


@contextmanager
def _compiled(net: nn.Module) -> Iterator[None]:
    """Compile in place, so that names of weights stay; and undo it."""
    net.compile()
    try:
        yield
    finally:
        net._compiled_call_impl = None  # noqa: SLF001  (torch has no public way back)


def _step(
    state: State,
    source: Source,
    settings: Settings,
    seen: int,
    precision: torch.dtype,
) -> Tensor:
    model, device = state.model, state.model.device
    rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
    x0, cond = source.draw(_batch(len(source), seen, settings), rng)
    x0, cond = x0.to(device), None if cond is None else cond.to(device)
    times = stratified_times(len(x0), rng)
    if settings.noise is None:
        sigma = model.process.sigma_of_t(times)
    else:
        mean, deviation = settings.noise
        sigma = np.exp(mean + deviation * ndtri(times))
    sigma = model.process.snap(sigma.clip(model.process.sigma_min, model.process.sigma_max))
    drawn = torch.Generator(device).manual_seed(settings.seed * 1_000_033 + state.step)
    noise = torch.randn(x0.shape, generator=drawn, device=device)
    for group in state.optimiser.param_groups:
        group["lr"] = settings.rate * _schedule(seen, settings)
    with torch.autocast(device.type, precision, enabled=precision is not torch.float32):
        loss = output_loss(model, x0, noise, sigma, cond).mean()
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.net.parameters(), settings.clip)
    state.optimiser.step()
    state.step += 1
    state.average.update(model.net, seen, seen + settings.batch)
    return loss.detach()


def _trained(source: Source, settings: Settings) -> str:
    """What must not change from one part of a training to the next, in words.

    Samples are told by rough figures: their last bits differ from machine to machine.
    """
    some = torch.arange(min(FIRST, len(source)))
    x0, _ = source.draw(some, torch.Generator().manual_seed(settings.seed))
    mean, spread = float(x0.double().mean()), float(x0.double().std())
    return (
        f"{len(source)} samples (first ones: mean {mean:.3f}, spread {spread:.3f}) in batches of "
        f"{settings.batch}"
    )


def _batch(count: int, seen: int, settings: Settings) -> Tensor:
    """Indices of the batch that starts after ``seen`` samples: each epoch its own permutation."""
    end, picks = seen + settings.batch, []
    for epoch in range(seen // count, (end - 1) // count + 1):
        order = torch.Generator().manual_seed(settings.seed * 7_919 + epoch)
        first, last = max(seen - epoch * count, 0), min(end - epoch * count, count)
        picks.append(torch.randperm(count, generator=order)[first:last])
    return torch.cat(picks)


def _schedule(seen: int, settings: Settings) -> float:
    left = (settings.samples - seen) / max(settings.cooldown * settings.samples, 1)
    return min(1.0, (seen + settings.batch) / max(settings.ramp, 1), left)


def _optimiser(model: Model, settings: Settings) -> torch.optim.Optimizer:
    matrices = [p for p in model.net.parameters() if p.ndim > 1]
    vectors = [p for p in model.net.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    fused = all(p.is_cuda for p in matrices)
    return torch.optim.AdamW(groups, settings.rate, settings.betas, fused=fused)


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as cause:
        raise RunError(f"cannot write here: {cause.strerror}", where=str(folder)) from cause


def _log(folder: Path, facts: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")
        file.flush()
        os.fsync(file.fileno())
