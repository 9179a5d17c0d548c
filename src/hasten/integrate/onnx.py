"""What leaves hasten as one ONNX file: an applied model with its whole sampler inside.

    condition [B, columns] ─┐
    noise [B, numbers] ─────┴─ encoding, all rows of all plans, decoding ── cells [B, cells]

No runtime needs to know of diffusion: it is given an incident energy (or a label) and gives a
shower (or an image). The noise is a second input, so that samples can be repeated and checked, or
it is drawn in the graph, as Geant4's example Par04 wants it, which knows of one input alone.

Before the file takes its name it is run in onnxruntime on the noise of hasten's own seeds, and must
give hasten's own samples.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hasten.adapters.showers import LayerEnergies, Showers
from hasten.core.model import Codec, Identity, Model, Pixels
from hasten.core.plan import Plan, to_dict
from hasten.errors import ModelError, RunError
from hasten.files import atomic_write_bytes, check_writable
from hasten.integrate.export import resolved
from hasten.integrate.onnx_check import AGREEMENT, check, conditions, example
from hasten.integrate.onnx_graph import BATCH, Traced, graph, library, settled
from hasten.integrate.unrolled import ORDERS, SEEDS, UNITS, Form, drawn, pieces, stages
from hasten.recipe import Recipe

__all__ = ["AGREEMENT", "Written", "export_onnx", "noise_for"]


@final
@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        path: Where.
        notes: Sentences a user must know.
        distance: How far the file's samples were from hasten's; at most `AGREEMENT`.
    """

    path: Path
    notes: tuple[str, ...]
    distance: float


def export_onnx(
    model: Model,
    recipe: Recipe | Plan,
    path: str | Path,
    *,
    noise: str = "input",
    seed: int | None = 0,
    order: str = ORDERS[0],
    units: str = "MeV",
    columns: int = 1,
    deposits: bool = False,
    guidance: float = 1.0,
) -> Written:
    """Write a model and its way of sampling as one ONNX file.

    Inputs are ``condition`` [B, columns] (incident energies in GeV, then whatever is ignored) for
    models of showers, ``label`` [B] (int64) for models with classes, and ``noise`` [B, numbers]
    unless it is drawn in the graph (`noise_for` makes it from seeds). The output is ``cells``
    [B, cells], or ``images`` [B, C, H, W], or what else the model makes. B is any number. Energies
    beyond the trained range are not refused, as a graph cannot refuse anything: the nets are told
    none much beyond, and what is no energy (0, negative, nan) gives empty cells.

    Reuse of features is hasten's own: the graph computes every evaluation in full.

    Args:
        model: What to export; float32.
        recipe: A plan, or a recipe; its transforms are applied.
        path: The file, ``*.onnx``; an older one is replaced.
        noise: ``input`` for a second input, ``seed`` to draw it in the graph.
        seed: Of the noise drawn in the graph, from which every session begins anew; None leaves it
            to the runtime.
        order: Of the cells, the slowest index first: ``z-phi-r`` as in hasten, ``r-phi-z`` as in
            Par04.
        units: Of the energies of the cells: ``MeV`` or ``GeV``.
        columns: Of the condition.
        deposits: Whether cells are what was deposited in the active material, as Par04 has them:
            readings times the geometry's share.
        guidance: Weight of classifier-free guidance where the plan states none.

    Raises:
        MethodError: If the recipe does not suit the model, or has tactics other than reuse.
        MissingExtra: If onnx, onnxscript or onnxruntime is not installed.
        ModelError: If the net or codec cannot leave hasten, or the form does not suit the model.
        OutputError: If the written graph does not give hasten's samples, saying how far it is off.
        RunError: If the file cannot be written.
    """
    final = Path(path)
    form = Form(noise, seed, order, units, columns, deposits, guidance)
    _check_form(model, form)
    if final.suffix != ".onnx":
        raise RunError("not the name of an ONNX file", where=str(final), hint="name it *.onnx")
    for name in ("onnx", "onnxruntime", "onnxscript"):
        library(name)
    check_writable(final)
    model, plan, notes = resolved(model, recipe)
    model = _settled(model)
    _check_guidance(model, plan, guidance)
    traced = _traced(model, plan, form)
    for key, value in _facts(model, plan, form, recipe).items():
        traced.proto.metadata_props.add(key=key, value=value)
    data = traced.proto.SerializeToString()
    distance = check(data, model, plan, form)
    atomic_write_bytes(final, data)
    return Written(final, (*notes, *_remarks(model, form, traced.largest)), distance)


def noise_for(model: Model, recipe: Recipe | Plan, seeds: Sequence[int]) -> Tensor:
    """The normal numbers with which an exported graph gives hasten's samples of these seeds.

    Args:
        model: What was exported.
        recipe: The plan or recipe it was exported with.
        seeds: One a sample [B].

    Returns:
        Float32 [B, numbers], laid out as the file's metadata ``noise`` says.
    """
    plan = recipe if isinstance(recipe, Plan) else recipe.resolve(model.process)
    return drawn(stages(model, plan), seeds)


def _check_form(model: Model, form: Form) -> None:
    if model.guide is not None:
        raise ModelError(
            "a model cannot leave hasten together with its guide",
            where=model.name,
            hint="export model.replace(guide=None); its samples are not those guided here",
        )
    for what, hint in _misfits(model, form):
        raise ModelError(what, where=model.name, hint=hint)


