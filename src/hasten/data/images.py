"""Images: one call that reads pictures and labels from whatever form they are stored in.

    form                      what is looked for in the folder (or given as the file)
    idx                       ``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte.gz`` ...
    CIFAR-10 binary           ``data_batch_1.bin`` ... ``test_batch.bin``
    strips                    ``data_batch_1.png``: each row of pixels is one square image
    npz                       ``*.npz`` with images and labels, hasten's own shards among them
    parquet                   ``*.parquet`` with a column of encoded images (extra ``parquet``)
    image files               pictures, in subfolders if these are the classes

A folder that holds ``train`` and ``test`` (or ``val``) subfolders is read through them. Nothing is
resized unless a shape is asked for, and nothing is unpickled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from hasten.data.arrays import check_shards, find_cifar, find_idx, find_npz
from hasten.data.parts import Shape, Source, split_of
from hasten.data.pictures import find_classes, find_parquet, find_pictures, find_strips
from hasten.errors import DataError

Split = Literal["train", "test"]


@final
@dataclass(frozen=True, eq=False)
class Images:
    """Pictures in memory.

    Attributes:
        pixels: uint8 [n, C, H, W].
        labels: int64 [n], or None.
        name: Where they came from, for people.
        split: ``train``, ``test``, or None if both or unknown.
        classes: Names of the labels, where the form states them.
    """

    pixels: Tensor
    labels: Tensor | None
    name: str
    split: str | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise DataError(
                f"pixels must be uint8 [n, C, H, W], got {self.pixels.dtype} "
                f"{tuple(self.pixels.shape)}",
                where=self.name,
            )
        if self.labels is not None and self.labels.shape != self.pixels.shape[:1]:
            raise DataError(
                f"{len(self.pixels)} images but {self.labels.numel()} labels", where=self.name
            )

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def unit(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Images ``start`` to ``stop`` as float32 in [0, 1]."""
        return self.pixels[start:stop].float().div_(255)

    def take(self, index: Tensor) -> Images:
        """Those at ``index`` [m] (int64, or bool [n])."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, pixels=self.pixels[index], labels=labels)


def load_images(
    path: str | Path,
    split: Split | None = None,
    shape: Shape | None = None,
) -> Images:
    """Read a set of images.

    Args:
        path: A folder or a file in one of the forms listed above.
        split: Which part; None for all that is there. Data that do not name their parts are
            taken as training data, so asking them for ``test`` is an error.
        shape: (C, H, W) the images must have. Image files and parquet columns are cropped to the
            middle square (if a square is asked), resized and converted to it; arrays that differ
            are refused.

    Returns:
        The images in the order of the files' names.

    Raises:
        DataError: If nothing readable is there, a file is damaged, sizes are mixed, or the part
            asked for does not exist.
        MissingExtra: If parquet is read without pyarrow.
    """
    if split not in (None, "train", "test"):
        raise DataError(
            f"unknown split {split!r}", where=str(path), hint="ask for 'train', 'test' or neither"
        )
    folder = Path(path).expanduser()
    if not folder.exists():
        raise DataError(
            "there is no such file or folder",
            where=str(folder),
            hint="hasten data fetch fashion-mnist (or cifar10, mnist) downloads known sets",
        )
    try:
        found = _sources(folder, shape)
        chosen = [s for s in found if split is None or (s.split or "train") == split]
        if not chosen:
            raise DataError(
                f"there is no {split} part" if found else "no images were found",
                where=str(folder),
                hint=_forms_hint(found),
            )
        return _join(chosen, folder, shape)
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror or error})", where=str(error.filename or folder)
        ) from error


def splits_of(path: str | Path) -> tuple[Split | None, ...]:
    """The parts that can be asked for: of ``train`` and ``test`` those named, or only None.

    Raises:
        DataError: If no images are there.
    """
    folder = Path(path).expanduser()
    found = _sources(folder, None) if folder.exists() else []
    if not found:
        raise DataError("no images were found", where=str(folder), hint=_forms_hint(found))
    named = {source.split for source in found}
    if named == {None}:
        return (None,)
    parts: tuple[Split, ...] = ("train", "test")
    return tuple(part for part in parts if part in {name or "train" for name in named})


def _sources(path: Path, shape: Shape | None) -> list[Source]:
    """All sources in a folder, or the one that a file is; empty if nothing is recognised."""
    if path.is_file():
        return _in_files([path], shape)
    children = sorted(p for p in path.iterdir() if not p.name.startswith("."))
    parts = [(split_of(p.name), p) for p in children if p.is_dir() and split_of(p.name)]
    if parts:
        return [replace(s, split=name) for name, p in parts for s in _sources(p, shape)]
    files = [p for p in children if p.is_file()]
    check_shards(files)
    return _in_files(files, shape) or find_classes(path, shape)


def _in_files(files: list[Path], shape: Shape | None) -> list[Source]:
    """Sources among files of one folder; the first form that matches is the form of the folder."""
    return (
        find_idx(files)
        or find_cifar(files)
        or find_npz(files)
        or find_parquet(files, shape)
        or find_strips(files, shape)
        or find_pictures(files, shape)
    )


def _join(sources: list[Source], folder: Path, shape: Shape | None) -> Images:
    parts = [source.read() for source in sources]
    sizes = {
        part.pixels.shape[1:]: source.where for part, source in zip(parts, sources, strict=True)
    }
    if len(sizes) > 1:
        raise DataError(
            "images of different sizes: "
            + ", ".join("x".join(map(str, size)) for size in sorted(sizes)),
            where=", ".join(sorted(set(sizes.values()))),
            hint="give the shape (C, H, W) wanted, or keep them in separate folders",
        )
    got = next(iter(sizes))
    if shape is not None and got != shape:
        raise DataError(
            f"images are {'x'.join(map(str, got))}, wanted {'x'.join(map(str, shape))}",
            where=str(folder),
        )
    labelled = [part.labels is not None for part in parts]
    if any(labelled) and not all(labelled):
        missing = next(s.where for s, has in zip(sources, labelled, strict=True) if not has)
        raise DataError(
            "labels are missing for some of the images",
            where=missing,
            hint="add the missing labels, or read the labelled part alone",
        )
    classes = {part.classes for part in parts}
    if len(classes) > 1:
        raise DataError(
            "the parts do not have the same classes",
            where=str(folder),
            hint="every part must have the same class folders; empty ones do not count",
        )
    pixels = np.concatenate([part.pixels for part in parts])
    if not len(pixels):
        raise DataError("no images were found", where=str(folder), hint=_forms_hint([]))
    splits = {source.split for source in sources}
    return Images(
        pixels=torch.from_numpy(pixels),
        labels=torch.from_numpy(np.concatenate([p.labels for p in parts if p.labels is not None]))
        if all(labelled)
        else None,
        name=folder.resolve().name,
        split=splits.pop() if len(splits) == 1 else None,
        classes=classes.pop(),
    )


def _forms_hint(found: list[Source]) -> str:
    if found:
        parts = sorted({source.split or "train" for source in found})
        return f"only {' and '.join(parts)} is there; name files or subfolders train or test"
    return "readable are idx, CIFAR-10 .bin, .npz, .parquet, and folders of .png, .jpg or .webp"
