from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from made_showers import ODD, SMALL, one_lit, showers

import hasten.measure.physics.observables as module
from hasten.data.geometry import SIW, Geometry
from hasten.errors import DataError
from hasten.measure.physics.observables import Observables, high_level, observe, spectrum_edges


def by_loops(cells: np.ndarray, energy: float, geometry: Geometry) -> dict[str, list[float]]:
    """The definitions, a cell at a time."""
    found: dict[str, list[float]] = {
        k: [] for k in ("layers", "x", "y", "sx", "sy", "r", "sr", "n")
    }
    x, y = geometry.across
    for layer in range(len(geometry.layers)):
        mine = [c for c in range(geometry.cells) if geometry.layer_of[c] == layer]
        total = sum(cells[c] for c in mine)
        found["layers"].append(total)
        found["n"].append(sum(cells[c] >= geometry.threshold and cells[c] > 0 for c in mine))
        for at, mean, width in ((x, "x", "sx"), (y, "y", "sy"), (geometry.radius, "r", "sr")):
            first = sum(cells[c] * at[c] for c in mine) / total if total else 0.0
            second = sum(cells[c] * at[c] ** 2 for c in mine) / total if total else 0.0
            found[mean].append(first)
            found[width].append(math.sqrt(max(second - first**2, 0)))
    whole = sum(found["layers"])
    pairs = list(zip(cells, geometry.layer_of, geometry.radius, strict=True))
    depth = sum(e * z for e, z, _ in pairs) / whole if whole else 0.0
    radius = sum(e * r for e, _, r in pairs) / whole if whole else 0.0
    length = sum(e * (z - depth) ** 2 for e, z, _ in pairs) / whole if whole else 0.0
    breadth = sum(e * (r - radius) ** 2 for e, _, r in pairs) / whole if whole else 0.0
    found["whole"] = [whole / energy, depth, length**0.5, radius, breadth**0.5]
    return found


@pytest.mark.parametrize("geometry", [ODD, SMALL], ids=lambda g: g.name)
def test_observables_are_what_their_definitions_say(geometry: Geometry) -> None:
    rng = np.random.default_rng(3)
    cells = rng.gamma(0.3, 2.0, (9, geometry.cells)) * (rng.random((9, geometry.cells)) < 0.4)
    cells[3] = 0  # a shower of nothing
    cells[4, geometry.layer_of == 1] = 0  # and a layer
    energies = rng.uniform(5, 50, 9)
    seen = observe(cells, energies, geometry)
    for row in range(len(cells)):
        wanted = by_loops(cells[row], energies[row], geometry)
        got = {
            "layers": seen.layers[row],
            "x": seen.centres[row, :, 0],
            "y": seen.centres[row, :, 1],
            "sx": seen.widths[row, :, 0],
            "sy": seen.widths[row, :, 1],
            "r": seen.radii[row],
            "sr": seen.spreads[row],
            "n": seen.hits[row],
            "whole": np.array([getattr(seen, name)[row] for name in WHOLE]),
        }
        for name, values in wanted.items():
            np.testing.assert_allclose(got[name], values, atol=1e-6, err_msg=name)
    if geometry.shape:
        grid = cells.reshape(9, -1, geometry.shape[2])
        wanted = grid.sum(axis=1) / np.maximum(grid.sum(axis=(1, 2)), 1e-300)[:, None]
        np.testing.assert_allclose(seen.rings, wanted, atol=1e-12)
    assert seen.empty[3] == 1
    assert not seen.rings[3].any()
    with np.errstate(all="raise"):
        assert np.isfinite(high_level(observe(cells, energies, geometry))).all()


WHOLE = ("response", "depth", "length", "radius", "breadth")


def test_one_lit_cell_is_where_it_is() -> None:
    layer, sector, ring = 7, 2, 3
    cell = (layer * 6 + sector) * 4 + ring
    seen = observe(one_lit(SMALL, cell, 40.0), [80.0], SMALL)
    angle = -math.pi + (sector + 0.5) * math.pi / 3
    assert seen.response[0] == 0.5
    assert seen.depth[0] == layer
    assert seen.length[0] == 0
    assert seen.radius[0] == pytest.approx(17.5)
    assert seen.centres[0, layer] == pytest.approx([17.5 * math.cos(angle), 17.5 * math.sin(angle)])
    assert seen.widths[0, layer] == pytest.approx([0, 0], abs=1e-6)
    assert seen.rings[0].tolist() == [0, 0, 0, 1]
    assert seen.hits[0].tolist() == [float(k == layer) for k in range(12)]
    assert seen.sparsity[0, layer] == pytest.approx(23 / 24)
    assert seen.empty[0] == pytest.approx(287 / 288)
    edges = spectrum_edges(SMALL)
    assert edges[0] == SMALL.threshold
    (where,) = np.flatnonzero(seen.spectrum[0])
    assert edges[where] <= 40 < edges[where + 1]


