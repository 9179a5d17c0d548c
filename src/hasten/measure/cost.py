"""What a model costs before anyone runs it: parameters, bytes of weights, multiplications."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import final

from hasten.core.macs import count_macs
from hasten.core.model import Model
from hasten.errors import BudgetError
from hasten.measure.result import Record


@final
@dataclass(frozen=True)
class Cost(Record):
    """Counted, not measured: the same on every machine.

    Attributes:
        parameters: Numbers the net has learned; shared ones once.
        weight_bytes: What they and the net's buffers occupy, in the precision they are held in.
        macs_linear_conv: Multiply-accumulates with weights in one evaluation of one sample.
        macs_attention: Those of activations with each other.
        evaluations: Evaluations a sample takes, as full ones; a guided evaluation is two.
    """

    parameters: int
    weight_bytes: int
    macs_linear_conv: int
    macs_attention: int
    evaluations: float

    @property
    def macs_per_evaluation(self) -> int:
        """Both columns."""
        return self.macs_linear_conv + self.macs_attention

    @property
    def macs_per_sample(self) -> float:
        """Of the whole sampling of one sample, without codec."""
        return self.evaluations * self.macs_per_evaluation


def cost(model: Model, evaluations: float = 1) -> Cost:
    """Count a model.

    Args:
        model: On any device, the meta device included.
        evaluations: Full evaluations a sample takes.

    Raises:
        ModelError: If the net cannot be run on an example input.
        BudgetError: If the number of evaluations is negative.
    """
    if evaluations < 0:
        raise BudgetError(f"{evaluations} evaluations cannot be counted")
    macs = count_macs(model).within("")
    held = itertools.chain(model.net.parameters(), model.net.buffers())
    return Cost(
        parameters=sum(p.numel() for p in model.net.parameters()),
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in held),
        macs_linear_conv=macs.linear_conv,
        macs_attention=macs.attention,
        evaluations=evaluations,
    )
