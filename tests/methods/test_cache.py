"""Cache: the tactic's contract on five nets; slots, guidance, what is kept and what is skipped."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch

from hasten.core.anatomy import anatomy, cut_at
from hasten.core.edit import Edit
from hasten.core.example import example
from hasten.core.hold import install
from hasten.core.plan import FULL, HOLD, Combination, Reuse, Row
from hasten.errors import MethodError, OutputError
from hasten.methods import METHODS
from hasten.methods.cache import Cache
from hasten.solvers import stock_plan
from hasten.solvers.loop import run
from hasten.testing import SEEDS, TacticConformance, conditions, pilot
from nets import NETS

CASES = [
    ("unet", Cache(hold="output")),
    ("dit", Cache()),
    ("dit", Cache(depth=0.95, hold="output")),
    ("uvit", Cache()),
    ("uvit", Cache(depth=0.72, hold="output")),
    ("two_stream", Cache()),
    ("points", Cache()),
]


@pytest.fixture(scope="module")
def models():
    return {name: make() for name, make in NETS.items()}


class TestContract(TacticConformance):
    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].hold}")
    def case(self, request):
        return request.param

    @pytest.fixture
    def model(self, case, models):
        return models[case[0]]

    @pytest.fixture
    def tactic(self, case):
        return case[1]


class Driver:
    """Turns a model's clock by hand."""

    def __init__(self, model):
        self.model, self.index = model, 0
        model.clock.start()

    def ask(self, x, reuse=FULL, slot=0, cond=None, guidance=1.0):
        row = Row(1.0, Combination(1.0), self.index, slot=slot, reuse=reuse)
        self.model.clock.tick(self.index, row)
        self.index += 1
        with torch.inference_mode():
            return self.model.denoise(x, 1.0, cond, guidance)


def plain(model, x, cond=None, guidance=1.0):
    with torch.inference_mode():
        return model.denoise(x, 1.0, cond, guidance)


@pytest.fixture
def drive():
    drivers = []

    def make(model):
        drivers.append(Driver(model))
        return drivers[-1]

    yield make
    for driver in drivers:
        driver.model.clock.stop()


def noise(model, seed, batch=2):
    return torch.randn(batch, *model.shape, generator=torch.Generator().manual_seed(seed))


def test_each_slot_keeps_its_own(models, drive):
    model = models["uvit"]
    a, b, cond = noise(model, 1), noise(model, 2), torch.tensor([3, 5])
    full_a, full_b = plain(model, a, cond), plain(model, b, cond)
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock = drive(model)
        assert torch.equal(clock.ask(a, slot=0, cond=cond), full_a)
        assert torch.equal(clock.ask(b, slot=1, cond=cond), full_b)
        assert torch.equal(clock.ask(a, HOLD, 0, cond), full_a)
        assert torch.equal(clock.ask(b, HOLD, 1, cond), full_b)
        assert not torch.equal(clock.ask(b, HOLD, 0, cond), full_b)


def test_held_evaluations_do_not_refresh_what_is_kept(models, drive):
    model = models["uvit"]
    a, b, cond = noise(model, 1), noise(model, 2), torch.tensor([3, 5])
    full = plain(model, a, cond)
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock = drive(model)
        clock.ask(a, cond=cond)
        for _ in range(3):
            clock.ask(b, HOLD, cond=cond)
        assert torch.equal(clock.ask(a, HOLD, cond=cond), full)


@pytest.mark.parametrize("name", ["uvit", "dit"])
def test_switching_guidance_recomputes_and_never_mixes(models, drive, name):
    model = models[name]
    a, b, cond = noise(model, 1), noise(model, 2), torch.tensor([3, 5])
    single, double = plain(model, b, cond), plain(model, b, cond, 2.0)
    other = plain(model, a, cond)
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock = drive(model)
        clock.ask(a, cond=cond, guidance=2.0)
        assert torch.equal(clock.ask(b, HOLD, cond=cond), single)
        # that evaluation was a full one, so what it kept is now held
        assert torch.equal(clock.ask(b, HOLD, cond=cond), single)
        assert not torch.equal(clock.ask(a, HOLD, cond=cond), other)
        assert torch.equal(clock.ask(b, HOLD, cond=cond, guidance=2.0), double)


def test_plain_calls_never_reuse(models, drive):
    model = models["uvit"]
    a, b, cond = noise(model, 1), noise(model, 2), torch.tensor([3, 5])
    full = plain(model, b, cond)
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock = drive(model)
        clock.ask(a, cond=cond)
        clock.ask(a, HOLD, cond=cond)
        model.clock.stop()
        assert torch.equal(plain(model, b, cond), full)
        # also when somebody calls the net itself, past its entrance
        assert torch.equal(plain(model.replace(net=model.net.inner.inner), b, cond), full)


def test_a_forecast_is_refused_in_words(models, drive):
    model = models["points"]
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock, cond = drive(model), example(model, 2).cond
        clock.ask(noise(model, 1), cond=cond)
        with pytest.raises(MethodError, match="cannot be forecast"):
            clock.ask(noise(model, 1), Reuse("forecast", 1), cond=cond)


