"""hasten: makes trained diffusion models sample many times faster, and proves it.

    model = hasten.load("fashion-uvit")
    outcome = hasten.tune(model, margin=0.05)
    with hasten.apply(model, outcome.best) as fast:
        samples = fast.sample(range(60), torch.arange(60) % 10)

Importing this costs nothing: each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasten.adapters.diffusers.scheduler import as_scheduler as as_scheduler
    from hasten.adapters.module import from_module as from_module
    from hasten.applying import Applied as Applied
    from hasten.applying import apply as apply
    from hasten.core.anatomy import anatomy as anatomy
    from hasten.core.method import Tactic as Tactic
    from hasten.core.method import Transform as Transform
    from hasten.core.model import Call as Call
    from hasten.core.model import Classes as Classes
    from hasten.core.model import Codec as Codec
    from hasten.core.model import Model as Model
    from hasten.core.plan import Plan as Plan
    from hasten.errors import HastenError as HastenError
    from hasten.literature import published as published
    from hasten.loading import bundled as bundled
    from hasten.loading import load as load
    from hasten.methods import METHODS as METHODS
    from hasten.recipe import Recipe as Recipe
    from hasten.solvers import GRIDS as GRIDS
    from hasten.solvers import SOLVERS as SOLVERS
    from hasten.solvers import build as build
    from hasten.solvers import stock_plan as stock_plan
    from hasten.spec import PlanSpec as PlanSpec
    from hasten.tuning.outcome import Outcome as Outcome
    from hasten.tuning.run import tune as tune

_HOMES = {
    "GRIDS": "hasten.solvers",
    "METHODS": "hasten.methods",
    "SOLVERS": "hasten.solvers",
    "Applied": "hasten.applying",
    "Call": "hasten.core.model",
    "Classes": "hasten.core.model",
    "Codec": "hasten.core.model",
    "HastenError": "hasten.errors",
    "Model": "hasten.core.model",
    "Outcome": "hasten.tuning.outcome",
    "Plan": "hasten.core.plan",
    "PlanSpec": "hasten.spec",
    "Recipe": "hasten.recipe",
    "Tactic": "hasten.core.method",
    "Transform": "hasten.core.method",
    "anatomy": "hasten.core.anatomy",
    "apply": "hasten.applying",
    "as_scheduler": "hasten.adapters.diffusers.scheduler",
    "build": "hasten.solvers",
    "bundled": "hasten.loading",
    "from_module": "hasten.adapters.module",
    "load": "hasten.loading",
    "published": "hasten.literature",
    "stock_plan": "hasten.solvers",
    "tune": "hasten.tuning.run",
}
"""Where each public name lives."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hasten' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
