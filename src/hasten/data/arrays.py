"""Images stored as arrays: idx files, CIFAR-10 batches and npz archives.

Each ``find_*`` only looks at names; reading is done by the `Source`, so that asking for the test
part does not decode the training part.
"""

from __future__ import annotations

import functools
import gzip
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile

from hasten.data.parts import (
    IMAGE_NAMES,
    LABEL_NAMES,
    Bytes,
    Part,
    Source,
    make_part,
    named,
    planes,
    split_of,
)
from hasten.errors import DataError


def find_idx(files: list[Path]) -> list[Source]:
    """Idx files of images, with the labels beside them; a file and its .gz count once."""
    named_once: dict[str, Path] = {}
    for file in files:
        if re.search(r"images.*(idx|ubyte)|idx3", file.name):
            named_once.setdefault(file.name.removesuffix(".gz"), file)
    return [
        Source(split_of(name), str(file), functools.partial(_read_idx_pair, file))
        for name, file in named_once.items()
    ]


def _read_idx_pair(file: Path) -> Part:
    stem = file.name.removesuffix(".gz").replace("images", "labels").replace("idx3", "idx1")
    beside = [file.with_name(stem), file.with_name(f"{stem}.gz")]
    labels = next((read_idx(other, axes=1) for other in beside if other.exists()), None)
    return make_part(read_idx(file, axes=3)[:, None], labels, str(file))


def read_idx(file: Path, axes: int) -> Bytes:
    """Array of an idx file (http://yann.lecun.com/exdb/mnist/: magic 0 0 8 axes, sizes, bytes).

    Raises:
        DataError: If the magic number, the number of axes or the length is wrong.
    """
    data = _bytes_of(file)
    if len(data) < 4 or data[:3] != b"\0\0\x08" or data[3] != axes:
        raise DataError(
            f"not an idx file of {axes} axes: it begins with {data[:4].hex() or 'nothing'}",
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


def find_cifar(files: list[Path]) -> list[Source]:
    """Batches of CIFAR-10's binary version."""
    names = [f for f in files if re.fullmatch(r"(data_batch_\d+|test_batch)\.bin", f.name)]
    return [Source(split_of(f.stem), str(f), functools.partial(_read_cifar, f)) for f in names]


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
    return make_part(rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0], str(file))


def find_npz(files: list[Path]) -> list[Source]:
    """Arrays of images in npz archives, ``x_train`` and ``x_test`` in one archive included."""
    return [source for file in files if file.suffix == ".npz" for source in _in_archive(file)]


def check_shards(files: list[Path]) -> None:
    """A set that states ``-of-00003`` must have all three, lest part of it be taken for the whole.

    Raises:
        DataError: If one is missing.
    """
    sets: dict[tuple[str, int], set[int]] = {}
    for file in files:
        if found := re.fullmatch(r"(.*)-(\d{5})-of-(\d{5})\.npz", file.name):
            sets.setdefault((found[1], int(found[3])), set()).add(int(found[2]))
    for (name, count), have in sets.items():
        if lacking := sorted(set(range(count)) - have):
            raise DataError(
                f"shards {lacking} of {count} are missing",
                where=f"{files[0].parent}/{name}-*",
                hint="convert or copy the set again, or name a single shard",
            )


def _in_archive(file: Path) -> list[Source]:
    with _open_npz(file) as archive:
        keys = {key.lower(): key for key in archive.files}
    sources = []
    for split in (None, "train", "test"):
        image = named(keys, IMAGE_NAMES, split)
        if image is not None:
            label = named(keys, LABEL_NAMES, split)
            read = functools.partial(_read_npz, file, image, label)
            sources.append(Source(split or split_of(file.stem), f"{file}:{image}", read))
    if not sources:
        raise DataError(
            f"no array of images; it holds {', '.join(keys.values()) or 'nothing'}",
            where=str(file),
            hint="name the arrays images and labels (or x_train, y_train, x_test, y_test)",
        )
    return sources


@contextmanager
def _open_npz(file: Path) -> Iterator[NpzFile]:
    with file.open("rb") as stream:  # given the path, np.load would leave a damaged file open
        try:
            archive = np.load(stream, allow_pickle=False)
        except (ValueError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                f"not a readable npz archive ({error})",
                where=str(file),
                hint="the file is truncated or damaged",
            ) from error
        if not isinstance(archive, NpzFile):
            raise DataError("an npy file under the name of an npz archive", where=str(file))
        with archive:
            yield archive


def _read_npz(file: Path, image: str, label: str | None) -> Part:
    with _open_npz(file) as archive:
        try:
            images = archive[image]
            labels = None if label is None else archive[label]
            classes = tuple(map(str, archive["classes"])) if "classes" in archive.files else ()
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                f"the array cannot be read ({error})",
                where=f"{file}:{image}",
                hint="the file is truncated, or holds pickled objects, which are never loaded",
            ) from error
    part = make_part(planes(images, f"{file}:{image}"), labels, str(file))
    return replace(part, classes=classes)
