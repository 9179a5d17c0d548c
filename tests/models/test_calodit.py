from __future__ import annotations

import pytest
import torch

from hasten.core.anatomy import anatomy
from hasten.core.macs import count_macs
from hasten.core.model import Call, Model
from hasten.core.process import EDM, Raw
from hasten.models.calodit import CaloDiT, LayerNet


def woken(net: torch.nn.Module) -> torch.nn.Module:
    """With weights that are not zero where training begins with zeros."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


def tiny(**changes) -> CaloDiT:
    facts = {"shape": (6, 4, 3), "patch": (3, 4, 1), "width": 16, "depth": 3, "heads": 2}
    return CaloDiT(**{**facts, **changes})


def test_it_begins_as_zero() -> None:
    x, time, cond = torch.randn(2, 6, 4, 3), torch.zeros(2), torch.randn(2, 7)
    assert (tiny()(x, time, cond) == 0).all()
    assert (LayerNet(5, 16, 2)(torch.randn(2, 5), time, torch.randn(2, 1)) == 0).all()


def test_patches_come_back_where_they_were() -> None:
    net = woken(tiny(depth=0))
    x, time, cond = torch.randn(1, 6, 4, 3), torch.zeros(1), torch.zeros(1, 7)
    plain = net(x, time, cond)
    touched = x.clone()
    touched[0, 4, 1, 2] += 1
    changed = (net(touched, time, cond) != plain)[0]
    wanted = torch.zeros(6, 4, 3, dtype=torch.bool)
    wanted[3:, :, 2] = True  # its own patch: three layers, all sectors, one ring
    assert torch.equal(changed, wanted)


def test_a_token_is_told_its_own_layers() -> None:
    net = woken(tiny(depth=0))
    with torch.no_grad():
        for parameter in net.steering.parameters():
            parameter.zero_()  # leave the direct way only
    x, time, cond = torch.randn(1, 6, 4, 3), torch.zeros(1), torch.zeros(1, 7)
    plain, cond[0, 1 + 4] = net(x, time, cond), 1.0
    changed = (net(x, time, cond) != plain)[0]
    assert changed[3:].all()
    assert not changed[:3].any()


def test_time_and_conditions_matter() -> None:
    net = woken(tiny())
    x, time, cond = torch.randn(1, 6, 4, 3), torch.zeros(1), torch.zeros(1, 7)
    plain = net(x, time, cond)
    assert not torch.allclose(net(x, time + 0.1, cond), plain)
    assert not torch.allclose(net(x, time, cond + 0.1), plain)


def test_what_does_not_tile_is_refused() -> None:
    with pytest.raises(ValueError, match="do not tile"):
        tiny(patch=(4, 4, 1))


def test_parameters_and_multiplications_are_as_on_paper() -> None:
    width, depth, tokens, cells = 16, 3, 2 * 3, 12
    net = tiny()
    block = 3 * width**2 + width**2 + 8 * width**2  # attention and MLP, a token
    vector = 6 * width**2
    model = Model(net, EDM(), Raw(1.0), (6, 4, 3), Call(cond="cond"), card={"cond_shape": [7]})
    products = 2 * tokens * tokens * width  # queries with keys, weights with values
    wanted = tokens * (2 * cells * width + depth * block) + depth * (vector + products)
    wanted += (width + width + 7 + width) * width + 2 * width**2  # time, conditions, last norm
    wanted += 2 * 3 * width  # every token of a layer group gets one embedding of its layers
    assert count_macs(model).within("").total == wanted


def test_its_blocks_are_found() -> None:
    model = Model(
        woken(tiny()), EDM(), Raw(1.0), (6, 4, 3), Call(cond="cond"), card={"cond_shape": [7]}
    )
    found = anatomy(model)
    assert [path.split(".")[-1] for path in found.stacks[0].paths] == ["0", "1", "2"]
    assert len(found.attention) == 3
