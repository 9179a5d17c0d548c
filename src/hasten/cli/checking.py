"""``hasten check`` and ``hasten inspect``: what would happen, and what is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hasten.cli import choices, subjects, talk

if TYPE_CHECKING:
    from hasten.core.model import Model


def check(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe file, a recipe that comes with MODEL, a published plan, or "
            "solver:grid:steps.",
        ),
    ],
    model: choices.ModelName,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Say what a recipe would do to a model, and what stands in its way.

    The exit code is 1 if there is any obstacle.
    """
    from hasten.errors import PlanError

    alone = subjects.standalone(recipe)  # before the model: it is much the quicker one
    net = subjects.open_model(model)
    read = alone or subjects.open_recipe(recipe, net, model)
    obstacles = read.obstacles(net)
    try:
        plan = read.resolve(net.process)
    except PlanError:  # is among the obstacles already
        plan = None
    facts: dict[str, Any] = {
        "recipe": recipe,
        "model": net.name,
        "label": read.label,
        "fingerprint": read.fingerprint(),
        "order": [method.name for method in read.ordered],
        "nfe": plan.nfe if plan else None,
        "full_evaluations": sum(entry.full for entry in plan.reuse) if plan else None,
        "obstacles": [
            {"what": found.what, "where": found.where, "hint": found.hint} for found in obstacles
        ],
    }
    if form is talk.Format.JSON:
        talk.emit_json(facts)
    else:
        _print_check(facts)
    if obstacles:
        raise typer.Exit(talk.FINDING)


def _print_check(facts: dict[str, Any]) -> None:
    full, nfe = facts["full_evaluations"], facts["nfe"]
    lines = {
        "recipe": facts["label"],
        "model": facts["model"],
        "fingerprint": facts["fingerprint"],
        "order": " then ".join(facts["order"]) or "no methods",
    }
    if nfe is not None:
        lines["evaluations"] = str(nfe) + (f", {nfe - full} of them partial" if full < nfe else "")
    lines["obstacles"] = str(len(facts["obstacles"]) or "none")
    talk.emit_facts(lines)
    if facts["obstacles"]:
        rows = [(found["what"], found["where"], found["hint"]) for found in facts["obstacles"]]
        talk.emit_table(("obstacle", "where", "what to do"), rows, apart=True)


def inspect(
    model: choices.ModelName,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Show a model's process, size and cost, and where methods could attach, and why there."""
    net = subjects.open_model(model)
    facts = _facts(net)
    if form is talk.Format.JSON:
        talk.emit_json(facts)
        return
    process = facts["process"]
    talk.emit_facts(
        {
            "model": f"{facts['name']} ({facts['kind']})",
            "sample": " x ".join(map(str, facts["shape"])),
            "process": f"{process['name']}, sigma {process['sigma_min']:.4g} to "
            f"{process['sigma_max']:.4g}",
            "predicts": facts["prediction"],
            "clips x0 to": f"[-{facts['clip']:g}, {facts['clip']:g}]"
            if facts["clip"] is not None
            else "nothing",
            **_asked(facts),
            "baseline": facts["baseline"],
            "parameters": f"{facts['parameters']:,}",
            "MACs a sample": f"{facts['macs']['linear_conv']:,} linear and convolution, "
            f"{facts['macs']['attention']:,} attention",
            "on": f"{facts['device']}, {facts['dtype']}",
        }
    )
    grid = facts["grid"]
    if grid is not None:
        size = " x ".join(map(str, grid["shape"]))
        talk.emit_facts({"tokens": f"{size} and {grid['extra']} more"}, apart=True)
    _print_sites(
        ("stack of", "at", "why"),
        facts["stacks"],
        lambda s: (f"{len(s['blocks'])} blocks", _span(s["blocks"]), s["why"]),
    )
    _print_sites(
        ("attention at", "queries x keys"),
        facts["attention"],
        lambda a: (a["path"], f"{a['queries']} x {a['keys']}"),
    )
    _print_sites(
        ("holding", "at", "why"),
        facts["cuts"],
        lambda c: (c["hold"], _span(c["held"]), c["why"]),
    )
    for note in facts["notes"]:
        talk.say(note)


def _print_sites(
    columns: tuple[str, ...],
    found: list[dict[str, Any]],
    cells: Callable[[dict[str, Any]], tuple[str, ...]],
) -> None:
    """A table of sites with their share of the work, if there are any."""
    rows = [(f"{100 * site['share']:.1f} %", *cells(site)) for site in found]
    if rows:
        talk.emit_table((">work", *columns), rows, apart=True)


def _span(paths: list[str]) -> str:
    return ", ".join(paths) if len(paths) < 3 else f"{paths[0]} ... {paths[-1]}"


def _asked(facts: dict[str, Any]) -> dict[str, str]:
    """What the model is conditioned on, and which models its codec asks on the way."""
    lines = {"classes": str(facts["classes"] or "none")}
    if known := facts["energies"]:
        low, high = known["low"] / 1000, known["high"] / 1000
        lines = {"energies": f"{low:g} to {high:g} GeV, {known['law']}"}
    for inner in facts["beside"]:
        lines["beside it"] = (
            f"{inner['name']}, {inner['parameters']:,} parameters, {inner['sampler']}"
        )
    return lines


def _beside(inner: Model) -> dict[str, Any]:
    from hasten.adapters.codecs import own_plan

    count = sum(p.numel() for p in inner.net.parameters())
    return {"name": inner.name, "parameters": count, "sampler": own_plan(inner).label}


def _facts(net: Model) -> dict[str, Any]:
    from hasten.core.anatomy import anatomy
    from hasten.core.macs import count_macs
    from hasten.tuning.study import baseline

    macs = count_macs(net).within("")
    process, found = net.process, anatomy(net)
    return {
        "name": net.name,
        "kind": net.kind,
        "shape": list(net.shape),
        "process": {
            "name": type(process).__name__,
            "sigma_min": process.sigma_min,
            "sigma_max": process.sigma_max,
        },
        "prediction": type(net.prediction).__name__,
        "clip": net.clip,
        "classes": net.classes.count if net.classes else None,
        "energies": dataclasses.asdict(net.energies) if net.energies else None,
        "beside": [_beside(inner) for inner in net.codec.models()],
        "baseline": baseline(net).label,
        "parameters": sum(p.numel() for p in net.net.parameters()),
        "macs": {
            "linear_conv": macs.linear_conv,
            "attention": macs.attention,
            "total": macs.total,
        },
        "device": str(net.device),
        "dtype": str(net.dtype).removeprefix("torch."),
        "stacks": [
            {
                "blocks": [block.path for block in stack.blocks],
                "shape": list(stack.shape),
                "share": sum(block.share for block in stack.blocks),
                "why": stack.why,
            }
            for stack in found.stacks
        ],
        "attention": [
            {"path": a.path, "queries": a.queries, "keys": a.keys, "share": a.share}
            for a in found.attention
        ],
        "grid": None
        if found.grid is None
        else {"shape": list(found.grid.shape), "extra": found.grid.extra},
        "notes": list(found.notes),
        "cuts": [
            {
                "held": list(cut.held),
                "silent": list(cut.silent),
                "share": cut.share,
                "hold": cut.hold,
                "why": cut.why,
            }
            for cut in found.cuts
        ],
    }
