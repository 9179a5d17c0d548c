from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from data.showers import small
from hasten.data.geometry import SIW, SIW_FINE, Geometry
from hasten.data.showers import (
    OrderWarning,
    UnitWarning,
    convert_showers,
    hdf5,
    holds_showers,
    load_showers,
    open_showers,
    runs,
    save_showers,
)
from hasten.data.showers.binning import ATLAS_PHOTONS, ATLAS_PIONS
from hasten.errors import DataError

SHAPE = (3, 4, 2)


@pytest.mark.parametrize("geometry", [SIW, SIW_FINE, ATLAS_PHOTONS, ATLAS_PIONS])
def test_the_challenges_files_are_known_by_their_cells(tmp_path: Path, geometry: Geometry) -> None:
    showers = small.made(3, geometry)
    found = load_showers(small.challenge(tmp_path / "dataset_1.hdf5", showers))
    small.same(found, showers)
    assert found.geometry is geometry
    assert (found.name, found.split) == ("dataset_1.hdf5", None)


@pytest.mark.parametrize("key", ["incident_energy", "incident_energies"])
@pytest.mark.parametrize("column", [True, False])
def test_par04_in_both_spellings(tmp_path: Path, key: str, column: bool) -> None:
    showers = small.siw(3)
    energies = showers.energies[:, None] if column else showers.energies
    angles = {"incident_theta": np.ones(3), "incident_phi": np.zeros(3)}  # as LEMURS has them
    turned = small.par04(showers.cells, (45, 16, 9))
    assert turned.shape == (3, 9, 16, 45)
    path = small.write(tmp_path / "a.h5", {key: energies, "showers": turned, **angles})
    small.same(load_showers(path), showers)


def test_layers_first_arrays(tmp_path: Path) -> None:
    showers = small.siw(3)
    arrays = {"incident_energies": showers.energies}
    path = small.write(
        tmp_path / "a.h5", {**arrays, "showers": showers.cells.reshape(-1, 45, 16, 9)}
    )
    small.same(load_showers(path), showers)


def test_an_array_for_each_energy(tmp_path: Path) -> None:
    parts = {2: 10, 16: 30, 1: 20, 0.5: 10}
    showers = {gev: small.made(count, seed=count) for gev, count in parts.items()}
    arrays = {}
    for gev, some in showers.items():
        cells = some.cells * (1000 * gev / some.energies)[:, None]
        object.__setattr__(some, "cells", cells)
        arrays[f"{gev}"] = small.par04(cells, SHAPE)
    path = small.write(tmp_path / "SiW_angle_90.h5", arrays)
    found = load_showers(path, geometry=small.SMALL)
    assert found.energies.tolist() == [500.0] * 10 + [1000.0] * 20 + [2000.0] * 10 + [16000.0] * 30
    np.testing.assert_array_equal(
        found.cells, np.concatenate([showers[gev].cells for gev in sorted(parts)])
    )
    # every part has every energy
    valid = load_showers(path, geometry=small.SMALL, split="valid")
    assert valid.energies.tolist() == [500.0] + [1000.0] * 2 + [2000.0] + [16000.0] * 3
    np.testing.assert_array_equal(valid.cells[1:3], showers[1].cells[16:18])


def test_axes_are_asked_for_when_the_shape_does_not_tell(tmp_path: Path) -> None:
    showers = small.made(3, small.CUBE)
    turned = small.par04(showers.cells, (3, 4, 3))
    arrays = {"incident_energies": showers.energies, "showers": turned}
    path = small.write(tmp_path / "a.h5", arrays)
    with pytest.raises(DataError, match=r"3 x 4 x 3 .* as well as r, phi, z[\s\S]*--axes"):
        load_showers(path, geometry=small.CUBE)
    small.same(load_showers(path, geometry=small.CUBE, axes="r-phi-z"), showers)
    wrong = load_showers(path, geometry=small.CUBE, axes="z-phi-r")
    np.testing.assert_array_equal(wrong.cells.reshape(turned.shape), turned)


