from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hasten.core.model import Call, Classes, Model
from hasten.core.process import VP, V
from hasten.errors import BudgetError, DataError, RunError
from hasten.models.uvit import UViT
from hasten.train.loop import Settings, _batch, _compiled, train


def small() -> Model:
    torch.manual_seed(0)
    net = UViT(8, 1, 4, 16, 2, 2, classes=4)
    classes = Classes(3, null=3)
    return Model(net, VP(), V(), (1, 8, 8), Call(cond="label"), classes=classes)


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8)
    return pixels, torch.randint(0, 3, (40,))


def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    whole = Settings(images=96, batch=16, ramp=32, every=1, flip=True)
    straight = train(small(), *data, whole, tmp_path / "a")

    class KilledError(Exception):
        pass

    def kill(seen: int, total: int, loss: float) -> None:
        if seen >= 32:
            raise KilledError

    with pytest.raises(KilledError):
        train(small(), *data, whole, tmp_path / "b", progress=kill)
    resumed = train(small(), *data, whole, tmp_path / "b")
    assert resumed.step == straight.step == 6
    for name, weight in straight.model.net.state_dict().items():
        assert torch.equal(weight, resumed.model.net.state_dict()[name])
        assert torch.equal(straight.average.weights[name], resumed.average.weights[name])


def test_training_lowers_the_loss(data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    losses: list[float] = []
    settings = Settings(images=16 * 120, batch=16, ramp=160, rate=3e-3, every=40)
    plain = (100 * data[1]).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    train(small(), plain, data[1], settings, tmp_path, progress=lambda *now: losses.append(now[2]))
    assert losses[-1] < 0.8 * losses[0], losses


def test_every_epoch_shows_every_image_once() -> None:
    settings = Settings(images=80, batch=16)
    picks = torch.cat([_batch(40, seen, settings) for seen in range(0, 80, 16)])
    assert torch.equal(picks[:40].sort().values, torch.arange(40))
    assert torch.equal(picks[40:].sort().values, torch.arange(40))
    assert not torch.equal(picks[:40], picks[40:])


def test_bad_input_is_refused_in_words(
    data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    pixels, labels = data
    with pytest.raises(DataError, match="shape"):
        train(small(), pixels[:, :, :4], labels, Settings(images=16, batch=16), tmp_path)
    with pytest.raises(DataError, match="no labels"):
        train(small(), pixels, None, Settings(images=16, batch=16), tmp_path)
    with pytest.raises(BudgetError):
        Settings(images=0)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="cannot be continued"):
        train(small(), pixels, labels, Settings(images=16, batch=16), tmp_path)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiling_for_a_training_leaves_no_trace() -> None:
    net = small().net
    names = list(net.state_dict())
    with _compiled(net):
        assert net._compiled_call_impl is not None
        assert list(net.state_dict()) == names
    assert net._compiled_call_impl is None
