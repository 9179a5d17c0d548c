"""A study small enough for tests, and a programme that runs it: ``python small.py RUN``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hasten.core.model import Model
from hasten.models.mixture import MixtureNet, mixture_model
from hasten.tuning.outcome import Outcome
from hasten.tuning.run import tune
from hasten.tuning.study import Progress

SPEEDS = {"overhead": 1e-4, "full": 1e-3, "held": {}, "batch": 1, "device": "cpu"}
"""A given table of row times, so that two studies search alike."""

SETTINGS: dict[str, Any] = {
    "margin": 0.1,
    "trials": 60,
    "seeds": 16,
    "search_samples": 200,
    "samples": 500,
    "finalists": 2,
    "shown": 8,
    "run_id": "0123456789abcdef",
}


def model() -> Model:
    return mixture_model()


def study(
    run: Path, progress: Progress | None = None, which: Model | None = None, **settings: Any
) -> Outcome:
    """Begin the study in a folder, or continue it."""
    which = which or model()
    if (run / "facts.json").exists():
        return tune(which, resume=run, reference=real(), progress=progress)
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "speeds.json").exists():
        (run / "speeds.json").write_text(json.dumps(SPEEDS))
    asked = {"reference": real()} | SETTINGS | settings
    return tune(which, run=run, progress=progress, **asked)


def real() -> Any:
    """Data that the model does not quite meet, so that a distance can be a share of another."""
    net = model().net
    assert isinstance(net, MixtureNet)
    return 1.3 * net.draw(4000, np.random.default_rng(0)).float() + 0.2


if __name__ == "__main__":
    study(Path(sys.argv[1]))