def test_axes_that_cannot_be_are_refused(tmp_path: Path) -> None:
    showers = small.made(3)
    arrays = {"incident_energies": showers.energies}
    turned = small.par04(showers.cells, SHAPE)
    path = small.write(tmp_path / "a.h5", {**arrays, "showers": turned})
    small.same(load_showers(path, geometry=small.SMALL, axes="r-phi-z"), showers)
    with pytest.raises(DataError, match="2 x 4 x 3 cells cannot have the axes z-phi-r"):
        load_showers(path, geometry=small.SMALL, axes="z-phi-r")
    with pytest.raises(DataError, match="unknown order of axes 'phi'"):
        load_showers(path, geometry=small.SMALL, axes="phi")
    with pytest.raises(DataError, match="2 x 4 x 3 cells fit no geometry"):
        load_showers(path)
    flat = small.write(tmp_path / "b.h5", {**arrays, "showers": turned.reshape(3, -1)})
    small.same(load_showers(flat, geometry=small.SMALL, axes="r-phi-z"), showers)


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int32])
def test_other_types_of_numbers(tmp_path: Path, kind: type) -> None:
    arrays = {"incident_energies": np.array([2000, 3000], kind), "showers": np.ones((2, 24), kind)}
    arrays["showers"][:, 5] = 1500
    found = load_showers(small.write(tmp_path / "a.h5", arrays), geometry=small.SMALL)
    assert found.energies.dtype == found.cells.dtype == np.float32
    assert found.energies.tolist() == [2000, 3000]
    assert found.cells[1].tolist() == [1] * 5 + [1500] + [1] * 18


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    parts = [small.siw(count, seed=count) for count in (10, 20, 30)]
    for name, part in zip(("a.h5", "b.hdf5", "c.h5"), parts, strict=True):
        small.challenge(tmp_path / name, part)
    (tmp_path / ".hidden.h5").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("")
    found = load_showers(tmp_path)
    assert found.name == tmp_path.name
    np.testing.assert_array_equal(found.energies, np.concatenate([p.energies for p in parts]))
    some = load_showers(tmp_path, rows=slice(8, 33))
    np.testing.assert_array_equal(some.cells, found.cells[8:33])
    # a part is taken of each file
    test = load_showers(tmp_path, split="test")
    wanted = [part.cells[len(part) * 9 // 10 :] for part in parts]
    np.testing.assert_array_equal(test.cells, np.concatenate(wanted))
    small.challenge(tmp_path / "d.h5", small.made(5, ATLAS_PIONS))
    with pytest.raises(DataError, match="different geometries: siw, atlas-pions"):
        load_showers(tmp_path)


def test_splits_are_eight_one_one_in_the_order_of_the_file(tmp_path: Path) -> None:
    showers = small.siw(47)
    path = small.challenge(tmp_path / "a.h5", showers)
    bounds = {"train": (0, 37), "valid": (37, 42), "test": (42, 47)}
    for split, (start, stop) in bounds.items():
        part = load_showers(path, split=split)
        small.same(part, showers[start:stop])
        assert part.split == split
    small.same(load_showers(path, split="valid", rows=2), showers[37:39])
    small.same(load_showers(path, split="valid", rows=slice(1, -1)), showers[38:41])
    small.same(load_showers(path, rows=100), showers)


def test_a_part_is_not_split_again(tmp_path: Path) -> None:
    source = small.challenge(tmp_path / "a.h5", small.siw(50))
    assert convert_showers(source, tmp_path / "test.h5", split="test") == 5
    assert load_showers(tmp_path / "test.h5").split == "test"
    with pytest.raises(DataError, match=r"it is the test part of a file already"):
        load_showers(tmp_path / "test.h5", split="test")
    assert load_showers(tmp_path).split is None  # half of it says so, half does not
    source.unlink()
    assert load_showers(tmp_path).split == "test"


@pytest.mark.parametrize("split", ["train", "valid", "test"])
@pytest.mark.parametrize("count", [100, 1000])
def test_a_sorted_file_is_no_sample(tmp_path: Path, split, count: int) -> None:
    showers = small.made(count)
    arrays = {"incident_energies": showers.energies, "showers": showers.cells}
    load_showers(small.write(tmp_path / "a.h5", arrays), geometry=small.SMALL, split=split)
    order = np.argsort(showers.energies)
    arrays = {name: array[order] for name, array in arrays.items()}
    path = small.write(tmp_path / "sorted.h5", arrays)
    load_showers(path, geometry=small.SMALL)  # all of it is what it is
    with pytest.warns(OrderWarning, match=f"sorted.h5: the {split} part, .* shuffle") as caught:
        load_showers(path, geometry=small.SMALL, split=split)
    assert caught[0].filename == __file__


def test_only_the_rows_asked_for_are_read(tmp_path: Path) -> None:
    showers = small.siw(40)
    path = small.challenge(tmp_path / "a.h5", showers, rows=5)
    small.damage(path, 3)  # rows 15 to 19
    small.same(load_showers(path, rows=15), showers[:15])
    small.same(load_showers(path, rows=slice(20, None)), showers[20:])
    with pytest.raises(DataError, match="'showers' cannot be read"):
        load_showers(path, rows=16)


def test_a_huge_file_costs_what_is_read_of_it(tmp_path: Path) -> None:
    path, rows = tmp_path / "huge.h5", 10**9
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "incident_energies", (rows, 1), "f4", chunks=(1000, 1), fillvalue=6480.0
        )
        file.create_dataset("showers", (rows, 6480), "f4", chunks=(40, 6480), fillvalue=0.5)
    files = open_showers(path)
    assert len(files) == rows
    found = load_showers(path, rows=slice(rows - 3, rows))
    assert found.cells.tolist() == [[0.5] * 6480] * 3
    with pytest.raises(DataError, match=r"1,000,000,000 showers need 25,920.0 GB of memory"):
        load_showers(path)


def test_rows_compressed_together_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small.challenge(tmp_path / "a.h5", small.siw(47), rows=7)
    asked = []
    read = hdf5.Hdf5Store.read

    def spy(self, name, start, stop):
        if name == "showers":
            asked.append((start, stop))
        return read(self, name, start, stop)

    monkeypatch.setattr(hdf5.Hdf5Store, "read", spy)
    monkeypatch.setattr(runs, "_BLOCK", 20 * 6480 * 4)
    found = load_showers(path, rows=slice(3, 46))
    assert asked == [(3, 14), (14, 28), (28, 42), (42, 46)]
    assert len(found) == 43
    asked.clear()
    monkeypatch.setattr(runs, "_BLOCK", 1)
    load_showers(path, rows=slice(3, 20))
    assert asked == [(3, 7), (7, 14), (14, 20)]


def test_converting_passes_everything_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    showers = small.siw(60)
    turned = small.par04(showers.cells, (45, 16, 9))
    source = small.write(
        tmp_path / "a.h5", {"incident_energy": showers.energies, "showers": turned}
    )
    monkeypatch.setattr(runs, "_BLOCK", 7 * 6480 * 4)
    said = []
    count = convert_showers(
        source, tmp_path / "b.h5", rows=50, progress=lambda *done: said.append(done)
    )
    assert (count, said[0], said[-1]) == (50, (7, 50), (50, 50))
    small.same(load_showers(tmp_path / "b.h5"), showers[:50])
    with h5py.File(tmp_path / "b.h5") as file:
        assert file["incident_energies"].shape == (50, 1)
        assert file.attrs["source"] == "a.h5"
    convert_showers(tmp_path / "b.h5", tmp_path / "b.h5", rows=5)  # onto itself
    small.same(load_showers(tmp_path / "b.h5"), showers[:5])
    convert_showers(source, tmp_path / "c.npz")
    small.same(load_showers(tmp_path / "c.npz"), showers)


def test_units_are_doubted_aloud_and_left_alone(tmp_path: Path) -> None:
    showers = small.siw(30)

    def check(cells: float, energies: float, said: str, fit: dict[str, float]) -> None:
        arrays = {
            "incident_energies": showers.energies * np.float32(energies),
            "showers": showers.cells * np.float32(cells),
        }
        path = small.write(tmp_path / "a.h5", arrays)
        with pytest.warns(UnitWarning, match=rf"a\.h5: .*{said}") as caught:
            found = load_showers(path)
        assert caught[0].filename == __file__
        np.testing.assert_array_equal(found.cells, arrays["showers"])
        np.testing.assert_array_equal(found.energies, arrays["incident_energies"])
        if fit:
            right = load_showers(path, **fit)  # no warning, or it would be an error
            np.testing.assert_allclose(right.cells, showers.cells, rtol=1e-5)
            np.testing.assert_allclose(right.energies, showers.energies, rtol=1e-5)

    said = r"0\.0008 of .*cells look like GeV; scale=1000 \(hasten data convert ... --scale 1000\)"
    check(1e-3, 1, said, {"scale": 1e3})
    check(1, 1e-3, r"800 of .*energies look like GeV; energy_scale=1000", {"energy_scale": 1e3})
    check(
        1e-3,
        1e-3,
        r"energies from .* MeV look like GeV",
        {"scale": 1000, "energy_scale": 1000},
    )
    check(
        0.033,
        1,
        r"0\.0264 of .*not divided by the sampling fraction 0\.033.* scale=30\.303 ",
        {"scale": 1 / 0.033},
    )
    check(1e-6, 1e3, "neither MeV nor GeV explains", {})


def test_showers_in_gev_at_a_fixed_energy_are_told_by_their_weakest_cell(tmp_path: Path) -> None:
    """Of 100 GeV in GeV the energies alone might be 100 MeV."""
    showers = small.siw(30)
    factor = 100_000 / showers.energies[:, None]
    cells = (showers.cells * factor).astype(np.float32)
    cells[cells < SIW.threshold] = 0
    arrays = {"incident_energies": np.full(30, 100, np.float32), "showers": cells / 1000}
    path = small.write(tmp_path / "a.h5", arrays)
    said = r"weakest cell has .*look like GeV; scale=1000 .* and energy_scale=1000 "
    with pytest.warns(UnitWarning, match=said):
        load_showers(path)
    load_showers(path, scale=1000, energy_scale=1000)  # no warning, or it would be an error
    # what no factor of 1000 would mend is taken for noise
    arrays["showers"][0, np.flatnonzero(cells[0])[0]] = 1e-12
    load_showers(small.write(tmp_path / "a.h5", arrays))


def test_advice_counts_the_factor_that_was_given(tmp_path: Path) -> None:
    path = small.challenge(tmp_path / "a.h5", small.siw(10))
    with pytest.warns(UnitWarning, match=r"scale=3 \(hasten data convert ... --scale 3\)"):
        load_showers(path, scale=0.003, rows=5)
    with pytest.warns(UnitWarning, match=r"scale=1 "):
        convert_showers(path, tmp_path / "b.h5", scale=1e-3)
    with pytest.warns(UnitWarning, match=r"energy_scale=1 "):
        load_showers(path, energy_scale=1e-3)


def test_empty_showers_say_nothing_about_units(tmp_path: Path) -> None:
    arrays = {"incident_energies": np.full(3, 1000.0), "showers": np.zeros((3, 6480))}
    assert load_showers(small.write(tmp_path / "a.h5", arrays)).totals.tolist() == [0, 0, 0]


def test_what_is_read_as_showers(tmp_path: Path) -> None:
    save_showers(tmp_path / "h5" / "a.h5", small.made(3))
    save_showers(tmp_path / "npz" / "a.npz", small.made(3))
    np.savez(tmp_path / "images.npz", images=np.zeros((2, 4, 4)), labels=np.zeros(2))
    np.savez(tmp_path / "npz" / "b.npz", objects=np.array([{}], dtype=object))
    (tmp_path / "damaged.npz").write_bytes(b"PK")
    yes = ("h5", "h5/a.h5", "npz", "npz/a.npz")
    no = (".", "images.npz", "damaged.npz", "none")
    assert [holds_showers(tmp_path / name) for name in yes] == [True] * 4
    assert [holds_showers(tmp_path / name) for name in no] == [False] * 4
    small.same(load_showers(tmp_path / "npz"), small.made(3))
