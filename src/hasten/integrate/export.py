"""What leaves hasten: a folder with net, plan and a script that samples without hasten.

    sample.py           plays the plan; needs numpy and torch
    sampler.json        the programme it plays, and the model's facts
    plan.json           the plan itself, which hasten reads again
    parts/              copies of the source files it needs: the noise, and a net of hasten's own
    weights.safetensors with a net of hasten's own
    unet/, scheduler/   with a net of diffusers, as diffusers saves them
    net.pt2             any other net, as a program of torch.export

Before the folder takes its name, the script's player is asked about the same noisy data as the
model, and must give the same answer.
"""

from __future__ import annotations

import copy
import itertools
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from hasten.adapters.card import FACTORIES
from hasten.adapters.diffusers.load import Latent, is_net
from hasten.adapters.diffusers.save import save_folder
from hasten.core.method import Given, Tactic, refuse
from hasten.core.model import Call, Identity, Model, Pixels
from hasten.core.plan import Plan, to_dict
from hasten.errors import MethodError, ModelError, OutputError, RunError
from hasten.files import refusal
from hasten.integrate import parts, player
from hasten.preparing import transformed
from hasten.recipe import Recipe
from hasten.solvers.noise import depth_for
from hasten.solvers.program import compile_plan

_BATCH = 3
_AGREEMENT = 1e-4


@final
@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: Where.
        notes: Sentences a user must know: what is played otherwise than in hasten, and how else the
            folder can be used.
    """

    folder: Path
    notes: tuple[str, ...]


def export(
    model: Model, recipe: Recipe | Plan, folder: str | Path, *, guidance: float = 1.0
) -> Exported:
    """Write a model and its way of sampling as a folder that works without hasten.

    Reuse of features is hasten's own: the exported script computes every evaluation in full, which
    is slower and at least as exact, and says so.

    Args:
        model: What to export.
        recipe: A plan, or a recipe; its transforms are applied.
        folder: A new folder, or an earlier export, which is replaced.
        guidance: What the script takes when it is not told.

    Raises:
        MethodError: If the recipe does not suit the model, or has tactics other than reuse.
        ModelError: If the net, codec or process cannot leave hasten, the model has a guide or makes
            showers.
        RunError: If the folder is in other use or cannot be written.
    """
    final = Path(folder)
    if final.exists() and not (final / "sampler.json").is_file():
        raise RunError(
            "this folder is not an earlier export",
            where=str(final),
            hint="choose a new folder, or remove this one first",
        )
    if model.guide is not None:
        raise ModelError(
            "a model cannot leave hasten together with its guide",
            where=model.name,
            hint="export model.replace(guide=None); its samples are not those guided here",
        )
    if model.energies is not None:
        raise ModelError(
            "a model of showers leaves hasten as one graph, not as a folder",
            where=model.name,
            hint="hasten export ... --onnx FILE.onnx, or hasten.integrate.onnx.export_onnx",
        )
    model, plan, notes = resolved(model, recipe)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}."))
    except OSError as cause:
        raise refusal(cause, final) from cause
    try:
        notes += _write(model, plan, guidance, temporary, notes)
        _compare(model, plan, temporary)
        temporary.chmod(0o755)
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    except OSError as cause:
        raise refusal(cause, final) from cause
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(final, notes)


def resolved(model: Model, recipe: Recipe | Plan) -> tuple[Model, Plan, tuple[str, ...]]:
    """The model with the recipe's transforms, the plan, and what is lost."""
    if isinstance(recipe, Plan):
        return model, recipe, _reuse_note(recipe)
    refuse(model.name, recipe.obstacles(model))
    for method in recipe.ordered:
        if isinstance(method, Tactic) and not method.reuses:
            raise MethodError(
                f"{method.name} changes the net while it runs and cannot leave hasten",
                where=model.name,
                hint="export a recipe without it",
            )
    plan = recipe.resolve(model.process)
    given = Given(model, plan, rng=torch.Generator().manual_seed(0))
    return transformed(given, itertools.chain(*recipe.transforms)), plan, _reuse_note(plan)


