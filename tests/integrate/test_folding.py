"""Constants of a traced net are torch's own numbers, and nothing else is."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hasten.integrate.folding import folded
from hasten.models.uvit import sinusoid


def traced(module: nn.Module, *inputs: Tensor) -> nn.Module:
    shapes = tuple({0: torch.export.Dim.DYNAMIC} for _ in inputs)
    program = torch.export.export(module, inputs, dynamic_shapes=(shapes,), strict=True)
    return folded(program)


class Waves(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return sinusoid(inputs[0] * 1000, 16)


def test_frequencies_become_the_numbers_torch_finds() -> None:
    module, time = Waves(), torch.linspace(-1.5, 1.1, 5)
    made = traced(module, time)
    (table,) = made.buffers()
    assert torch.equal(table, torch.exp(-torch.log(torch.tensor(1e4)) * torch.arange(8) / 8)) or (
        torch.allclose(table, torch.exp(-9.210340371976184 * torch.arange(8) / 8), rtol=1e-7)
    )
    assert torch.equal(made(time), module(time))
    assert torch.equal(made(time[:1]), module(time[:1]))
    targets = [str(node.target) for node in made.graph.nodes]  # type: ignore[union-attr]
    assert not any("arange" in each or "exp." in each for each in targets)


class Wild(nn.Module):
    """Random numbers, a weight, and a constant that is written into."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 2.0))

    def forward(self, *inputs: Tensor) -> Tensor:
        x = inputs[0]
        table = torch.zeros(3)
        table.add_(x.sum())
        return torch.randn(3) * 0 + torch.rand(3) + self.weight.exp() + table


def test_what_is_random_learned_or_written_into_stays() -> None:
    made = traced(Wild(), torch.ones(4))
    one, two = made(torch.ones(4)), made(torch.ones(4))
    assert not torch.equal(one, two)
    rest = made(torch.zeros(4)) - torch.full((3,), 2.0).exp()
    assert ((rest >= 0) & (rest <= 1)).all()
    with torch.no_grad():
        next(iter(made.parameters())).zero_()
    assert ((made(torch.zeros(4)) - 1 >= 0) & (made(torch.zeros(4)) - 1 <= 1)).all()
