"""Writing files so that a reader never sees half of one.

The content goes to a temporary file in the same folder, is flushed to the disk, and takes its final
name in one step (`os.replace`). Whatever happens before that step, an older file stays as it was.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from hasten.errors import RunError

_HINTS = {
    errno.ENOSPC: "free some space, or choose a folder on another disk",
    errno.EDQUOT: "free some space, or choose a folder on another disk",
    errno.EACCES: "choose a folder you may write to",
    errno.EPERM: "choose a folder you may write to",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENOTDIR: "part of this path is a file; choose another folder",
    errno.EISDIR: "this is a folder; give the name of a file",
}


def refusal(error: OSError, path: str | os.PathLike[str]) -> RunError:
    """An operating-system error on writing, in words.

    Args:
        error: What the system said.
        path: What was being written.

    Returns:
        The error to raise in its place.
    """
    reason = error.strerror or str(error) or type(error).__name__
    return RunError(
        f"cannot write: {reason[:1].lower()}{reason[1:]}",
        where=os.fspath(path),
        hint=_HINTS.get(error.errno or 0, "check the path and its permissions"),
    )


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A binary file to write to, which becomes ``path`` only if the block ends well.

    Args:
        path: The final name; its folder is made if missing.

    Raises:
        RunError: If the folder cannot be made or written to, or the disk is full.
    """
    final = Path(path)
    temporary = ""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        handle, temporary = tempfile.mkstemp(dir=final.parent, prefix=f".{final.name}.")
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _permit(temporary, final)
        os.replace(temporary, final)  # noqa: PTH105 (the one call this file exists for)
    except BaseException as error:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()
        if isinstance(error, OSError):
            raise refusal(error, final) from error
        raise


def atomic_write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` whole or not at all.

    Raises:
        RunError: If that is not possible; an older file is left as it was.
    """
    with atomic(path) as file:
        file.write(data)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` whole or not at all.

    Raises:
        RunError: If that is not possible; an older file is left as it was.
    """
    atomic_write_bytes(path, text.encode())


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out now, not after an hour's work, whether ``path`` can be written.

    The folder is made if missing; nothing else is left behind.

    Raises:
        RunError: If not.
    """
    final = Path(path)
    try:
        if final.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=final.parent):
            pass
    except OSError as error:
        raise refusal(error, final) from error


def _permit(temporary: str, final: Path) -> None:
    """Give the new file the mode of the one it replaces, or what the user's umask grants."""
    if final.exists():
        mode = final.stat().st_mode & 0o777
    else:
        umask = os.umask(0)
        os.umask(umask)
        mode = 0o666 & ~umask
    Path(temporary).chmod(mode)
