from __future__ import annotations

import numpy as np
import pytest
import torch

from hasten.core.model import Energies
from hasten.errors import ModelError
from hasten.models.mixture import mixture_model
from hasten.tuning.seeds import drawn_conditions, stream


@pytest.mark.parametrize("law", ["power", "uniform"])
def test_shares_of_the_law_lie_below_its_quantiles(law: str) -> None:
    energies = Energies(1e3, 1e5, law)
    drawn = energies.at(torch.rand(20_000, generator=torch.Generator().manual_seed(0)))
    assert energies.at(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([1e3, 1e5])
    share = float((drawn < 1e4).float().mean())
    wanted = 0.5 if law == "power" else 9 / 99
    assert share == pytest.approx(wanted, abs=4 * (wanted * (1 - wanted) / 20_000) ** 0.5)


def test_the_unit_energy_comes_back_and_ends_at_one() -> None:
    energies = Energies(1e3, 1e5)
    given = torch.tensor([1e3, 1e4, 1e5, 3e5], dtype=torch.float64)
    unit = energies.unit(given)
    assert unit[:3].tolist() == pytest.approx([-1, 0, 1])
    torch.testing.assert_close(energies.of_unit(unit), given)


@pytest.mark.parametrize("wrong", [(1e5, 1e3, "power"), (0.0, 1e3, "power"), (1.0, 2.0, "flat")])
def test_no_range_is_refused(wrong: tuple[float, float, str]) -> None:
    with pytest.raises(ModelError, match="energies from"):
        Energies(*wrong)


def test_a_sample_has_the_energy_of_its_seed() -> None:
    model = mixture_model().replace(energies=Energies(1e3, 1e5))
    draw, seeds = drawn_conditions(model), stream(0, "test", 5000)
    energies = draw(seeds)
    assert energies is not None
    assert energies.dtype == torch.float32
    some = draw(seeds[70:90])
    assert some is not None
    assert torch.equal(some, energies[70:90])
    # log-uniform: the unit energy has mean 0 and variance 1/3
    unit = np.asarray(Energies(1e3, 1e5).unit(energies.double()))
    assert abs(unit.mean()) < 4 * (1 / 3 / 5000) ** 0.5
    assert unit.var() == pytest.approx(1 / 3, rel=0.08)
