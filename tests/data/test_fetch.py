from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hasten.data.fetch import DATASETS, DataSet, Remote, fetch
from hasten.errors import DataError, RunError

FIRST, SECOND = bytes(range(256)) * 3000, b"second file"


class Shelf(ThreadingHTTPServer):
    """Files served from memory, with what was asked for written down."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Counter)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        self.cut: int | None = None  # break the connection after so many bytes, once

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Counter(BaseHTTPRequestHandler):
    server: Shelf

    def do_GET(self) -> None:
        name, asked = self.path[1:], self.headers.get("Range")
        self.server.asked.append((name, asked))
        data = self.server.files.get(name)
        start = 0
        if asked and self.server.ranges:
            found = re.fullmatch(r"bytes=(\d+)-", asked)
            assert found
            start = int(found[1])
        if data is None or start > len(data):
            self.send_error(404 if data is None else 416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cut, self.server.cut = self.server.cut, None
        self.wfile.write(data[start:cut])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Shelf()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pair(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    """A set of two files on the shelf, known to `fetch` as ``pair``."""
    shelf.files = {"first.gz": FIRST, "second.gz": SECOND}
    files = tuple(Remote(name, md5(data)) for name, data in shelf.files.items())
    known = DataSet("Pair", (shelf.url,), files, "made up", elsewhere="ask a friend")
    monkeypatch.setitem(DATASETS, "pair", known)
    return known


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_set_and_not_twice(pair: DataSet, shelf: Shelf, tmp_path: Path) -> None:
    news: list[tuple[str, int, int | None]] = []
    folder = fetch("pair", tmp_path / "new" / "folder", progress=lambda *n: news.append(n))
    assert names(folder) == ["first.gz", "second.gz"]
    assert (folder / "first.gz").read_bytes() == FIRST
    assert news[-2] == ("first.gz", len(FIRST), len(FIRST))
    assert len(shelf.asked) == 2
    fetch("pair", folder)
    assert len(shelf.asked) == 2
    (folder / "second.gz").write_bytes(b"damaged since")
    fetch("pair", folder)
    assert (folder / "second.gz").read_bytes() == SECOND


def test_broken_connection_is_continued(pair: DataSet, shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut = 300_000
    with pytest.raises(DataError, match="ended after 300000 of 768000") as caught:
        fetch("pair", tmp_path)
    assert "ask a friend" in caught.value.hint
    assert names(tmp_path) == ["first.gz.part"]
    fetch("pair", tmp_path)
    assert shelf.asked[1] == ("first.gz", "bytes=300000-")
    assert (tmp_path / "first.gz").read_bytes() == FIRST
    assert names(tmp_path) == ["first.gz", "second.gz"]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("part", [FIRST[:1000], b"x" * 1000, FIRST, FIRST + b"more"])
def test_any_part_left_over(
    pair: DataSet, shelf: Shelf, tmp_path: Path, part: bytes, ranges: bool
) -> None:
    """Right or wrong, short or long, with a server that can continue or not."""
    shelf.ranges = ranges
    (tmp_path / "first.gz.part").write_bytes(part)
    if part[:1] == b"x" and ranges:
        with pytest.raises(DataError, match="wrong checksum"):
            fetch("pair", tmp_path)
        assert names(tmp_path) == []  # so the next attempt starts afresh
    fetch("pair", tmp_path)
    assert (tmp_path / "first.gz").read_bytes() == FIRST
    if part == FIRST:
        assert [name for name, _ in shelf.asked] == ["second.gz"]


def test_mirrors_in_turn(pair: DataSet, shelf: Shelf, tmp_path: Path) -> None:
    fetch("pair", tmp_path, mirrors=(f"{shelf.url}nothing-here/",))
    assert [name for name, _ in shelf.asked][:2] == ["nothing-here/first.gz", "first.gz"]
    assert (tmp_path / "first.gz").read_bytes() == FIRST


def test_wrong_content_leaves_nothing(pair: DataSet, shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["first.gz"] = b"<html>log in first</html>"
    with pytest.raises(DataError, match="wrong checksum"):
        fetch("pair", tmp_path)
    assert names(tmp_path) == []


def test_no_server(pair: DataSet, shelf: Shelf, tmp_path: Path) -> None:
    shelf.files.clear()
    with pytest.raises(DataError, match=r"first\.gz could not be fetched.*404") as caught:
        fetch("pair", tmp_path)
    assert "run it again" in caught.value.hint


def test_unwritable_folder(pair: DataSet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        fetch("pair", tmp_path / "file")
    (tmp_path / "first.gz.part").mkdir()
    with pytest.raises((RunError, DataError), match=r"first\.gz"):
        fetch("pair", tmp_path)


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown data set 'cifar11'") as caught:
        fetch("cifar11", tmp_path)
    assert "cifar10" in caught.value.hint


class TestArchive:
    def archive(self, members: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    def known(self, monkeypatch: pytest.MonkeyPatch, shelf: Shelf, data: bytes) -> None:
        shelf.files = {"all.tar.gz": data}
        file = Remote("all.tar.gz", md5(data), {"a.bin": 3, "b.bin": 2})
        monkeypatch.setitem(DATASETS, "tar", DataSet("Tar", (shelf.url,), (file,), "made up"))

    def test_only_what_is_wanted_is_unpacked(
        self, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        members = {"x/a.bin": b"abc", "../b.bin": b"de", "/etc/evil": b"!", "x/readme.html": b"?"}
        self.known(monkeypatch, shelf, self.archive(members))
        folder = fetch("tar", tmp_path / "in")
        assert names(folder) == ["a.bin", "b.bin"]
        assert (folder / "b.bin").read_bytes() == b"de"
        assert names(tmp_path) == ["in"]
        fetch("tar", folder)
        assert len(shelf.asked) == 1

    def test_archive_without_them(
        self, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.known(monkeypatch, shelf, self.archive({"a.bin": b"abc"}))
        with pytest.raises(DataError, match="does not hold"):
            fetch("tar", tmp_path)

    def test_not_an_archive(
        self, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.known(monkeypatch, shelf, b"no tar")
        with pytest.raises(DataError, match="archive is damaged"):
            fetch("tar", tmp_path)


def test_known_sets_are_well_formed() -> None:
    for known in DATASETS.values():
        assert all(mirror.endswith("/") for mirror in known.mirrors)
        assert all(re.fullmatch(r"[0-9a-f]{32}", file.md5) for file in known.files)
    sizes = DATASETS["cifar10"].files[0].unpack
    assert len(sizes) == 6
    assert set(sizes.values()) == {30_730_000}
