"""Anatomy: parts found by watching; shares, silent modules and refusals checked against counts."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch import nn

from hasten.core.anatomy import anatomy, cut_at
from hasten.core.clock import Clock
from hasten.core.cuts import Finder, verify
from hasten.core.edit import Changes, Edit, Wrapped
from hasten.core.example import example, undisturbed
from hasten.core.hold import install
from hasten.core.macs import Counter, count_macs
from hasten.core.model import Call, Classes, Model
from hasten.core.plan import HOLD, Combination, Row
from hasten.core.process import VP, Eps
from hasten.core.watch import watch
from hasten.errors import EditOpen, MethodError, ModelError
from nets import NETS


@pytest.fixture(scope="module")
def models():
    return {name: make() for name, make in NETS.items()}


STACKS = {
    "dit": [f"transformer_blocks.{i}" for i in range(5)],
    "uvit": [f"in_blocks.{i}" for i in range(3)]
    + ["mid_block"]
    + [f"out_blocks.{i}" for i in range(3)],
    "two_stream": [f"joint.{i}" for i in range(4)],
    "points": [f"layers.{i}" for i in range(4)],
}


@pytest.mark.parametrize("name", STACKS)
def test_stacks_are_found_in_order_of_execution(models, name):
    found = anatomy(models[name])
    assert [list(stack.paths) for stack in found.stacks] == [STACKS[name]]


def test_streams_follow_tensors_not_positions(models):
    # the two-stream block takes (image, text) and returns (text, image)
    blocks = anatomy(models["two_stream"]).stacks[0].blocks
    assert all(block.streams == ((0, 1), (1, 0)) for block in blocks)
    # a block of the second half takes (stream, skip), of equal shape
    assert all(b.streams == ((0, 0),) for b in anatomy(models["uvit"]).stacks[0].blocks)


def test_a_unet_has_no_stack_but_says_so(models):
    found = anatomy(models["unet"])
    assert found.stacks == ()
    assert any("no stack" in note for note in found.notes)


@pytest.mark.parametrize(
    ("name", "shape", "extra"),
    [("dit", (4, 4), 0), ("uvit", (4, 4), 2), ("two_stream", (4, 4), 0), ("points", (12,), 0)],
)
def test_token_grid(models, name, shape, extra):
    grid = anatomy(models[name]).grid
    assert (grid.shape, grid.extra) == (shape, extra)


def test_attention_and_mlp_are_found_by_what_they_do(models):
    uvit = anatomy(models["uvit"])
    assert [a.path for a in uvit.attention] == [f"{p}.attn" for p in STACKS["uvit"]]
    assert [m.path for m in uvit.mlp] == [f"{p}.mlp" for p in STACKS["uvit"]]
    assert {(a.queries, a.keys) for a in uvit.attention} == {(18, 18)}
    assert {(m.width, m.hidden) for m in uvit.mlp} == {(32, 128)}
    two = anatomy(models["two_stream"])  # attention written out by hand, inside the block
    assert [a.path for a in two.attention] == STACKS["two_stream"]
    assert {(a.queries, a.keys) for a in two.attention} == {(21, 21)}
    assert [m.path for m in two.mlp] == [f"{p}.image_mlp" for p in STACKS["two_stream"]]
    assert anatomy(models["points"]).attention == ()
    assert len(anatomy(models["unet"]).attention) == 6


@pytest.mark.parametrize("name", NETS)
def test_batch_axes(models, name):
    found, model = anatomy(models[name]), models[name]
    assert found.batch_axes[""] == (0,)
    assert all(axis in (0, None) for axes in found.batch_axes.values() for axis in axes)
    assert found.macs == count_macs(model).within("")


def work(model: Model, cut) -> list[int]:
    """Products of a full and a held evaluation."""
    inputs, clock, changes, counts = example(model, 1), Clock(), Changes(model), []
    with undisturbed(model.net), torch.inference_mode():
        try:
            install(changes, clock, cut)
            clock.start()
            for index, reuse in enumerate((Row(1.0, Combination(1.0), 0).reuse, HOLD)):
                clock.tick(index, Row(1.0, Combination(1.0), index, reuse=reuse))
                with Counter(model.net) as counter:
                    inputs.ask(model)
                counts.append(counter.within("").total)
        finally:
            changes.undo()
    return counts


@pytest.mark.parametrize("name", NETS)
def test_cuts_skip_the_share_they_state(models, name):
    found = anatomy(models[name])
    assert len(found.cuts) >= 3
    for cut in found.cuts:
        full, held = work(models[name], cut)
        assert full == found.macs.total
        assert 1 - held / full == pytest.approx(cut.share, abs=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_cuts_of_one_kind_differ_in_share(models, name):
    for hold in ("residual", "output"):
        shares = [c.share for c in anatomy(models[name]).cuts if c.hold == hold]
        assert shares == sorted(shares)
    residual = [c.share for c in anatomy(models[name]).cuts if c.hold == "residual"]
    assert all(b - a > 0.02 for a, b in itertools.pairwise(residual))


def test_holding_a_decoder_block_silences_the_deep_part(models):
    cut = cut_at(models["unet"], ["up_blocks.1"], "output")
    assert set(cut.silent) == {
        "down_blocks.0.downsamplers.0",
        "down_blocks.1",
        "down_blocks.2",
        "mid_block",
        "up_blocks.0",
    }
    assert cut.fresh


def test_holding_a_plain_stack_loses_the_input(models):
    cut = cut_at(models["dit"], ["transformer_blocks.3"], "output")
    assert not cut.fresh
    assert {f"transformer_blocks.{i}" for i in (1, 2)} <= set(cut.silent)
    # this net asks the first block's embedding again, after all blocks: that part must run
    assert "transformer_blocks.0" not in cut.silent
    assert "transformer_blocks.0.attn1" in cut.silent
    stale = [cut for cut in anatomy(models["points"]).cuts if not cut.fresh]
    assert len(stale) == 1
    assert "input is lost" in stale[0].why


def test_deepcache_counts_as_published():
    """DeepCache, table 2: DDPM on CIFAR-10, GMACs per evaluation at intervals 1, 2, 3, 5, 10."""
    from diffusers import UNet2DModel

    with torch.device("meta"):
        net = UNet2DModel(
            sample_size=32,
            layers_per_block=2,
            block_out_channels=(128, 256, 256, 256),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            downsample_padding=0,
        )
    model = Model(net.eval(), VP(), Eps(), (3, 32, 32), Call(extra={"return_dict": False}))
    counter, record = count_macs(model), watch(model, 2, gradients=True)
    whole = counter.within("").linear_conv
    shares = {c.path: counter.within(c.path).linear_conv / whole for c in record.calls}
    share = Finder(record, shares).cut(["up_blocks.2"], "output").share
    for interval, published in {2: 4.15, 3: 3.54, 5: 3.01, 10: 2.63}.items():
        ours = 6.1 * (1 - share * (interval - 1) / interval)
        assert ours == pytest.approx(published, rel=0.01)


# ---- nets that are not what they seem -------------------------------------------------------


class Block(nn.Module):
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.b(torch.tanh(self.a(x)))


class Plain(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(depth))

    def run(self, x):
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, x, time):
        return self.run(x) + time[:, None]


def model_of(net: nn.Module, shape: tuple[int, ...] = (8,), **facts) -> Model:
    torch.manual_seed(0)
    for p in net.parameters():
        nn.init.normal_(p, std=0.3) if p.is_floating_point() else None
    return Model(net.eval(), VP(), Eps(), shape, **facts)


class InPlace(Plain):
    """Each block writes into what it is given."""

    class Block(Block):
        def forward(self, x):
            x += self.b(torch.tanh(self.a(x)))
            return x

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(self.Block() for _ in range(4))

    def run(self, x):
        return super().run(x * 1.0)


class Stages(Plain):
    """Two stacks of different width."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = nn.Linear(8, 12)
        self.wide = nn.ModuleList(Block(12) for _ in range(5))
        self.back = nn.Linear(12, 8)

    def run(self, x):
        x = self.turn(super().run(x))
        for block in self.wide:
            x = block(x)
        return self.back(x)


