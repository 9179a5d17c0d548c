"""Fitting a judge: a few epochs of classification, resumable after each; and its bundle.

The pictures are shifted by whole pixels and nothing else. Blur, noise and lost contrast are what a
judge has to see in a generator's samples, so it must not be taught to ignore them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import tomli_w
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from hasten.data.images import Images
from hasten.errors import BudgetError, DataError, RunError
from hasten.files import atomic_write_bytes
from hasten.measure.degradations import Blur
from hasten.measure.features import JudgeFeatures
from hasten.measure.quality import Reference, frechet, make_reference
from hasten.models.judge import Judge, judge_images, load_judge, make_judge

Progress = Callable[[int, int, float], None]
"""Called with images seen, images in all, and the recent loss."""


@final
@dataclass(frozen=True)
class JudgeSettings:
    """How to fit a judge.

    Attributes:
        epochs: Passes over the images.
        batch: Images a step.
        rate: Peak learning rate; it rises over the first tenth and falls as a half cosine to zero.
        decay: Weight decay (AdamW) of kernels and matrices.
        shift: Largest shift in pixels, in either direction and axis.
        dropout: Share of features dropped.
        seed: Of the first weights, the order and the shifts.
    """

    epochs: int = 8
    batch: int = 128
    rate: float = 3e-3
    decay: float = 0.05
    shift: int = 1
    dropout: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or self.shift < 0:
            raise BudgetError(
                f"cannot fit with {self.epochs} epochs, batches of {self.batch} and shifts of "
                f"{self.shift}",
                hint="at least one epoch and two images a batch",
            )


def fit_judge(
    images: Images,
    settings: JudgeSettings | None = None,
    *,
    net: dict[str, Any] | None = None,
    device: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> Judge:
    """Train a judge to tell the labels of ``images``.

    The result depends on the images and settings alone (given one machine and thread count); a run
    that was stopped and resumed gives the same weights.

    Args:
        images: With labels 0 .. k - 1.
        settings: How; the defaults suit 60,000 grey images in some minutes of one CPU thread.
        net: Settings of the `Judge` besides shape, classes and dropout.
        device: Where to fit it; the judge comes back on the CPU.
        checkpoint: Where to keep the state after each epoch; continued from if it is there.
        progress: Called after each step.

    Returns:
        The judge in evaluation mode.

    Raises:
        DataError: If labels are missing or there are fewer images than a batch.
        RunError: If the checkpoint is of other settings, or cannot be written.
    """
    settings = settings or JudgeSettings()
    pixels, labels = images.pixels.to(device), _labels(images, settings.batch).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        judge = make_judge(
            {
                **(net or {}),
                "shape": images.shape,
                "classes": int(labels.max()) + 1,
                "dropout": settings.dropout,
            }
        )
        judge.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(_groups(judge, settings.decay), lr=settings.rate)
        signature = json.dumps({**judge.config, **asdict(settings), "images": len(images)})
        first = _restore(checkpoint, judge, optimiser, signature) if checkpoint else 0
        for epoch in range(first, settings.epochs):
            _epoch(judge, optimiser, pixels, labels, epoch, settings, progress)
            if checkpoint:
                _store(checkpoint, judge, optimiser, signature, epoch + 1)
    judge.cpu().eval().requires_grad_(requires_grad=False)
    return judge


def _labels(images: Images, batch: int) -> Tensor:
    if images.labels is None:
        raise DataError(
            "a judge is fitted to labels, and there are none",
            where=images.name,
            hint="put the images into one folder a class, or add an array 'labels'",
        )
    if len(images) < batch:
        raise DataError(f"{len(images)} images do not fill a batch of {batch}", where=images.name)
    return images.labels


def _groups(judge: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Kernels and matrices are decayed; biases and scales are not."""
    weights = list(judge.parameters())
    return [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]


