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

from hasten.adapters.codecs import geometry_of
from hasten.adapters.weights import read_tensors
from hasten.core.model import Model
from hasten.data.images import load_images
from hasten.data.showers import load_showers
from hasten.data.showers.conditions import check_law
from hasten.errors import DataError, ModelError
from hasten.loading import BUNDLED
from hasten.measure.degradations import Blur, Shift, Smear
from hasten.measure.features import Features, JudgeFeatures, default_features
from hasten.measure.moments import scattered
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.quality import make_reference
from hasten.measure.reference import Reference
from hasten.models.judge import load_judge, read_card

STATISTICS, SEARCHED = "stats.safetensors", "search.safetensors"
"""In a judge's folder: real data for verdicts, and others for a search."""
PHYSICS, SEEN = "features.safetensors", "seen.safetensors"
"""In a shower judge's folder: what is looked at, and observables of the showers that judge."""
SHOWN = 4000
"""Real samples that are shown, at most."""
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
        seen: What people want to see of the real samples that judge [n, columns], or None.
        means: Of what is not kept one by one, as in `Reading.means` [4, columns], or None.
    """

    features: Features
    reference: Reference
    scout: Reference
    against: str
    seen: Tensor | None = None
    means: Tensor | None = None

    @property
    def apart(self) -> bool:
        """Whether the search sees other real samples than those that judge."""
        return self.scout.fingerprint() != self.reference.fingerprint()


def find_judge(model: Model, judge: str | None) -> Path | None:
    """The folder of a judge by name or path; None if none was asked for and the card names none.

    Raises:
        ModelError: If it was asked for and is not there.
    """
    name = judge or str(model.card.get("judge", {}).get("name", ""))
    return named_judge(name) if name else None


def named_judge(name: str) -> Path:
    """The folder of a judge by name or path.

    Raises:
        ModelError: If it is not there.
    """
    for folder in (Path(name).expanduser(), BUNDLED / name, BUNDLED / f"{name}-judge"):
        if (folder / STATISTICS).is_file():
            return folder
    known = sorted(path.parent.name for path in BUNDLED.glob(f"*-judge/{STATISTICS}"))
    raise ModelError(
        "there is no such judge", where=name, hint=f"bundled: {', '.join(known) or 'none'}"
    )


def shower_features(judge: str) -> ShowerFeatures:
    """What a judge of showers looks at, by its name or path.

    Raises:
        ModelError: If it is not there, or judges no showers.
    """
    folder = named_judge(judge)
    if not (folder / PHYSICS).is_file():
        raise ModelError(
            "this judge looks at no showers",
            where=judge,
            hint="hasten data judge makes one that does",
        )
    return ShowerFeatures.load(folder / PHYSICS)


@final
@dataclass(frozen=True, eq=False)
class Real:
    """Samples that others are held against.

    Attributes:
        samples: As decoded samples look [n, ...].
        cond: Under which conditions [n, ...], where features ask for them.
        title: What to call them.
    """

    samples: Tensor
    cond: Tensor | None
    title: str

    def part(self, index: Tensor, title: str) -> Real:
        """Those of these numbers, under another name."""
        cond = None if self.cond is None else self.cond[index]
        return Real(self.samples[index], cond, title)


def real_samples(model: Model, path: str | Path) -> Real:
    """The user's reference data, of the kind the model makes.

    Raises:
        DataError: If they cannot be read, or are showers of another geometry than the model's.
        MissingExtra: If reading them needs a library that is not installed.
    """
    return _showers(model, path) if model.kind == "shower" else _images(path)


def _images(path: str | Path) -> Real:
    images = load_images(path)
    title = " ".join(filter(None, [images.name, images.split or ""]))
    return Real(images.pixels, None, f"{title}, {len(images):,} images")


def _showers(model: Model, path: str | Path) -> Real:
    showers = load_showers(path, geometry=geometry_of(model))
    if model.energies is not None:
        check_law(showers.energies, model.energies, str(path))
    title = " ".join(filter(None, [showers.name, showers.split or ""]))
    cells, energies = torch.from_numpy(showers.cells), torch.from_numpy(showers.energies)
    return Real(cells, energies, f"{title}, {len(showers):,} showers")


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
        judge: Name or folder of a judge; None takes the card's, whether or not there are data.
        reference: The user's data; None takes the judge's.
        own: Draws the model's own converged samples and their conditions, if nothing else is there.
        split: Whether a search shall have real samples of its own.

    Raises:
        ModelError: If the judge is not there.
        DataError: If the data are unsuitable.
    """
    folder = find_judge(model, judge)
    judging = None if folder is None else _suitable(model, folder, asked=judge is not None)
    if folder is not None and judging is not None and reference is None:
        return _published(folder, judging)
    against = "data"
    if reference is None:
        samples, cond = own()
        title = f"{model.name}'s own converged samples, {len(samples):,}"
        against, real = "own", Real(samples, cond, title)
    elif isinstance(reference, Tensor):
        if model.kind == "shower":
            raise DataError(
                "showers are judged together with their incident energies, and these have none",
                where="reference",
                hint="name a file of showers; hasten.data.showers.save_showers writes one",
            )
        real = Real(reference, None, f"given samples, {len(reference):,}")
    else:
        real = real_samples(model, reference)
    features = judging or _fitted(model, real)
    order = torch.from_numpy(scattered(len(real.samples)))
    if not split or len(real.samples) < ENOUGH:
        found = _reference(model, features, real)
        return Standard(features, found, found, against, *_shown(features, real, order))
    parts = order.tensor_split(2)
    halves = [
        _reference(model, features, real.part(part, f"{real.title}, {which} half"))
        for which, part in zip(("one", "the other"), parts, strict=True)
    ]
    return _standard(features, halves[0], halves[1], against, *_shown(features, real, parts[0]))