def test_several_stacks_are_held_together():
    found = anatomy(model_of(Stages()))
    assert [stack.shape for stack in found.stacks] == [(12,), (8,)]
    most = max((cut for cut in found.cuts if cut.hold == "residual"), key=lambda cut: cut.share)
    assert set(most.held) == {"blocks.1", "blocks.2", "wide.1", "wide.2", "wide.3"}


def test_blocks_that_write_into_their_input_are_not_held():
    assert anatomy(model_of(InPlace())).cuts == ()


class Overwritten(Plain):
    """What a block returns is changed afterwards."""

    def run(self, x):
        for block in self.blocks:
            x = block(x).mul_(1.1)
        return x


def test_overwritten_outputs_are_not_held():
    model = model_of(Overwritten())
    with pytest.raises(MethodError, match="overwritten in place"):
        cut_at(model, ["blocks.1"], "output")


class Hidden(Plain):
    """The first block decides by its values, not by way of gradients, how the last is scaled."""

    def run(self, x):
        scale = 1 + (self.blocks[0](x) > 0).float().mean(-1, keepdim=True)
        return self.blocks[3](x) * scale


def test_what_matters_outside_the_graph_is_found_by_trying():
    model = model_of(Hidden())
    finder = Finder(watch(model, 2, gradients=True), {})
    cut = finder.cut(["blocks.3"], "output")
    assert cut.silent == ("blocks.0",)  # as far as gradients tell
    assert "another output" in verify(model, cut)
    with pytest.raises(MethodError, match="another output"):
        cut_at(model, ["blocks.3"], "output")


