"""``hasten measure`` and ``hasten compare``: what recipes cost and what their samples are worth."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import typer

from hasten.cli import choices, subjects, talk
from hasten.cli.evidence import Evidence, interval, size

Samples = Annotated[
    int, typer.Option("-n", help="Samples the quality rests on; 0 leaves quality out.")
]
Pairs = Annotated[int, typer.Option(min=7, help="Timed runs, or pairs of them.")]
Fresh = Annotated[
    int | None,
    typer.Option(
        "--seed", min=0, help="Of all samples; by default fresh ones.", show_default=False
    ),
]


TimedBatch = Annotated[int, typer.Option("--batch", min=1, help="Samples in one pass when timing.")]


def measure(
    model: choices.ModelName,
    recipe: choices.RecipeFile = None,
    n: Samples = 1000,
    judge: choices.Judge = None,
    reference: choices.Real = None,
    batch: TimedBatch = 1,
    pairs: Pairs = 9,
    memory: Annotated[
        bool, typer.Option(help="Whether to find the peak memory, in a process of its own.")
    ] = True,
    guidance: choices.Guidance = 1.0,
    seed: Fresh = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Measure one recipe: time, cost, memory, and the quality of its samples."""
    from hasten.measure.cost import cost

    net = subjects.open_model(model, device, dtype, threads)
    chosen = subjects.open_recipe(recipe, net, model)
    plan = chosen.resolve(net.process)
    facts: dict[str, Any] = {
        "model": net.name,
        "recipe": chosen.label,
        "fingerprint": chosen.fingerprint(),
        "nfe": plan.nfe,
        "full_evaluations": sum(entry.full for entry in plan.reuse),
    }
    with talk.progress("measuring") as advance:
        evidence = Evidence(net, n, judge, reference, guidance, _origin(seed), advance)
        facts["seconds_per_sample"] = evidence.seconds(chosen, batch, pairs)
        facts["quality"] = evidence.quality(chosen) if n else None
    counted = cost(net, plan.nfe, plan.guided(guidance))
    facts["cost"] = {**counted.to_dict(), "macs_per_sample": counted.macs_per_sample}
    if memory:
        facts["memory"] = _memory(
            model=model,
            recipe=recipe,
            batch=batch,
            guidance=guidance,
            device=device,
            dtype=dtype,
        )
    if form is talk.Format.JSON:
        talk.emit_json(facts)
    else:
        _print_measure(facts)


def compare(
    model: choices.ModelName,
    recipes: Annotated[
        list[str], typer.Argument(metavar="RECIPE...", help="Recipe files.", show_default=False)
    ],
    against: Annotated[
        str | None,
        typer.Option(
            help="Recipe they are compared with; by default the sampler on the model's card.",
            show_default=False,
        ),
    ] = None,
    n: Samples = 1000,
    margin: Annotated[
        float, typer.Option(min=0, help="Share of the baseline's distance that is granted.")
    ] = 0.05,
    judge: choices.Judge = None,
    reference: choices.Real = None,
    batch: TimedBatch = 1,
    pairs: Pairs = 9,
    guidance: choices.Guidance = 1.0,
    seed: Fresh = None,
    device: choices.Device = None,
    dtype: choices.Dtype = None,
    threads: choices.Threads = None,
    form: choices.Output = talk.Format.TABLE,
) -> None:
    """Compare recipes with a baseline, in pairs: the same seeds, timed in turns."""
    from hasten.measure.fidelity import endpoint_distance
    from hasten.measure.quality import frechet
    from hasten.measure.verdict import judge_contrast

    net = subjects.open_model(model, device, dtype, threads)
    baseline = subjects.open_recipe(against, net, model)
    named = [(name, subjects.open_recipe(name, net, model)) for name in recipes]
    found: list[dict[str, Any]] = []
    with talk.progress("comparing") as advance:
        evidence = Evidence(net, n, judge, reference, guidance, _origin(seed), advance)
        for name, recipe in named:
            advance(0, None, f"timing {name}")
            speed = evidence.speed(baseline, recipe, batch, pairs)
            nfe = recipe.resolve(net.process).nfe
            found.append({"recipe": name, "label": recipe.label, "nfe": nfe, "speed": speed})
        if n:
            real = evidence.court[1]
            before, features = evidence.features(baseline, "baseline")
            first = frechet(features, real, "baseline")
            for facts, (name, recipe) in zip(found, named, strict=True):
                samples, features = evidence.features(recipe, name)
                verdict = judge_contrast(features, first, real, margin, finalists=len(named))
                facts["verdict"] = verdict.to_dict()
                facts["difference"] = endpoint_distance(samples, before).mean.to_dict()
    if form is talk.Format.JSON:
        talk.emit_json({"model": net.name, "baseline": baseline.label, "n": n, "recipes": found})
    else:
        talk.emit_facts({"model": net.name, "compared with": baseline.label, "n": f"{n:,}"})
        _print_compare(found)


