"""``hasten plan``: what a plan does row by row, what differs between two, a picture of several.

`hasten.cli.finding` has the command that searches one, `hasten.cli.aiming` that which moves one to
the data, `hasten.cli.adapting` that of error control.

A PLAN is a recipe file, the name of a recipe that comes with the model, or ``solver:grid:steps``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from hasten.cli import adapting, aiming, choices, finding, subjects, talk
from hasten.errors import PlanError, RecipeError
from hasten.files import atomic_write_bytes, check_writable

if TYPE_CHECKING:
    from hasten.core.model import Model
    from hasten.core.plan import Plan
    from hasten.report.plan_diff import Difference

app = typer.Typer(no_args_is_help=True, help="Find, read, compare and draw sampling plans.")
app.command()(finding.find)
app.command()(aiming.aim)
app.command()(adapting.adaptive)

_FORMS = (".png", ".svg", ".pdf")

_WHAT = "A recipe file, a recipe that comes with MODEL, or solver:grid:steps (dpmpp_2m:karras:12)."

PlanName: TypeAlias = Annotated[str, typer.Argument(metavar="PLAN", help=_WHAT, show_default=False)]
ForModel: TypeAlias = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="Whose process makes rows of a short form; recipes with rows need none.",
        show_default=False,
    ),
]


@app.command()
def show(plan: PlanName, model: ForModel = None, form: choices.Output = talk.Format.TABLE) -> None:
    """Show a plan's rows: where the net is asked, and of what.

    x[k] is the input of row k, out[k] the net's x0 there; "outputs" counts the earlier x0 in a
    row. JSON has the exact rows, all of them in terms of the start.
    """
    from hasten.core.plan import to_dict

    net = _model(model)
    read = open_plan(plan, net, model)
    if form is talk.Format.JSON:
        talk.emit_json(to_dict(read))
        return
    from hasten.report import plan_words

    talk.emit_table(*plan_words.table(read, None if net is None else net.process))
    talk.emit_facts(plan_words.totals(read), apart=True)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="A", help=_WHAT, show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="Likewise.", show_default=False)],
    model: ForModel = None,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Show what differs between two plans, step by step.

    The exit code is 0 if every row is the same to the last bit, and 1 if not; labels do not count.
    """
    net = _model(model)
    first, second = (open_plan(name, net, model) for name in (a, b))
    from hasten.report import plan_diff

    found = plan_diff.compare(first, second)
    if form is talk.Format.JSON:
        talk.emit_json(_as_json(first, second, found))
    else:
        if found:
            talk.emit_table(*plan_diff.table(found))
        lines = {
            "A": _about(a, first),
            "B": _about(b, second),
            "differences": plan_diff.summary(first, second, found),
        }
        if most := plan_diff.largest(found):
            lines["largest"] = most
        talk.emit_facts(lines, apart=bool(found))
    if found:
        raise typer.Exit(talk.FINDING)


@app.command()
def plot(
    plans: Annotated[list[str], typer.Argument(metavar="PLAN", help=_WHAT, show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Whose process makes rows of a short form.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .png, .svg or .pdf.")] = Path(
        "plan.png"
    ),
) -> None:
    """Draw plans below each other on one axis of noise levels."""
    if out.suffix not in _FORMS:
        raise PlanError(
            f"unknown kind of file {out.suffix or out.name!r}",
            where=str(out),
            hint=f"name it {', '.join(_FORMS[:-1])} or {_FORMS[-1]}",
        )
    check_writable(out)
    net = _model(model)
    read = [(name, open_plan(name, net, model)) for name in plans]
    from hasten.report.plan_picture import draw
    from hasten.report.svg import LIGHT, standalone, style

    with style(LIGHT):
        figure = draw(read, "" if net is None else net.name)
        atomic_write_bytes(out, standalone(figure, out.suffix[1:]))
    typer.echo(str(out))


def open_plan(text: str, model: Model | None, name: str | None) -> Plan:
    """The plan that the user named.

    Args:
        text: A recipe file, the name of a recipe that comes with the model, or
            ``solver:grid:steps``.
        model: Whose process makes rows of a short form; None if none was named.
        name: What the user called it.

    Raises:
        RecipeError: If there is no such recipe, or it cannot be read.
        PlanError: If it has no rows and no process to make them, or does not suit the process.
    """
    from hasten.core.plan import Plan

    recipe = subjects.standalone(text)
    if recipe is None:
        if model is None or name is None:
            raise RecipeError(
                "there is no such file",
                where=text,
                hint="for a recipe that comes with a model name the MODEL as well; "
                "a stock plan is solver:grid:steps",
            )
        recipe = subjects.open_recipe(text, model, name)
    found = recipe.plan
    if isinstance(found, Plan):
        return found
    if model is None:
        raise PlanError(
            "this plan has no rows yet: its noise levels depend on the model's process",
            where=text,
            hint="name the MODEL as well",
        )
    try:
        return found.resolve(model.process)
    except PlanError as error:
        where = f"{text}, {error.where}" if error.where else text
        raise PlanError(error.what, where=where, hint=error.hint) from error


def _model(name: str | None) -> Model | None:
    return None if name is None else subjects.open_model(name)


def _about(name: str, plan: Plan) -> str:
    label = plan.label if plan.label != name.replace(":", " ") else ""
    parts = (name, label, f"{plan.nfe} evaluations", f"fingerprint {plan.fingerprint()}")
    return ", ".join(filter(None, parts))


def _as_json(a: Plan, b: Plan, found: tuple[Difference, ...]) -> dict[str, Any]:
    def facts(plan: Plan) -> dict[str, Any]:
        return {"label": plan.label, "nfe": plan.nfe, "fingerprint": plan.fingerprint()}

    return {
        "equal": not found,
        "a": facts(a),
        "b": facts(b),
        "differences": [
            {
                "step": entry.step,
                "evaluation": entry.place,
                "only": entry.only or None,
                **{name: [x, y] for name, x, y in entry.fields},
                "coefficients": [
                    {"term": c.term, "a": c.a, "b": c.b, "size": c.size} for c in entry.changes
                ],
            }
            for entry in found
        ],
    }
