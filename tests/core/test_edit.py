"""Edit: every change is undone bit for bit, and an open edit refuses what would be unsafe."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from hasten.core.edit import Edit, Wrapped, bare, is_open
from hasten.core.model import Model
from hasten.core.process import VP, Eps
from hasten.errors import EditOpen, MethodError


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x):
        return x + self.lin(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = Block()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.drop = nn.Dropout(0.5)

    def forward(self, x, time):
        x = self.drop(self.first(x))
        for block in self.blocks:
            # nets that choose how to call a child by its type must not notice a wrapper
            x = block(x) if isinstance(block, Block) else x * torch.nan
        return x


class Twice(Wrapped):
    def forward(self, x):
        return self.inner(self.inner(x))


class Pass(Wrapped):
    def forward(self, *args, **kwargs):
        return self.inner(*args, **kwargs)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(Net().eval(), VP(), Eps(), (4,))


X = torch.linspace(-1, 1, 8).reshape(2, 4)
T = torch.ones(2)


def test_undo_restores_objects_outputs_and_hooks(model):
    net, before = model.net, model.net(X, T)
    modules = dict(net.named_modules())
    with Edit(model) as edit:
        edit.wrap("blocks.1", Twice)
        edit.wrap("", Pass)
        edit.observe("blocks.0", lambda args, kwargs, out: None)
        assert is_open(model)
        assert not torch.equal(model.net(X, T), before)
    assert model.net is net
    assert dict(net.named_modules()) == modules
    assert torch.equal(net(X, T), before)
    assert not is_open(model)
    for module in net.modules():
        hooks = [v for k, v in vars(module).items() if k.endswith("_hooks")]
        assert not any(hooks)


def test_undo_after_an_error_inside(model):
    net, before = model.net, model.net(X, T)

    def fail() -> None:
        with Edit(model) as edit:
            edit.wrap("blocks.1", Twice)
            edit.wrap("blocks.7", Twice)

    with pytest.raises(MethodError):
        fail()
    assert model.net is net
    assert torch.equal(net(X, T), before)


def test_nested_wraps_are_undone_last_first(model):
    original = model.net.blocks[1]
    with Edit(model) as edit:
        edit.wrap("blocks.1", Pass)
        edit.wrap("blocks.1.lin", Twice)
        edit.wrap("blocks.1", Twice)
        outer = model.net.blocks[1]
        assert type(outer) is Twice
        assert type(outer.inner) is Pass
        assert type(bare(outer).lin) is Twice
        once = original.lin.inner
        expected = X
        for _ in range(2):
            expected = expected + once(once(expected))
        assert torch.equal(outer(X), expected)
    assert model.net.blocks[1] is original
    assert type(original.lin) is nn.Linear


def test_observer_sees_calls_and_changes_nothing(model):
    before, seen = model.net(X, T), []
    with Edit(model) as edit:
        edit.observe("blocks.0", lambda args, kwargs, out: seen.append((args, out)))
        edit.observe("blocks.1", lambda args, kwargs, out: out * 0)
        assert torch.equal(model.net(X, T), before)
    assert len(seen) == 1
    assert torch.equal(model.net.blocks[0](seen[0][0][0]), seen[0][1])


def test_names_state_and_attributes_are_the_inner_ones(model):
    keys, names = list(model.net.state_dict()), [n for n, _ in model.net.named_parameters()]
    with Edit(model) as edit:
        edit.wrap("blocks.1", Pass)
        edit.wrap("blocks.1.lin", Pass)
        assert list(model.net.state_dict()) == keys
        assert [n for n, _ in model.net.named_parameters()] == names
        assert model.net.get_submodule("blocks.1.lin").weight.shape == (4, 4)
        assert isinstance(model.net, Net)
        with pytest.raises(AttributeError):
            _ = model.net.nothing


def test_deep_copy_computes_with_its_own_weights(model):
    with Edit(model) as edit:
        edit.wrap("blocks.1", Twice)
        twin = copy.deepcopy(model.net)
        expected = twin(X, T)
        with torch.no_grad():
            for p in model.net.parameters():
                p.zero_()
        assert torch.equal(twin(X, T), expected)
        assert not torch.equal(model.net(X, T), expected)


@pytest.mark.parametrize("root", ["model", "net"], ids=["through the model", "by another name"])
def test_open_edit_refuses_training_and_loading(model, root):
    net, weights = model.net, {k: v + 1 for k, v in model.net.state_dict().items()}
    kept = copy.deepcopy(net.state_dict())
    with Edit(model) as edit:
        edit.wrap("blocks.1", Pass)
        subject = model.net if root == "model" else net
        with pytest.raises(EditOpen, match="training"):
            subject.train()
        assert not any(m.training for m in net.modules())
        with pytest.raises(EditOpen, match="loading"):
            subject.load_state_dict(weights)
        with pytest.raises(EditOpen, match="loading"):
            subject.blocks[1].load_state_dict(weights)
        with pytest.raises(EditOpen, match="loading"):
            subject.blocks.load_state_dict(net.blocks.state_dict())
        for key, value in net.state_dict().items():
            assert torch.equal(value, kept[key])
        subject.eval()
    net.train()
    assert net.blocks[1].training
    net.load_state_dict(weights)


@pytest.fixture
def process_group():
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("process_group")
def test_open_edit_refuses_data_parallel(model):
    with Edit(model), pytest.raises(EditOpen, match="DistributedDataParallel"):
        nn.parallel.DistributedDataParallel(model.net)
    with Edit(model), pytest.raises(EditOpen, match="DataParallel"):
        model.net._replicate_for_data_parallel()


def test_second_edit_is_refused(model):
    twin = model.replace()
    with Edit(model) as edit:
        with pytest.raises(EditOpen, match="already"):
            Edit(model)
        edit.wrap("blocks.1", Pass)
        with pytest.raises(EditOpen, match="already"):
            Edit(twin)
    with Edit(twin):
        pass


def test_training_mode_is_refused(model):
    model.net.train()
    with pytest.raises(MethodError, match="training mode"):
        Edit(model)


def test_tied_modules_are_refused(model):
    model.net.blocks[2] = model.net.blocks[0]
    with Edit(model) as edit:
        for path in ("blocks.0", "blocks.2", "blocks.2.lin"):
            with pytest.raises(MethodError, match="several paths"):
                edit.wrap(path, Pass)
        edit.wrap("blocks.1", Pass)


def test_missing_path_says_what_there_is(model):
    with Edit(model) as edit, pytest.raises(MethodError, match="first, blocks, drop"):
        edit.wrap("middle", Pass)
