"""Constants of a traced net computed by torch, so that other runtimes do not compute them anew.

A table of frequencies that is off by one in its last digit is harmless by itself. Multiplied by a
time of a thousand and put into a sine, it is off by 1e-4: a net then disagrees with itself from one
runtime to the next. What depends on no input and no weight is therefore written into the graph as
the numbers that torch finds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.fx import Node

_LARGEST = 1 << 20
"""Numbers in a constant; larger ones are left to the runtime, and so is the file's size."""


def folded(program: torch.export.ExportedProgram) -> nn.Module:
    """The program as a module in which constants are buffers.

    Args:
        program: A net as torch.export traced it.
    """
    module = program.module()
    known: dict[Node, Tensor] = {}
    for node in module.graph.nodes:
        if _is_fixed(node, known):
            arguments, keywords = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
            value = node.target(*arguments, **keywords)
            if isinstance(value, Tensor) and value.numel() <= _LARGEST:
                known[node] = value
    for index, (node, value) in enumerate(known.items()):
        outside = [user for user in node.users if user not in known]
        if not outside:
            continue
        name = f"constant_{index}"
        module.register_buffer(name, value.contiguous())
        with module.graph.inserting_before(node):
            constant = module.graph.get_attr(name)
        for user in outside:
            user.replace_input_with(node, constant)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _is_fixed(node: Node, known: dict[Node, Tensor]) -> bool:
    """Whether a node follows from constants alone, and nobody writes into what it makes."""
    target = node.target
    if not isinstance(target, OpOverload) or not known.keys() >= set(node.all_input_nodes):
        return False
    random = torch.Tag.nondeterministic_seeded in target.tags
    return not random and not any(map(_writes, (node, *node.users)))


def _writes(node: Node) -> bool:
    target = node.target
    # nothing public says whether an operation works in place
    return isinstance(target, OpOverload) and bool(target._schema.is_mutable)  # noqa: SLF001
