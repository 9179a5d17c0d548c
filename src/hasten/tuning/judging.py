"""Court: the features, the real data and the seeds on which distributions are compared.

What stands behind a verdict is settled before the search: the user's data and judge, else those
on the model's card, else the model's own converged samples from other seeds - and then the claim
is "the same distribution as your sampler", not "as good as data".
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from hasten.core.fingerprint import fingerprint
from hasten.core.model import Model
from hasten.data.images import load_images
from hasten.errors import DataError, ModelError
from hasten.files import atomic
from hasten.loading import BUNDLED
from hasten.measure import Sampler
from hasten.measure.degradations import Blur, Smear
from hasten.measure.features import Features, JudgeFeatures, Reading, default_features
from hasten.measure.quality import make_reference
from hasten.measure.reference import Reference
from hasten.models.judge import load_judge, read_card
from hasten.tuning.seeds import Conditions

FIRST, BLOCK = 64, 256
"""Samples of the first look at a candidate; most samples whose features are written together."""
STATISTICS = "stats.safetensors"

Report = Callable[[int, int], None]
"""Told how many samples of how many are done."""


def edges(count: int) -> list[int]:
    """Where the blocks end in which samples are drawn: 64, 128, 256, then every 256, the last."""
    inner = (FIRST, 2 * FIRST, *range(BLOCK, count, BLOCK))
    return [*(end for end in inner if end < count), count]


@final
@dataclass(frozen=True, eq=False)
class Court:
    """Turns samplers into features, and remembers them.

    Attributes:
        features: What is looked at.
        reference: Real samples in these features, or the model's own.
        against: ``data`` or ``own``.
        conditions: Condition of every seed.
        batch: Samples in one pass.
        folders: Where features of earlier samplings may lie; new ones go to the first.
    """

    features: Features
    reference: Reference
    against: str
    conditions: Conditions
    batch: int
    folders: tuple[Path, ...]

    def read(
        self, sampler: Sampler, identity: str, seeds: Sequence[int], report: Report | None = None
    ) -> Reading:
        """What the features say about a sampler's samples.

        Args:
            sampler: What to sample with.
            identity: Names model, weights and recipe; features are stored under it.
            seeds: One a sample.
            report: Told of progress.
        """
        parts, done = [], 0
        for end in edges(len(seeds)):
            parts.append(self._block(sampler, identity, seeds[done:end]))
            done = end
            if report is not None:
                report(done, len(seeds))
        logits = [part.logits for part in parts if part.logits is not None]
        return Reading(
            torch.cat([p.features for p in parts]), torch.cat(logits) if logits else None
        )

    def _block(self, sampler: Sampler, identity: str, seeds: Sequence[int]) -> Reading:
        facts = f"{identity}|{self.reference.metric}|{seeds[0]}+{len(seeds)}"
        name = f"features-{hashlib.sha256(facts.encode()).hexdigest()[:20]}.npz"
        for folder in self.folders:
            if (folder / name).exists():
                with np.load(folder / name) as file:
                    held = {key: torch.from_numpy(file[key]) for key in file.files}
                    return Reading(held["features"], held.get("logits"))
        parts = []
        for first in range(0, len(seeds), self.batch):
            some = seeds[first : first + self.batch]
            parts.append(self.features.read(sampler(some, self.conditions(some))))
        arrays = {"features": torch.cat([part.features for part in parts])}
        logits = [part.logits for part in parts if part.logits is not None]
        if logits:
            arrays["logits"] = torch.cat(logits)
        with atomic(self.folders[0] / name) as file:
            plain: dict[str, Any] = {key: value.numpy() for key, value in arrays.items()}
            np.savez_compressed(file, **plain)
        return Reading(arrays["features"], arrays.get("logits"))


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
    own: Callable[[], Tensor],
) -> tuple[Features, Reference, str]:
    """What is looked at, against what, and whether that is data.

    Args:
        model: What is judged.
        judge: Name or folder of a judge; None takes the card's.
        reference: The user's data; None takes the judge's.
        own: Draws the model's own converged samples, if nothing else is there.

    Raises:
        ModelError: If the judge is not there.
        DataError: If the data are unsuitable.
    """
    folder = find_judge(model, judge)
    if folder is not None:
        name = str(read_card(folder).get("judge", {}).get("name", folder.name))
        features: Features = JudgeFeatures(load_judge(folder), name)
        if reference is None:
            return features, Reference.load(folder / STATISTICS), "data"
        real, title = _given(reference)
        return features, _reference(model, features, real, title), "data"
    if reference is not None:
        real, title = _given(reference)
        features = default_features(real)
        return features, _reference(model, features, real, title), "data"
    real = own()
    features = default_features(real)
    title = f"{model.name}'s own converged samples, {len(real):,}"
    return features, _reference(model, features, real, title), "own"


def _given(reference: str | Path | Tensor) -> tuple[Tensor, str]:
    if isinstance(reference, Tensor):
        return reference, f"given samples, {len(reference):,}"
    return real_samples(reference)


def _reference(model: Model, features: Features, real: Tensor, title: str) -> Reference:
    images = model.kind == "image" and real.ndim == 4
    degrade = Blur() if images else Smear() if model.kind == "shower" else Smear(0.2)
    unit = real.float() / 255 if real.dtype == torch.uint8 else real.float()
    if not len(unit):
        raise DataError("no reference samples", where=title)
    found = make_reference(features, unit, data=title, degrade=degrade, degradation=degrade.name)
    # with few samples the corrected distance of slightly damaged data can fall below zero
    return dataclasses.replace(found, just_visible=max(found.just_visible, 0.0))


def model_fingerprint(model: Model) -> str:
    """Sixteen hexadecimal digits of the weights and of every fact that changes a sample."""
    digest = hashlib.sha256()
    for name, value in sorted(model.net.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        )
    levels = model.process.sigma_of_t(np.linspace(0.02, 1, 50))
    digest.update(fingerprint(levels.tolist()).encode())
    facts = (model.process, model.prediction, model.shape, model.call, model.codec, model.clip)
    digest.update(repr((facts, model.dtype)).encode())
    return digest.hexdigest()[:16]
