"""The run folder: what a study is, written down before it begins, so that it can be continued."""

from __future__ import annotations

import json
import platform
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from hasten.core.identity import model_fingerprint
from hasten.core.model import Model
from hasten.errors import RunError
from hasten.files import atomic, atomic_write_text
from hasten.measure.result import context
from hasten.tuning.outcome import RESULT
from hasten.tuning.settings import Settings

FACTS, TRIALS, CACHE = "facts.json", "trials.jsonl", "cache"
SPOTS = 16
"""Values by which samples are known again."""


@final
@dataclass(frozen=True)
class Folder:
    """Where a study lives.

    Attributes:
        path: The folder.
        run_id: What the final seeds come from.
        settings: As asked for.
        judge: Name or path, if given.
        reference: Path, if given.
    """

    path: Path
    run_id: str
    settings: Settings
    judge: str | None
    reference: str | None

    @property
    def cache(self) -> Path:
        """Trajectories and features."""
        return self.path / CACHE

    def write_json(self, name: str, facts: Mapping[str, Any]) -> None:
        """A JSON file, whole or not at all."""
        atomic_write_text(self.path / name, json.dumps(facts, indent=1) + "\n")

    def write_arrays(self, name: str, arrays: Mapping[str, Any]) -> None:
        """An npz file, whole or not at all."""
        with atomic(self.path / name) as file:
            np.savez_compressed(file, **dict(arrays))


def begin(
    model: Model,
    settings: Settings,
    *,
    run: str | Path | None,
    run_id: str | None,
    judge: str | None,
    reference: str | Path | Tensor | None,
) -> Folder:
    """A new run folder.

    Raises:
        RunError: If the folder holds a study already, or cannot be written.
    """
    path = _free(model.name) if run is None else Path(run).expanduser()
    check_free(path)
    named = None if isinstance(reference, Tensor) or reference is None else str(reference)
    folder = Folder(path, run_id or uuid.uuid4().hex[:16], settings, judge, named)
    facts = {
        "hasten": 1,
        "model": model.name,
        "model_fingerprint": model_fingerprint(model),
        "run_id": folder.run_id,
        "judge": judge,
        "reference": named,
        "given_samples": _sketch(reference),
        "settings": settings.to_dict(),
        "versions": versions(),
        "machine": context(model.device, model.dtype),
    }
    folder.write_json(FACTS, facts)
    return folder


def check_free(path: Path) -> None:
    """Refuse a folder with a study in it.

    Raises:
        RunError: If there is one.
    """
    if (path / FACTS).exists():
        raise RunError(
            "this folder holds a study already",
            where=str(path),
            hint="continue it with resume, or name another folder",
        )


def resume_folder(model: Model, run: str | Path, reference: object = None) -> Folder:
    """The folder of a study that is to be continued, with the settings it began with.

    Args:
        model: As it was.
        run: The folder.
        reference: The samples that were given as a tensor, if the study began with such.

    Raises:
        RunError: If it holds none, or one of another model or other samples.
    """
    path = Path(run).expanduser()
    try:
        facts = json.loads((path / FACTS).read_text("utf-8"))
        settings = Settings(**facts["settings"])
        folder = Folder(path, facts["run_id"], settings, facts["judge"], facts["reference"])
        fingerprint, given = facts["model_fingerprint"], facts["given_samples"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"no study can be continued here: {error}",
            where=str(path),
            hint="name the run folder of an earlier hasten tune",
        ) from error
    if fingerprint != model_fingerprint(model):
        raise RunError(
            f"this study was made for other weights ({facts['model']})",
            where=str(path),
            hint="give it the model it began with, or begin a new study",
        )
    if not _alike(given, _sketch(reference)):
        raise RunError(
            "this study began with other reference samples",
            where=str(path),
            hint="give reference= the tensor it began with, or leave it out if there was none",
        )
    return folder


def _sketch(reference: object) -> list[float] | None:
    """Shape, mean, deviation and some values of samples given as a tensor; None for all else.

    No digest of their bits: samples made anew, elsewhere or by another number of threads, may
    differ in the last ones, and that is no reason to refuse a study of hours.
    """
    if not isinstance(reference, Tensor):
        return None
    flat = reference.detach().cpu().double().flatten().numpy()
    facts = list(map(float, reference.shape))
    if flat.size:
        spots = flat[np.linspace(0, len(flat) - 1, SPOTS).astype(int)]
        facts += [float(flat.mean()), float(flat.std()), *spots.tolist()]
    return facts


def _alike(a: list[float] | None, b: list[float] | None) -> bool:
    """Whether two sketches are of the same samples."""
    if a is None or b is None:
        return a is b
    return len(a) == len(b) and np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)


def finished(path: Path) -> bool:
    """Whether a study has its result."""
    return (path / RESULT).is_file()


def versions() -> dict[str, str]:
    """What the figures depend on beside the machine."""
    found = context()
    return {
        "hasten": str(found["hasten"]),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _free(name: str) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-") or "model"
    number = 1
    while (Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return Path("runs") / f"{stem}-{number}"
