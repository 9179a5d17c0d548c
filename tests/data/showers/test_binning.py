from __future__ import annotations

from pathlib import Path

import pytest

from data.showers import small
from hasten.data.geometry import SIW, Geometry, Layer
from hasten.data.showers import load_showers
from hasten.data.showers.binning import ATLAS_PHOTONS, ATLAS_PIONS, read_binning
from hasten.errors import DataError

TWO = """<?xml version="1.0"?>
<Bins>
  <!-- two particles -->
  <Bin pid="22" etaMin="0" etaMax="130" name="photon">
    <Layer id="0" r_edges="0,5, 10.5" n_bin_alpha="3" />
    <Layer id="1" r_edges="0" n_bin_alpha="1" />
    <Layer id="2" r_edges="0,100" n_bin_alpha="1"/>
  </Bin>
  <Bin pid="211"> <Layer id="12" r_edges="10,20" n_bin_alpha="4"/> </Bin>
</Bins>
"""


def text_of(*geometries: Geometry) -> str:
    """An XML file of them, as the challenge writes it."""
    lines = ["<Bins>"]
    for number, geometry in enumerate(geometries):
        lines.append(f'<Bin pid="{number}" name="{geometry.name}">')
        for layer in geometry.layers:
            edges = ",".join(f"{edge:.6g}" for edge in layer.edges)
            lines.append(f'<Layer id="1" r_edges="{edges}" n_bin_alpha="{layer.sectors}" />')
        lines.append("</Bin>")
    return "\n".join([*lines, "</Bins>"])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "binning_dataset_1.xml", TWO)
    photons = read_binning(path, "photon")
    assert photons.layers == (Layer((0, 5, 10.5), 3), Layer((0, 100), 1))
    assert (photons.name, photons.threshold) == ("dataset_1:photon", 1.0)
    for name in ("Photons", 22, "22"):
        assert read_binning(path, name) == photons
    pions = read_binning(path, 211, threshold=0.5)
    assert (pions.cells, pions.threshold) == (4, 0.5)


@pytest.mark.parametrize("geometry", [SIW, ATLAS_PHOTONS, ATLAS_PIONS])
def test_known_layers_are_the_known_geometry(tmp_path: Path, geometry: Geometry) -> None:
    path = write(tmp_path / "binning.xml", text_of(geometry))
    assert read_binning(path) is geometry
    other = read_binning(path, threshold=7.0)
    assert (other.threshold, other.cells) == (7.0, geometry.cells)


def test_particles_must_be_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "two.xml", TWO)
    with pytest.raises(DataError, match="several particles: photon, 211"):
        read_binning(path)
    with pytest.raises(DataError, match=r"no particle 'muon', only photon, 211[\s\S]*two.xml"):
        read_binning(path, "muon")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('<!DOCTYPE Bins [<!ENTITY a "aaaa">]><Bins>&a;</Bins>', "declares a document type"),
        ('<!DOCTYPE Bins SYSTEM "file:///etc/passwd"><Bins/>', "declares a document type"),
        (TWO[:200], "not readable as XML"),
        ("", "not readable as XML"),
        ("&a;", "not readable as XML"),
        ('<?xml version="1.0" encoding="klingon"?><Bins/>', "not readable as XML"),
        ("<Bins/>", "no <Bin> with layers"),
        ('<Bins><Bin><Layer r_edges="0" n_bin_alpha="1"/></Bin></Bins>', "no <Bin> with layers"),
        ('<Bins><Bin><Layer id="7" r_edges="0,1"/></Bin></Bins>', "layer 7 has no n_bin_alpha"),
        (TWO.replace("10.5", "ten"), "layer 0 cannot be understood"),
        (TWO.replace("10.5", "4"), "layer 0 is wrong: radii of a layer must ascend"),
        (TWO.replace("10.5", "nan"), "layer 0 is wrong: radii must be finite"),
        (TWO.replace('n_bin_alpha="4"', 'n_bin_alpha="0"'), "layer 12 is wrong"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path / "binning.xml", text)
    with pytest.raises(DataError, match=said) as caught:
        read_binning(path, "photon")
    assert caught.value.where == str(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_binning(tmp_path / "none.xml")
    with (tmp_path / "large.xml").open("wb") as file:
        file.truncate(1 << 25)
    with pytest.raises(DataError, match="too large"):
        read_binning(tmp_path / "large.xml")


def test_a_file_beside_the_data_is_found(tmp_path: Path) -> None:
    odd = Geometry("odd", (Layer((0.0, 5.0), 7), Layer((0.0, 1.0, 2.0), 5)), 1.0)
    showers = small.made(3, odd)
    data = small.challenge(tmp_path / "a.h5", showers)
    with pytest.raises(DataError, match=r"17 cells fit no geometry[\s\S]*binning\*\.xml"):
        load_showers(data)
    write(tmp_path / "binning_a.xml", text_of(small.SMALL, odd))
    found = load_showers(data)
    assert found.geometry.layers == odd.layers
    assert found.geometry.name == "a:odd"
    # named, it may be anywhere
    named = write(tmp_path / "elsewhere.xml", text_of(odd))
    assert load_showers(data, geometry=named).geometry.name == "elsewhere:odd"
    assert load_showers(data, geometry=str(named)).geometry.layers == odd.layers
    # two that fit and differ are not chosen from
    twin = Geometry("twin", (Layer((0.0, 6.0), 17),), 1.0)
    write(tmp_path / "binning_b.xml", text_of(twin))
    with pytest.raises(DataError, match="17 cells fit several geometries: a:odd, b:twin"):
        load_showers(data)
    assert load_showers(data, geometry=twin).geometry is twin


def test_a_file_beside_the_data_goes_before_a_guess(tmp_path: Path) -> None:
    other = Geometry.regular("scipb", (45, 16, 9), 20.0, 1.0)
    data = small.challenge(tmp_path / "a.h5", small.siw(3))
    assert load_showers(data).geometry is SIW
    write(tmp_path / "binning.xml", text_of(other))
    assert load_showers(data).geometry.layers == other.layers
    assert load_showers(data, geometry="siw").geometry is SIW
