"""``hasten tune`` and ``hasten report``."""

from __future__ import annotations

import enum
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, subjects, talk

if TYPE_CHECKING:
    from hasten.report.story import Story

_ARM = (
    "recipe",
    "seconds_per_sample",
    "batch",
    "device",
    "dtype",
    "threads",
    "nfe",
    "speedup",
    "verdict",
    "distance",
    "distance_ratio",
    "n",
)

_BUDGET: dict[bool, dict[str, Any]] = {
    False: {"trials": 400, "search_samples": 1000, "max_samples": 10_000},
    # the demo's final seeds are fixed: the references' features for them are bundled
    True: {"trials": 240, "search_samples": 500, "max_samples": 1000, "samples": 1000}
    | {"seeds": 48, "finalists": 2, "shown": 32, "run_id": "demo"},
}
"""What a study may spend, and what one for a first look may: the tests at the end are the same."""


class Objective(enum.StrEnum):
    """What is to be fast."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"


class Only(enum.StrEnum):
    """What the search is confined to."""

    PLAN = "plan"


def tune(
    model: choices.ModelName,
    objective: Annotated[
        Objective, typer.Option(help="One sample at a time, or many in total.")
    ] = Objective.LATENCY,
    margin: Annotated[
        float, typer.Option(help="Share of the reference's distance that is granted.")
    ] = 0.05,
    reference: choices.Real = None,
    judge: choices.Judge = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Candidates the search may try. [default: 400]", show_default=False),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Cap on the search's time (not reproducible).", show_default=False),
    ] = None,
    max_samples: Annotated[
        int | None,
        typer.Option(
            help="Most samples a finalist is judged on. [default: 10000]", show_default=False
        ),
    ] = None,
    only: Annotated[
        Only | None, typer.Option(help="Leave out every reuse of features.", show_default=False)
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "-r",
            "--recipe",
            metavar="RECIPE",
            help="Try this one too, as hasten sample takes it; may be given several times. The "
            "search then looks for what is faster.",
            show_default=False,
        ),
    ] = None,
    guidance: choices.Guidance = 1.0,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Samples in one pass when timing. [default: 1, for throughput 64]",
            show_default=False,
        ),
    ] = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all but the final, fresh seeds.")] = 0,
    run: Annotated[
        Path | None,
        typer.Option(help="A new run folder; by default runs/MODEL-1.", show_default=False),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Go on with this run, with the settings it began with.", show_default=False
        ),
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="A small study; goes on with RUN if it exists.")
    ] = False,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Find the fastest way to sample within a quality budget, and prove it on fresh seeds.

    Writes a run folder with the recipes, every figure and report.html; a stopped run is continued
    with --resume.
    """
    subjects.as_device(device)
    subjects.as_dtype(dtype)
    net = subjects.open_model(model)
    given = [subjects.open_recipe(text, net, model) for text in recipe or ()]
    folder = resume or run or _fresh(net.name)
    if demo and (folder / "facts.json").is_file():
        resume = folder
    from hasten.report import read, write
    from hasten.tuning.run import tune as search

    budget = dict(_BUDGET[demo])
    if trials is not None:
        budget["trials"] = trials
    if given:  # whoever has a recipe of an earlier demo has seen its final seeds
        budget.pop("run_id", None)
    if max_samples is not None:
        budget = {k: min(v, max_samples) if "samples" in k else v for k, v in budget.items()}
    talk.say(f"{net.name}, run folder {folder}")
    again = shlex.join(["hasten", "tune", model, "--resume", str(folder)])
    with talk.resumable(again), talk.progress("beginning") as advance:
        outcome = search(
            net,
            objective=objective.value,
            margin=margin,
            reference=reference,
            judge=judge,
            minutes=minutes,
            only=only.value if only else "",
            recipes=given,
            guidance=guidance,
            batch=batch,
            device=device,
            dtype=dtype,
            threads=threads,
            seed=seed,
            run=folder,
            resume=resume,
            progress=lambda stage, share, message: advance(share, 1.0, stage, message),
            **budget,
        )
        advance(0, None, "report")
        page = write(outcome.folder)
    if form is talk.Format.JSON:
        talk.emit_json(answer(outcome.facts))
        return
    _print(read(outcome.folder))
    talk.say(f"\n{outcome.message}")
    talk.say(f"report  {page}")
    if outcome.best is not None:
        talk.say(f"recipe  {outcome.folder / 'best.toml'}")


def answer(facts: Any) -> dict[str, Any]:
    """What ``--format json`` prints of a ``result.json``; the rest stays in the run folder."""

    def arm(name: str) -> dict[str, Any] | None:
        return {key: facts[name][key] for key in _ARM} if facts[name] else None

    return {
        "model": facts["model"],
        "baseline": arm("baseline"),
        "best": arm("best"),
        "fewer_steps": arm("fewer_steps"),
        "report": facts["report"],
        "run": facts["run"],
    }


def report(
    run: choices.Run,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="The page; by default RUN/report.html.", show_default=False
        ),
    ] = None,
) -> None:
    """Make the page of a finished run."""
    from hasten.report import write

    typer.echo(str(write(run, out)))


def _print(story: Story) -> None:
    """The verdicts, as far as a screen has room; the page has all of it."""
    from hasten.report import tables

    shown = [i for i, column in enumerate(tables.VERDICTS) if column.name not in _PAGE_ONLY]
    columns = [(">" if tables.VERDICTS[i].figures else "") + tables.VERDICTS[i].name for i in shown]
    rows = [
        [talk.small(line.cells[i].value, line.cells[i].detail) for i in shown]
        for line in tables.verdicts(story)
    ]
    talk.emit_table(columns, rows)


_PAGE_ONLY = ("distance", "pairing ρ", "SE / reference")


def _fresh(name: str) -> Path:
    """A run folder that does not exist; chosen here so that Ctrl-C can name it."""
    stem, number = talk.file_stem(name), 1
    while (path := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return path
