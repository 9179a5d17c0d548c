"""``hasten plan aim``: a plan whose samples are distributed more like real ones."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from hasten.cli import choices, subjects, talk
from hasten.errors import HastenWarning, ModelError


def aim(
    model: choices.ModelName,
    recipe: Annotated[
        str,
        typer.Option(
            "-r",
            "--recipe",
            help="Where to begin: a recipe, or solver:grid:steps.",
            show_default=False,
        ),
    ],
    n: Annotated[int, typer.Option("-n", min=100, help="Samples of every plan it tries.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="Steps, of a dozen plans or so each.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The recipe; by default plans/MODEL-N-aimed.toml. What was sampled is kept beside "
            "it, and the same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    judge: choices.Judge = None,
    reference: choices.Real = None,
    guidance: choices.Guidance = 1.0,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all seeds.")] = 0,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Move a plan's numbers to where its samples are distributed most like real ones.

    A plan that comes nearest to the converged samples, as hasten plan find has it, is not yet the
    one whose samples come nearest to the data. Here the features of the judge decide, by real
    samples that are not those which judge, if there are two sets; else hasten says so. What it
    came to is told from fresh seeds.
    """
    from hasten.files import atomic_write_text
    from hasten.tuning.aiming import aim_recipe
    from hasten.tuning.standard import settle_given

    net = subjects.open_model(model, device, dtype, threads)
    chosen = subjects.open_recipe(recipe, net, model)
    standard = settle_given(net, judge, reference)
    if standard is None:
        raise ModelError(
            "there is nothing to aim at: no judge and no real samples",
            where=net.name,
            hint="give --reference, or --judge",
        )
    if not standard.apart:
        warnings.warn(
            "there is one set of real samples, and the plan is aimed at all of it: judge it with "
            "others (of 10,000 samples or more given by --reference, half would be left for that)",
            HastenWarning,
            stacklevel=1,
        )
    nfe = chosen.resolve(net.process).nfe
    path = out or Path("plans") / f"{talk.file_stem(net.name)}-{nfe}-aimed.toml"
    again = shlex.join(["hasten", *sys.argv[1:]])
    with talk.resumable(again), talk.progress("aiming") as advance:
        better = aim_recipe(
            net,
            chosen,
            standard,
            samples=n,
            rounds=rounds,
            guidance=guidance,
            seed=seed,
            folder=path.with_suffix(".samples"),
            say=lambda message: advance(0, None, "aiming", message),
        )
    before, after = (arm.measurement() for arm in (better.before, better.after))
    facts: dict[str, Any] = {
        "model": net.name,
        "begun_with": chosen.label,
        "plans": better.runs,
        "before": before.to_dict(),
        "after": after.to_dict(),
        "n": n,
    }
    about: dict[str, str | float | int | bool] = {
        "model": net.name,
        "begun_with": chosen.label,
        "aimed_by": standard.scout.metric,
        "distance_before": before.value,
        "distance": after.value,
        "n": after.n,
    }
    atomic_write_text(path, dataclasses.replace(better.recipe, about=about).dumps())
    if form is talk.Format.JSON:
        talk.emit_json(facts | {"recipe": str(path)})
        return
    rows = [
        [name, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}", str(found.n)]
        for name, found in (("before", before), ("after", after))
    ]
    talk.emit_table(["", ">distance", ">interval", ">n"], rows)
    talk.say(f"\nrecipe  {path}")
