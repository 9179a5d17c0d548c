"""``hasten plan adaptive``: the steps that error control takes on a pilot batch, as a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import BudgetError


def adaptive(
    model: choices.ModelName,
    order: Annotated[
        int, typer.Option(min=2, max=3, help="2 for DPM-Solver-12, 3 for DPM-Solver-23.")
    ] = 3,
    rtol: Annotated[float, typer.Option(help="Tolerance relative to x.")] = 0.05,
    atol: Annotated[float, typer.Option(help="Tolerance in units of the data.")] = 0.0078,
    pilot: Annotated[int, typer.Option(min=1, help="Samples in the pilot batch.")] = 16,
    most: Annotated[
        int, typer.Option(min=1, help="Evaluations after which the pilot gives up.")
    ] = 2000,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The recipe; by default plans/MODEL-adaptive.toml.",
            show_default=False,
        ),
    ] = None,
    guidance: choices.Guidance = 1.0,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    seed: choices.Seed = 0,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Sample a pilot batch with error control, and write the steps it took as a plan.

    The tolerances say how fine the steps are, and so how many; hasten plan find looks for the best
    plan of so many evaluations, and that takes longer.
    """
    from hasten.files import atomic_write_text, check_writable
    from hasten.recipe import Recipe
    from hasten.solvers import adaptive_plan
    from hasten.tuning.seeds import drawn_conditions

    net = subjects.open_model(model, device, dtype, threads)
    path = out or Path("plans") / f"{talk.file_stem(net.name)}-adaptive.toml"
    check_writable(path)
    seeds = range(seed, seed + pilot)
    told: dict[str, int | float] = {"order": order, "rtol": rtol, "atol": atol}
    told["guidance"] = guidance
    try:
        with talk.progress("pilot batch"):
            plan = adaptive_plan(
                net,
                seeds,
                drawn_conditions(net)(seeds),
                order=order,
                rtol=rtol,
                atol=atol,
                guidance=guidance,
                most=most,
            )
    except BudgetError as error:
        hint = "a larger --rtol or --atol, or a larger --most"
        raise BudgetError(error.what, where=error.where, hint=hint) from error
    about = {"model": net.name, **told, "pilot": pilot, "seed": seed}
    atomic_write_text(path, Recipe(plan, about=about).dumps())
    facts = {"plan": plan.label, "steps": plan.rows[-1].step + 1, "evaluations": plan.nfe}
    if form is talk.Format.JSON:
        talk.emit_json(facts | told | {"recipe": str(path)})
        return
    talk.emit_facts({name: str(value) for name, value in facts.items()})
    talk.say(f"\nrecipe  {path}")
