"""Calibrate: the spread of a shower model's cells put right for samples of one recipe.

What a sampler blurs, and where it leaves too many cells, is up to its plan: few evaluations blur
other things than many do. So the recipe itself is sampled, and for every ring its numbers of cells
are mapped to those of true showers (`hasten.models.calibration`). How true showers are spread comes
with the model, so no data are needed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self, final

from hasten.adapters import made
from hasten.adapters.showers import Showers
from hasten.core.method import (
    Artifact,
    Aspect,
    Data,
    Given,
    Needs,
    Obstacle,
    Stage,
    Transform,
    knob,
)
from hasten.core.model import Model
from hasten.models.calibration import Calibration

ROUGH = 500
"""Showers with which distances repeat to about a twentieth; with twice as many, to a fiftieth."""


@final
@dataclass(frozen=True)
class Calibrate(Transform):
    """Maps of a recipe's own from what it makes to what true showers are.

    Attributes:
        showers: That are sampled for it.
    """

    name, stage, touches = "calibrate", Stage.DECODE, Aspect.OUTPUT
    needs, paper = Needs(Data.ROLLOUTS), "quantile mapping (Panofsky and Brier 1968)"
    showers: int = knob(1000, low=ROUGH, high=20_000, help="showers that are sampled for it")

    def obstacles(self, model: Model) -> list[Obstacle]:
        codec = model.codec
        if not isinstance(codec, Showers):
            what = "only what a shower model with a layer model makes can be calibrated"
            return [Obstacle(what, where=model.name, hint="leave it out")]
        if codec.true is None:
            what = "the model does not say how the cells of true showers are spread"
            hint = "hasten calibrate FOLDER --data SHOWERS.h5 once, with those it was trained on"
            return [Obstacle(what, where=model.name, hint=hint)]
        return []

    def rough(self) -> Self:
        return replace(self, showers=ROUGH)

    def prepare(self, given: Given) -> Artifact:
        """The maps.

        Raises:
            BudgetError: If there are too few showers at some energy.
        """
        codec = _codec(given.model)
        assert codec.true is not None
        parts = []
        for unit, seeds in made.batches(codec.true, self.showers):
            parts.append((made.numbers(given.model, codec, given.plan, unit, seeds), unit))
            given.progress(sum(len(each) for _, each in parts), self.showers)
        found = Calibration.fit(*made.joined(parts), codec.true)
        return Artifact({"table": found.table}, {"high": found.high, "gap": found.gap})

    def apply(self, model: Model, artifact: Artifact) -> Model:
        maps = Calibration(table=artifact.tensors["table"], **artifact.facts)
        codec = replace(_codec(model), calibration=maps)
        return model.replace(codec=codec, clock=model.clock)


def _codec(model: Model) -> Showers:
    if not isinstance(model.codec, Showers):
        raise TypeError("only shower models are calibrated")
    return model.codec