def test_residuals_are_added_to_the_current_stream(models, drive):
    model = models["points"]
    net, cond = model.net, example(model, 2).cond
    a, b = noise(model, 1), noise(model, 2)
    cut = Cache().cut(model)
    held = [int(path.rpartition(".")[2]) for path in cut.held]
    assert held == [1, 2]

    def forward(x, kept=None):
        scale, skip, out = (float(c) for c in model.prediction.coefficients(model.process, 1.0))
        emb = net.emb(torch.cat([torch.zeros(2, 1), cond], dim=1))  # EDM: time log(1) / 4 = 0
        h, added = net.enter(scale * x), {}
        for i, layer in enumerate(net.layers):
            h = h * 0.9
            added[i] = (layer(h, emb) if kept is None or i not in held else h + kept[i]) - h
            h = h + added[i]
        return skip * x + out * net.leave(h), added

    with torch.inference_mode():
        full_a, added = forward(a)
        expected, _ = forward(b, added)
    with Edit(model) as edit:
        Cache().attach(model, edit)
        clock = drive(model)
        torch.testing.assert_close(clock.ask(a, cond=cond), full_a)
        torch.testing.assert_close(clock.ask(b, HOLD, cond=cond), expected)
    assert not torch.allclose(expected, plain(model, b, cond), atol=1e-4)


@pytest.mark.parametrize("name", ["unet", "uvit", "dit", "two_stream"])
def test_held_outputs_equal_overriding_them(models, drive, name):
    """With everything computed and the held outputs replaced, the result is the same."""
    model = models[name]
    a, b = noise(model, 1), noise(model, 2)
    cond = None if model.classes is None else torch.tensor([3, 5])
    cuts = [cut for cut in anatomy(model).cuts if cut.hold == "output" and cut.fresh]
    assert len(cuts) >= 1
    for cut in cuts:
        kept = {}

        def keep(path, kept=kept):
            return lambda module, args, out: kept.update({path: out})

        def override(path, kept=kept):
            return lambda module, args, out: kept[path]

        def hooked(x, make, cut=cut):
            with contextlib.ExitStack() as handles:
                for path in cut.held:
                    module = model.net.get_submodule(path)
                    handles.callback(module.register_forward_hook(make(path)).remove)
                return plain(model, x, cond)

        hooked(a, keep)
        expected = hooked(b, override)
        with Edit(model) as edit:
            install(edit, model.clock, cut)
            clock = drive(model)
            clock.ask(a, cond=cond)
            assert torch.equal(clock.ask(b, HOLD, cond=cond), expected), cut
            model.clock.stop()


def test_depth_takes_the_largest_share_not_above(models):
    model = models["uvit"]
    shares = [c.share for c in anatomy(model).cuts if c.hold == "residual"]
    for depth in (0.2, 0.43, 0.6, 1.0):
        chosen = Cache(depth=depth).cut(model).share
        assert chosen == max(s for s in shares if s <= depth + 0.02)


def test_obstacles_are_worded_and_stop_attaching(models):
    cases = [
        ("unet", Cache(), "nothing to hold", "hold = 'output'"),
        ("uvit", Cache(depth=0.05), "no cut skips as little", "0.13"),
        ("uvit", Cache(sites=("mid",)), "mid does not run", ""),
        ("points", Cache(hold="output"), "current input", "residual"),
        ("points", Cache(sites=("enter",)), "nothing of the shape", ""),
    ]
    for name, cache, what, hint in cases:
        model = models[name]
        (obstacle,) = cache.obstacles(model)
        assert what in obstacle.what
        assert hint in obstacle.hint
        with Edit(model) as edit, pytest.raises(MethodError, match=what):
            cache.attach(model, edit)


def test_sites_by_hand(models):
    model = models["unet"]
    cut = cut_at(model, ["up_blocks.1"], "output")
    assert "mid_block" in cut.silent
    assert "down_blocks.0" not in cut.silent
    assert not any(path.startswith("down_blocks.0.resnets") for path in cut.silent)
    cache = Cache(sites=("up_blocks.1",), hold="output")
    before = run(model, pilot(model), SEEDS)
    with Edit(model) as edit:
        cache.attach(model, edit)
        assert not torch.equal(run(model, pilot(model), SEEDS), before)
    assert torch.equal(run(model, pilot(model), SEEDS), before)


def test_solvers_of_two_evaluations_can_be_held(models):
    model = models["dit"]
    cond = conditions(model, 2)
    plan = stock_plan(model.process, "heun", "uniform", 4, reuse=[FULL, HOLD, FULL, HOLD])
    assert {row.slot for row in plan.rows} == {0, 1}
    with Edit(model) as edit:
        Cache().attach(model, edit)
        out = run(model, plan, [0, 1], cond)
        assert torch.equal(run(model, plan, [0, 1], cond), out)
    assert not torch.equal(run(model, plan, [0, 1], cond), out)


def test_a_wrong_cut_is_loud(models):
    """Silent modules return NaN, so whatever still needs them cannot pass unnoticed."""
    model = models["uvit"]
    cut = dataclasses.replace(Cache(depth=0.3).cut(model), silent=("patch_embed",))
    with Edit(model) as edit:
        install(edit, model.clock, cut)
        with pytest.raises(OutputError, match="row 1"):
            run(model, pilot(model), [0], torch.tensor([1]))


def test_the_table_of_methods():
    assert all(name == method.name for name, method in METHODS.items())
    assert METHODS["cache"] is Cache
