"""The forms images are stored in: each is found by its files and read into arrays.

`find_sources` only looks at names (and at the shape of a PNG); reading is done by the `Source`, so
that asking for the test part does not decode the training part.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError, MissingExtra

Shape = tuple[int, int, int]
Bytes = NDArray[np.uint8]

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"})
_IMAGE_KEYS = ("images", "image", "x", "data", "pixels", "samples", "arr_0")
_LABEL_KEYS = ("labels", "label", "y", "targets", "target", "fine_labels", "fine_label", "arr_1")


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
    words = re.split(r"[^a-z0-9]+", name.lower())
    if any(word in {"test", "testing", "t10k", "val", "valid", "validation"} for word in words):
        return "test"
    return "train" if any(word in {"train", "training"} for word in words) else None


def find_sources(path: Path, shape: Shape | None) -> list[Source]:
    """All sources in a folder, or the one that a file is; empty if none is recognised."""
    if path.is_file():
        return _in_files([path], shape)
    children = sorted(path.iterdir())
    parts = [(split_of(p.name), p) for p in children if p.is_dir() and split_of(p.name)]
    if parts:
        return [replace(s, split=name) for name, p in parts for s in find_sources(p, shape)]
    return _in_files([p for p in children if p.is_file()], shape) or _picture_classes(path, shape)


def _in_files(files: list[Path], shape: Shape | None) -> list[Source]:
    """Sources among files of one folder; the first form that matches is the form of the folder."""
    for form in (_idx, _cifar, _npz, _parquet, _strips, _pictures):
        if sources := form(files, shape):
            return sources
    return []


# ---------------------------------------------------------------------------------------- idx


def _idx(files: list[Path], shape: Shape | None) -> list[Source]:
    stems: dict[str, Path] = {}
    for file in files:  # a file and its .gz are the same data
        if re.search(r"idx[13]|\.idx(\.gz)?$", file.name):
            stems.setdefault(file.name.removesuffix(".gz"), file)
    images = [file for stem, file in stems.items() if "idx3" in stem or "images" in stem]
    labels = {split_of(s): f for s, f in stems.items() if "idx1" in s or "labels" in s}
    return [
        Source(
            split_of(file.name),
            str(file),
            functools.partial(_read_idx_pair, file, labels.get(split_of(file.name))),
        )
        for file in images
    ]


def _read_idx_pair(images: Path, labels: Path | None) -> Part:
    pixels = read_idx(images, axes=3)[:, None]
    return _part(pixels, None if labels is None else read_idx(labels, axes=1), str(images))


def read_idx(file: Path, axes: int) -> Bytes:
    """Array of an idx file (http://yann.lecun.com/exdb/mnist/: magic 0 0 8 axes, sizes, bytes).

    Raises:
        DataError: If the magic number, the number of axes or the length is wrong.
    """
    data = _bytes_of(file)
    if len(data) < 4 or data[:3] != b"\0\0\x08" or data[3] != axes:
        raise DataError(
            f"not an idx file of bytes with {axes} axes: it begins with {data[:4].hex() or 'nothing'}",
            where=str(file),
            hint=f"expected 0000080{axes}; fetch the file again",
        )
    sizes = tuple(np.frombuffer(data[4:], ">u4", min(axes, (len(data) - 4) // 4)).tolist())
    wanted = 4 + 4 * axes + math.prod(sizes)
    if len(sizes) < axes or len(data) != wanted:
        raise DataError(
            f"the idx file holds {len(data)} bytes, its header promises "
            f"{wanted if len(sizes) == axes else 'more'}",
            where=str(file),
            hint="the file is truncated or damaged; fetch it again",
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(sizes)


def _bytes_of(file: Path) -> bytes:
    if file.suffix != ".gz":
        return file.read_bytes()
    try:
        with gzip.open(file) as stream:
            return stream.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"the gzip stream is damaged ({error})",
            where=str(file),
            hint="the file is truncated or damaged; fetch it again",
        ) from error


# ------------------------------------------------------------------------------------ CIFAR-10


def _cifar(files: list[Path], shape: Shape | None) -> list[Source]:
    names = [f for f in files if re.fullmatch(r"(data_batch_\d+|test_batch)\.bin", f.name)]
    return [Source(_batch_split(f), str(f), functools.partial(_read_cifar, f)) for f in names]


def _batch_split(file: Path) -> str | None:
    return "train" if file.name.startswith("data_batch") else split_of(file.stem)


def _read_cifar(file: Path) -> Part:
    record = 1 + 3 * 32 * 32  # label, then red, green and blue planes
    data = np.fromfile(file, np.uint8)
    if not data.size or data.size % record:
        raise DataError(
            f"{data.size} bytes are not a whole number of CIFAR-10 records of {record}",
            where=str(file),
            hint="the file is truncated, or CIFAR-100; fetch the binary version of CIFAR-10 again",
        )
    rows = data.reshape(-1, record)
    return _part(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0], str(file))


# -------------------------------------------------------------------------------------- strips


def _strips(files: list[Path], shape: Shape | None) -> list[Source]:
    names = [f for f in files if f.suffix == ".png" and re.search(r"batch|strip", f.stem)]
    names = [f for f in names if _strip_shape(f, shape)]
    tables = [f for f in files if f.suffix == ".json"]
    batches: dict[str | None, list[Path]] = {}
    for file in names:
        batches.setdefault(_batch_split(file), []).append(file)
    return [
        Source(
            split,
            str(group[0].parent),
            functools.partial(
                _read_strips, group, next((t for t in tables if split_of(t.stem) == split), None), shape
            ),
        )
        for split, group in batches.items()
    ]


def _strip_shape(file: Path, shape: Shape | None) -> Shape | None:
    """(C, H, W) if each row of pixels of this picture can be an image, else None."""
    from PIL import Image

    with Image.open(file) as picture:
        channels, width = len(picture.getbands()), picture.width
    if shape is not None:
        return shape if shape[0] == channels and shape[1] * shape[2] == width else None
    side = math.isqrt(width)
    return (channels, side, side) if side * side == width and channels in (1, 3) else None


def _read_strips(files: list[Path], table: Path | None, shape: Shape | None) -> Part:
    blocks = []
    for file in files:
        size = _strip_shape(file, shape)
        if size is None:
            raise DataError("the rows of this strip are not square images", where=str(file))
        channels, height, width = size
        rows = _decode(file, file).reshape(-1, height, width, channels)
        blocks.append(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
    labels = None if table is None else np.asarray(_json_labels(table))
    return _part(np.concatenate(blocks), labels, str(files[0].parent))


def _json_labels(table: Path) -> list[int]:
    try:
        labels = json.loads(table.read_text())
    except ValueError as error:
        raise DataError(f"not JSON ({error})", where=str(table)) from error
    if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
        raise DataError(
            "labels must be a list of whole numbers", where=str(table), hint="[3, 0, 9, ...]"
        )
    return labels


# ----------------------------------------------------------------------------------------- npz


def _npz(files: list[Path], shape: Shape | None) -> list[Source]:
    archives = [f for f in files if f.suffix == ".npz"]
    _check_shards(archives)
    return [source for file in archives for source in _in_archive(file, shape)]


def _check_shards(files: list[Path]) -> None:
    """A set that states ``-of-00003`` must have all three, lest part of it be taken for the whole."""
    sets: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if found := re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})", file.stem):
            sets.setdefault((found[1], int(found[3])), set()).add(int(found[2]))
    for (name, count), have in sets.items():
        if len(files) > 1 and have != set(range(count)):
            lacking = sorted(set(range(count)) - have)
            raise DataError(
                f"shards {lacking} of {count} are missing",
                where=f"{files[0].parent}/{name}-*",
                hint="convert or copy the set again, or name a single shard",
            )


def _in_archive(file: Path, shape: Shape | None) -> list[Source]:
    with _open_npz(file) as archive:
        keys = {key.lower(): key for key in archive.files}
    sources = []
    for split in (None, "train", "test"):
        image = _key(keys, _IMAGE_KEYS, split)
        if image is not None:
            label = _key(keys, _LABEL_KEYS, split)
            read = functools.partial(_read_npz, file, image, label, shape)
            sources.append(Source(split or split_of(file.stem), f"{file}:{image}", read))
    if not sources:
        raise DataError(
            f"no array of images; it holds {', '.join(keys.values()) or 'nothing'}",
            where=str(file),
            hint="name the arrays images and labels (or x_train, y_train, x_test, y_test)",
        )
    return sources


def _key(keys: Mapping[str, str], names: tuple[str, ...], split: str | None) -> str | None:
    spelt = names if split is None else [s for n in names for s in (f"{split}_{n}", f"{n}_{split}")]
    return next((keys[name] for name in spelt if name in keys), None)


def _open_npz(file: Path) -> Any:
    try:
        return np.load(file, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            "not a readable npz archive", where=str(file), hint="the file is truncated or damaged"
        ) from error


def _read_npz(file: Path, image: str, label: str | None, shape: Shape | None) -> Part:
    with _open_npz(file) as archive:
        try:
            images, labels = archive[image], None if label is None else archive[label]
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                f"the array cannot be read ({error})",
                where=f"{file}:{image}",
                hint="the file is truncated, or holds pickled objects, which are never loaded",
            ) from error
    return _part(planes(images, f"{file}:{image}"), labels, str(file))


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
    if not (0 <= low and high <= 255 and (unit or bool(np.all(images == np.rint(images))))):
        raise DataError(
            f"pixel values from {low:g} to {high:g} are neither bytes nor in [0, 1]",
            where=where,
            hint="scale the images to [0, 1], or save them as uint8",
        )
    return np.ascontiguousarray(np.rint(images * 255 if unit else images).astype(np.uint8))


# ------------------------------------------------------------------------------------- parquet


def _parquet(files: list[Path], shape: Shape | None) -> list[Source]:
    names = [f for f in files if f.suffix == ".parquet"]
    return [
        Source(split_of(f.stem), str(f), functools.partial(_read_parquet, f, shape)) for f in names
    ]


def _read_parquet(file: Path, shape: Shape | None) -> Part:
    try:
        from pyarrow import ArrowInvalid, parquet
    except ImportError as error:
        raise MissingExtra("pyarrow", "parquet") from error
    try:
        table = parquet.read_table(file)
    except ArrowInvalid as error:
        raise DataError(f"not a readable parquet file ({error})", where=str(file)) from error
    keys = {name.lower(): name for name in table.column_names}
    image, label = _key(keys, ("img", *_IMAGE_KEYS), None), _key(keys, _LABEL_KEYS, None)
    if image is None:
        raise DataError(
            f"no column of images; it holds {', '.join(table.column_names)}",
            where=str(file),
            hint="name the column image, holding encoded pictures ({bytes} or binary)",
        )
    cells = (c["bytes"] if isinstance(c, dict) else c for c in table[image].to_pylist())
    blocks = [_fit(cell, f"{file}, row {row}", shape) for row, cell in enumerate(cells)]
    labels = None if label is None else table[label].to_numpy()
    return _part(_stack(blocks, str(file)), labels, str(file))


# ------------------------------------------------------------------------------------ pictures


def _pictures(files: list[Path], shape: Shape | None) -> list[Source]:
    names = [f for f in files if f.suffix.lower() in PICTURES]
    if not names:
        return []
    where = str(names[0].parent)
    return [Source(None, where, functools.partial(_read_pictures, {"": names}, where, shape))]


def _picture_classes(folder: Path, shape: Shape | None) -> list[Source]:
    classes = {
        child.name: [f for f in sorted(child.rglob("*")) if f.suffix.lower() in PICTURES]
        for child in sorted(folder.iterdir(), key=_class_order)
        if child.is_dir() and not child.name.startswith(".")
    }
    classes = {name: files for name, files in classes.items() if files}
    if not classes:
        return []
    where = str(folder)
    return [Source(None, where, functools.partial(_read_pictures, classes, where, shape))]


def _class_order(child: Path) -> tuple[int, str]:
    """Numbered classes by number, others by name after them."""
    return (int(child.name), "") if child.name.isdecimal() else (1 << 62, child.name)


def _read_pictures(classes: Mapping[str, list[Path]], where: str, shape: Shape | None) -> Part:
    files = [file for group in classes.values() for file in group]
    pixels = _stack([_fit(file, str(file), shape) for file in files], where)
    if "" in classes:
        return _part(pixels, None, where)
    counts = [len(group) for group in classes.values()]
    return replace(
        _part(pixels, np.repeat(np.arange(len(counts)), counts), where), classes=tuple(classes)
    )


def _fit(content: Path | bytes | Any, where: str, shape: Shape | None) -> Bytes:
    """One picture as [C, H, W]; cropped to the middle and resized if a shape is asked for."""
    from PIL import Image

    if not isinstance(content, (Path, bytes)):
        raise DataError(f"not an encoded picture but {type(content).__name__}", where=where)
    pixels = _decode(content, where, None if shape is None else shape[0])
    if shape is not None and pixels.shape[:2] != shape[1:]:
        picture = Image.fromarray(pixels)
        scale = min(picture.width / shape[2], picture.height / shape[1])
        wide, high = scale * shape[2], scale * shape[1]
        left, top = (picture.width - wide) / 2, (picture.height - high) / 2
        box = (left, top, left + wide, top + high)
        pixels = np.asarray(
            picture.resize((shape[2], shape[1]), Image.Resampling.LANCZOS, box=box, reducing_gap=None)
        )
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _decode(content: Path | bytes, where: Path | str, channels: int | None = None) -> Bytes:
    """Pixels [H, W] or [H, W, 3]; palettes, alpha and 16 bits become plain grey or colour."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            grey = picture.mode in ("1", "L", "LA", "I;16") if channels is None else channels == 1
            if picture.mode.startswith("I;16"):
                return np.asarray(np.asarray(picture) >> 8, np.uint8)
            return np.asarray(picture.convert("L" if grey else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"not a readable picture ({error})", where=str(where), hint="remove or replace it"
        ) from error


def _stack(blocks: list[Bytes], where: str) -> Bytes:
    sizes = {block.shape for block in blocks}
    if len(sizes) != 1:
        listed = sorted("x".join(map(str, size)) for size in sizes)
        raise DataError(
            f"images of different sizes: {', '.join(listed[:4])}" if sizes else "no images",
            where=where,
            hint="give the shape (C, H, W) wanted; images are then cropped and resized to it",
        )
    return np.stack(blocks)


def _part(pixels: Bytes, labels: NDArray[Any] | None, where: str) -> Part:
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