def _epoch(
    judge: Judge,
    optimiser: torch.optim.Optimizer,
    pixels: Tensor,
    labels: Tensor,
    epoch: int,
    settings: JudgeSettings,
    progress: Progress | None,
) -> None:
    """One pass; everything random in it comes from (seed, epoch), so an epoch can be repeated."""
    torch.manual_seed(settings.seed * 1_000_003 + epoch + 1)
    judge.train()
    steps = len(pixels) // settings.batch
    total = steps * settings.epochs
    order = torch.randperm(len(pixels)).to(pixels.device)
    recent = 0.0
    for step in range(steps):
        done = epoch * steps + step
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * _schedule((done + 0.5) / total)
        chosen = order[step * settings.batch : (step + 1) * settings.batch]
        batch = shifted(pixels[chosen], settings.shift).float() / 255
        _, logits = judge(batch.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, labels[chosen])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        recent += max(0.02, 1 / (step + 1)) * (loss.item() - recent)
        if progress:
            progress((done + 1) * settings.batch, total * settings.batch, recent)


def _schedule(done: float) -> float:
    """Share of the peak rate when ``done`` (0 .. 1) of the training is over."""
    ramp = 0.1
    return (
        done / ramp if done < ramp else 0.5 + 0.5 * math.cos(math.pi * (done - ramp) / (1 - ramp))
    )


def shifted(pixels: Tensor, most: int) -> Tensor:
    """Each image [n, C, H, W] moved by up to ``most`` pixels both ways; edges are filled with 0."""
    if most == 0:
        return pixels
    count, _, height, width = pixels.shape
    padded = F.pad(pixels, (most,) * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, count, 1)).to(pixels.device)
    count_up = partial(torch.arange, device=pixels.device)
    rows = (down + count_up(height))[:, None, :, None]
    columns = (right + count_up(width))[:, None, None, :]
    each = count_up(count)[:, None, None, None]
    channel = count_up(pixels.shape[1])[None, :, None, None]
    return padded[each, channel, rows, columns]


def accuracy(judge: Judge, images: Images) -> float:
    """Share of images whose label is the judge's first choice.

    Raises:
        DataError: If the images have no labels.
    """
    if images.labels is None:
        raise DataError("accuracy needs labels", where=images.name)
    _, logits = judge_images(judge, images.pixels)
    return float((logits.argmax(1) == images.labels).double().mean())


# ----------------------------------------------------------------------------------- the bundle


