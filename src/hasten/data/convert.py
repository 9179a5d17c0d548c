"""Converting images of any readable form to hasten's own shards.

A shard is an npz archive of ``images`` (uint8 [n, C, H, W]), ``labels`` (int64 [n], if there are
any) and ``classes`` (names, if known): lossless, readable by numpy alone, the same bytes each time
it is made. Shards are called ``cifar10-train-00000-of-00004.npz``; a set that lacks one is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hasten.data.images import Images, Split, load_images, splits_of
from hasten.data.parts import Shape
from hasten.errors import DataError
from hasten.files import atomic

LIMIT = 45 * 1024 * 1024
"""Bytes in a shard at most."""

Progress = Callable[[str, int, int], None]
"""Called with the file's name, images written, and images in all."""


def convert(
    source: str | Path,
    target: str | Path,
    *,
    name: str | None = None,
    split: Split | None = None,
    shape: Shape | None = None,
    limit: int = LIMIT,
    progress: Progress | None = None,
) -> list[Path]:
    """Write images as npz shards.

    Args:
        source: Anything `load_images` reads.
        target: Folder for the shards; made if missing. It may hold an earlier conversion of the
            same name and size, which is replaced, but no other npz files.
        name: First part of the file names; by default that of the source.
        split: Only this part; by default all, each in its own shards.
        shape: (C, H, W); image files are cropped and resized to it.
        limit: Bytes in a shard at most.
        progress: Called after each shard.

    Returns:
        The shards written, in order.

    Raises:
        DataError: If the source cannot be read, or the target holds other archives.
        RunError: If the target cannot be written.
    """
    folder = Path(target).expanduser()
    stem = name or Path(source).expanduser().resolve().name.split(".")[0]
    parts: tuple[Split | None, ...] = (split,) if split else splits_of(source)
    sets = {part: load_images(source, part, shape) for part in parts}
    plan = [
        (path, sets[part], start, stop)
        for part in parts
        for path, start, stop in _shards(
            sets[part], folder, f"{stem}-{part}" if part else stem, limit
        )
    ]
    _refuse_others(folder, {path for path, *_ in plan})
    for path, images, start, stop in plan:
        _write(path, images, start, stop)
        if progress:
            progress(path.name, stop, len(images))
    return [path for path, *_ in plan]


def _refuse_others(folder: Path, ours: set[Path]) -> None:
    others = set(folder.glob("*.npz")) - ours if folder.is_dir() else set()
    if others:
        raise DataError(
            f"the folder holds other archives ({', '.join(sorted(p.name for p in others)[:3])}), "
            "which would be read together with the new ones",
            where=str(folder),
            hint="choose an empty folder",
        )


def _shards(images: Images, folder: Path, label: str, limit: int) -> list[tuple[Path, int, int]]:
    """(path, first, last + 1) of shards of equal size, small enough even if nothing compresses."""
    room = limit - 4096  # headers of the archive and names of classes
    each = images.pixels[0].numel() + 8
    if room < each:
        raise DataError(f"an image of {each} bytes does not fit a shard of {limit}")
    count = -(-len(images) // (room * 99 // 100 // each))
    bounds = np.linspace(0, len(images), count + 1).round().astype(int).tolist()
    return [
        (folder / f"{label}-{i:05d}-of-{count:05d}.npz", bounds[i], bounds[i + 1])
        for i in range(count)
    ]


def _write(path: Path, images: Images, start: int, stop: int) -> None:
    arrays = {"images": images.pixels[start:stop].numpy()}
    if images.labels is not None:
        arrays["labels"] = images.labels[start:stop].numpy()
    if images.classes:
        arrays["classes"] = np.array(images.classes)
    with atomic(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
