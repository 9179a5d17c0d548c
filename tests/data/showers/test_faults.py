from __future__ import annotations

import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from data.showers import small
from hasten.data.showers import Showers, load_showers, open_showers, save_showers
from hasten.data.showers.binning import ATLAS_PHOTONS
from hasten.data.showers.files import ShowerFiles
from hasten.errors import DataError

GOOD = {"incident_energies": np.full((4, 1), 2000.0), "showers": np.full((4, 24), 50.0)}


def refused(path: Path, *said: str, **options: object) -> None:
    """Reading is refused, in words that hold all of these."""
    with pytest.raises(DataError) as caught:
        load_showers(path, **{"geometry": small.SMALL, **options})
    for each in (*said, str(path)):
        assert each in str(caught.value), str(caught.value)


def test_there_is_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "none.h5", "there is no such file")
    refused(tmp_path, "no showers were found", ".hdf5")


def test_names_that_are_not_there(tmp_path: Path) -> None:
    def check(arrays: dict[str, object], *said: str) -> None:
        refused(small.write(tmp_path / "a.h5", arrays), *said)

    energies, cells = GOOD["incident_energies"], GOOD["showers"]
    check(
        {"incident_energies": energies, "shower": cells},
        "no array 'showers'",
        "it holds 'incident_energies', 'shower'",
        "if 'shower' is it, rename it to 'showers'",
    )
    check(
        {"incident_energys": energies, "showers": cells},
        "no array 'incident_energies' or 'incident_energy'",
        "rename it to 'incident_energies'",
    )
    check({"data/showers": cells}, "it holds 'data/'", "'showers' (N, cells)")
    check({"layer_0": cells, "layer_1": cells, "energy": energies}, "'layer_1'")
    check({}, "it holds nothing")
    check({"showers": np.array([b"text"] * 4), "incident_energies": energies}, "it holds")
    check({f"a{k}": energies for k in range(99)}, "...")


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    def check(name: str, array: np.ndarray, *said: str, **options: object) -> None:
        refused(small.write(tmp_path / "a.h5", {**GOOD, name: array}), *said, **options)

    check("incident_energies", np.ones((3, 1)), "4 showers but incident energies [3, 1]")
    check("incident_energies", np.ones((4, 2)), "one incident energy for each")
    check("showers", np.ones((4, 23)), "23 cells fit no geometry: small has 3 x 4 x 2")
    check("showers", np.ones((4, 3, 8)), "an array [4, 3, 8] is not a set of showers")
    check("showers", np.ones((4, 4, 3, 2)), "4 x 3 x 2 cells fit no geometry")
    check("showers", np.ones((4, 6480)), "this looks like siw")
    check("showers", np.ones((4, 6480)), "atlas-photons has 368", geometry=ATLAS_PHOTONS)
    check("showers", np.ones((4, 50)), "siw-fine has 45 x 50 x 18", "--geometry", geometry=None)
    check("showers", np.ones((4, 24)), "fit no geometry", geometry="siw")
    empty = {"incident_energies": np.ones((0, 1)), "showers": np.ones((0, 24))}
    refused(small.write(tmp_path / "a.h5", empty), "holds no showers", "a.h5:showers")


def test_a_geometry_that_is_not_known(tmp_path: Path) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)
    with pytest.raises(DataError, match=r"unknown geometry 'siv'[\s\S]*did you mean siw\?"):
        load_showers(path, geometry="siv")


def test_numbers_that_cannot_be(tmp_path: Path) -> None:
    rows = 30

    def check(name: str, at: tuple[int, int], value: float, *said: str) -> None:
        arrays = {
            "incident_energies": np.full((rows, 1), 2000.0),
            "showers": np.full((rows, 24), 50.0),
        }
        arrays[name][at] = value
        path = small.write(tmp_path / "a.h5", arrays)
        refused(path, f"a.h5:{name}", *said)
        refused(path, *said, rows=slice(11, 23))  # rows keep the numbers they have in the file
        assert len(load_showers(path, geometry=small.SMALL, rows=slice(0, at[0]))) == at[0]

    check("showers", (17, 3), -0.25, "1 negative", "the first is -0.25 in row 17, cell 3")
    check("showers", (17, 3), np.nan, "of 720 cells" if rows < 30 else "1 not finite", "row 17")
    check("showers", (17, 3), 1e300, "1 not finite", "inf in row 17, cell 3")
    check("incident_energies", (17, 0), 0.0, "1 not above 0", "the first is 0 in row 17")