def _reuse_note(plan: Plan) -> tuple[str, ...]:
    held = sum(not entry.full for entry in plan.reuse)
    if not held:
        return ()
    note = (
        f"In hasten {held} of {plan.nfe} evaluations reuse features; here all are computed in "
        "full: slower than hasten, and not the samples that were judged there."
    )
    return (note,)


def _write(
    model: Model, plan: Plan, guidance: float, folder: Path, notes: tuple[str, ...]
) -> tuple[str, ...]:
    """Fill the folder; returns further notes."""
    more: tuple[str, ...]
    if is_net(model.net):
        place, note = save_folder(model, plan, folder)
        net: dict[str, Any] = {"form": "diffusers", "folder": place}
        call, more = model.call, (note,)
    elif (config := _factory_config(model)) is not None:
        kind = type(model.net)
        net = {"form": "source", "module": kind.__module__.rpartition(".")[2]}
        net |= {"name": kind.__name__, "config": config}
        _save_parts(folder, kind.__module__)
        state = model.net.state_dict()
        save_file({k: _lossless(v) for k, v in state.items()}, folder / "weights.safetensors")
        call, more = model.call, ()
    else:
        net, call = {"form": "program"}, _save_program(model, folder)
        more = ("net.pt2 is a program of torch.export: it runs, but cannot be trained further.",)
    _save_parts(folder, "hasten.solvers.noise")
    facts = {
        "name": model.name,
        "shape": list(model.shape),
        "dtype": str(model.dtype).removeprefix("torch."),
        "net": net,
        "call": {
            "cond": call.cond,
            "time": call.time,
            "extra": dict(call.extra),
            "channels": call.channels,
        },
        "codec": _codec(model, folder),
        "clip": model.clip,
        "classes": None if model.classes is None else model.classes.count,
        "null": None if model.classes is None else model.classes.null,
        "guidance": guidance,
        "notes": [*notes, *more],
        **_programme(model, plan),
    }
    try:
        text = json.dumps(facts, indent=1)
    except TypeError as cause:
        raise ModelError(
            f"the net's constant arguments cannot be written: {cause}", where=model.name
        ) from cause
    (folder / "sampler.json").write_text(text + "\n", "utf-8")
    (folder / "plan.json").write_text(json.dumps(to_dict(plan), indent=1) + "\n", "utf-8")
    shutil.copyfile(player.__file__, folder / "sample.py")
    return more


def _programme(model: Model, plan: Plan) -> dict[str, Any]:
    """The rows as the player wants them: register terms and the numbers around the net."""
    program = compile_plan(plan)
    rows = []
    for row, terms, drop in zip(plan.rows, program.inputs, program.last, strict=True):
        sigma = np.asarray(row.sigma)
        scale, skip, out = model.prediction.coefficients(model.process, sigma)
        rows.append(
            {
                "sigma": row.sigma,
                "time": float(model.process.time(sigma)),
                "scale": float(scale),
                "skip": float(skip),
                "out": float(out),
                "guidance": row.guidance,
                "input": [list(term) for term in terms],
                "drop": list(drop),
            }
        )
    return {
        "start": plan.rows[0].sigma,
        "rows": rows,
        "result": [list(term) for term in program.result],
        "noises": [[noise.high, noise.low] for noise in program.noises],
        "depth": depth_for(program.noises),
    }


def _factory_config(model: Model) -> dict[str, Any] | None:
    """The arguments that make this very net again from a source file that can be copied, if any."""
    table: Mapping[str, Any] = model.card.get("net") or {}
    factory = FACTORIES.get(str(table.get("factory")))
    if factory is None or not parts.is_free(type(model.net).__module__):
        return None
    config = {key: value for key, value in table.items() if key != "factory"}
    again = factory(Path(str(model.card.get("folder", ""))), config)
    shapes = {name: tensor.shape for name, tensor in model.net.state_dict().items()}
    same = {name: tensor.shape for name, tensor in again.state_dict().items()} == shapes
    return config if same and type(again) is type(model.net) else None


def _save_parts(folder: Path, module: str) -> None:
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "__init__.py").touch()
    for name, source in parts.closure(module).items():
        (folder / "parts" / name).write_text(source, "utf-8")


