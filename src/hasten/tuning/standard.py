"""Standard: what samples are held against, settled before anything is searched.

The user's data and judge, else those on the model's card, else the model's own converged samples
from other seeds - and then the claim is "the same distribution as your sampler", not "as good as
data". The search compares its candidates with other real samples than the verdicts do, so that
nothing is chosen by the data that judge.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hasten.core.model import Model
from hasten.data.images import load_images
from hasten.errors import DataError, ModelError
from hasten.loading import BUNDLED
from hasten.measure.degradations import Blur, Smear
from hasten.measure.features import Features, JudgeFeatures, default_features
from hasten.measure.moments import scattered
from hasten.measure.quality import make_reference
from hasten.measure.reference import Reference
from hasten.models.judge import load_judge, read_card

STATISTICS, SEARCHED = "stats.safetensors", "search.safetensors"
"""In a judge's folder: real data for verdicts, and others for a search."""
ENOUGH = 10_000
"""Real samples from which a half is enough to judge."""


@final
@dataclass(frozen=True, eq=False)
class Standard:
    """What stands behind the verdicts of a study.

    Attributes:
        features: What is looked at.
        reference: Real samples in these features, or the model's own: what judges.
        scout: Other real samples, for the search; the same ones where there are too few for two.
        against: ``data`` or ``own``.
    """

    features: Features
    reference: Reference
    scout: Reference
    against: str


def find_judge(model: Model, judge: str | None) -> Path | None:
    """The folder of a judge by name or path; None if none was asked for and the card names none.

    Raises:
        ModelError: If it was asked for and is not there.
    """
    name = judge or str(model.card.get("judge", {}).get("name", ""))
    if not name:
        return None
    for folder in (Path(name).expanduser(), BUNDLED / name, BUNDLED / f"{name}-judge"):
        if (folder / STATISTICS).is_file():
            return folder
    known = sorted(path.parent.name for path in BUNDLED.glob(f"*-judge/{STATISTICS}"))
    raise ModelError(
        "there is no such judge", where=name, hint=f"bundled: {', '.join(known) or 'none'}"
    )


def real_samples(path: str | Path) -> tuple[Tensor, str]:
    """The user's reference data, as decoded samples look, and what to call them.

    Raises:
        DataError: If they cannot be read.
    """
    images = load_images(path)
    title = " ".join(filter(None, [images.name, images.split or ""]))
    return images.pixels, f"{title}, {len(images):,} images"


def settle(
    model: Model,
    judge: str | None,
    reference: str | Path | Tensor | None,
    own: Callable[[], tuple[Tensor, Tensor | None]],
    *,
    split: bool = True,
) -> Standard:
    """What is looked at, against what, and whether that is data.

    Args:
        model: What is judged.
        judge: Name or folder of a judge; None takes the card's.
        reference: The user's data; None takes the judge's.
        own: Draws the model's own converged samples and their conditions, if nothing else is there.
        split: Whether a search shall have real samples of its own.

    Raises:
        ModelError: If the judge is not there.
        DataError: If the data are unsuitable.
    """
    folder = find_judge(model, judge)
    if folder is not None and reference is None:
        return _published(folder)
    against, cond = "data", None
    if reference is None:
        real, cond = own()
        against, title = "own", f"{model.name}'s own converged samples, {len(real):,}"
    elif isinstance(reference, Tensor):
        real, title = reference, f"given samples, {len(reference):,}"
    else:
        real, title = real_samples(reference)
    features = default_features(real) if folder is None else _features(folder)
    if not split or len(real) < ENOUGH:
        found = _reference(model, features, real, cond, title)
        return Standard(features, found, found, against)
    order = torch.from_numpy(scattered(len(real)))
    halves = [
        _reference(
            model,
            features,
            real[part],
            None if cond is None else cond[part],
            f"{title}, {which} half",
        )
        for which, part in zip(("one", "the other"), order.tensor_split(2), strict=True)
    ]
    return _standard(features, halves[0], halves[1], against)


def _published(folder: Path) -> Standard:
    """What a judge's folder holds: test data judge, training data guide the search."""
    found, search = Reference.load(folder / STATISTICS), folder / SEARCHED
    scout = Reference.load(search) if search.is_file() else found
    return _standard(_features(folder), found, scout, "data")


def _standard(features: Features, found: Reference, scout: Reference, against: str) -> Standard:
    # the margin's floor is one number, on the search's seeds and on the final ones
    scout = dataclasses.replace(scout, just_visible=found.just_visible)
    return Standard(features, found, scout, against)


def _features(folder: Path) -> Features:
    name = str(read_card(folder).get("judge", {}).get("name", folder.name))
    return JudgeFeatures(load_judge(folder), name)


def _reference(
    model: Model, features: Features, real: Tensor, cond: Tensor | None, title: str
) -> Reference:
    images = model.kind == "image" and real.ndim == 4
    degrade = Blur() if images else Smear() if model.kind == "shower" else Smear(0.2)
    unit = real.float() / 255 if real.dtype == torch.uint8 else real.float()
    if not len(unit):
        raise DataError("no reference samples", where=title)
    found = make_reference(
        features, unit, data=title, degrade=degrade, degradation=degrade.name, cond=cond
    )
    # with few samples the corrected distance of slightly damaged data can fall below zero
    return dataclasses.replace(found, just_visible=max(found.just_visible, 0.0))
