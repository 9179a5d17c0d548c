from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data.showers import small
from hasten.data.geometry import Geometry, Layer
from hasten.data.showers import Showers, convert_showers, load_showers, runs, save_showers
from hasten.data.showers.binning import ATLAS_PHOTONS, KNOWN, geometry_from_text
from hasten.errors import DataError, MissingExtra, RunError

ODD = Geometry("odd", (Layer((0, 5, 10, 30), 2), Layer((0, 100), 1)), 1.0, pitch=2.5, share=0.2)


@pytest.mark.parametrize("ending", ["h5", "hdf5", "npz"])
@pytest.mark.parametrize("geometry", [small.SMALL, ODD, ATLAS_PHOTONS])
def test_written_and_read_are_the_same_bits(
    tmp_path: Path, ending: str, geometry: Geometry
) -> None:
    showers = small.made(7, geometry, split="test")
    path = tmp_path / "new" / f"showers.{ending}"
    save_showers(path, showers, attributes={"creator": "a test", "seed": 3})
    found = load_showers(path)
    small.same(found, showers)
    assert (found.name, found.split) == (path.name, "test")
    assert [file.name for file in path.parent.iterdir()] == [path.name]


floats = st.floats(0, 1e6, width=32)


@settings(max_examples=25, deadline=None)
@given(
    arrays(np.float32, 3, elements=st.floats(1e3, 1e6, width=32)),
    arrays(np.float32, (3, 24), elements=floats),
)
def test_any_numbers_survive(tmp_path_factory: pytest.TempPathFactory, energies, cells) -> None:
    cells[:, 0] = energies  # or a warning about units would be right
    showers = Showers(energies, cells, small.SMALL, "any")
    path = tmp_path_factory.mktemp("any") / "showers.h5"
    save_showers(path, showers)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["showers"][:].view(np.int32), cells.view(np.int32))
    if (cells.sum(1) < 5 * energies).all():
        small.same(load_showers(path), showers)


def test_the_file_is_exactly_the_challenges(tmp_path: Path) -> None:
    showers = small.siw(100)
    save_showers(tmp_path / "out.h5", showers, attributes={"recipe": "euler:edm:8", "units": "GeV"})
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file) == {"incident_energies", "showers"}
        assert file["incident_energies"].shape == (100, 1)
        assert file["showers"].shape == (100, 6480)
        assert {file[name].dtype for name in file} == {np.dtype("f4")}
        assert {file[name].compression for name in file} == {"gzip"}
        assert file["showers"].chunks == (40, 6480)
        # a reshape of a row is layers, sectors, rings
        shower = file["showers"][3].reshape(45, 16, 9)
        assert shower[44, 2, 8] == showers.cells[3, 44 * 144 + 2 * 9 + 8]
        facts = dict(file.attrs)
    assert (facts["units"], facts["geometry"], facts["creator"]) == ("MeV", "siw", "hasten")
    assert facts["recipe"] == "euler:edm:8"
    assert "ring fastest" in facts["order"]


def test_an_archive_holds_the_same_two_arrays(tmp_path: Path) -> None:
    showers = small.made(4)
    save_showers(tmp_path / "out.npz", showers, attributes={"file": "any name will do", "n": 2})
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["incident_energies"], showers.energies[:, None])
        np.testing.assert_array_equal(archive["showers"], showers.cells)
        noted = json.loads(str(archive["attributes"]))
    assert noted == {"creator": "hasten", "file": "any name will do", "n": 2}


def test_only_known_endings_are_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.h5, \.hdf5 or \.npz, not '\.root'"):
        save_showers(tmp_path / "out.root", small.made())
    with pytest.raises(DataError, match="not 'out'"):
        convert_showers(tmp_path / "none.h5", tmp_path / "out")
    assert not [*tmp_path.iterdir()]


def test_parts_and_slices() -> None:
    showers = small.made(6, split="train")
    assert len(showers) == 6
    some = showers[2:4]
    assert (len(some), some.name, some.split) == (2, "made", "train")
    assert np.shares_memory(some.cells, showers.cells)
    np.testing.assert_array_equal(some.energies, showers.energies[2:4])
    last = showers.part([5, 0, 5])
    np.testing.assert_array_equal(last.cells, showers.cells[[5, 0, 5]])
    assert len(showers.part(showers.energies > 0)) == 6
    assert len(showers.part(np.arange(0))) == 0
    np.testing.assert_allclose(showers.totals, 0.8 * showers.energies, rtol=1e-5)
    for wrong in ([6], [True] * 5, [0.5]):
        with pytest.raises(DataError, match="no such rows"):
            showers.part(wrong)


def broken(**changes: object) -> None:
    showers = small.made(4)
    given = {"energies": showers.energies.copy(), "cells": showers.cells.copy(), **changes}
    Showers(given["energies"], given["cells"], small.SMALL, "broken")


