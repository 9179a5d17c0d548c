"""``hasten calibrate``: the spread of a trained shower model's cells put right by true showers."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from hasten.adapters import made
from hasten.adapters.card import CARD, load_bundle, save_bundle
from hasten.adapters.showers import Showers
from hasten.adapters.weights import read_tensors
from hasten.core.fingerprint import fingerprint
from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers
from hasten.data.showers.conditions import check_range
from hasten.errors import ModelError
from hasten.files import atomic_write_bytes
from hasten.models.calibration import Calibration, Spread, check_enough
from hasten.solvers import stock_plan

STEPS = 18
"""Of Heun's method, by which the model is sampled: 35 evaluations."""
SAMPLED = "calibrating"
"""Folder in the model's in which finished batches lie until the end, so that none is lost."""


def calibrate(
    folder: Path,
    data: Path,
    count: int,
    progress: Callable[[int, int], None] | None = None,
) -> Model:
    """Write into a shower model's folder how true showers are spread, and what sets its cells so.

    The model is sampled as exactly as may be. The maps from that serve all recipes without maps of
    their own (`hasten.methods.calibrate`), which are fitted to the same true showers. Stopped and
    called again, it goes on after the last batch that was finished.

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
    if not (folder / CARD).is_file():
        raise ModelError(
            "there is no model in such a folder",
            where=str(folder),
            hint="name a folder as hasten train writes it, such as runs/calo/model; bundled models "
            "are calibrated already",
        )
    model = load_bundle(folder)
    codec = model.codec
    if not isinstance(codec, Showers):
        raise ModelError(
            "only a shower model with a layer model can be calibrated", where=str(folder)
        )
    showers = load_showers(data, geometry=codec.geometry, split="train")
    check_range(
        showers.energies, codec.energies, showers.name, "give the showers it was trained on"
    )
    check_enough(codec.energies.unit(torch.from_numpy(showers.energies)))
    true = _spread(codec, showers)
    check_enough(true.unit(count))
    place = folder / SAMPLED
    plain = dataclasses.replace(codec, calibration=None, true=None)
    fitted = Calibration.fit(*_made(model.replace(codec=plain), true, count, place, progress), true)
    training = {**model.card.get("training", {}), "calibrated": count}
    changed = model.replace(codec=dataclasses.replace(codec, calibration=fitted, true=true))
    kept = {k: model.card[k] for k in ("about", "reference", "judge") if k in model.card}
    save_bundle(folder, changed, model.card["net"], {**kept, "training": training})
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
    return load_bundle(folder)


def _made(
    model: Model,
    true: Spread,
    count: int,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> tuple[Tensor, Tensor]:
    """The model's numbers of cells and the unit energies, as the codec would get them."""
    codec, parts = model.codec, []
    assert isinstance(codec, Showers)
    plan = stock_plan(model.process, "heun", "karras", STEPS)
    identity = model_fingerprint(model)
    for unit, seeds in made.batches(true, count):
        name = fingerprint([identity, plan.fingerprint(), seeds[0], unit.tolist()])
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            # half precision is finer than the levels of the maps
            numbers = made.numbers(model, codec, plan, unit, seeds).half()
            atomic_write_bytes(path, save({"numbers": numbers}))
        parts.append((read_tensors(path)[0]["numbers"], unit))
        if progress is not None:
            progress(sum(len(each) for _, each in parts), count)
    return made.joined(parts)


def _spread(codec: Showers, showers: Data) -> Spread:
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    numbers = [codec.numbers(part).half() for part in torch.split(cells, made.BATCH)]
    return Spread.of(torch.cat(numbers), codec.energies.unit(incident), codec.scale.gap)
