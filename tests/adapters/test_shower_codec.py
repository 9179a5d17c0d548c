from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch

from calo import (
    ENERGIES,
    NET,
    SCALE,
    SMALL,
    layer_codec,
    layer_model,
    saved,
    shower_model,
    showers,
)
from hasten.adapters.card import load_bundle, save_bundle
from hasten.adapters.cells import Cells
from hasten.adapters.codecs import own_plan
from hasten.adapters.showers import LayerEnergies, Showers, layer_sums
from hasten.core.identity import model_fingerprint
from hasten.core.model import Call, Energies, Identity, Model
from hasten.core.process import EDM, Raw
from hasten.data.geometry import SIW, Geometry, Layer
from hasten.errors import ModelError, PlanError
from hasten.methods import METHODS
from hasten.models.calibration import Calibration, Spread
from hasten.models.calodit import CaloDiT
from hasten.models.scale import Logit, Scale
from hasten.recipe import Recipe
from hasten.solvers import stock_plan
from hasten.solvers.loop import run, sample
from hasten.solvers.noise import start_noise


def test_layer_numbers_are_standard_at_every_energy() -> None:
    cells, incident = showers(4000)
    codec = LayerEnergies.fit(layer_sums(cells, SMALL), incident, ENERGIES, SCALE)
    numbers = codec.clean(layer_sums(cells, SMALL), incident)
    for part in ENERGIES.unit(incident).argsort().chunk(4):
        count = len(part)
        assert abs(float(numbers[part, 0].mean())) < 4 / count**0.5
        # the resolution falls by ten over the range: a constant spread would be off by far
        assert float(numbers[part, 0].std()) == pytest.approx(1, abs=4 / (2 * count) ** 0.5)


def test_layers_come_back() -> None:
    cells, incident = showers(500)
    layers = layer_sums(cells, SMALL)
    codec = LayerEnergies.fit(layers, incident, ENERGIES, SCALE)
    told = codec.encode(incident, range(500))
    back = codec.decode(codec.clean(layers, incident), told)
    torch.testing.assert_close(back, layers, rtol=2e-5, atol=1e-4)
    assert torch.equal(back > 0, layers > 0)


def test_cells_come_back_and_their_layers_add_up() -> None:
    cells, incident = showers(500)
    codec = shower_model().codec
    assert isinstance(codec, Showers)
    layers = layer_sums(cells, SMALL)
    back = codec.decode(codec.clean(cells), codec.condition(layers, incident))
    torch.testing.assert_close(back, cells, rtol=1e-4, atol=1e-4)
    assert torch.equal(back > 0, cells > 0)


def test_energy_is_conserved_whatever_the_net_says() -> None:
    model, incident = shower_model(), torch.logspace(3, 5, 20)
    seeds = range(20)
    plan = stock_plan(model.process, "euler", "karras", 2)
    codec = model.codec
    assert isinstance(codec, Showers)
    encoded = model.encode(incident, seeds)
    assert encoded is not None
    cells = sample(model, plan, seeds, incident)
    found = layer_sums(cells, SMALL)
    aside = [seed + (1 << 63) for seed in seeds]
    layers = sample(codec.layers, codec.plan, aside, incident)
    torch.testing.assert_close(found, layers, rtol=1e-4, atol=1e-3)
    assert ((cells == 0) | (cells >= SMALL.threshold * (1 - 1e-5))).all()


def test_beyond_the_training_the_law_is_that_of_its_ends() -> None:
    """Polynomials fly off: at ten times the range the response was a hundred."""
    codec = layer_codec(SMALL)
    x = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    for end in (-1.0, 1.0):
        units = [torch.full((4, 1), end * far) for far in (1, 1.5, 5)]
        responses = [
            codec.decode(x, unit).sum(1) / codec.energies.of_unit(unit[:, 0]) for unit in units
        ]
        for found in responses[1:]:
            torch.testing.assert_close(found, responses[0], rtol=1e-4, atol=0)
    # energies that rounding puts a little outside are as they were
    ends = codec.energies.unit(torch.tensor([1e3 * (1 - 9e-7), 1e5 * (1 + 9e-7)]))
    assert float(ends.abs().min()) > 1
    powers = ends[:, None] ** torch.arange(4)
    assert torch.equal(codec._law(ends)[0], powers @ codec.centre.T)