def test_files_that_are_damaged(tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    save_showers(whole, small.siw(100))
    data = whole.read_bytes()
    path = tmp_path / "cut.h5"
    for size in (20, 600, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refused(path, "not a readable HDF5 file", "truncated", "copy or fetch it again")
    path.write_bytes(b"")
    refused(path, "the file is empty")
    path.write_bytes(b"incident_energies;showers\n" * 100)
    refused(path, "not an HDF5 file", ".npz")
    path.write_bytes(data)
    small.damage(path, 1)
    refused(path, "of 'showers' cannot be read", "truncated or damaged", geometry=None)


def test_archives_that_are_damaged(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.npz", tmp_path / "cut.npz"
    save_showers(whole, small.made(50))
    data = whole.read_bytes()
    for size in (0, 20, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        refused(path, "not a readable npz archive", "truncated or damaged")
    broken = bytearray(data)
    broken[2000:2100] = b"\xff" * 100
    path.write_bytes(broken)
    refused(path, "cannot be read", "truncated or damaged")
    np.savez(path, showers=np.array([{}, {}], dtype=object), incident_energies=np.ones(2))
    refused(path, "no array 'showers'; it holds 'incident_energies', 'showers'")


def test_rows_that_are_not_there(tmp_path: Path) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)
    for rows, said in (
        (0, "0 rows were asked for"),
        (-1, "-1 rows were asked for"),
        (slice(0, 5), "rows 0:5 were asked for, there are 4"),
        (slice(4, None), "rows 4: were asked for, there are 4"),
        (slice(-5, None), "rows -5: were asked for"),
        (slice(3, 2), "rows 3:2 were asked for"),
        (slice(0, 4, 2), "in steps of 2"),
    ):
        with pytest.raises(DataError, match=re.escape(said)):
            load_showers(path, geometry=small.SMALL, rows=rows)


def test_parts_that_are_not_there(tmp_path: Path) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)
    refused(path, "4 showers are too few for a valid part", split="valid")
    refused(path, "unknown split 'half'", "train, valid, test", split="half")


@pytest.mark.parametrize("factor", [0, -1, np.nan, np.inf])
@pytest.mark.parametrize("name", ["scale", "energy_scale"])
def test_factors_that_cannot_be(tmp_path: Path, name: str, factor: float) -> None:
    with pytest.raises(DataError, match=f"^{name} must be a number above 0"):
        load_showers(small.write(tmp_path / "a.h5", GOOD), **{name: factor})


def test_too_many_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)
    found = open_showers(path, geometry=small.SMALL)
    assert isinstance(found, ShowerFiles)
    assert len(found.take(1, 3)) == 2
    showers = Showers(*found.take(1, 3).read(), small.SMALL, "some")
    assert showers.energies.tolist() == [2000, 2000]

    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "empty", none)
    with pytest.raises(DataError, match=r"4 showers need .* GB of memory[\s\S]*--rows"):
        found.read()


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)

    def check(error: OSError, *said: str) -> None:
        def fail(*_: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(h5py, "File", fail)
            refused(path, *said)

    check(PermissionError(13, "Permission denied"), "it may not be read", "permissions")
    check(BlockingIOError(11, "unable to lock file"), "it is locked", "wait until")


def test_a_compression_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small.write(tmp_path / "a.h5", GOOD)

    def fail(*_: object) -> None:
        raise OSError("Can't read data (required filter 'blosc' is not registered)")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", fail)
    refused(path, "required filter 'blosc'", "h5repack")
