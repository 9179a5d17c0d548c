"""From torch to one ONNX graph in which every net is written once and its weights are shared.

Tracing a net again for every row would take many seconds a row. So each net is exported once; the
run around it (`Unrolled`) is exported with a placeholder in the net's place; and `linked` puts the
net in for every placeholder, all with the same weights.
"""

from __future__ import annotations

import copy
import importlib
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn

from hasten.core.model import Call, Model
from hasten.core.plan import Plan
from hasten.errors import MissingExtra, ModelError
from hasten.integrate.folding import folded
from hasten.integrate.linking import DOMAIN, linked
from hasten.integrate.unrolled import Ask, Form, Stage, Unrolled, stages

BATCH = 3
"""Of the examples that are traced: neither 1, which would be broadcast, nor any net's own size."""
OPSET, IR = 18, 8
"""Old enough for onnxruntime 1.14."""
_LARGEST = 1_900_000_000


@final
@dataclass(frozen=True)
class Traced:
    """What the exporter made.

    Attributes:
        proto: An ONNX ``ModelProto``.
        largest: Batch beyond which the traced code would have taken another branch, or infinity.
    """

    proto: Any
    largest: float


def library(name: str = "onnx") -> Any:
    """The module of this name, from the extra ``onnx``.

    Raises:
        MissingExtra: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as cause:
        raise MissingExtra(name, "onnx") from cause


def settled(model: Model) -> Model:
    """A copy of a model as it is exported: on the CPU, in evaluation mode, without gradients.

    Raises:
        ModelError: If its weights are not in single precision, or too large for one file.
    """
    if model.dtype != torch.float32:
        raise ModelError(
            f"weights of type {str(model.dtype).removeprefix('torch.')}",
            where=model.name,
            hint="graphs are in float32: model.to(dtype=torch.float32)",
        )
    size = 4 * sum(parameter.numel() for parameter in model.net.parameters())
    if size > _LARGEST:
        raise ModelError(
            f"{size / 1e9:.1f} GB of weights; one ONNX file holds less than 2 GB", where=model.name
        )
    net = copy.deepcopy(model.net).cpu().eval().requires_grad_(False)
    return model.replace(net=net)


def graph(
    model: Model,
    plan: Plan,
    form: Form,
    inputs: Mapping[str, Tensor],
    told: Mapping[str, Tensor | None],
    output: str,
) -> Traced:
    """The run of a settled model as one ONNX graph.

    Args:
        model: The model.
        plan: How it is sampled.
        form: What goes in and comes out.
        inputs: Examples by name, first axis `BATCH`.
        told: Conditions as the nets take them, by stage, first axis `BATCH`; or None.
        output: Name of what comes out.

    Raises:
        ModelError: If the exporter cannot follow the net.
    """
    parts = stages(model, plan, form.guidance)
    nets = {stage.name: _net(stage, told[stage.name]) for stage in parts}
    asks = {stage.name: _placeholder(stage) for stage in parts}
    run = Unrolled(model, plan, form, asks)
    with torch.no_grad():
        outer = _exported(run, inputs, strict=(False,), name=model.name)
    whole = linked(outer.proto, {name: net.proto for name, net in nets.items()}, output)
    whole.ir_version, whole.producer_name, whole.producer_version = IR, "hasten", ""
    return Traced(whole, min(each.largest for each in (outer, *nets.values())))


@final
class _Asked(nn.Module):
    """A net behind its call, so that a graph takes tensors alone."""

    def __init__(self, net: nn.Module, call: Call) -> None:
        super().__init__()
        self.net, self.call = net, call

    def forward(self, x: Tensor, time: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.call(self.net, x, time, cond)


def _net(stage: Stage, cond: Tensor | None) -> Traced:
    """A stage's net as a graph that takes x, time and perhaps cond."""
    model = stage.model
    inputs = {"x": torch.zeros(BATCH, *model.shape), "time": torch.ones(BATCH)}
    if cond is not None and model.call.cond is not None:
        inputs["cond"] = cond
    # tracing by bytecode understands `len(x)`; tracing by running understands the rest
    asked = _Asked(model.net, model.call)
    return _exported(asked, inputs, strict=(True, False), name=model.name, fold=True)


def _placeholder(stage: Stage) -> Ask:
    """A node that names the net, for `linked` to put it there."""

    def ask(x: Tensor, time: Tensor, cond: Tensor | None) -> Tensor:
        told = stage.model.call.cond is not None and cond is not None
        inputs = [x, time, cond] if told else [x, time]
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{stage.name}", inputs, dtype=x.dtype, shape=x.shape, version=1
        )

    return ask


def _exported(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    *,
    strict: Sequence[bool],
    name: str,
    fold: bool = False,
) -> Traced:
    """A module as a graph for any batch, by the first way of tracing that succeeds."""
    shapes = {key: {0: torch.export.Dim.DYNAMIC} for key in inputs}
    failures = []
    with _quiet():
        for way in strict:
            try:
                program = torch.export.export(
                    module, (), dict(inputs), dynamic_shapes=shapes, strict=way
                )
                if fold:
                    program = torch.export.export(
                        folded(program), (), dict(inputs), dynamic_shapes=shapes, strict=False
                    )
                found = torch.onnx.export(
                    program, (), dynamo=True, opset_version=OPSET, optimize=False, verbose=False
                )
            except Exception as cause:
                failures.append(f"{type(cause).__name__}: {str(cause).strip().splitlines()[0]}")
            else:
                ranges = program.range_constraints.values()
                largest = min((_number(each.upper) for each in ranges), default=math.inf)
                if found is not None:
                    return Traced(_tidy(found), largest)
    raise ModelError(
        f"torch.onnx cannot write this net as a graph: {failures[0]}",
        where=name,
        hint="avoid control flow that depends on the data or on the size of the batch",
    )


def _tidy(found: Any) -> Any:
    """The exporter's model with constants computed and nothing computed twice, as a ``ModelProto``.

    Its own optimiser is not used: it takes a factor of .999996, as a net has at a low noise level,
    for one, and drops it.
    """
    optimizer, passes = library("onnxscript.optimizer"), library("onnx_ir.passes.common")
    passes.InlinePass()(found.model)
    optimizer.fold_constants(found.model)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(found.model)
    passes.DeduplicateInitializersPass()(found.model)
    passes.CommonSubexpressionEliminationPass()(found.model)
    optimizer.remove_unused_nodes(found.model)
    return found.model_proto


def _number(bound: Any) -> float:
    """A bound of torch's as a number; it has an infinity of its own for whole numbers."""
    return float(bound) if bound < 2**62 else math.inf


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on itself and on failed attempts: nobody can act on them."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)  # that torchvision is missing; guards of abandoned traces
    try:
        with warnings.catch_warnings():
            # torch copies specifications of its own that it has deprecated
            warnings.filterwarnings("ignore", r".*LeafSpec.*", FutureWarning)
            yield
    finally:
        logging.disable(level)