def test_numbers_out_of_all_bounds_make_showers_that_add_up() -> None:
    codec = shower_model().codec
    assert isinstance(codec, Showers)
    told = codec.encode(torch.tensor([5e4]), [0])
    assert told is not None
    x = torch.randn(1, 6, 4, 3, generator=torch.Generator().manual_seed(0))
    for far in (100, 1e30):
        cells = codec.decode(far * x, told)
        torch.testing.assert_close(
            layer_sums(cells, SMALL), codec.totals(told), rtol=1e-4, atol=1e-3
        )


def test_a_calibration_finds_layers_that_agree_and_leaves_them_so() -> None:
    """What a layer's sum is off is taken from its strong cells before the maps and after them."""
    cells, incident = showers(300)
    codec = shower_model().codec
    assert isinstance(codec, Showers)
    told = codec.condition(layer_sums(cells, SMALL), incident)
    numbers, totals = codec.numbers(cells), codec.totals(told)
    torch.testing.assert_close(codec.agreed(numbers, totals), numbers, rtol=1e-4, atol=1e-4)
    rng = torch.Generator().manual_seed(0)
    blurred = numbers + 0.1 * torch.randn(numbers.shape, generator=rng) * (numbers > 0)
    off = [
        (codec.scale.inverse(each.flatten(2)).sum(-1) / totals.clamp(min=1) - 1)[totals > 10]
        for each in (blurred, codec.agreed(blurred, totals))
    ]
    assert float(off[1].std()) < 0.2 * float(off[0].std())


def test_a_shower_depends_on_its_seed_and_energy_alone() -> None:
    model, incident = shower_model(), torch.tensor([2e3, 5e4, 9e3])
    plan = stock_plan(model.process, "euler", "karras", 2)
    whole = sample(model, plan, [5, 6, 7], incident)
    alone = sample(model, plan, [6], incident[1:2])
    torch.testing.assert_close(alone[0], whole[1], rtol=1e-4, atol=1e-3)
    assert not torch.allclose(sample(model, plan, [8], incident[1:2])[0], whole[1])


def test_layers_and_cells_do_not_share_noise() -> None:
    codec, incident = shower_model().codec, torch.tensor([2e3])
    assert isinstance(codec, Showers)
    shown: list[torch.Tensor] = []
    run(codec.layers, codec.plan, [3], incident, on_row=lambda *row: shown.append(row[2]))
    first = start_noise([3], (6, 4, 3)).flatten()[:7]
    # noise of the same seed begins alike whatever its shape ...
    torch.testing.assert_close(shown[0][0], first * codec.plan.rows[0].sigma)
    # ... so the layer model must not be sampled with it
    same = codec.condition(sample(codec.layers, codec.plan, [3], incident), incident)
    found = codec.encode(incident, [3])
    assert found is not None
    assert not torch.allclose(found, same)


def test_energies_outside_the_training_are_refused_unless_told() -> None:
    model, plan = shower_model(), stock_plan(EDM(), "euler", "karras", 2)
    for wrong in (torch.tensor([10.0]), torch.tensor([2e5]), torch.tensor([float("nan")])):
        with pytest.raises(PlanError, match="trained from 1 to 100 GeV"):
            sample(model, plan, [0], wrong)
    with pytest.raises(PlanError, match="given energies"):
        sample(model, plan, [0])
    wide = model.replace(energies=Energies(1e3, 3e5))
    codec = wide.codec
    assert isinstance(codec, Showers)
    layers = codec.layers.replace(energies=Energies(1e3, 3e5))
    wide = wide.replace(codec=dataclasses.replace(codec, layers=layers))
    assert sample(wide, plan, [0], torch.tensor([2e5])).sum() > 1e5


def test_a_saved_shower_model_makes_the_same_showers(tmp_path: Path) -> None:
    model, incident = saved(tmp_path), torch.tensor([2e3, 5e4])
    again = load_bundle(tmp_path)
    plan = stock_plan(model.process, "euler", "karras", 2)
    assert again.energies == ENERGIES
    # weights of the layer model are in half precision on both sides, the cells' are zero
    torch.testing.assert_close(
        sample(again, plan, [1, 2], incident), sample(model, plan, [1, 2], incident)
    )


