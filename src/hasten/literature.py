"""Plans as their papers have them, by name, for any model.

    with hasten.apply(model, hasten.published("unipc-10")) as fast:
        samples = fast.sample(range(60))

They are files in ``bundled/plans``, and on the command line recipes: ``-r unipc-10``.
"""

from __future__ import annotations

from pathlib import Path

from hasten.loading import BUNDLED
from hasten.recipe import Recipe
from hasten.tables import known


def plans() -> dict[str, Path]:
    """The recipe files by name."""
    return {path.stem: path for path in sorted((BUNDLED / "plans").glob("*.toml"))}


def published(name: str) -> Recipe:
    """The recipe of a published plan.

    Args:
        name: ``ddim-50``, ``heun-18``, ``dpmpp-2m-20``, ``unipc-10``, ``deepcache-5``, ``ays-10``.

    Raises:
        RecipeError: If there is none of that name.
    """
    found = plans()
    known("published plan", name, found, "hasten.published")
    return Recipe.loads(found[name].read_text("utf-8"))