def sample_once(
    model: str,
    recipe: str | None,
    batch: int,
    guidance: float,
    device: str | None,
    dtype: str | None,
) -> None:
    """One pass, for the process in which memory is measured."""
    from hasten.applying import apply
    from hasten.tuning.seeds import drawn_conditions

    net = subjects.open_model(model, device, dtype)
    with apply(net, subjects.open_recipe(recipe, net, model), guidance=guidance) as fast:
        fast(range(batch), drawn_conditions(net)(range(batch)))


def _memory(**arguments: Any) -> dict[str, Any]:
    from hasten.measure.memory import peak_memory

    return peak_memory("hasten.cli.measuring:sample_once", arguments).to_dict()


def _origin(seed: int | None) -> str:
    return secrets.token_hex(8) if seed is None else str(seed)


def _print_measure(facts: dict[str, Any]) -> None:
    from hasten.report.words import digits, duration, percent, ratio, threads

    time, counted, quality = facts["seconds_per_sample"], facts["cost"], facts["quality"]
    partial = facts["nfe"] - facts["full_evaluations"]
    where = time["context"]
    lines = {
        "model": facts["model"],
        "recipe": facts["recipe"],
        "evaluations": str(facts["nfe"]) + (f", {partial} of them partial" if partial else ""),
        "time per sample": f"{interval(time, duration)}, batch {where['batch']}",
        "on": f"{where['device']}, {where['dtype']}, {threads(where['threads'])}",
        "parameters": f"{counted['parameters']:,}, {size(counted['weight_bytes'])}",
        "MACs an evaluation": f"{counted['macs_linear_conv']:,} linear and convolution, "
        f"{counted['macs_attention']:,} attention",
    }
    if counted["guided"]:
        lines["evaluations"] += f", {counted['guided']} of them guided"
        lines["MACs of guidance"] = f"{counted['macs_guidance']:,} more in a guided evaluation"
    if facts.get("memory"):
        lines["peak memory"] = size(facts["memory"]["device"] or facts["memory"]["peak"])
    if quality:
        lines |= {
            "metric": quality["metric"],
            "against": "real data" if quality["against"] == "data" else "the model's own samples",
            "samples": f"{quality['distance']['n']:,}",
            "distance": interval(quality["distance"], digits),
            "kernel distance": interval(quality["kernel"], digits),
            "density": interval(quality["density"], ratio),
            "coverage": interval(quality["coverage"], ratio),
        }
        if quality["accuracy"]:
            lines["right class"] = interval(quality["accuracy"], percent)
        for name, floor in quality["floor"].items():
            lines[f"floor, {name}"] = interval(floor, digits)
    talk.emit_facts(lines)


def _print_compare(found: list[dict[str, Any]]) -> None:
    from hasten.report.words import NONE, digits, duration, factor, ratio

    rows = []
    for facts in found:
        speed, verdict = facts["speed"], facts.get("verdict")
        rows.append(
            (
                facts["recipe"],
                str(facts["nfe"]),
                duration(speed["seconds_b"]["value"]),
                interval(speed["ratio"], factor) + ("" if speed["stable"] else " (unsteady)"),
                verdict["outcome"] if verdict else NONE,
                interval(verdict["ratio"], ratio) if verdict else NONE,
                f"{verdict['rho']:.2f}" if verdict and verdict["rho"] is not None else NONE,
                digits(facts["difference"]["value"]) if verdict else NONE,
            )
        )
    columns = ("recipe", ">evaluations", ">time", ">speed-up", "verdict", ">distance ratio")
    talk.emit_table((*columns, ">pairing", ">difference"), rows, apart=True)
    for facts in found:
        if facts.get("verdict") and facts["verdict"]["outcome"] == "undecided":
            talk.say(f"{facts['recipe']}: {facts['verdict']['reason']}")
        if not facts["speed"]["stable"]:
            talk.say(f"{facts['recipe']}: {facts['speed']['reason']}")
