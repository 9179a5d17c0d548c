"""Graphs put into one another: every call of a net replaced by the net, all with the same weights.

Shapes are carried along, with one name for the size of the batch. A runtime that cannot tell that
two tensors are of one size cannot give one the memory of the other, and the more it has to try the
longer it plans: without the names, onnxruntime takes over a minute to load a graph of fifty rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hasten.errors import ModelError

DOMAIN = "hasten"
"""Of the nodes that stand for nets."""
BATCH_NAME = "batch"
_GRAPH = 5  # AttributeProto.GRAPH


def linked(outer: Any, nets: Mapping[str, Any], output: str) -> Any:
    """The outer graph with every node of `DOMAIN` replaced by the net it names.

    Args:
        outer: An ONNX ``ModelProto`` with one output; taken apart.
        nets: A ``ModelProto`` for every name, with the inputs that its nodes have; taken apart.
        output: What the output is to be called.

    Raises:
        ModelError: If a net has control flow.
    """
    graph = outer.graph
    _rename_sizes([*graph.input, *graph.output, *graph.value_info], _symbols(graph), BATCH_NAME)
    sizes = {value.name: value for value in (*graph.input, *graph.value_info)}
    nodes, shapes = list[Any](), list[Any](graph.value_info)
    for number, node in enumerate(graph.node):
        if node.domain != DOMAIN:
            nodes.append(node)
            continue
        net, size = nets[node.op_type].graph, _first_size(sizes.get(node.input[0]))
        names = _names(net, node, number)
        for inner in net.node:
            nodes.append(_copied(inner, names))
        for value in net.value_info if size else ():
            shapes.append(_shape(value, names, _symbols(net), size))
    nodes = [_bare(node) for node in nodes]
    for name, model in nets.items():
        for weight in model.graph.initializer:
            weight.name = f"{name}.{weight.name}"
            graph.initializer.append(weight)
    _replace(graph.node, nodes)
    _replace(graph.value_info, [_noteless(value) for value in shapes])
    for value in (*graph.input, *graph.output):
        _noteless(value)
    _call_output(graph, output)
    _replace(outer.opset_import, [each for each in outer.opset_import if each.domain != DOMAIN])
    return outer


def _names(net: Any, call: Any, number: int) -> dict[str, str]:
    """What the values of a net are called where it is called."""
    names = {"": ""}
    names |= {weight.name: f"{call.op_type}.{weight.name}" for weight in net.initializer}
    given = zip(net.input, call.input, strict=True)
    names |= {value.name: name for value, name in given}
    inner = {name for node in net.node for name in node.output} - names.keys()
    names |= {name: f"{call.op_type}.{number}.{name}" for name in inner}
    return names | {net.output[0].name: call.output[0]}


def _copied(node: Any, names: Mapping[str, str]) -> Any:
    if any(attribute.type == _GRAPH for attribute in node.attribute):
        raise ModelError(
            "a net with control flow cannot be put into a graph",
            where=node.op_type,
            hint="replace loops and branches over tensors by operations on them",
        )
    copy = type(node)()
    copy.CopyFrom(node)
    copy.input[:] = [names[name] for name in node.input]
    copy.output[:] = [names[name] for name in node.output]
    return copy


def _shape(value: Any, names: Mapping[str, str], symbols: set[str], size: str) -> Any:
    copy = type(value)()
    copy.CopyFrom(value)
    copy.name = names[value.name]
    _rename_sizes([copy], symbols, size)
    return copy


def _symbols(graph: Any) -> set[str]:
    """What the exporter calls the size of the batch."""
    return {_first_size(value) for value in graph.input} - {""}


def _first_size(value: Any) -> str:
    """The name of the first axis' size; empty if it has none."""
    axes = () if value is None else value.type.tensor_type.shape.dim
    return str(axes[0].dim_param) if axes else ""


def _rename_sizes(values: Iterable[Any], symbols: set[str], size: str) -> None:
    """``s27*51`` becomes ``batch*51``, and in a call for both branches ``(2*batch)*51``."""
    if not symbols:
        return
    known = re.compile("|".join(rf"\b{symbol}\b" for symbol in symbols))
    inside = f"({size})" if "*" in size else size
    for value in values:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param:
                whole = axis.dim_param in symbols
                axis.dim_param = size if whole else known.sub(inside, axis.dim_param)


def _call_output(graph: Any, name: str) -> None:
    (value,) = graph.output
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if each == value.name else each for each in names]
    value.name = name


def _bare(node: Any) -> Any:
    """Without name, and without the exporter's notes on where in the source it came from."""
    node.name = node.doc_string = ""
    return _noteless(node)


def _noteless(thing: Any) -> Any:
    del thing.metadata_props[:]
    return thing


def _replace(field: Any, values: Iterable[Any]) -> None:
    kept = list(values)
    del field[:]
    field.extend(kept)
