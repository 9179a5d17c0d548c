from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hasten.core.model import Model
from hasten.core.process import EDM, Raw
from hasten.errors import BudgetError, RunError
from hasten.measure.cost import cost
from hasten.measure.memory import peak_memory


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 10)
        self.again = self.first  # shared
        self.last = nn.Linear(10, 6, bias=False)
        self.register_buffer("table", torch.zeros(7, dtype=torch.float64))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.last(torch.tanh(self.first(x)))
        return out


def test_parameters_bytes_and_multiplications_are_counted() -> None:
    model = Model(Net(), EDM(), Raw(), (6,))
    found = cost(model, evaluations=20)
    assert found.parameters == 6 * 10 + 10 + 10 * 6
    assert found.weight_bytes == 4 * 130 + 8 * 7
    assert (found.macs_linear_conv, found.macs_attention) == (120, 0)
    assert found.macs_per_sample == 20 * 120
    half = cost(model.replace(net=Net().to(torch.bfloat16)))
    assert half.weight_bytes == 2 * 130 + 2 * 7
    assert half.macs_per_evaluation == found.macs_per_evaluation
    with pytest.raises(BudgetError):
        cost(model, evaluations=-1)


def test_guidance_is_counted_with_what_its_second_branch_costs() -> None:
    model = Model(Net(), EDM(), Raw(), (6,))
    by_null = cost(model, 20, guided=8)
    assert by_null.macs_per_sample == (20 + 8) * 120
    weak = nn.Sequential(nn.Linear(6, 6, bias=False))
    guide = model.replace(net=First(weak))
    guided = cost(model.replace(guide=guide), 20, guided=8)
    assert guided.macs_guidance == 36
    assert guided.macs_per_sample == 20 * 120 + 8 * 36
    assert guided.macs_per_evaluation == 120
    assert guided.parameters == by_null.parameters + 36
    assert guided.weight_bytes == by_null.weight_bytes + 4 * 36
    own = cost(model.replace(guide=model))
    assert own.parameters == by_null.parameters
    with pytest.raises(BudgetError, match="5 evaluations, 6 guided"):
        cost(model, 5, guided=6)


class First(nn.Module):
    """A net that does not look at the time."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


def test_peak_memory_is_that_of_the_work_alone() -> None:
    """Neither the parent's memory nor that of imports is counted as work."""
    held = np.ones(400 * 2**17)  # 400 MiB, more than all of the child
    found = peak_memory("numpy:ones", {"shape": 160 * 2**17})
    assert held[-1] == 1
    assert 0.9 * 160 * 2**20 < found.work < 200 * 2**20
    assert found.peak < held.nbytes
    assert found.device is None


def test_work_that_fails_is_told_in_words() -> None:
    with pytest.raises(RunError, match="no attribute 'nothing'"):
        peak_memory("numpy:nothing")