def _lossless(tensor: Tensor) -> Tensor:
    """In 16 bits where nothing is lost, as with weights that were stored so."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.float32 and torch.equal(tensor.half().float(), tensor):
        tensor = tensor.half()
    return tensor.clone().contiguous()


@final
class _Asked(nn.Module):
    """A net behind its call, so that a program takes tensors alone."""

    def __init__(self, net: nn.Module, call: Call) -> None:
        super().__init__()
        self.net, self.call = net, call

    def forward(self, x: Tensor, time: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.call(self.net, x, time, cond)


def _save_program(model: Model, folder: Path) -> Call:
    """Write ``net.pt2`` for any batch; returns how the player calls it."""
    # traced on the CPU, so that it can be opened where there is nothing else
    net = _Asked(copy.deepcopy(model.net).cpu(), model.call).eval()
    x, time, cond = (t if t is None else t.cpu() for t in _example(model))
    batch = torch.export.Dim("batch", min=1)
    inputs = {"x": {0: batch}, "time": {0: batch}}
    keywords = {} if cond is None else {"cond": cond}
    if cond is not None:
        inputs["cond"] = {0: batch}
    failures = []
    for strict in (False, True):  # each understands nets that the other does not
        try:
            with torch.no_grad():
                program = torch.export.export(
                    net, (x, time), keywords, dynamic_shapes=inputs, strict=strict
                )
            torch.export.save(program, folder / "net.pt2")
            return Call(cond=None if cond is None else "cond")
        except Exception as cause:
            failures.append(f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}")
    raise ModelError(
        f"torch.export cannot write this net as a program: {failures[0]}",
        where=model.name,
        hint="avoid control flow that depends on the data or on the size of the batch",
    )


def _example(model: Model) -> tuple[Tensor, Tensor, Tensor | None]:
    x = torch.zeros(_BATCH, *model.shape, dtype=model.dtype, device=model.device)
    wide = torch.float64 if model.dtype == torch.float64 else torch.float32
    time = torch.ones(_BATCH, dtype=wide, device=model.device)
    if model.call.cond is None:
        return x, time, None
    if model.classes is None:
        raise ModelError(
            "only class labels can be exported as conditions",
            where=model.name,
            hint="export an unconditional model, or one with Classes",
        )
    return x, time, torch.zeros(_BATCH, dtype=torch.long, device=model.device)


def _codec(model: Model, folder: Path) -> dict[str, Any]:
    codec = model.codec
    if isinstance(codec, Identity):
        return {"name": "identity"}
    if isinstance(codec, Pixels):
        return {"name": "pixels"}
    if isinstance(codec, Latent) and is_net(codec.decoder):
        place = "vqvae" if (folder / "vqvae").is_dir() else "vae"
        codec.decoder.save_pretrained(folder / place)  # type: ignore[operator]
        return {"name": "latent", "folder": place, "scale": codec.scale, "shift": codec.shift}
    raise ModelError(
        f"the codec {type(codec).__name__} cannot leave hasten",
        where=model.name,
        hint="export with model.replace(codec=Identity()) and decode yourself",
    )


def _compare(model: Model, plan: Plan, folder: Path) -> None:
    """Ask the written net and the model about the same noisy data, one and three at a time."""
    written = player.Player(folder, str(model.device))
    rng = torch.Generator().manual_seed(0)
    labels = _example(model)[2]
    for index in sorted({0, plan.nfe - 1}):
        row, sigma = written.facts["rows"][index], plan.rows[index].sigma
        for count in (1, _BATCH):
            x = torch.randn(count, *model.shape, generator=rng).to(model.device) * sigma
            some = None if labels is None else labels[:count]
            with torch.inference_mode():
                want = model.denoise(x, sigma, some)
                got = written.denoise(x, row, some, 1.0)
            size = float(want.abs().max())
            if float((want - got).abs().max()) > _AGREEMENT * max(size, 1.0):
                raise OutputError(
                    "the exported net does not answer as the model does",
                    where=f"{model.name}, row {index} at sigma = {sigma:.6g}",
                    hint="the net may depend on something that is not in its weights",
                )
