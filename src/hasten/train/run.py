"""``hasten train``: a configuration and data become a model folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hasten.core.model import Model
from hasten.data.images import load_images
from hasten.errors import ModelError
from hasten.train.config import Config, read_config
from hasten.train.fitting import Effort, fit, fresh
from hasten.train.loop import Progress, State
from hasten.train.showers import train_showers
from hasten.train.sources import Pictures


def train_config(
    path: Path,
    data: Path,
    out: Path,
    *,
    minutes: float = float("inf"),
    device: str = "cpu",
    progress: Progress | None = None,
    start: Model | None = None,
) -> State:
    """Train what a configuration describes, or go on with it, and write the model so far.

    Args:
        path: The configuration.
        data: Images or showers, in any of the forms `load_images` or `load_showers` reads.
        out: Run folder; the averaged weights land in ``out/model``, which `hasten.load` reads.
        minutes: Stop after this long; the same call again continues.
        device: ``cpu`` or ``cuda``.
        progress: Told after every checkpoint.
        start: A trained model whose weights a new training starts from.

    Raises:
        ModelError: If the configuration is wrong.
        DataError: If the data do not suit it.
    """
    config = read_config(path)
    kind = str(config.card["kind"])
    if kind not in _KINDS:
        raise ModelError(
            f"models of the kind {kind!r} cannot be trained",
            where=str(path),
            hint=f"kinds: {', '.join(_KINDS)}",
        )
    return _KINDS[kind](config, data, out, Effort(minutes, device, progress, start))


def train_images(config: Config, data: Path, out: Path, effort: Effort) -> State:
    """Train a model of images."""
    images, settings = load_images(data, split="train"), config.settings
    model = fresh(config, effort)
    labels = None if model.classes is None else images.labels
    source = Pictures(model, images.pixels, labels, flip=settings.flip, drop=settings.drop)
    return fit(model, source, config, out, out / "model", images.name, effort)


_KINDS: dict[str, Callable[[Config, Path, Path, Effort], State]] = {
    "image": train_images,
    "shower": train_showers,
}
"""How a model of each kind is trained."""