def test_what_a_card_cannot_say_is_refused(tmp_path: Path) -> None:
    model = saved(tmp_path / "whole")
    with pytest.raises(ModelError, match="layer model would be lost"):
        save_bundle(tmp_path / "other", model, NET, {})
    card = tmp_path / "whole" / "card.toml"
    text = card.read_text()
    card.write_text(text.replace('geometry = "siw"', 'geometry = "sciw"'))
    with pytest.raises(ModelError, match="unknown geometry 'sciw'"):
        load_bundle(tmp_path / "whole")
    card.write_text(text.replace('name = "showers"', 'name = "shower"'))
    with pytest.raises(ModelError, match="unknown codec 'shower'"):
        load_bundle(tmp_path / "whole")
    card.write_text(text.replace("spread = ", "spreads = "))
    with pytest.raises(ModelError, match="wrong facts for the codec"):
        load_bundle(tmp_path / "whole")


def test_a_card_holds_a_geometry_that_hasten_does_not_know(tmp_path: Path) -> None:
    model = saved(tmp_path)
    own = Geometry("siw", tuple(Layer((0, *range(1, 10)), 16) for _ in range(45)), 0.02)
    codec = model.codec
    assert isinstance(codec, Showers)
    changed = model.replace(codec=dataclasses.replace(codec, geometry=own))
    save_bundle(tmp_path, changed, NET, {})
    again = load_bundle(tmp_path).codec
    assert isinstance(again, Showers)
    assert again.geometry == own


def test_a_calibration_is_written_read_and_part_of_the_model(tmp_path: Path) -> None:
    before = saved(tmp_path)
    codec = before.codec
    assert isinstance(codec, Showers)
    table = torch.linspace(0, 6, 64).repeat(2, 9, 1)
    table[:, :, :20] = 0  # weak cells are nothing
    changed = dataclasses.replace(codec, calibration=Calibration(6.0, table))
    save_bundle(tmp_path, before.replace(codec=changed), NET, {})
    after = load_bundle(tmp_path)
    assert isinstance(after.codec, Showers)
    assert after.codec.calibration is not None
    assert torch.equal(after.codec.calibration.table, table)
    assert model_fingerprint(after) != model_fingerprint(before)
    plan = stock_plan(before.process, "euler", "karras", 2)
    cells = [sample(model, plan, [0, 1], torch.tensor([2e3, 5e4])) for model in (before, after)]
    assert not torch.equal(cells[1], cells[0])
    torch.testing.assert_close(layer_sums(cells[1], SIW), layer_sums(cells[0], SIW))


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_spread_of_true_showers_is_written_read_and_part_of_the_model(
    calibrated: bool, tmp_path: Path
) -> None:
    saved(tmp_path)
    before = load_bundle(tmp_path)
    codec = before.codec
    assert isinstance(codec, Showers)
    cells, incident = showers(700, SIW)
    unit = codec.energies.unit(incident)
    true = Spread.of(codec.numbers(cells), unit, codec.scale.gap)
    maps = Calibration.fit(codec.numbers(cells) + 0.1, unit, true) if calibrated else None
    changed = before.replace(codec=dataclasses.replace(codec, calibration=maps, true=true))
    save_bundle(tmp_path, changed, NET, {})
    after = load_bundle(tmp_path)
    assert isinstance(after.codec, Showers)
    assert after.codec.true is not None
    assert torch.equal(after.codec.true.above, true.above)
    assert torch.equal(after.codec.true.units, true.units)
    assert (after.codec.true.high, after.codec.true.gap) == (true.high, codec.scale.gap)
    assert repr(after.codec.calibration) == repr(maps)
    assert model_fingerprint(after) == model_fingerprint(changed) != model_fingerprint(before)


def test_a_layer_model_without_a_sampler_of_its_own_is_refused() -> None:
    with pytest.raises(ModelError, match="how this model is sampled"):
        own_plan(layer_model().replace(card={}))


def test_a_recipe_of_rows_in_its_folder_is_how_a_layer_model_is_sampled(tmp_path: Path) -> None:
    before = saved(tmp_path)
    plan = stock_plan(before.process, "ipndm3", "karras", 5)
    path = tmp_path / "layers" / "plan.toml"
    path.write_text(Recipe(plan).dumps())
    after = load_bundle(tmp_path)
    assert isinstance(before.codec, Showers)
    assert isinstance(after.codec, Showers)
    assert before.codec.plan.nfe == 4
    assert after.codec.plan.fingerprint() == plan.fingerprint()
    assert model_fingerprint(after) != model_fingerprint(before)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[plan]\nsolver = "euler"', "unknown key|unknown keys|solver"),
        ("[plan", "not a plan of rows"),
        ("hasten = 1", "'plan'"),
    ],
)
def test_what_is_no_recipe_of_rows_is_refused(tmp_path: Path, text: str, says: str) -> None:
    saved(tmp_path)
    (tmp_path / "layers" / "plan.toml").write_text(text)
    with pytest.raises(PlanError, match=says) as caught:
        load_bundle(tmp_path)
    assert caught.value.where.endswith("plan.toml")


