"""What the user named, as values: the model where it is to run, its recipe, the conditions."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hasten.errors import BudgetError, DataError, ModelError, RecipeError

if TYPE_CHECKING:
    import torch

    from hasten.core.method import Method
    from hasten.core.model import Model
    from hasten.recipe import Recipe
    from hasten.spec import PlanSpec


def open_model(
    name: str, device: str | None = None, dtype: str | None = None, threads: int | None = None
) -> Model:
    """Load a model and put it where it is to run.

    Raises:
        ModelError: If there is no such model, device or number format.
    """
    import torch

    from hasten.loading import load

    place, kind = as_device(device), as_dtype(dtype)
    if threads:
        torch.set_num_threads(threads)
    return load(name).to(place, kind)


def as_device(name: str | None) -> torch.device | None:
    """A device that is there.

    Raises:
        ModelError: If it is not.
    """
    if name is None:
        return None
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        here = ["cpu"]
        here += ["cuda"] if torch.cuda.is_available() else []
        here += ["mps"] if torch.backends.mps.is_available() else []
        raise ModelError(
            "there is no such device here", where=f"--device {name}", hint=f"try {', '.join(here)}"
        ) from error
    return device


def as_dtype(name: str | None) -> torch.dtype | None:
    """A floating-point type.

    Raises:
        ModelError: If the name is none.
    """
    if name is None:
        return None
    import torch

    known = {
        str(kind).removeprefix("torch."): kind
        for kind in (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    }
    if name not in known:
        raise ModelError(
            "unknown number format", where=f"--dtype {name}", hint=f"one of {', '.join(known)}"
        )
    return known[name]


def open_recipe(text: str | None, model: Model, name: str) -> Recipe:
    """A recipe file, a stock plan, a recipe of the model, a published plan, or the card's sampler.

    Args:
        text: What the user named; None for the sampler on the card.
        model: Whose card.
        name: What the user called it; its folder may have recipes.

    Raises:
        RecipeError: If it is not there or not readable.
    """
    from hasten.recipe import Recipe
    from hasten.tuning.study import baseline

    if text is None:
        return baseline(model)
    if found := standalone(text):
        return found
    plan, methods = _parted(text)
    return read_recipe(_shipped(plan, name), Recipe).also(methods)


def standalone(text: str) -> Recipe | None:
    """A recipe file, or a stock plan ``solver:grid:steps``; None if the text is neither.

    Methods as they are unless told may follow: ``heun:karras:18+calibrate``, ``mine.toml+cache``.

    Raises:
        RecipeError: If the file is not readable, or there is no such solver, grid, number or
            method.
    """
    from hasten.recipe import Recipe

    if Path(text).expanduser().is_file():
        return read_recipe(Path(text).expanduser(), Recipe)
    plan, methods = _parted(text)
    if Path(plan).expanduser().is_file():
        return read_recipe(Path(plan).expanduser(), Recipe).also(methods)
    return Recipe(_stock(plan), methods) if plan.count(":") == 2 else None


def _parted(text: str) -> tuple[str, tuple[Method, ...]]:
    """What comes before the methods of ``plan+method+method``, and these."""
    from hasten.methods import METHODS
    from hasten.tables import known

    plan, *names = text.split("+")
    for name in names:
        known("method", name, METHODS, text)
    return plan, tuple(METHODS[name]() for name in names)


def _stock(text: str) -> PlanSpec:
    from hasten.spec import PlanSpec

    solver, grid, steps = text.split(":")
    if not steps.isdecimal():
        raise RecipeError(f"{steps!r} is no number of steps", where=text, hint="dpmpp_2m:karras:12")
    try:
        return PlanSpec(solver, grid, int(steps))
    except RecipeError as error:
        raise RecipeError(error.what, where=text, hint=error.hint) from error


def read_recipe(path: Path, kind: type[Recipe]) -> Recipe:
    """A recipe from a file; what is wrong with it is said with the file's name."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"unreadable: {error}", where=str(path)) from error
    try:
        return kind.loads(text)
    except RecipeError as error:
        where = f"{path}, {error.where}" if error.where else str(path)
        raise RecipeError(error.what, where=where, hint=error.hint) from error


def _shipped(text: str, model_name: str) -> Path:
    from hasten.literature import plans
    from hasten.loading import BUNDLED

    folders = (Path(model_name) / "recipes", BUNDLED / model_name / "recipes")
    own = {path.stem: path for folder in folders for path in sorted(folder.glob("*.toml"))}
    published = plans()
    if found := own.get(text) or published.get(text):
        return found
    close = difflib.get_close_matches(text, [*own, *published], 1)
    known = f"recipes of this model: {', '.join(own)}" if own else "hasten tune makes one"
    guess = f"did you mean {close[0]}? " if close else ""
    raise RecipeError(
        "there is no such recipe",
        where=text,
        hint=f"{guess}{known}; published plans: {', '.join(published)}; "
        "a stock plan is solver:grid:steps; methods follow a plus: fast+calibrate",
    )