def _misfits(model: Model, form: Form) -> Iterator[tuple[str, str]]:
    """What cannot be had of a form, in words, and what to do."""
    if form.noise not in ("input", "seed"):
        yield f"noise from {form.noise!r}", "input or seed"
    if form.order not in ORDERS:
        yield f"cells in the order {form.order!r}", " or ".join(ORDERS)
    if form.units not in UNITS:
        yield f"energies in {form.units!r}", " or ".join(UNITS)
    if form.columns < 1:
        yield f"a condition of {form.columns} columns", "the first is the incident energy"
    if form.seed is not None and not 0 <= form.seed < SEEDS:
        yield f"a seed of {form.seed}", f"graphs know seeds from 0 to {SEEDS - 1}"
    if model.energies is None and (form.columns, form.units) != (1, "MeV"):
        yield "columns and units are for models of showers, which this is not", "leave them out"
    if form.deposits and not isinstance(model.codec, Showers):
        yield "only cells of showers have deposits", "leave them out"
    if form.order != ORDERS[0] and not (isinstance(model.codec, Showers) and len(model.shape) == 3):
        yield f"only cells in regular layers have the order {form.order}", "leave the order out"
    if form.noise == "seed" and model.energies is None and model.classes is None:
        yield (
            "without a condition and without noise, nothing says how many samples are wanted",
            "take the noise as an input",
        )


def _check_guidance(model: Model, plan: Plan, guidance: float) -> None:
    if plan.guided(guidance) and (model.classes is None or model.classes.null is None):
        raise ModelError(
            "guidance needs class labels and a null class",
            where=model.name,
            hint="export without guidance, or state Classes(null=...) if it was trained so",
        )


def _settled(model: Model) -> Model:
    """The model and its layer model as copies on the CPU, if all of it can be in a graph."""
    codec: Codec = model.codec
    if not isinstance(codec, (Identity, Pixels, LayerEnergies, Showers)):
        raise ModelError(
            f"the codec {type(codec).__name__} cannot leave hasten as a graph",
            where=model.name,
            hint="export with model.replace(codec=Identity()) and decode yourself",
        )
    if model.call.cond is not None and model.classes is None and model.energies is None:
        raise ModelError(
            "only class labels and incident energies can be exported as conditions",
            where=model.name,
            hint="export an unconditional model, or one with Classes or Energies",
        )
    if isinstance(codec, Showers):
        codec = dataclasses.replace(codec, layers=settled(codec.layers))
    return settled(model).replace(codec=codec)


def _traced(model: Model, plan: Plan, form: Form) -> Traced:
    """The graph of a settled model."""
    parts = stages(model, plan)
    inputs = {name: torch.from_numpy(v) for name, v in example(model, form, BATCH).items()}
    if form.noise == "input":
        inputs["noise"] = torch.zeros(BATCH, sum(stage.numbers for stage in parts))
    cond, codec = conditions(model, BATCH), model.codec
    told: dict[str, Tensor | None] = {"samples": model.encode(cond, range(BATCH))}
    if isinstance(codec, Showers):
        told["layers"] = codec.layers.encode(cond, ())
    return graph(model, plan, form, inputs, told, _output(model))


def _output(model: Model) -> str:
    names = {Showers: "cells", LayerEnergies: "layers", Pixels: "images"}
    return names.get(type(model.codec), "samples")


def _facts(model: Model, plan: Plan, form: Form, recipe: Recipe | Plan) -> dict[str, str]:
    """What the file says about itself."""
    try:
        version = metadata.version("hasten")
    except metadata.PackageNotFoundError:
        version = "source tree"
    facts = {
        "hasten": version,
        "model": f"{model.name} ({model.kind})",
        "sampler": f"{plan.label or 'plan'}, {plan.nfe} evaluations",
        "plan": json.dumps(to_dict(plan)),
        "guidance": f"{form.guidance:g}",
        "noise": json.dumps([dataclasses.asdict(each) for each in pieces(stages(model, plan))]),
    }
    if isinstance(recipe, Recipe):
        facts["recipe"] = recipe.dumps()
    if form.noise == "seed":
        facts["seed"] = "none" if form.seed is None else str(form.seed)
    if model.classes is not None:
        facts["label"] = f"0 to {model.classes.count - 1}: {', '.join(model.classes.names)}"
    if model.energies is not None:
        low, high = (each / UNITS["GeV"] for each in (model.energies.low, model.energies.high))
        ignored = f", then {form.columns - 1} ignored" if form.columns > 1 else ""
        facts["condition"] = f"incident energy in GeV{ignored}"
        facts["energies"] = f"trained from {low:g} to {high:g} GeV; others are not refused"
        facts["units"] = form.units
    codec = model.codec
    if isinstance(codec, (Showers, LayerEnergies)):
        facts["threshold"] = f"{codec.scale.threshold / form.unit(model):.9g}"
    if isinstance(codec, Showers):
        facts["geometry"] = codec.geometry.name
        facts["share"] = "1" if form.deposits else f"{codec.geometry.share:g}"
        facts["order"] = form.order
        if codec.geometry.shape is not None:
            names = ORDERS[0].split("-")
            facts["shape"] = json.dumps(dict(zip(names, codec.geometry.shape, strict=True)))
    return facts


def _remarks(model: Model, form: Form, largest: float) -> tuple[str, ...]:
    """What a user must know of the file."""
    found = []
    if form.noise == "seed":
        start = "the same noise in every session"
        if form.seed is None:
            start = "noise of its own in every process, but the same in all sessions of one"
        found.append(
            f"The graph draws {start}: jobs or threads side by side need files of different seeds."
        )
    if model.energies is not None:
        low, high = (each / UNITS["GeV"] for each in (model.energies.low, model.energies.high))
        found.append(f"Trained from {low:g} to {high:g} GeV; a graph cannot refuse other energies.")
    if largest < math.inf:
        found.append(
            f"The net's own code does something else in batches above {largest:.0f}, which the "
            "graph does not; it was checked for 1 and 3 samples."
        )
    return tuple(found)