def test_methods_for_a_layer_model_are_refused(tmp_path: Path) -> None:
    model = saved(tmp_path)
    recipe = Recipe(stock_plan(model.process, "euler", "karras", 2), (METHODS["cache"](),))
    (tmp_path / "layers" / "plan.toml").write_text(recipe.dumps())
    with pytest.raises(PlanError, match="no method"):
        load_bundle(tmp_path)


def test_moving_a_shower_model_moves_its_layer_model() -> None:
    model = shower_model().to(dtype=torch.float64)
    codec = model.codec
    assert isinstance(codec, Showers)
    assert codec.layers.dtype == torch.float64
    assert isinstance(model.replace(codec=Identity()).codec.models(), tuple)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_showers_are_sampled_in_any_precision(dtype: torch.dtype) -> None:
    incident = torch.tensor([2e3, 5e4])
    single, other = shower_model(), shower_model().to(dtype=dtype)
    plan = stock_plan(single.process, "dpmpp_2m", "karras", 4)
    totals = [sample(model, plan, [0, 1], incident).sum(1) for model in (single, other)]
    torch.testing.assert_close(totals[1].to(totals[0]), totals[0], rtol=0.02, atol=0)


def test_a_fingerprint_tells_of_everything_that_changes_a_shower(tmp_path: Path) -> None:
    plain = shower_model()
    codec = plain.codec
    assert isinstance(codec, Showers)
    inner = codec.layers.codec
    assert isinstance(inner, LayerEnergies)
    shifted = dataclasses.replace(inner, centre=inner.centre + 1e-6)
    twisted = copy.deepcopy(codec.layers)
    twisted.net.embed.weight.data[0, 0] += 1  # type: ignore[union-attr, operator]
    changed = [
        dataclasses.replace(codec, centre=0.41),
        dataclasses.replace(codec, scale=Scale(0.015, gap=0.9)),
        dataclasses.replace(codec, plan=stock_plan(EDM(), "dpmpp_2m", "karras", 5)),
        dataclasses.replace(codec, layers=codec.layers.replace(codec=shifted)),
        dataclasses.replace(codec, layers=twisted),
    ]
    prints = [model_fingerprint(plain.replace(codec=each)) for each in (codec, *changed)]
    assert len(set(prints)) == len(prints)
    assert model_fingerprint(shower_model()) == prints[0]
    saved(tmp_path / "a"), saved(tmp_path / "b")
    one, other = (model_fingerprint(load_bundle(tmp_path / name)) for name in "ab")
    assert one == other  # wherever it lies


@pytest.mark.parametrize("scale", [SCALE, Logit()])
def test_cells_alone_come_back(scale: Scale | Logit) -> None:
    cells, incident = showers(200)
    codec = Cells(SMALL, ENERGIES, scale, -1.0, 2.0)
    told = codec.encode(incident, range(200))
    assert told is not None
    assert told.shape == (200, 1 + 6)
    back = codec.decode(codec.clean(cells, incident), told)
    # a logit in single precision knows a share of the energy to some 1e-7 of the whole
    torch.testing.assert_close(back, cells, rtol=1e-3, atol=0.05)
    assert float((back > 0).ne(cells > 0).float().mean()) < 1e-2


@pytest.mark.parametrize("scale", [SCALE, Logit()])
def test_a_saved_model_of_cells_alone_makes_the_same_showers(
    scale: Scale | Logit, tmp_path: Path
) -> None:
    codec = Cells(SIW, ENERGIES, scale, 0.3, 1.1)
    net = CaloDiT((45, 16, 9), (9, 16, 3), 8, 1, 1).eval()
    model = Model(net, EDM(), Raw(1.0), (45, 16, 9), Call(cond="cond"), codec, energies=ENERGIES)
    save_bundle(tmp_path, model, NET, {})
    again, plan = load_bundle(tmp_path), stock_plan(EDM(), "euler", "karras", 2)
    assert again.codec == codec
    incident = torch.tensor([3e3])
    assert torch.equal(sample(again, plan, [1], incident), sample(model, plan, [1], incident))
