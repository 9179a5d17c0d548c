"""``hasten calibrate``: the spread of a trained shower model's cells put right by true showers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hasten.adapters.card import load_bundle, save_bundle
from hasten.adapters.showers import Showers
from hasten.core.model import Identity, Model
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers
from hasten.errors import ModelError
from hasten.models.calibration import Calibration
from hasten.solvers import stock_plan
from hasten.solvers.loop import sample

STEPS = 18
"""Of Heun's method, by which the model is sampled for this: 35 evaluations."""
BATCH = 50
FIRST_SEED = 1 << 40
"""Far from seeds that people give; the chance that a search or a verdict draws these is nil."""


def calibrate(
    folder: Path, data: Path, count: int, progress: Callable[[int, int], None] | None = None
) -> Model:
    """Sample a shower model as exactly as may be, and write into its folder what sets it right.

    Args:
        folder: Of a model as ``hasten train`` writes it; a calibration it has is replaced.
        data: The showers it was trained on; the first 80 % are taken.
        count: Showers to sample.
        progress: Told after every batch how many there are.

    Returns:
        The calibrated model.

    Raises:
        ModelError: If it is no shower model with a layer model.
        DataError: If the showers do not suit it.
        BudgetError: If there are too few.
    """
    model = load_bundle(folder)
    codec = model.codec
    if not isinstance(codec, Showers):
        raise ModelError(
            "only a shower model with a layer model can be calibrated", where=str(folder)
        )
    showers = load_showers(data, geometry=codec.geometry, split="train")
    incident = torch.from_numpy(showers.energies)
    made, unit = _numbers(model, codec, incident[:count], progress)
    fitted = Calibration.fit(made, unit, *_true(codec, showers))
    changed = model.replace(codec=dataclasses.replace(codec, calibration=fitted))
    kept = {k: model.card[k] for k in ("about", "reference", "judge") if k in model.card}
    training = {**model.card.get("training", {}), "calibrated": count}
    save_bundle(folder, changed, model.card["net"], {**kept, "training": training})
    return load_bundle(folder)


def _numbers(
    model: Model, codec: Showers, incident: Tensor, progress: Callable[[int, int], None] | None
) -> tuple[Tensor, Tensor]:
    """The model's numbers of cells and the unit energies, as the codec would get them."""
    bare = model.replace(codec=Identity(), energies=None)
    plan = stock_plan(model.process, "heun", "karras", STEPS)
    numbers, units = [], []
    for first in range(0, len(incident), BATCH):
        some = incident[first : first + BATCH]
        seeds = range(FIRST_SEED + first, FIRST_SEED + first + len(some))
        told = codec.encode(some, seeds)
        assert told is not None
        made = sample(bare, plan, seeds, told)
        numbers.append((made * codec.spread + codec.centre).half())
        units.append(told[:, 0])
        if progress is not None:
            progress(first + len(some), len(incident))
    return torch.cat(numbers), torch.cat(units)


def _true(codec: Showers, showers: Data) -> tuple[Tensor, Tensor]:
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    parts = (slice(first, first + BATCH) for first in range(0, len(cells), BATCH))
    # half precision is finer than the levels; it halves the memory
    numbers = [codec.numbers(cells[part]).half() for part in parts]
    return torch.cat(numbers), codec.energies.unit(incident)
