from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hasten.adapters.module import from_module
from hasten.core.model import Call, Classes, Pixels
from hasten.core.process import EDM, VP, Eps, Flow, Raw, Velocity
from hasten.errors import ModelError, OutputError


class Net(nn.Module):
    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def forward(self, x: Tensor, time: Tensor, y: Tensor | None = None) -> Tensor:
        self.calls += 1
        shift = 0 if y is None else y.reshape(-1, *[1] * (x.ndim - 1))
        return self.factor * self.dropout(x) + shift


def test_facts_arrive_and_the_net_is_asked_once() -> None:
    net = Net().train()
    model = from_module(net, EDM(), Raw(0.5), (3, 4, 4), codec=Pixels(), clip=1.0, name="mine")
    assert net.calls == 1
    assert not net.training
    assert (model.kind, model.name, model.shape) == ("image", "mine", (3, 4, 4))
    assert from_module(Net(), EDM(), Raw(0.5), [16, 2]).kind == "toy"
    assert from_module(Net(), EDM(), Raw(0.5), [16, 2], kind="shower").kind == "shower"


def test_no_caller_randomness_is_used_up() -> None:
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    from_module(Net(), VP(), Eps(), (2,))
    assert torch.equal(torch.rand(1), want)


def test_a_net_that_wants_other_arguments_is_shown_with_its_signature() -> None:
    class Other(Net):
        def forward(self, x: Tensor, time: Tensor, prompt: Tensor) -> Tensor:  # type: ignore[override]
            return x

    with pytest.raises(ModelError, match=r"(?s)prompt.*forward\(x: .*Call\(cond="):
        from_module(Other(), VP(), Eps(), (2,))


def test_the_wrong_shape_and_numbers_that_are_not_finite_are_refused() -> None:
    class Wide(Net):
        def forward(self, x: Tensor, time: Tensor, y: Tensor | None = None) -> Tensor:
            return torch.cat([x, x], dim=1)

    with pytest.raises(OutputError, match="shape"):
        from_module(Wide(), VP(), Eps(), (2,))
    assert from_module(Wide(), VP(), Eps(), (2,), call=Call(channels=2)).shape == (2,)
    with pytest.raises(OutputError, match="not finite"):
        from_module(Net(float("nan")), Flow(), Velocity(), (2,))


def test_classes_need_a_keyword_and_a_null_label_in_range() -> None:
    by_label = Call(cond="y")
    model = from_module(Net(), VP(), Eps(), (2,), call=by_label, classes=Classes(3, null=3))
    assert model.denoise(torch.zeros(2, 2), 1.0, torch.tensor([0, 2])).shape == (2, 2)
    with pytest.raises(ModelError, match="keyword"):
        from_module(Net(), VP(), Eps(), (2,), classes=Classes(3))
    for wrong in (Classes(0), Classes(3, null=4), Classes(3, null=-1)):
        with pytest.raises(ModelError, match="null class"):
            from_module(Net(), VP(), Eps(), (2,), call=by_label, classes=wrong)
    with pytest.raises(ModelError, match="names"):
        from_module(Net(), VP(), Eps(), (2,), call=by_label, classes=Classes(3, names=("a",)))


def test_other_conditions_are_checked_by_example() -> None:
    def model_with(example: Tensor | None) -> None:
        from_module(Net(), VP(), Eps(), (2,), call=Call(cond="y"), example=example)

    model_with(None)  # nothing to ask with
    model_with(torch.zeros(2))
    with pytest.raises(OutputError, match="not finite"):
        model_with(torch.full((2,), torch.inf))


def test_a_guide_is_kept_and_asked_too() -> None:
    weak = from_module(Net(0.5), EDM(), Raw(), (2,), name="weak")
    model = from_module(Net(), EDM(), Raw(), (2,), guide=weak)
    assert model.guide is weak
    x = torch.ones(1, 2)
    own, other = model.denoise(x, 1.0), weak.denoise(x, 1.0)
    assert torch.equal(model.denoise(x, 1.0, guidance=3.0), other + 3 * (own - other))
    broken = weak.replace(net=Net(float("nan")), name="broken")
    with pytest.raises(OutputError, match="not finite") as caught:
        from_module(Net(), EDM(), Raw(), (2,), guide=broken)
    assert caught.value.where == "broken"
    with pytest.raises(ModelError, match="shape"):
        from_module(Net(), EDM(), Raw(), (3,), guide=weak)


@pytest.mark.parametrize("shape", [(), (0, 3)])
def test_a_sample_has_a_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="shape of a sample"):
        from_module(Net(), VP(), Eps(), shape)


def test_clip_is_positive() -> None:
    with pytest.raises(ModelError, match="clip"):
        from_module(Net(), VP(), Eps(), (2,), clip=-1.0)