def guided(recipe: Recipe, model: Model, guidance: float) -> None:
    """Refuse a guide that would never be asked.

    Raises:
        RecipeError: If no evaluation is guided.
        PlanError: If the plan does not suit the model.
    """
    if not recipe.resolve(model.process).guided(guidance):
        raise RecipeError(
            "the guide would never be asked: no evaluation has a weight other than 1",
            where="--guide",
            hint="--guidance 2, or guidance = 2.0 in the recipe's [plan]",
        )


def conditions(
    model: Model,
    seeds: range,
    *,
    classes: str | None = None,
    cond: str | None = None,
    energy: str | None = None,
) -> Any:
    """One condition a sample, or None if the model takes none.

    Args:
        model: Whose conditions.
        seeds: One a sample.
        classes: ``--class``.
        cond: ``--cond``.
        energy: ``--energy``.

    Returns:
        A tensor with one row a seed, or None.

    Raises:
        DataError: If the model does not take what was given.
    """
    count, given = len(seeds), {"--class": classes, "--cond": cond, "--energy": energy}
    named = [option for option, value in given.items() if value is not None]
    if len(named) > 1:
        raise DataError("more than one kind of condition", where=", ".join(named), hint="give one")
    if cond is not None:
        values = _values(cond, count)
        return values if model.energies is None else _each_one(values, cond)
    if model.energies is not None and classes is None:
        return _incident(model, seeds, energy)
    if energy is not None:
        raise DataError(
            "this model does not make showers", where="--energy", hint="leave the option out"
        )
    if model.classes is None:
        if classes is not None:
            raise DataError(
                "this model has no classes", where="--class", hint="leave the option out"
            )
        return None
    import torch

    chosen = _labels(classes, model) if classes else list(range(model.classes.count))
    return torch.tensor([chosen[i % len(chosen)] for i in range(count)])


def _each_one(values: Any, where: str) -> Any:
    """One energy a sample, single precision as files have them."""
    if values.numel() != len(values):
        raise DataError(
            f"conditions of shape {tuple(values.shape)}",
            where=f"--cond {where}",
            hint="one incident energy a shower, in MeV",
        )
    return values.float().reshape(-1)


def _incident(model: Model, seeds: range, energy: str | None) -> Any:
    import torch

    from hasten.data.showers.conditions import conditions_from
    from hasten.tuning.seeds import drawn_conditions

    if energy is None:
        return drawn_conditions(model)(seeds)
    return torch.from_numpy(conditions_from(energy, len(seeds)))


def listed(energy: str | None) -> int | None:
    """How many showers the file of ``--energy`` has; None for a list of energies."""
    if energy is None or not Path(energy).expanduser().exists():
        return None
    from hasten.data.showers import open_showers

    return len(open_showers(energy))


def _labels(text: str, model: Model) -> list[int]:
    facts = model.classes
    if facts is None:
        return []
    by_name: Mapping[str, int] = {name.lower(): i for i, name in enumerate(facts.names)}
    chosen = []
    for part in (part.strip() for part in text.split(",")):
        label = int(part) if part.isdigit() else by_name.get(part.lower())
        if part.lower() == "none" and facts.null is not None:
            label = facts.null
        if label is None or not (label < facts.count or label == facts.null):
            names = ", ".join(facts.names) or f"0 to {facts.count - 1}"
            raise DataError(f"no class {part!r}", where="--class", hint=f"classes: {names}")
        chosen.append(label)
    return chosen


def _values(text: str, count: int) -> Any:
    import numpy as np
    import torch

    path = Path(text)
    if path.suffix == ".npy":
        try:
            table = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"unreadable: {error}", where=str(path)) from error
        if table.ndim == 0 or len(table) < count:
            raise DataError(
                f"{0 if table.ndim == 0 else len(table)} conditions for {count} samples",
                where=str(path),
                hint="one row a sample, or a smaller -n",
            )
        return torch.from_numpy(table[:count])
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise DataError(
            "neither numbers nor a .npy file", where=f"--cond {text}", hint="--cond 10,20,50"
        ) from error
    return torch.tensor([numbers[i % len(numbers)] for i in range(count)], dtype=torch.float32)


def positive(count: int, option: str) -> int:
    """A count of at least one.

    Raises:
        BudgetError: If it is not.
    """
    if count < 1:
        raise BudgetError(f"{count} samples", where=option, hint="at least 1")
    return count
