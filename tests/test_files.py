from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from hasten import files
from hasten.errors import RunError


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_writes_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "text"
    files.atomic_write_text(path, "gr\u00fcn\n")
    assert path.read_bytes() == "gr\u00fcn\n".encode()
    assert names(path.parent) == ["text"]


def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with files.atomic(path) as file:
            file.write(b"half of the n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_said_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left") as caught:
        files.atomic_write_text(path, "new")
    assert caught.value.where == str(path)
    assert "space" in caught.value.hint
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("write", [lambda p: files.atomic_write_text(p, "x"), files.check_writable])
def test_impossible_places(tmp_path: Path, write: object) -> None:
    assert callable(write)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write(tmp_path / "file" / "below")
    with pytest.raises(RunError, match="directory"):
        write(tmp_path)


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    files.check_writable(tmp_path / "new" / "file")
    assert names(tmp_path / "new") == []


def test_modes_are_the_users(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.atomic_write_text(tmp_path / "new", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    (tmp_path / "new").chmod(0o600)
    files.atomic_write_text(tmp_path / "new", "again")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600
