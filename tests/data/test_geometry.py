from __future__ import annotations

import math

import numpy as np
import pytest

from hasten.data.geometry import GEOMETRIES, SIW, SIW_FINE, Geometry, Layer
from hasten.errors import DataError

ODD = Geometry("odd", (Layer((0, 5, 10, 30), 2), Layer((0, 100), 1), Layer((10, 20), 4)), 1.0)


def test_published_counts() -> None:
    assert (SIW.cells, SIW_FINE.cells) == (6480, 40500)
    assert SIW.shape == (45, 16, 9)
    assert SIW.threshold == pytest.approx(15.15e-3, abs=5e-6)
    assert set(GEOMETRIES) == {"siw", "siw-fine"}


def test_cells_are_numbered_as_a_reshape_says() -> None:
    layer, sector, ring = np.unravel_index(np.arange(SIW.cells), (45, 16, 9))
    assert (SIW.layer_of == layer).all()
    np.testing.assert_allclose(SIW.radius, 4.65 * (ring + 0.5))
    np.testing.assert_allclose(SIW.angle, -math.pi + (sector + 0.5) * 2 * math.pi / 16)
    assert (SIW.starts == 144 * np.arange(45)).all()


def test_layers_may_differ() -> None:
    assert ODD.shape is None
    assert ODD.cells == 6 + 1 + 4
    assert ODD.starts.tolist() == [0, 6, 7]
    assert ODD.layer_of.tolist() == [0] * 6 + [1] + [2] * 4
    assert ODD.radius.tolist() == [2.5, 7.5, 20, 2.5, 7.5, 20, 50, 15, 15, 15, 15]


def test_opposite_sectors_cancel() -> None:
    first, second = SIW.across
    assert abs(first.sum()) < 1e-9
    assert abs(second.sum()) < 1e-9
    np.testing.assert_allclose(np.hypot(first, second), SIW.radius)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Layer((0.0,), 4),
        lambda: Layer((0.0, 5.0, 5.0), 4),
        lambda: Layer((-1.0, 5.0), 4),
        lambda: Layer((0.0, 5.0), 0),
        lambda: Geometry("none", (), 0.0),
        lambda: Geometry("cold", (Layer((0.0, 1.0), 1),), -1.0),
    ],
)
def test_nonsense_is_refused(wrong) -> None:
    with pytest.raises(DataError):
        wrong()