def publish_judge(
    judge: Judge,
    folder: str | Path,
    *,
    name: str,
    train: Images,
    test: Images,
    settings: JudgeSettings,
    classes: tuple[str, ...] = (),
    blur: float = 0.5,
    seed: int = 0,
) -> Reference:
    """Write a judge and what it knows of real data: weights, card and reference statistics.

    Two sets of statistics: those of test images, which judge, and of training images, by which a
    search may choose.

    Everything is measured with the weights as they are stored. The statistics are those of
    ``test``; the just-visible distance is that between the test images and the same images blurred.
    As a check that does not share images between its sides, the card also states the mean over the
    two ways round of ``FD(blurred half, other half) - FD(half, other half)``.

    Args:
        judge: As fitted.
        folder: Made if missing.
        name: Names the metric: ``Fashion judge v1``.
        train: What the judge was fitted to; 10,000 of them give the floor rows.
        test: Images that neither the judge nor a generator has seen in training; labelled.
        settings: How the judge was fitted, for the card.
        classes: Names of the labels.
        blur: Standard deviation in pixels of the blur called just visible.
        seed: Of the choice of training images and of the halves.

    Returns:
        The reference, as written to ``stats.safetensors``.

    Raises:
        RunError: If the folder cannot be written.
        BudgetError: If there are too few test images.
    """
    from safetensors.torch import save

    folder = Path(folder)
    # matrices and kernels in half precision, batch norm (small, and of any scale) in single
    weights = save(
        {
            key: (
                value.half() if value.is_floating_point() and value.ndim > 1 else value
            ).contiguous()
            for key, value in judge.state_dict().items()
        }
    )
    digest = hashlib.sha256(weights).hexdigest()
    atomic_write_bytes(folder / "weights.safetensors", weights)
    card: dict[str, Any] = {
        "judge": {"name": name, "classes": list(classes), "weights_sha256": digest},
        "net": judge.config,
        "training": {
            "data": _title(train),
            "images": len(train),
            **asdict(settings),
            "torch": torch.__version__,
        },
    }
    _write_card(folder, card)
    stored = load_judge(folder)
    features = JudgeFeatures(stored, name)
    generator = torch.Generator().manual_seed(seed)
    chosen = train.pixels[torch.randperm(len(train), generator=generator)[: len(test)]]
    reference = make_reference(
        features,
        test.pixels,
        data=f"{_title(test)}, {len(test):,} images",
        degrade=Blur(blur),
        degradation=f"Gaussian blur of {blur:g} pixel",
    )
    seen = features(chosen)
    guide = f"{_title(train)}, {len(seen):,} images"
    Reference.of(seen, features.name, data=guide).save(folder / "search.safetensors")
    floor = {
        f"training data, n = {n}": frechet(seen[:n], reference).measurement()
        for n in sorted({len(seen), min(2000, len(seen))}, reverse=True)
    }
    reference = replace(reference, floor=floor)
    reference.save(folder / "stats.safetensors")
    card["measured"] = {
        "test_accuracy": accuracy(stored, test),
        "just_visible": reference.just_visible,
        "just_visible_halves": _blur_between_halves(features, test.pixels, blur, generator),
        "degradation": reference.degradation,
        "variance": float(np.trace(reference.cov)),
        "floor": {row: [m.value, m.low, m.high] for row, m in floor.items()},
    }
    _write_card(folder, card)
    return reference


def _blur_between_halves(
    features: JudgeFeatures, pixels: Tensor, blur: float, generator: torch.Generator
) -> float:
    order = torch.randperm(len(pixels), generator=generator)
    found = []
    for here, there in (order.chunk(2), order.chunk(2)[::-1]):
        other = Reference.of(features(pixels[there]), features.name)
        clean, soft = features(pixels[here]), features(Blur(blur)(pixels[here]))
        found.append(
            frechet(soft, other).distance.corrected - frechet(clean, other).distance.corrected
        )
    return sum(found) / 2


def _title(images: Images) -> str:
    return f"{images.name} {images.split or ''}".rstrip()


def _write_card(folder: Path, card: dict[str, Any]) -> None:
    atomic_write_bytes(folder / "card.toml", tomli_w.dumps(card).encode())


# -------------------------------------------------------------------------------- the checkpoint


def _store(
    path: Path, judge: Judge, optimiser: torch.optim.Optimizer, signature: str, epochs: int
) -> None:
    from safetensors.torch import save

    tensors = {f"net.{name}": value.contiguous() for name, value in judge.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": v.contiguous() for name, v in moments.items()}
    atomic_write_bytes(path, save(tensors, {"settings": signature, "epochs": str(epochs)}))


def _restore(path: Path, judge: Judge, optimiser: torch.optim.Optimizer, signature: str) -> int:
    """Epochs already done, after loading their state; 0 if there is no checkpoint."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"the checkpoint cannot be read ({error})", where=str(path), hint="remove it"
        ) from error
    if facts.get("settings") != signature:
        raise RunError(
            "the checkpoint was made with other settings or images",
            where=str(path),
            hint="give another checkpoint, or remove this one",
        )
    judge.load_state_dict(
        {k.removeprefix("net."): v for k, v in tensors.items() if k[:4] == "net."}
    )
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("adam."):
            _, index, kind = name.split(".")
            moments.setdefault(int(index), {})[kind] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    return int(facts["epochs"])
