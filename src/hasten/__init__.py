"""hasten: makes trained diffusion models sample many times faster, and proves it.

    model = hasten.load("fashion-uvit")
    outcome = hasten.tune(model, margin=0.05)
    with hasten.apply(model, outcome.best) as fast:
        samples = fast.sample(range(64))

Importing this costs nothing: each name is imported when it is first asked for.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hasten.adapters.module import from_module as from_module
    from hasten.apply import Applied as Applied
    from hasten.apply import apply as apply
    from hasten.core.anatomy import anatomy as anatomy
    from hasten.core.method import Tactic as Tactic
    from hasten.core.method import Transform as Transform
    from hasten.core.model import Call as Call
    from hasten.core.model import Classes as Classes
    from hasten.core.model import Codec as Codec
    from hasten.core.model import Model as Model
    from hasten.core.plan import Plan as Plan
    from hasten.errors import HastenError as HastenError
    from hasten.load import bundled as bundled
    from hasten.load import load as load
    from hasten.methods import METHODS as METHODS
    from hasten.recipe import PlanSpec as PlanSpec
    from hasten.recipe import Recipe as Recipe
    from hasten.solvers import GRIDS as GRIDS
    from hasten.solvers import SOLVERS as SOLVERS
    from hasten.solvers import build as build
    from hasten.solvers import stock_plan as stock_plan
    from hasten.tune.outcome import Outcome as Outcome
    from hasten.tune.run import tune as tune

_HOMES = {
    "GRIDS": "hasten.solvers",
    "METHODS": "hasten.methods",
    "SOLVERS": "hasten.solvers",
    "Applied": "hasten.apply",
    "Call": "hasten.core.model",
    "Classes": "hasten.core.model",
    "Codec": "hasten.core.model",
    "HastenError": "hasten.errors",
    "Model": "hasten.core.model",
    "Outcome": "hasten.tune.outcome",
    "Plan": "hasten.core.plan",
    "PlanSpec": "hasten.recipe",
    "Recipe": "hasten.recipe",
    "Tactic": "hasten.core.method",
    "Transform": "hasten.core.method",
    "anatomy": "hasten.core.anatomy",
    "apply": "hasten.apply",
    "build": "hasten.solvers",
    "bundled": "hasten.load",
    "from_module": "hasten.adapters.module",
    "load": "hasten.load",
    "stock_plan": "hasten.solvers",
    "tune": "hasten.tune.run",
}
"""Where each public name lives."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hasten' has no attribute {name!r}")
    found = getattr(importlib.import_module(_HOMES[name]), name)
    # the import has put a module in the place of a function that shares its name
    return globals().get(name, found)


def __dir__() -> list[str]:
    return list(__all__)


class _Called(ModuleType):
    """A module that can be called like the function it is there for: ``hasten.tune(model)``.

    `apply`, `load` and `tune` are functions for users and modules for Python, which sets the module
    as an attribute of the package as soon as anybody imports it. So it is made to be both.
    """

    def __call__(self, *args: Any, **settings: Any) -> Any:
        name = self.__name__.rpartition(".")[2]
        return getattr(importlib.import_module(_HOMES[name]), name)(*args, **settings)


class _Package(ModuleType):
    """Makes modules that share their name with a public function callable."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value.__class__ = _Called
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
