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

import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.errors import BudgetError, DataError, RunError
from hasten.train.ema import PowerAverage
from hasten.train.losses import output_loss, stratified_times

Progress = Callable[[int, int, float], None]
"""Called with images seen, images in all, and the recent loss."""


@final
@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        images: Images to see in all, the same one counted each time.
        batch: Images a step.
        rate: Learning rate after the ramp.
        ramp: Images over which the rate rises linearly.
        cooldown: Last share of the training over which it falls linearly to zero.
        betas: Moments of AdamW.
        decay: Weight decay of matrices and kernels; vectors are never decayed.
        clip: Largest norm of a gradient.
        drop: Share of conditions replaced by the null class, if the model has one.
        flip: Whether images are mirrored at random.
        average: Relative width of the average of the weights.
        seed: Of everything random.
        every: Steps between checkpoints.
    """

    images: int
    batch: int = 128
    rate: float = 1e-3
    ramp: int = 20_000
    cooldown: float = 0.25
    betas: tuple[float, float] = (0.9, 0.99)
    decay: float = 0.01
    clip: float = 1.0
    drop: float = 0.1
    flip: bool = False
    average: float = 0.1
    seed: int = 0
    every: int = 100

    def __post_init__(self) -> None:
        if self.images < self.batch or self.batch < 1:
            raise BudgetError(f"cannot train on {self.images} images in batches of {self.batch}")


@final
@dataclass
class State:
    """What a checkpoint holds: the net, its average, the optimiser and how far it got."""

    model: Model
    average: PowerAverage
    optimiser: torch.optim.Optimizer
    step: int = 0

    def save(self, path: Path) -> None:
        """Write atomically: a killed run keeps its last checkpoint."""
        part = path.with_suffix(".part")
        tensors = {
            "net": self.model.net.state_dict(),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
        }
        torch.save(tensors, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint.

        Raises:
            RunError: If it cannot be read, or belongs to another net.
        """
        try:
            tensors = torch.load(path, map_location=self.model.device, weights_only=True)
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


def train(
    model: Model,
    pixels: Tensor,
    labels: Tensor | None,
    settings: Settings,
    folder: Path,
    *,
    minutes: float = float("inf"),
    precision: torch.dtype = torch.float32,
    compiled: bool = False,
    progress: Progress | None = None,
) -> State:
    """Train, or go on training, until all images are seen or the minutes are over.

    Args:
        model: The net with its facts; trained in place, on the device it is on.
        pixels: Data, uint8 images [n, C, H, W]; made into [-1, 1].
        labels: Their classes [n], or None.
        settings: How.
        folder: Where ``checkpoint.pt`` and ``log.jsonl`` are; an earlier run there is continued.
        minutes: Stop with a checkpoint after this long.
        precision: Of the net's arithmetic (autocast), bfloat16 on accelerators.
        compiled: Whether the net runs through ``torch.compile`` meanwhile.
        progress: Told after every checkpoint.

    Returns:
        The state reached.
    """
    _check(model, pixels, labels)
    state = State(model, PowerAverage(model.net, settings.average), _optimiser(model, settings))
    checkpoint = folder / "checkpoint.pt"
    _prepare(folder)
    if checkpoint.exists():
        state.load(checkpoint)
    pixels = pixels.to(model.device)
    labels = None if labels is None else labels.to(model.device)
    until, losses = time.monotonic() + 60 * minutes, list[Tensor]()
    model.net.train()
    with _compiled(model.net) if compiled else nullcontext():
        while (seen := state.step * settings.batch) < settings.images and time.monotonic() < until:
            losses.append(_step(state, pixels, labels, settings, seen, precision))
            if state.step % settings.every == 0:
                state.save(checkpoint)
                seen, loss = state.step * settings.batch, float(torch.stack(losses).mean())
                _log(folder, {"images": seen, "loss": loss, "time": time.time()})
                if progress is not None:
                    progress(seen, settings.images, loss)
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
    pixels: Tensor,
    labels: Tensor | None,
    settings: Settings,
    seen: int,
    precision: torch.dtype,
) -> Tensor:
    model, device = state.model, state.model.device
    rng = torch.Generator().manual_seed(settings.seed * 1_000_003 + state.step)
    index = _batch(len(pixels), seen, settings).to(device)
    x0 = pixels[index].float().div_(127.5).sub_(1)
    if settings.flip:
        mirrored = torch.rand(len(x0), generator=rng).lt(0.5).to(device)
        x0 = torch.where(mirrored[:, None, None, None], x0.flip(-1), x0)
    cond = None if labels is None else labels[index]
    if cond is not None and model.classes is not None and model.classes.null is not None:
        dropped = torch.rand(len(x0), generator=rng).lt(settings.drop).to(device)
        cond = cond.masked_fill(dropped, model.classes.null)
    sigma = model.process.sigma_of_t(stratified_times(len(x0), rng))
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


def _batch(count: int, seen: int, settings: Settings) -> Tensor:
    """Indices of the batch that starts after ``seen`` images: each epoch its own permutation."""
    end, picks = seen + settings.batch, []
    for epoch in range(seen // count, (end - 1) // count + 1):
        order = torch.Generator().manual_seed(settings.seed * 7_919 + epoch)
        first, last = max(seen - epoch * count, 0), min(end - epoch * count, count)
        picks.append(torch.randperm(count, generator=order)[first:last])
    return torch.cat(picks)


def _schedule(seen: int, settings: Settings) -> float:
    left = (settings.images - seen) / max(settings.cooldown * settings.images, 1)
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


def _check(model: Model, pixels: Tensor, labels: Tensor | None) -> None:
    if pixels.ndim != 4 or tuple(pixels.shape[1:]) != model.shape:
        raise DataError(
            f"images of shape {tuple(pixels.shape[1:])} for a net of {model.shape}",
            hint="convert the data, or change the net's size and channels",
        )
    if labels is None and model.classes is not None:
        raise DataError("the net is conditioned on classes, but the data has no labels")
