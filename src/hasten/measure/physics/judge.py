"""A judge of showers as a folder: what is looked at, and what real showers look like.

features.safetensors    the feature set, fixed on training showers
search.safetensors      statistics of training showers, by which a search may choose
stats.safetensors       statistics of held-out showers, which judge
seen.safetensors        observables of some of these, to be drawn beside others: one by one (seen),
                        and as means and standard deviations with their errors (means)
card.toml               how it was made
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from hasten.data.showers import Showers
from hasten.errors import DataError
from hasten.files import atomic_write_bytes, atomic_write_text
from hasten.measure.degradations import Shift
from hasten.measure.moments import scattered
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.quality import frechet, make_reference
from hasten.measure.reading import Reading
from hasten.measure.reference import Reference

GUIDES = 12_000
"""Training showers behind the search's statistics, at most; the features are fixed on the others,
or they would fit these too well."""
SHOWN = 4000
"""True showers whose observables are kept to be drawn, at most."""


def publish_shower_judge(
    folder: str | Path,
    *,
    name: str,
    train: Showers,
    test: Showers,
    degrade: Shift | None = None,
) -> Reference:
    """Write a judge of showers.

    Args:
        folder: Made if missing.
        name: For its card.
        train: Showers; the features are fixed on some and the search compares with others.
        test: Showers that nothing was trained or chosen on.
        degrade: What is called just visible; an energy scale that is off by 1 % if None.

    Returns:
        The reference, as written to ``stats.safetensors``.

    Raises:
        DataError: If the two are of different geometries.
        BudgetError: If there are too few.
        RunError: If the folder cannot be written.
    """
    if train.geometry != test.geometry:
        raise DataError(
            f"training showers of {train.geometry.name}, others of {test.geometry.name}", where=name
        )
    place, degrade = Path(folder), degrade or Shift(0.01)
    order = scattered(len(train))
    guides, fixed = np.split(order, [min(GUIDES, len(train) // 2)])
    features = ShowerFeatures.fit(train.cells[fixed], train.energies[fixed], train.geometry)
    features.save(place / "features.safetensors")
    seen = features(torch.from_numpy(train.cells[guides]), torch.from_numpy(train.energies[guides]))
    some = scattered(len(test))[:SHOWN]
    shown = features.read(*(torch.from_numpy(x[some]) for x in (test.cells, test.energies)))
    atomic_write_bytes(place / "seen.safetensors", save(_shown(shown)))
    title = f"{train.name} {train.split or ''}".rstrip()
    guide = Reference.of(seen, features.name, data=f"{title}, {len(seen):,} showers")
    guide.save(place / "search.safetensors")
    title = f"{test.name} {test.split or ''}".rstrip()
    reference = make_reference(
        features,
        torch.from_numpy(test.cells),
        data=f"{title}, {len(test):,} showers",
        degrade=degrade,
        degradation=degrade.name,
        cond=torch.from_numpy(test.energies),
    )
    floor = frechet(seen[: len(test)], reference, "training showers").measurement()
    row = f"training showers, n = {min(len(seen), len(test)):,}"
    reference = dataclasses.replace(reference, floor={row: floor})
    reference.save(place / "stats.safetensors")
    facts: dict[str, Any] = {
        "judge": {"name": name, "features": features.name, "geometry": train.geometry.name},
        "measured": {
            "just_visible": reference.just_visible,
            "degradation": reference.degradation,
            "floor": {row: [floor.value, floor.low, floor.high]},
        },
    }
    atomic_write_text(place / "card.toml", tomli_w.dumps(facts))
    return reference


def _shown(reading: Reading) -> dict[str, NDArray[Any]]:
    """What is kept to be drawn; half precision is enough for the rows."""
    kept = {"seen": (reading.seen, np.float16), "means": (reading.means, np.float32)}
    return {
        name: values.numpy().astype(dtype)
        for name, (values, dtype) in kept.items()
        if values is not None
    }
