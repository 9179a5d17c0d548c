"""``hasten methods`` and ``hasten models``: what there is."""

from __future__ import annotations

import dataclasses
from typing import Any

from hasten.cli import choices, talk


def methods(form: choices.Output = talk.Format.TABLE) -> None:
    """List the accelerations, solvers, grids and published plans, and the ways to search one."""
    from hasten.literature import plans, published
    from hasten.methods import METHODS
    from hasten.solvers import GRIDS, SOLVERS
    from hasten.solvers.options import known_options
    from hasten.tables import short
    from hasten.tuning.strategies import STRATEGIES

    found = [_method(kind) for kind in METHODS.values()]
    solvers: list[dict[str, Any]] = [
        {
            "name": solver.name,
            "evaluations": solver.evaluations,
            "order": solver.order,
            "stochastic": solver.stochastic,
            "options": {
                name: {"default": option.default, "range": str(option)}
                for name, option in known_options(solver.name).items()
            },
            "paper": solver.paper,
        }
        for solver in SOLVERS.values()
    ]
    recipes = {name: published(name) for name in plans()}
    ready = [
        {"name": name, "recipe": recipe.label, "paper": str(recipe.about["paper"])}
        for name, recipe in recipes.items()
    ]
    ways = [
        {"name": each.name, "about": each.about, "reuses": each.reuses, "paper": each.paper}
        for each in STRATEGIES.values()
    ]
    if form is talk.Format.JSON:
        tables = {"methods": found, "solvers": solvers, "grids": list(GRIDS)}
        talk.emit_json(tables | {"plans": ready, "strategies": ways})
        return
    rows = [
        (m["name"], m["stage"], ", ".join(m["touches"]), _knobs(m["fields"]), m["paper"])
        for m in found
    ]
    talk.emit_table(("method", "stage", "touches", "settings", "paper"), rows)
    talk.emit_table(
        ("solver", ">evaluations a step", ">order", "noise", "options", "paper"),
        [
            (
                str(s["name"]),
                str(s["evaluations"]),
                str(s["order"]),
                "yes" if s["stochastic"] else "",
                ", ".join(f"{name} = {short(o['default'])}" for name, o in s["options"].items()),
                str(s["paper"]),
            )
            for s in solvers
        ],
        apart=True,
    )
    talk.emit_facts({"order": "of convergence as the steps grow short, without lower_final"})
    talk.emit_table(
        ("published plan", "recipe", "paper"),
        [(p["name"], p["recipe"], p["paper"]) for p in ready],
        apart=True,
    )
    talk.emit_table(
        ("plan find -s", "what is chosen", "paper"),
        [(str(w["name"]), str(w["about"]), str(w["paper"])) for w in ways],
        apart=True,
    )
    talk.emit_facts({"grids": ", ".join(GRIDS)}, apart=True)


def _method(kind: Any) -> dict[str, Any]:
    from hasten.core.method import Aspect, knobs

    ranges = knobs(kind)
    return {
        "name": kind.name,
        "about": (kind.__doc__ or "").strip().partition("\n")[0],
        "stage": kind.stage.name.lower(),
        "touches": [str(a.name).lower() for a in Aspect if a in kind.touches],
        "fields": {
            spec.name: {
                "default": _plain(spec.default),
                "range": str(ranges[spec.name]) if spec.name in ranges else None,
                "help": ranges[spec.name].help if spec.name in ranges else "",
            }
            for spec in dataclasses.fields(kind)
        },
        "paper": kind.paper,
    }


def _plain(value: Any) -> Any:
    if value is dataclasses.MISSING:
        return None
    return list(value) if isinstance(value, tuple) else value


def _knobs(fields: dict[str, Any]) -> str:
    return "; ".join(
        f"{name} = {spec['default']}" + (f" ({spec['range']})" if spec["range"] else "")
        for name, spec in fields.items()
    )


def models(form: choices.Output = talk.Format.TABLE) -> None:
    """List the models that come with hasten."""
    from hasten.loading import bundled

    found = [
        {
            "name": entry.name,
            "kind": entry.kind,
            "about": str(entry.card.get("about", "")),
            "shape": list(entry.card.get("shape", ())),
            "recipes": sorted(path.stem for path in entry.folder.glob("recipes/*.toml"))
            if entry.folder
            else [],
        }
        for entry in bundled()
    ]
    if form is talk.Format.JSON:
        talk.emit_json(found)
        return
    rows = [
        (
            str(m["name"]),
            str(m["kind"]),
            " x ".join(map(str, m["shape"])),
            ", ".join(m["recipes"]),
            str(m["about"]),
        )
        for m in found
    ]
    talk.emit_table(("model", "kind", "shape", "recipes", "about"), rows)
