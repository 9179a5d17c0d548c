from __future__ import annotations

import math

import pytest

from hasten.data.gflash import medium
from hasten.data.gflash.medium import PBWO4, SCALE_ENERGY, SILICON, TUNGSTEN, W_SI, Medium
from hasten.errors import DataError


def test_tungsten_and_silicon() -> None:
    # worked out by hand from the formulas, and those of an independent implementation
    assert W_SI.z == pytest.approx(72.5, abs=0.05)
    assert W_SI.x0 == pytest.approx(4.22, abs=0.005)
    assert W_SI.moliere == pytest.approx(10.9, abs=0.05)
    assert W_SI.critical == pytest.approx(8.23, abs=0.005)
    assert W_SI.sampling is not None
    assert 1 / W_SI.sampling.frequency == pytest.approx(0.403, abs=5e-4)
    assert W_SI.sampling.e_mip == pytest.approx(0.704, abs=5e-4)
    assert W_SI.sampling.resolution == 0.11


def test_lead_tungstate() -> None:
    assert PBWO4.sampling is None
    assert PBWO4.x0 == pytest.approx(8.9, abs=0.01)
    assert PBWO4.moliere == pytest.approx(21.5, abs=0.1)
    assert PBWO4.critical == pytest.approx(8.8, abs=0.05)


def test_layers_of_one_material_are_that_material() -> None:
    layered = Medium.layered((TUNGSTEN, 2.0), (TUNGSTEN, 0.7))
    whole = Medium.homogeneous(TUNGSTEN)
    for name in ("z", "a", "x0", "moliere", "critical"):
        assert getattr(layered, name) == pytest.approx(getattr(whole, name)), name
    assert layered.sampling is not None
    assert layered.sampling.e_mip == 1
    assert layered.sampling.frequency == pytest.approx(whole.x0 / 2.7)


@pytest.mark.parametrize("found", [W_SI, PBWO4])
def test_moliere_radius_is_x0_times_es_over_ec(found: Medium) -> None:
    assert found.moliere == pytest.approx(found.x0 * SCALE_ENERGY / found.critical)
    assert pytest.approx(0.511 * math.sqrt(4 * math.pi * 137.036), abs=0.01) == SCALE_ENERGY


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: medium.Material("nothing", 0, 1, 1, 1),
        lambda: medium.Material("nothing", 1, 1, math.nan, 1),
        lambda: Medium.layered((TUNGSTEN, 0), (SILICON, 1)),
        lambda: Medium.layered((TUNGSTEN, 1), (SILICON, -1)),
        lambda: Medium.layered((TUNGSTEN, 1), (SILICON, 1), resolution=0),
        lambda: Medium.layered((SILICON, 1), (medium.Material("heavy", 200, 1, 1, 1), 1)),
    ],
)
def test_nonsense_is_refused(wrong) -> None:
    with pytest.raises(DataError, match="where"):
        wrong()