def test_what_cannot_be_is_refused() -> None:
    showers = small.made(4)
    cells = showers.cells.copy()
    cells[1, 7], cells[2, 3], cells[3] = -1.5, np.nan, np.inf
    with pytest.raises(
        DataError,
        match=r"of 96 cells, 25 not finite and 1 negative; the first is -1\.5 in row 1, cell 7",
    ):
        broken(cells=cells)
    for value, said in ((0, "not above 0"), (-1, "not above 0"), (np.nan, "not finite")):
        energies = showers.energies.copy()
        energies[2] = value
        with pytest.raises(DataError, match=rf"of 4 incident energies, 1 {said}.* in row 2"):
            broken(energies=energies)
    for changes in (
        {"cells": showers.cells[:, :-1]},
        {"cells": showers.cells.astype(np.float64)},
        {"energies": showers.energies[:3]},
        {"energies": showers.energies[:, None]},
    ):
        with pytest.raises(DataError, match="must be float32"):
            broken(**changes)


def test_a_failure_half_way_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, source = tmp_path / "out.h5", tmp_path / "source.h5"
    save_showers(path, small.made(3))
    before, done = path.read_bytes(), []
    small.challenge(source, small.made(6000), rows=100)
    small.damage(source, 59)
    monkeypatch.setattr(runs, "_BLOCK", 50_000)
    with pytest.raises(DataError, match="rows 5500 to 5999 of 'showers' cannot be read"):
        convert_showers(
            source, path, geometry=small.SMALL, progress=lambda n, total: done.append(n)
        )
    assert done[-1] == 5500
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"out.h5", "source.h5"}


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from data.showers import small
from hasten.data.showers import runs
from hasten.data.showers import save_showers
from hasten.errors import RunError
showers = small.siw(400)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
try:
    save_showers(sys.argv[1], showers)
except RunError as error:
    print(error.what)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of files")
def test_a_full_disk_is_said_and_survived(tmp_path: Path) -> None:
    # HDF5 would bring the interpreter down at its end; so this needs one of its own
    path = tmp_path / "out.h5"
    save_showers(path, small.made(3))
    before = path.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, path],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "cannot write: file too large\n"
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["out.h5"]


SLOW = """
import sys, time
from pathlib import Path
from hasten.data.showers.hdf5 import write_hdf5
import numpy as np
def blocks():
    for _ in range(100):
        yield {"showers": np.random.default_rng(0).random((1000, 500), np.float32)}
        print("some", flush=True)
        time.sleep(0.2)
write_hdf5(Path(sys.argv[1]), {"showers": (100_000, 500)}, blocks(), {})
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_kill_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.h5"
    save_showers(path, small.made(3))
    before = path.read_bytes()
    with subprocess.Popen([sys.executable, "-c", SLOW, path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(2):
            assert process.stdout.readline() == b"some\n"
        process.send_signal(signal.SIGKILL)
    assert path.read_bytes() == before


def test_without_h5py_it_says_what_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_showers(tmp_path / "a.npz", small.made(3))
    save_showers(tmp_path / "a.h5", small.made(3))
    monkeypatch.setitem(sys.modules, "h5py", None)
    for call in (
        lambda: load_showers(tmp_path / "a.h5"),
        lambda: save_showers(tmp_path / "b.h5", small.made(3)),
    ):
        with pytest.raises(MissingExtra, match=re.escape("hasten[showers]")):
            call()
    assert len(load_showers(tmp_path / "a.npz")) == 3  # this needs none


def test_a_folder_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "out.h5").mkdir()
    with pytest.raises(RunError, match="cannot write"):
        save_showers(tmp_path / "out.h5", small.made(3))


def test_the_geometry_noted_in_a_file_comes_back(tmp_path: Path) -> None:
    save_showers(tmp_path / "odd.h5", small.made(3, ODD))
    with h5py.File(tmp_path / "odd.h5", "r+") as file:
        text = file.attrs["hasten_geometry"]
        assert geometry_from_text(text, "here") == ODD
        file.attrs["hasten_geometry"] = text.replace('"sectors": 2', '"sectors": 0')
    with pytest.raises(DataError, match=r"cannot be understood .*0 sectors"):
        load_showers(tmp_path / "odd.h5")
    assert load_showers(tmp_path / "odd.h5", geometry=ODD).geometry is ODD
    for wrong in ("", "{}", "[]", "null", text.replace('"count": 1', '"count": 99999999999')):
        with pytest.raises(DataError, match="cannot be understood"):
            geometry_from_text(wrong, "here")


def test_known_geometries_have_their_published_counts() -> None:
    cells = {name: each.cells for name, each in KNOWN.items()}
    assert cells == {"siw": 6480, "siw-fine": 40500, "atlas-photons": 368, "atlas-pions": 533}


def test_an_archive_is_read_from_any_layout(tmp_path: Path) -> None:
    showers = small.made(9)
    kept = {"incident_energy": showers.energies, "angles": np.zeros(9)}
    np.savez(tmp_path / "plain.npz", showers=showers.cells, **kept)
    np.savez_compressed(tmp_path / "columns.npz", showers=np.asfortranarray(showers.cells), **kept)
    for name in ("plain", "columns"):
        found = load_showers(tmp_path / f"{name}.npz", geometry=small.SMALL, rows=slice(3, 8))
        small.same(found, showers[3:8])
    with zipfile.ZipFile(tmp_path / "plain.npz") as archive:
        assert "showers.npy" in archive.namelist()


def test_a_misspelt_argument_is_no_silent_default(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'spilt'"):
        load_showers(tmp_path / "any.h5", spilt="train")  # type: ignore[call-arg]
