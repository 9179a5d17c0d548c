"""Stores: files of named arrays, of which single rows are read without reading all.

HDF5 files (extra ``showers``) and npz archives look alike through this. In an npz archive, rows
are decompressed one after another up to those asked for, so the first ones cost little.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from hasten.errors import DataError

HDF5_ENDINGS = (".h5", ".hdf5", ".hdf")
ENDINGS = (*HDF5_ENDINGS, ".npz")


class Store(Protocol):
    """Named arrays of numbers in an open file."""

    @property
    def where(self) -> str:
        """The file, for messages."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shape of every array of numbers."""

    @property
    def others(self) -> tuple[str, ...]:
        """Names of what else is there."""

    @property
    def notes(self) -> Mapping[str, str]:
        """Texts stored beside the arrays."""

    def stride(self, name: str) -> int:
        """Rows of an array that are compressed together."""

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """Rows ``start`` to ``stop`` of an array, in the type they are stored in.

        Raises:
            DataError: If they are damaged.
        """


@contextmanager
def open_store(file: Path) -> Iterator[Store]:
    """Open a file of arrays for reading; an npz archive by its name's ending, else HDF5.

    Raises:
        DataError: If it is missing, damaged or of another kind.
        MissingExtra: If it needs h5py and that is not installed.
    """
    if not file.exists():
        raise DataError("there is no such file or folder", where=str(file))
    if file.suffix.lower() == ".npz":
        with ExitStack() as stack:
            yield NpzStore(file, stack)
        return
    from hasten.data.showers.hdf5 import open_hdf5

    with open_hdf5(file) as store:
        yield store


@final
class NpzStore:
    """Arrays in an npz archive.

    Args:
        file: The archive.
        stack: What closes it.
    """

    def __init__(self, file: Path, stack: ExitStack) -> None:
        self.where = str(file)
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.notes: dict[str, str] = {}
        self._stack, self._open = stack, dict[str, _Member]()
        others = []
        with self._damage("not a readable npz archive"):
            self._archive = stack.enter_context(zipfile.ZipFile(file))
            for entry in self._archive.namelist():
                name = entry.removesuffix(".npy")
                member = _Member(stack.enter_context(self._archive.open(entry)))
                if member.dtype.kind in "iuf" and member.shape:
                    self.shapes[name], self._open[name] = member.shape, member
                elif member.dtype.kind == "U" and not member.shape:
                    self.notes[name] = str(member.rows(0, 1)[0])
                else:
                    others.append(name)
        self.others = tuple(others)

    def stride(self, name: str) -> int:
        del name
        return 1

    def read(self, name: str, start: int, stop: int) -> NDArray[Any]:
        with self._damage(f"the array '{name}' cannot be read"):
            return self._open[name].rows(start, stop)

    @contextmanager
    def _damage(self, what: str) -> Iterator[None]:
        try:
            yield
        except (
            ValueError,
            EOFError,
            OSError,
            RuntimeError,  # an encrypted archive, an unknown compression
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(
                f"{what} ({error})",
                where=self.where,
                hint="the file is truncated or damaged; copy or make it again",
            ) from error


class _Member:
    """One array of an archive; https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html."""

    def __init__(self, stream: IO[bytes]) -> None:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            header = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            header = np.lib.format.read_array_header_2_0(stream)
        else:
            raise ValueError(f"npy format {version[0]}.{version[1]}")
        self.shape, self._fortran, self.dtype = header
        self._stream, self._start = stream, stream.tell()

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        if self._fortran and len(self.shape) > 1:  # its rows lie scattered over all of it
            whole = self._values(0, math.prod(self.shape))
            return whole.reshape(self.shape, order="F")[start:stop]
        inner = math.prod(self.shape[1:])
        return self._values(start * inner, stop * inner).reshape(-1, *self.shape[1:])

    def _values(self, start: int, stop: int) -> NDArray[Any]:
        size = self.dtype.itemsize
        self._stream.seek(self._start + start * size)
        data = self._stream.read((stop - start) * size)
        if len(data) != (stop - start) * size:
            raise EOFError(f"{len(data)} bytes where {(stop - start) * size} should be")
        return np.frombuffer(data, self.dtype)