class ByList(Plain):
    """Blocks are called from a list of its own, which wrapping does not change."""

    def __init__(self) -> None:
        super().__init__()
        self.order = list(self.blocks)

    def run(self, x):
        for block in self.order:
            x = block(x)
        return x


def test_modules_that_are_called_past_their_parents_are_not_held():
    found = anatomy(model_of(ByList()))
    assert found.cuts == ()
    assert any("not called through its parent" in note for note in found.notes)


class Random(Plain):
    def run(self, x):
        return super().run(x) + torch.rand(())


def test_a_net_that_does_not_repeat_itself_is_not_held():
    found = anatomy(model_of(Random()))
    assert found.cuts == ()
    assert any("repeat" in note for note in found.notes)


class Tied(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.again = self.blocks[1]

    def run(self, x):
        return self.again(super().run(x))


def test_tied_modules_are_reported_and_not_held():
    model = model_of(Tied())
    found = anatomy(model)
    assert any("several paths" in note and "blocks.1" in note for note in found.notes)
    assert not any("blocks.1" in (*cut.held, *cut.silent) for cut in found.cuts)
    with pytest.raises(MethodError, match="several paths"):
        cut_at(model, ["blocks.1"], "output")


class Repeated(Plain):
    def run(self, x):
        return super().run(super().run(x))


def test_modules_called_twice_are_not_held():
    model = model_of(Repeated())
    assert anatomy(model).cuts == ()
    with pytest.raises(MethodError, match="several times"):
        cut_at(model, ["blocks.1"], "residual")


class NoWeights(nn.Module):
    def forward(self, x, time):
        return x * torch.tanh(time)[:, None]


def test_a_net_without_parameters_says_why_nothing_is_held():
    found = anatomy(model_of(NoWeights()))
    assert found.cuts == ()
    assert found.notes


class Rounded(Plain):
    """Whole-number weights, through which no gradient flows."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.randint(-5, 5, (8, 8)), requires_grad=False)

        def forward(self, x):
            with torch.no_grad():
                return x + x.round() @ self.w.float()

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(self.Block() for _ in range(4))

    def forward(self, x, time):
        return self.run(x.detach())


def test_without_gradients_stacks_can_still_be_held():
    found = anatomy(model_of(Rounded()))
    assert any("no gradient" in note for note in found.notes)
    assert {cut.hold for cut in found.cuts} == {"residual"}
    assert all(cut.silent == () for cut in found.cuts)


# ---- manners --------------------------------------------------------------------------------


def test_looking_leaves_no_trace():
    model = model_of(Plain())
    frozen = model.net.blocks[2].a.weight.requires_grad_(False)
    model.net.train()
    state, before = torch.get_rng_state(), copy.deepcopy(model.net.state_dict())
    anatomy(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(m.training for m in model.net.modules())
    assert not frozen.requires_grad
    assert model.net.blocks[1].a.weight.requires_grad
    for module in model.net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not isinstance(module, Wrapped)
    for key, value in model.net.state_dict().items():
        assert torch.equal(value, before[key])
        assert value.grad is None


def test_found_once_and_again_when_the_net_changes():
    model = model_of(Plain())
    first = anatomy(model)
    assert anatomy(model) is first
    assert anatomy(model.replace(name="other")) is first
    model.net.blocks.append(Block())
    assert len(anatomy(model).stacks[0].blocks) == len(first.stacks[0].blocks) + 1


def test_looking_while_sampling_finds_the_same():
    model = NETS["uvit"]()
    with torch.inference_mode():
        found = anatomy(model)
    assert found == anatomy(NETS["uvit"]())


def test_weights_made_in_inference_mode_carry_no_gradients():
    with torch.inference_mode():
        found = anatomy(model_of(Plain()))
    assert any("inference mode" in note for note in found.notes)
    assert {cut.hold for cut in found.cuts} == {"residual"}


class Pass(Wrapped):
    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


def test_a_wrapped_net_must_have_been_looked_at_before():
    model = model_of(Plain())
    with Edit(model) as edit:
        edit.wrap("blocks.1", Pass)
        with pytest.raises(EditOpen, match="before it is wrapped"):
            anatomy(model)
    first = anatomy(model)
    with Edit(model) as edit:
        edit.wrap("blocks.1", Pass)
        assert anatomy(model) is first


def test_a_net_that_cannot_be_run_says_why():
    with pytest.raises(ModelError, match=r"fails on an example input.*\n.*\n.*cond_shape"):
        anatomy(model_of(Plain(), (9,)))
    with pytest.raises(ModelError, match="cond"):
        anatomy(model_of(Plain(), call=Call(cond="y"), classes=Classes(3)))
