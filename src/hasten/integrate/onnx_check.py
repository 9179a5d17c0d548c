"""Whether a written graph gives hasten's own samples, found by running it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from hasten.adapters.showers import LayerEnergies, Showers
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import OutputError
from hasten.integrate import agreement
from hasten.integrate.onnx_graph import BATCH, library
from hasten.integrate.unrolled import ORDERS, UNITS, Form, drawn, stages
from hasten.solvers.loop import sample

AGREEMENT = 1e-4
"""Most that a file may differ from hasten, as `hasten.integrate.agreement` measures it."""
_RANDOM = "RandomNormalLike"


def check(data: bytes, model: Model, plan: Plan, form: Form) -> float:
    """Run a graph in onnxruntime on the noise of hasten's seeds, one sample and three at a time.

    Where the graph draws its own noise, what it draws is looked at first; then the node that draws
    is taken out, and all the rest is run on hasten's noise.

    Args:
        data: The ONNX file.
        model: What it was made from, on the CPU.
        plan: How that is sampled.
        form: What goes in and comes out.

    Returns:
        The largest distance between its samples and hasten's.

    Raises:
        OutputError: If that is above `AGREEMENT`, or the noise is no noise.
    """
    library("onnx.checker").check_model(data, full_check=True)
    if form.noise == "seed":
        data = _without_drawing(data, model, plan, form)
    session = open_session(data)
    worst = 0.0
    for count in (1, BATCH):
        seeds = [1 + 1000 * index for index in range(count)]
        inputs = example(model, form, count)
        inputs["noise"] = drawn(stages(model, plan), seeds).numpy()
        got = np.asarray(session.run(None, inputs)[0], dtype=np.float64)
        want = sample(model, plan, seeds, conditions(model, count), guidance=form.guidance)
        worst = max(worst, _distance(model, form, got, want.double().numpy()))
    if not worst <= AGREEMENT:
        raise OutputError(
            f"the graph is {worst:.2g} away from hasten's samples; {AGREEMENT:g} is allowed",
            where=model.name,
            hint="the net may depend on something that is not in its weights; or try other "
            "versions of torch, onnxscript and onnxruntime",
        )
    return worst


def conditions(model: Model, count: int) -> Tensor | None:
    """Labels [B], or energies over the whole range [B], MeV; or None."""
    if model.energies is not None:
        energies = model.energies.at((torch.arange(count) + 0.5) / count)
        return energies / UNITS["GeV"] * UNITS["GeV"]  # rounded as in the graph
    if model.classes is not None:
        return torch.arange(count) % model.classes.count
    return None


def example(model: Model, form: Form, count: int) -> dict[str, Any]:
    """A graph's inputs but for the noise, as arrays by name."""
    cond = conditions(model, count)
    if cond is None:
        return {}
    if model.energies is None:
        return {"label": cond.numpy()}
    columns = np.random.default_rng(0).standard_normal((count, form.columns), dtype=np.float32)
    columns[:, 0] = (cond / UNITS["GeV"]).numpy()
    return {"condition": columns}


def open_session(data: bytes) -> Any:
    """An onnxruntime session on the CPU with one thread, which says errors alone."""
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _distance(
    model: Model, form: Form, got: np.ndarray[Any, Any], want: np.ndarray[Any, Any]
) -> float:
    if got.shape != want.shape:
        raise OutputError(f"the graph gives shape {got.shape}, not {want.shape}", where=model.name)
    if model.energies is not None:
        got = got * form.unit(model)
    if form.order != ORDERS[0]:
        depth, sectors, rings = model.shape
        got = got.reshape(-1, rings, sectors, depth).transpose(0, 3, 2, 1).reshape(want.shape)
    codec = model.codec
    if isinstance(codec, (Showers, LayerEnergies)):
        counts = [want.shape[1]]
        if isinstance(codec, Showers):
            counts = [layer.cells for layer in codec.geometry.layers]
        return agreement.of_parts(got, want, counts, max(codec.scale.soft, codec.scale.threshold))
    return agreement.of_arrays(got, want)


def _without_drawing(data: bytes, model: Model, plan: Plan, form: Form) -> bytes:
    """The graph with its noise as an input, after a look at the noise it draws itself."""
    onnx = library()
    whole = onnx.load_model_from_string(data)
    (node,) = (each for each in whole.graph.node if each.op_type == _RANDOM)
    numbers = sum(stage.numbers for stage in stages(model, plan))
    noise = onnx.helper.make_tensor_value_info(
        node.output[0], onnx.TensorProto.FLOAT, ["batch", numbers]
    )
    whole.graph.output.append(noise)
    _check_noise(whole.SerializeToString(), example(model, form, BATCH), model)
    del whole.graph.output[-1]
    whole.graph.node.remove(node)
    whole.graph.input.append(noise)
    _rename(whole.graph, node.output[0], "noise")
    return bytes(whole.SerializeToString())


def _check_noise(data: bytes, inputs: dict[str, Any], model: Model) -> None:
    session = open_session(data)
    noise = np.concatenate([session.run(None, inputs)[-1] for _ in range(2)]).astype(np.float64)
    sure = 6 / noise.size**0.5  # six standard deviations of the mean
    usual = abs(noise.mean()) < sure and abs(noise.std() - 1) < sure
    if not usual or len(np.unique(noise, axis=0)) < len(noise):
        raise OutputError("the graph draws numbers that are no noise", where=model.name)


def _rename(graph: Any, old: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
    for value in graph.input:
        value.name = new if value.name == old else value.name
