"""HDF5: opening files with words for what is wrong with them, and writing them whole or not at all.

h5py is imported here and nowhere else, and only when a file is opened (extra ``showers``).
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError, MissingExtra
from hasten.files import atomic

_CHUNK = 1 << 20
_LEVEL = 4


@contextmanager
def open_hdf5(file: Path) -> Iterator[Hdf5Store]:
    """Open a file for reading.

    Raises:
        DataError: If it is no HDF5 file, truncated, or may not be read.
        MissingExtra: If h5py is not installed.
    """
    h5py = require_hdf5()
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise _refusal(file, error) from error
    with opened:
        yield Hdf5Store(opened, str(file))


@final
class Hdf5Store:
    """Arrays at the top of an open HDF5 file.

    Args:
        opened: The ``h5py.File``.
        where: Its path.
    """

    def __init__(self, opened: Any, where: str) -> None:
        h5py = require_hdf5()
        self.where, self._file = where, opened
        self.shapes: dict[str, tuple[int, ...]] = {}
        others = []
        with self._damage("its list of arrays cannot be read"):
            for name, item in opened.items():
                if isinstance(item, h5py.Dataset) and item.shape and item.dtype.kind in "iuf":
                    self.shapes[name] = tuple(item.shape)
                else:
                    others.append(f"{name}/" if isinstance(item, h5py.Group) else name)
            texts = {name: _text(value) for name, value in opened.attrs.items()}
        self.notes = {name: text for name, text in texts.items() if text is not None}
        self.others = tuple(others)

    def stride(self, name: str) -> int:
        chunks = self._file[name].chunks
        return int(chunks[0]) if chunks else 1

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        with self._damage(f"rows {start} to {stop - 1} of '{name}' cannot be read"):
            return np.asarray(self._file[name][start:stop])

    @contextmanager
    def _damage(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            unknown = "not registered" in str(error) or "plugin" in str(error)
            raise DataError(
                f"{what} ({error})",
                where=self.where,
                hint="it is compressed in a way that h5py cannot undo here; h5repack -f GZIP=4 can"
                if unknown
                else "the file is truncated or damaged; copy or make it again",
            ) from error


def write_hdf5(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    blocks: Iterable[Mapping[str, NDArray[Any]]],
    notes: Mapping[str, str | float],
) -> None:
    """Write arrays of float32 that arrive some rows at a time.

    Args:
        path: The file, replaced whole at the end, or left as it was if anything fails.
        shapes: Shape of every array; all have the same number of rows.
        blocks: Rows of all arrays, one block after another, each array once in each.
        notes: Attributes of the file.

    Raises:
        MissingExtra: If h5py is not installed.
        RunError: If the disk is full or the file cannot be written.
    """
    h5py = require_hdf5()
    with (
        atomic(path) as file,
        open(file.fileno(), "r+b", buffering=0, closefd=False) as raw,
    ):
        disk = _Disk(raw)
        with h5py.File(disk, "w") as opened:
            opened.attrs.update(notes)
            for name, shape in shapes.items():
                opened.create_dataset(
                    name, shape, "f4", chunks=_chunks(shape), compression="gzip",
                    compression_opts=_LEVEL,
                )  # fmt: skip
            start = 0
            for block in blocks:
                for name, rows in block.items():
                    opened[name][start : start + len(rows)] = rows
                start += max(map(len, block.values()))
                if disk.error:
                    break
        if disk.error:
            raise disk.error


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole rows, as many as fit a megabyte, which is what HDF5 keeps of an array by default."""
    inner = 4 * int(np.prod(shape[1:]))
    return max(1, min(shape[0], _CHUNK // inner)), *shape[1:]


@final
class _Disk(io.RawIOBase):
    """A file that swallows a failure to write and keeps it for the caller.

    HDF5 does not survive such a failure: it goes on trying when its objects are taken apart, and
    brings the interpreter down with it.
    """

    def __init__(self, raw: io.FileIO) -> None:
        super().__init__()
        self._raw = raw
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Any, /) -> int | None:
        return self._raw.readinto(buffer)

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        try:
            while left and self.error is None:
                left = left[self._raw.write(left) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        try:
            if self.error is None:
                return self._raw.truncate(size)
        except OSError as error:
            self.error = error
        return size or 0


def require_hdf5() -> Any:
    """The h5py module.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtra("h5py", "showers") from error
    return h5py


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str) else None


def _refusal(file: Path, error: OSError) -> DataError:
    said = str(error)
    if isinstance(error, PermissionError):
        return DataError("it may not be read", where=str(file), hint="check its permissions")
    if isinstance(error, BlockingIOError) or "unable to lock" in said:
        return DataError(
            f"it is locked ({said})", where=str(file), hint="wait until whoever writes it is done"
        )
    if "signature" in said:
        return DataError(
            "not an HDF5 file" if file.stat().st_size else "the file is empty",
            where=str(file),
            hint=f"showers are read from {', '.join(('.h5', '.hdf5', '.hdf', '.npz'))}",
        )
    return DataError(
        f"not a readable HDF5 file ({said})",
        where=str(file),
        hint="the file is truncated or damaged; copy or fetch it again",
    )
