"""``hasten plan find``: the best plan for a number of evaluations, in minutes."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, subjects, talk

if TYPE_CHECKING:
    from hasten.tuning.find import Plans


def find(
    model: choices.ModelName,
    evaluations: Annotated[
        int,
        typer.Option(
            "--evaluations",
            "-n",
            min=1,
            help="Full evaluations of the net that a sample may take as much time as.",
            show_default=False,
        ),
    ],
    strategy: Annotated[
        str,
        typer.Option("--strategy", "-s", help="How to search: a name from hasten methods."),
    ] = "learned",
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The recipe; by default plans/MODEL-N-STRATEGY.toml. Finished trials are kept "
            "beside it, and the same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Candidates it may try.")] = 150,
    guidance: choices.Guidance = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Samples in one pass when rows are timed.")] = 1,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Find the plan that comes nearest to the converged samples in the time of N evaluations.

    It is compared on fresh seeds with the best sampler off the shelf; that samples stay as good is
    for hasten tune to prove.
    """
    from hasten.files import atomic_write_text
    from hasten.tuning.find import find_plan

    net = subjects.open_model(model, device, dtype, threads)
    path = out or Path("plans") / f"{talk.file_stem(net.name)}-{evaluations}-{strategy}.toml"
    again = shlex.join(["hasten", *sys.argv[1:]])  # what is finished lies beside the recipe
    with talk.resumable(again), talk.progress("searching") as advance:
        plans = find_plan(
            net,
            evaluations,
            strategy=strategy,
            trials=trials,
            guidance=guidance,
            batch=batch,
            seed=seed,
            journal=path.with_suffix(".trials.jsonl"),
            say=lambda share, message: advance(share, 1.0, "searching", message),
        )
    facts = answer(plans)
    about = {
        "model": net.name,
        "strategy": strategy,
        "evaluations": evaluations,
        "guidance": guidance,
        "seed": seed,
        "trials": facts["trials"],
        "endpoint_error": facts["found"]["error"],
        "endpoint_error_se": facts["found"]["error_se"],
        "n": facts["found"]["n"],
        "off_the_shelf": facts["stock"]["label"],
        "off_the_shelf_error": facts["stock"]["error"],
    }
    recipe = dataclasses.replace(plans.recipe, about=about)
    atomic_write_text(path, recipe.dumps())
    if form is talk.Format.JSON:
        talk.emit_json(facts | {"recipe": str(path)})
        return
    _print(facts)
    talk.say(f"\nrecipe  {path}")


def answer(plans: Plans) -> dict[str, Any]:
    """What ``--format json`` prints."""
    import numpy as np

    def arm(scored: Any, errors: Any) -> dict[str, Any]:
        return {
            "label": scored.label,
            "rows": scored.plan.nfe,
            "held": sum(not entry.full for entry in scored.plan.reuse),
            "seconds_per_sample": scored.seconds,
            "error": float(errors.mean()),
            "error_se": float(errors.std(ddof=1) / np.sqrt(len(errors))),
            "n": len(errors),
        }

    found, stock = plans.errors
    difference = found - stock
    return {
        "found": arm(plans.best, found),
        "stock": arm(plans.stock, stock),
        "difference": float(difference.mean()),
        "difference_se": float(difference.std(ddof=1) / np.sqrt(len(difference))),
        "trials": plans.trials,
        "evaluations": plans.evaluations,
    }


def _print(facts: dict[str, Any]) -> None:
    columns = ["", "plan", ">rows", ">held", ">ms", ">endpoint error", ">n"]
    rows = [
        [
            name,
            arm["label"],
            str(arm["rows"]),
            str(arm["held"]),
            f"{1e3 * arm['seconds_per_sample']:.3g}",
            f"{arm['error']:.4f} ± {1.96 * arm['error_se']:.4f}",
            str(arm["n"]),
        ]
        for name, arm in (("found", facts["found"]), ("off the shelf", facts["stock"]))
    ]
    talk.emit_table(columns, rows)
