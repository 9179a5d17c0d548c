"""What a model costs before anyone runs it: parameters, bytes of weights, multiplications."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import final

from torch import nn

from hasten.core.macs import count_macs
from hasten.core.model import Model
from hasten.errors import BudgetError
from hasten.measure.result import Record


@final
@dataclass(frozen=True)
class Cost(Record):
    """Counted, not measured: the same on every machine.

    Attributes:
        parameters: Numbers the net and its guide have learned; shared ones once.
        weight_bytes: What they and the buffers occupy, in the precision they are held in.
        macs_linear_conv: Multiply-accumulates with weights in one evaluation of one sample.
        macs_attention: Those of activations with each other.
        evaluations: Evaluations a sample takes, as full ones.
        guided: How many of them ask a second branch: the guide, or the net under its null class.
        macs_guidance: Multiply-accumulates of the second branch in one evaluation of one sample.
    """

    parameters: int
    weight_bytes: int
    macs_linear_conv: int
    macs_attention: int
    evaluations: float
    guided: float
    macs_guidance: int

    @property
    def macs_per_evaluation(self) -> int:
        """Both columns, of the net alone."""
        return self.macs_linear_conv + self.macs_attention

    @property
    def macs_per_sample(self) -> float:
        """Of the whole sampling of one sample, without codec."""
        return self.evaluations * self.macs_per_evaluation + self.guided * self.macs_guidance


def cost(model: Model, evaluations: float = 1, guided: float = 0) -> Cost:
    """Count a model.

    Args:
        model: On any device, the meta device included.
        evaluations: Full evaluations a sample takes.
        guided: How many of them are guided (`hasten.Plan.guided`).

    Raises:
        ModelError: If the net cannot be run on an example input.
        BudgetError: If the number of evaluations is negative, or more are guided than made.
    """
    if not 0 <= guided <= evaluations:
        raise BudgetError(f"{evaluations} evaluations, {guided} guided, cannot be counted")
    macs = count_macs(model).within("")
    second = macs if model.guide is None else count_macs(model.guide).within("")
    nets = nn.ModuleList([model.net] if model.guide is None else [model.net, model.guide.net])
    held = itertools.chain(nets.parameters(), nets.buffers())
    return Cost(
        parameters=sum(p.numel() for p in nets.parameters()),
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        macs_linear_conv=macs.linear_conv,
        macs_attention=macs.attention,
        evaluations=evaluations,
        guided=guided,
        macs_guidance=second.total,
    )
