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

from hasten.adapters.card import CARD, load_bundle, save_bundle
from hasten.adapters.showers import Showers
from hasten.adapters.weights import read_tensors
from hasten.core.fingerprint import fingerprint
from hasten.core.model import Identity, Model
from hasten.core.plan import Plan
from hasten.data.showers import Showers as Data
from hasten.data.showers import load_showers
from hasten.data.showers.conditions import check_range
from hasten.errors import ModelError, PlanError
from hasten.files import atomic_write_bytes
from hasten.models.calibration import Calibration, check_enough
from hasten.solvers import stock_plan
from hasten.solvers.loop import sample

STEPS = 18
"""Of Heun's method, by which the model is sampled unless a plan is given: 35 evaluations."""
BATCH = 50
FIRST_SEED = 1 << 40
"""Far from seeds that people give; the chance that a search or a verdict draws these is nil."""
SAMPLED = "calibrating"
"""Folder in the model's in which finished batches lie until the end, so that none is lost."""


def calibrate(
    folder: Path,
    data: Path,
    count: int,
    progress: Callable[[int, int], None] | None = None,
    *,
    plan: Plan | None = None,
) -> Model:
    """Sample a shower model, and write into its folder what sets its cells right.

    What a sampler blurs, and where it leaves too much, is up to the plan; so a plan of few
    evaluations gains from maps of its own. Stopped and called again, it goes on after the last
    batch that was finished.

    Args:
        folder: Of a model as ``hasten train`` writes it; a calibration it has is replaced.
        data: The showers it was trained on; the first 80 % are taken.
        count: Showers to sample.
        progress: Told after every batch how many there are.
        plan: Calibrate for samples of this plan alone, beside what there is; None samples as
            exactly as may be and calibrates for all plans that have no maps of their own.

    Returns:
        The calibrated model.

    Raises:
        ModelError: If it is no shower model with a layer model, or has no maps for all plans yet.
        PlanError: If the plan holds rows: what is held is up to a method, and not to the plan.
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
    if plan is not None and not all(reuse.full for reuse in plan.reuse):
        raise PlanError(
            "a calibration is for samples of a plan alone, and this one holds rows",
            where=plan.label,
            hint="a plan all of whose rows are full, as hasten plan find or tune --only plan "
            "finds it",
        )
    model, codec = _opened(folder)
    showers = load_showers(data, geometry=codec.geometry, split="train")
    check_range(
        showers.energies, codec.energies, showers.name, "give the showers it was trained on"
    )
    incident = torch.from_numpy(showers.energies)
    for some in (incident[:count], incident):
        check_enough(codec.energies.unit(some))
    if plan is not None and codec.calibration is None:
        raise ModelError(
            "a calibration for one plan stands beside the one for all, and there is none",
            where=str(folder),
            hint="hasten calibrate FOLDER without a recipe first",
        )
    asked = plan or stock_plan(model.process, "heun", "karras", STEPS)
    place = folder / SAMPLED / asked.fingerprint()
    made, unit = _numbers(model, codec, asked, incident[:count], place, progress)
    fitted = Calibration.fit(made, unit, *_true(codec, showers))
    model, codec = _opened(folder)  # with what others calibrated in the meantime
    training = dict(model.card.get("training", {}))
    if plan is None:
        better = dataclasses.replace(codec, calibration=fitted)
        training["calibrated"] = count
    else:
        fitted = dataclasses.replace(fitted, plan=plan.label)
        tailored = {**codec.tailored, plan.fingerprint(): fitted}
        better = dataclasses.replace(codec, tailored=tailored)
    changed = model.replace(codec=better)
    kept = {k: model.card[k] for k in ("about", "reference", "judge") if k in model.card}
    save_bundle(folder, changed, model.card["net"], {**kept, "training": training})
    shutil.rmtree(place)
    with suppress(OSError):  # batches of others may lie there
        place.parent.rmdir()
    return load_bundle(folder)


def _opened(folder: Path) -> tuple[Model, Showers]:
    model = load_bundle(folder)
    if not isinstance(model.codec, Showers):
        raise ModelError(
            "only a shower model with a layer model can be calibrated", where=str(folder)
        )
    return model, model.codec


def _numbers(
    model: Model,
    codec: Showers,
    plan: Plan,
    incident: Tensor,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> tuple[Tensor, Tensor]:
    """The model's numbers of cells and the unit energies, as the codec would get them."""
    bare = model.replace(codec=Identity(), energies=None)
    weights = [each.card["weights"] for each in (model, codec.layers)]
    plain = repr(dataclasses.replace(codec, calibration=None, tailored={}))  # maps are not asked
    parts = []
    for first in range(0, len(incident), BATCH):
        some = incident[first : first + BATCH]
        name = fingerprint([weights, plain, plan.fingerprint(), first, some.tolist()])
        path = folder / f"{name}.safetensors"
        if not path.is_file():
            atomic_write_bytes(path, save(_batch(bare, codec, plan, some, FIRST_SEED + first)))
        parts.append(read_tensors(path)[0])
        if progress is not None:
            progress(first + len(some), len(incident))
    return torch.cat([part["numbers"] for part in parts]), torch.cat([p["unit"] for p in parts])


def _batch(
    bare: Model, codec: Showers, plan: Plan, incident: Tensor, seed: int
) -> dict[str, Tensor]:
    seeds = range(seed, seed + len(incident))
    told = codec.encode(incident, seeds)
    assert told is not None
    numbers = sample(bare, plan, seeds, told) * codec.spread + codec.centre
    numbers = codec.agreed(numbers, codec.totals(told))
    return {"numbers": numbers.half(), "unit": told[:, 0].contiguous()}


def _true(codec: Showers, showers: Data) -> tuple[Tensor, Tensor]:
    cells, incident = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    parts = (slice(first, first + BATCH) for first in range(0, len(cells), BATCH))
    # half precision is finer than the levels; it halves the memory
    numbers = [codec.numbers(cells[part]).half() for part in parts]
    return torch.cat(numbers), codec.energies.unit(incident)