def settle_given(
    model: Model, judge: str | None, reference: str | Path | Tensor | None
) -> Standard | None:
    """As `settle`, if judge or data are there; None where the model's own samples must do."""
    if find_judge(model, judge) is None and reference is None:
        return None
    return settle(model, judge, reference, _never)


def _never() -> tuple[Tensor, Tensor | None]:
    raise AssertionError("there is a judge, or there are data")


def _shown(features: Features, real: Real, order: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """What people want to see of the real samples that judge, one by one and as means."""
    if real.cond is None:
        return None, None
    some = real.part(order[:SHOWN], real.title)
    reading = features.read(some.samples, some.cond)
    return reading.seen, reading.means


def _fitted(model: Model, real: Real) -> Features:
    """Features without a judge: fixed on the real samples themselves."""
    if model.kind == "shower" and real.cond is not None:
        return ShowerFeatures.fit(real.samples, real.cond, geometry_of(model))
    return default_features(real.samples)


def _published(folder: Path, features: Features) -> Standard:
    """What a judge's folder holds: test data judge, training data guide the search."""
    found, search = Reference.load(folder / STATISTICS), folder / SEARCHED
    scout = Reference.load(search) if search.is_file() else found
    held = read_tensors(folder / SEEN)[0] if (folder / SEEN).is_file() else {}
    # a judge made by an earlier version has no means
    seen, means = (held[key].float() if key in held else None for key in ("seen", "means"))
    return _standard(features, found, scout, "data", seen, means)


def _standard(
    features: Features,
    found: Reference,
    scout: Reference,
    against: str,
    seen: Tensor | None,
    means: Tensor | None,
) -> Standard:
    # the margin's floor is one number, on the search's seeds and on the final ones
    scout = dataclasses.replace(scout, just_visible=found.just_visible)
    return Standard(features, found, scout, against, seen, means)


def _suitable(model: Model, folder: Path, *, asked: bool) -> Features:
    """What a judge looks at, if the model makes such."""
    features = _features(folder)
    hint = "hasten data judge makes one of showers of your own; " + (
        "without --judge the card's is taken"
        if asked
        else "name it with --judge: this is the one on the model's card"
    )
    showers = isinstance(features, ShowerFeatures)
    if showers != (model.kind == "shower"):
        what = f"this judge looks at {'showers' if showers else 'images'}"
        raise ModelError(f"{what}, and {model.name} makes none", where=str(folder), hint=hint)
    if isinstance(features, ShowerFeatures) and features.geometry != geometry_of(model):
        names = features.geometry.name, geometry_of(model).name
        raise ModelError(
            f"this judge knows showers in {names[0]}, and {model.name} makes them in {names[1]}",
            where=str(folder),
            hint=hint,
        )
    return features


def _features(folder: Path) -> Features:
    """What a judge looks at: physics, where its folder holds that, else a classifier's layer."""
    if (folder / PHYSICS).is_file():
        return ShowerFeatures.load(folder / PHYSICS)
    name = str(read_card(folder).get("judge", {}).get("name", folder.name))
    return JudgeFeatures(load_judge(folder), name)


def _reference(model: Model, features: Features, real: Real) -> Reference:
    samples = real.samples
    images = model.kind == "image" and samples.ndim == 4
    degrade = Blur() if images else Shift() if model.kind == "shower" else Smear(0.2)
    unit = samples.float() / 255 if samples.dtype == torch.uint8 else samples.float()
    if not len(unit):
        raise DataError("no reference samples", where=real.title)
    found = make_reference(
        features,
        unit,
        data=real.title,
        degrade=degrade,
        degradation=degrade.name,
        cond=real.cond,
    )
    # with few samples the corrected distance of slightly damaged data can fall below zero
    return dataclasses.replace(found, just_visible=max(found.just_visible, 0.0))