def test_two_cells_have_a_width() -> None:
    # opposite sectors, the same ring: the centre is on the axis, the width is the radius
    cells = one_lit(SMALL, 0, 3.0) + one_lit(SMALL, 3 * 4, 3.0)
    seen = observe(cells, [10.0], SMALL)
    assert seen.centres[0, 0] == pytest.approx([0, 0], abs=1e-12)
    assert np.hypot(*seen.widths[0, 0]) == pytest.approx(2.5)
    assert seen.radii[0, 0] == pytest.approx(2.5)
    assert seen.spreads[0, 0] == pytest.approx(0, abs=1e-6)


def test_a_hit_is_at_the_threshold_or_above_in_either_precision() -> None:
    threshold = SIW.threshold
    for dtype in (np.float32, np.float64):
        cells = np.zeros((1, SIW.cells), dtype)
        cells[0, :3] = threshold, threshold * 0.999, 1e12
        seen = observe(cells, [1e3], SIW)
        assert seen.hits[0, 0] == 2
        assert seen.spectrum[0, 0] == seen.spectrum[0, -1] == 1  # the last bin has no upper end
    bare = dataclasses.replace(SMALL, threshold=0.0)
    assert observe(one_lit(bare, 5, 1e-6), [1.0], bare).hits.sum() == 1  # dark cells are no hits


def test_blocks_and_kinds_of_array_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, energies = showers(50)
    whole = observe(cells, energies, SMALL)
    monkeypatch.setattr(module, "AT_ONCE", 7 * SMALL.cells)
    given = torch.from_numpy(cells).reshape(50, 12, 6, 4), torch.from_numpy(energies)[:, None]
    pieces = observe(*given, SMALL)
    for field in dataclasses.fields(Observables)[1:]:
        one, other = getattr(whole, field.name), getattr(pieces, field.name)
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-9)
    some = whole.rows(np.arange(50) % 2 == 0)
    assert len(some) == 25
    assert np.array_equal(some.response, whole.response[::2])
    assert np.array_equal(whole.rows([3, 1]).layers, whole.layers[[3, 1]])


def test_the_challenge_has_362_features_of_set_2() -> None:
    cells = np.zeros((2, SIW.cells), np.float32)
    cells[0, 144 * 3 + 5] = 50.0  # layer 3, sector 0, ring 5
    found = high_level(observe(cells, [1e4, 2e4], SIW))
    assert found.shape == (2, 362)
    assert found[:, 0] == pytest.approx([4, math.log10(2e4)])
    layers = found[0, 1:46]
    assert layers[3] == pytest.approx(math.log10(50))
    assert np.delete(layers, 3) == pytest.approx(-8)
    angle = -math.pi + math.pi / 16
    assert found[0, 46 + 3] == pytest.approx(5.5 * 0.0465 * math.cos(angle))
    assert found[0, 91 + 3] == pytest.approx(5.5 * 0.0465 * math.sin(angle))
    assert found[0, 46 + 180] == pytest.approx(math.log10(50))
    assert found[0, 227 + 3] == pytest.approx(143 / 144)
    assert found[0, 272 + 3] == pytest.approx(5.5 * 0.0465)
    assert found[1, 226] == -8


def test_the_spectrum_counts_every_hit_once() -> None:
    cells, energies = showers(40)
    seen = observe(cells, energies, SMALL)
    assert np.array_equal(seen.spectrum.sum(axis=1), seen.hits.sum(axis=1))
    edges = spectrum_edges(SMALL)
    wanted = [np.histogram(row, [*edges[:-1], np.inf])[0] for row in cells.astype(np.float64)]
    assert np.array_equal(seen.spectrum, np.array(wanted))
    assert np.log10(edges[4] / edges[0]) == pytest.approx(1)
    on_edge = observe(one_lit(SMALL, 3, edges[5]), [1e3], SMALL)
    assert on_edge.spectrum[0, 5] == 1  # a bin holds its lower end


def test_unsuitable_showers_are_refused_in_words() -> None:
    cells, energies = showers(5)
    with pytest.raises(DataError, match=r"\[n, 288\], got \(5, 287\)"):
        observe(cells[:, 1:], energies, SMALL)
    with pytest.raises(DataError, match=r"\[n, 288\]"):
        observe(cells[:0], energies[:0], SMALL)
    with pytest.raises(DataError, match=r"energies \[5\], got \(4,\)"):
        observe(cells, energies[:4], SMALL)
    with pytest.raises(DataError, match="above 0"):
        observe(cells, energies * 0, SMALL)
    cells[2, 7] = np.nan
    with pytest.raises(DataError, match="1 of 5 showers"):
        observe(cells, energies, SMALL)
