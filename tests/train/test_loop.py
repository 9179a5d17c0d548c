from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hasten.core.model import Call, Classes, Model
from hasten.core.process import EDM, VP, Raw, V
from hasten.errors import BudgetError, DataError, RunError
from hasten.models.uvit import UViT
from hasten.train.loop import Settings, State, _batch, _compiled, train
from hasten.train.sources import Pictures, Rows, Turned


def small() -> Model:
    torch.manual_seed(0)
    net = UViT(8, 1, 4, 16, 2, 2, classes=4)
    classes = Classes(3, null=3)
    return Model(net, VP(), V(), (1, 8, 8), Call(cond="label"), classes=classes)


def learn(
    data: tuple[torch.Tensor, torch.Tensor], settings: Settings, folder: Path, **more: Any
) -> State:
    model = small()
    return train(model, Pictures(model, *data, flip=settings.flip), settings, folder, **more)


@pytest.fixture
def data() -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randint(0, 255, (40, 1, 8, 8), dtype=torch.uint8)
    return pixels, torch.randint(0, 3, (40,))


def test_a_resumed_training_equals_an_uninterrupted_one_to_the_bit(
    data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    whole = Settings(samples=96, batch=16, ramp=32, every=1, flip=True)
    straight = learn(data, whole, tmp_path / "a")

    class KilledError(Exception):
        pass

    def kill(seen: int, total: int, loss: float) -> None:
        if seen >= 32:
            raise KilledError

    with pytest.raises(KilledError):
        learn(data, whole, tmp_path / "b", progress=kill)
    resumed = learn(data, whole, tmp_path / "b")
    assert resumed.step == straight.step == 6
    for name, weight in straight.model.net.state_dict().items():
        assert torch.equal(weight, resumed.model.net.state_dict()[name])
        assert torch.equal(straight.average.weights[name], resumed.average.weights[name])


def test_training_lowers_the_loss(data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path) -> None:
    losses: list[float] = []
    settings = Settings(samples=16 * 120, batch=16, ramp=160, rate=3e-3, every=40)
    plain = (100 * data[1]).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    learn((plain, data[1]), settings, tmp_path, progress=lambda *now: losses.append(now[2]))
    assert losses[-1] < 0.8 * losses[0], losses


def test_every_epoch_shows_every_image_once() -> None:
    settings = Settings(samples=80, batch=16)
    picks = torch.cat([_batch(40, seen, settings) for seen in range(0, 80, 16)])
    assert torch.equal(picks[:40].sort().values, torch.arange(40))
    assert torch.equal(picks[40:].sort().values, torch.arange(40))
    assert not torch.equal(picks[:40], picks[40:])


def test_bad_input_is_refused_in_words(
    data: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    pixels, labels = data
    with pytest.raises(DataError, match="shape"):
        Pictures(small(), pixels[:, :, :4], labels)
    with pytest.raises(DataError, match="no labels"):
        Pictures(small(), pixels, None)
    with pytest.raises(BudgetError):
        Settings(samples=0)
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(RunError, match="cannot be continued"):
        learn(data, Settings(samples=16, batch=16), tmp_path)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")
def test_compiling_for_a_training_leaves_no_trace() -> None:
    net = small().net
    names = list(net.state_dict())
    with _compiled(net):
        assert net._compiled_call_impl is not None
        assert list(net.state_dict()) == names
    assert net._compiled_call_impl is None


def test_log_normal_noise_levels_are_what_edm_trains_on(tmp_path: Path) -> None:
    seen: list[np.ndarray] = []

    class Listening(torch.nn.Linear):
        def forward(self, x: torch.Tensor, time: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
            seen.append(4 * time.numpy())
            return super().forward(x)

    model = Model(Listening(3, 3), EDM(), Raw(1.0), (3,), Call(cond="cond"))
    rows = Rows(torch.randn(4096, 3), torch.zeros(4096, 1))
    train(model, rows, Settings(samples=4096, batch=4096, noise=(-0.6, 1.2)), tmp_path)
    logs = np.concatenate(seen)
    # stratified draws: far closer than independent ones
    assert logs.mean() == pytest.approx(-0.6, abs=5e-3)
    assert logs.std() == pytest.approx(1.2, abs=1e-2)


def test_turned_showers_keep_every_ring_and_the_order_of_sectors() -> None:
    x0 = torch.arange(2 * 3 * 8 * 2, dtype=torch.float16).view(2, 3, 8, 2)
    cond = torch.tensor([[1.0], [2.0]])
    turned, told = Turned(x0, cond).draw(
        torch.tensor([0, 1] * 40), torch.Generator().manual_seed(1)
    )
    assert told is not None
    assert told[:, 0].tolist() == [1.0, 2.0] * 40
    orders = set()
    for shower, whose in zip(turned, [0, 1] * 40, strict=True):
        sectors = (shower[0, :, 0] - x0[whose, 0, 0, 0]).div(2).long()
        assert torch.equal(shower, x0[whose].float()[:, sectors])
        assert set(sectors.diff().remainder(8).tolist()) in ({1}, {7})
        orders.add(tuple(sectors.tolist()))
    assert len(orders) > 12  # of sixteen
