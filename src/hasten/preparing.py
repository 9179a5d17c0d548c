"""Preparing: what a transform has calibrated or trained, remembered.

A recipe is text; what its transforms make of a model is an artifact: tensors and facts, in a file
named by a fingerprint of all that it follows from (weights and facts of the model as earlier stages
left it, plan, method, what else is attached, seed). Whoever applies the recipe again gets the same
without preparing it again. Artifacts may come along with a model, in the folder `ARTIFACTS` of its
own; others are kept in the user's cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hasten.core.fingerprint import fingerprint
from hasten.core.identity import model_fingerprint
from hasten.core.method import Artifact, Data, Given, Method, Transform
from hasten.core.model import Model
from hasten.errors import StaleArtifact, WeightsError
from hasten.files import atomic_write_bytes, check_writable
from hasten.recipe import to_table

ARTIFACTS = "artifacts"
"""Folder beside a model's card."""
CACHE = "HASTEN_CACHE"
"""Variable that names another folder than the user's cache."""
_FACTS = "hasten.artifact"


def transformed(
    given: Given,
    methods: Iterable[Transform],
    beside: Iterable[Method] = (),
    *,
    seed: int = 0,
    store: Path | None = None,
) -> Model:
    """A model after some transforms, each of which is prepared unless that has been done before.

    Args:
        given: The model, and what there is to prepare them with.
        methods: The transforms, in their order.
        beside: Tactics that are attached meanwhile.
        seed: Of `given.rng`.
        store: Where to keep artifacts; None takes the user's cache.
    """
    attached = [to_table(other) for other in beside]
    for method in methods:
        facts = [given.plan.fingerprint(), to_table(method), attached, seed]
        given = replace(
            given, model=method.apply(given.model, _artifact(method, given, facts, store))
        )
    return given.model


def _artifact(method: Transform, given: Given, facts: list[Any], store: Path | None) -> Artifact:
    if method.needs.data is not Data.ROLLOUTS:  # nothing to remember, or data without a name
        return method.prepare(given)
    key = fingerprint([model_fingerprint(given.model), *facts])
    name = f"{method.name}-{key}.safetensors"
    places = [folder / name for folder in (*([store] if store else []), *_folders(given.model))]
    lying = next((path for path in places if path.is_file()), None)
    kept = places[0] if store else lying or places[-1]
    if lying == kept:
        return _read(kept)
    check_writable(kept)  # before the work, not after it
    found = _read(lying) if lying else replace(method.prepare(given), fingerprint=key)
    _write(found, kept)
    return found


def _folders(model: Model) -> Iterator[Path]:
    """Where artifacts for a model may lie, the place for new ones last."""
    if "folder" in model.card:
        yield Path(model.card["folder"]) / ARTIFACTS
    given = os.environ.get(CACHE)
    yield (Path(given) if given else user_cache_path("hasten")) / ARTIFACTS


def _write(artifact: Artifact, path: Path) -> None:
    facts = {"facts": dict(artifact.facts), "fingerprint": artifact.fingerprint}
    tensors = {name: value.contiguous() for name, value in artifact.tensors.items()}
    atomic_write_bytes(path, save(tensors, metadata={_FACTS: json.dumps(facts)}))


def _read(path: Path) -> Artifact:
    """What was prepared and written.

    Raises:
        WeightsError: If the file is cut off, damaged or no artifact.
        StaleArtifact: If it was written under another name, so for something else.
    """
    try:
        with safe_open(str(path), "pt") as file:
            facts = json.loads(file.metadata()[_FACTS])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        found = Artifact(tensors, **facts)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as cause:
        raise WeightsError(
            f"what was prepared for this recipe cannot be read: {cause}",
            where=str(path),
            hint="delete the file; it is made anew when the recipe is next used",
        ) from cause
    if not path.stem.endswith(f"-{found.fingerprint}"):
        raise StaleArtifact(
            "this was prepared for another recipe or model",
            where=str(path),
            hint="delete the file; it is made anew when the recipe is next used",
        )
    return found
