"""What every form of storage is read into, and the checks common to all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError

Shape = tuple[int, int, int]
Bytes = NDArray[np.uint8]

IMAGE_NAMES = ("images", "image", "img", "x", "data", "pixels", "samples", "arr_0")
LABEL_NAMES = ("labels", "label", "y", "targets", "target", "fine_labels", "fine_label", "arr_1")
"""How arrays and columns are commonly called; the first that is there counts."""


@final
@dataclass(frozen=True, eq=False)
class Part:
    """What one source held: uint8 [n, C, H, W], int64 [n] or None, and names of the labels."""

    pixels: Bytes
    labels: NDArray[np.int64] | None
    classes: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Source:
    """Something that can be read as images.

    Attributes:
        split: ``train``, ``test``, or None if its name does not say.
        where: Its path, for messages.
        read: Reads it.
    """

    split: str | None
    where: str
    read: Callable[[], Part]


def split_of(name: str) -> str | None:
    """``train`` or ``test`` if a file or folder name says so (``t10k`` and ``val`` are test)."""
    if name.startswith("data_batch"):  # CIFAR-10's name for training data
        return "train"
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(word in {"test", "testing", "t10k", "val", "valid", "validation"} for word in words):
        return "test"
    return "train" if any(word in {"train", "training"} for word in words) else None


def named(keys: Mapping[str, str], names: tuple[str, ...], split: str | None = None) -> str | None:
    """What an array is called: the first of ``names`` among the keys of ``keys``.

    Args:
        keys: Names as they are, by their lower-case form.
        names: Candidates.
        split: If given, the candidates carry it as a prefix or suffix (``x_train``).
    """
    spelt = names if split is None else [s for n in names for s in (f"{split}_{n}", f"{n}_{split}")]
    return next((keys[name] for name in spelt if name in keys), None)


def planes(images: NDArray[Any], where: str) -> Bytes:
    """Bytes [n, C, H, W] of an array [n, H, W], [n, H, W, C] or [n, C, H, W], C 1 or 3.

    Floats in [0, 1] are rounded to bytes; other numbers must be whole and in 0 .. 255.
    """
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"an array {list(images.shape)} is not a set of grey or colour images",
            where=where,
            hint="shapes may be [n, H, W], [n, H, W, C] or [n, C, H, W] with C = 1 or 3",
        )
    if images.dtype == np.uint8 or not images.size:
        return np.ascontiguousarray(images, np.uint8)
    if images.dtype.kind not in "biuf":
        raise DataError(f"images of type {images.dtype} are not numbers", where=where)
    low, high = float(images.min()), float(images.max())
    unit = images.dtype.kind == "f" and high <= 1
    if not (low >= 0 and high <= 255 and (unit or bool(np.all(images == np.rint(images))))):
        raise DataError(
            f"pixel values from {low:g} to {high:g} are neither bytes nor in [0, 1]",
            where=where,
            hint="scale the images to [0, 1], or save them as uint8",
        )
    return np.ascontiguousarray(np.rint(images * 255 if unit else images).astype(np.uint8))


def make_part(pixels: Bytes, labels: NDArray[Any] | None, where: str) -> Part:
    """A `Part` after checking that there is one label, a whole number from 0 up, for each image."""
    if labels is None:
        return Part(pixels, None)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != pixels.shape[:1]:
        raise DataError(
            f"{len(pixels)} images but labels {list(labels.shape)}",
            where=where,
            hint="give one whole number an image",
        )
    if labels.dtype.kind not in "iu" or (labels.size and labels.min() < 0):
        raise DataError("labels must be whole numbers from 0 up", where=where)
    return Part(pixels, labels.astype(np.int64))
