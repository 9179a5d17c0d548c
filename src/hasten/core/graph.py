"""What depends on what, read off the graph of gradients.

If the output of a module were detached, no gradient would flow back through it; whatever then
receives none cannot matter to the net's output, as long as that module's output is held. So this is
found without backpropagating: walk the graph from the net's output, stop at what is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge

Edge = tuple[int, int]
"""A tensor in the graph: number of the operation that made it, and which of its results it is."""


@final
class Graph:
    """The graph of gradients behind a tensor.

    Args:
        output: The net's output; must require gradients.
    """

    def __init__(self, output: Tensor) -> None:
        start = get_gradient_edge(output)
        # Python's views of the nodes are made on demand; keeping them keeps their identity
        self._number: dict[Node, int] = {start.node: 0}
        self._next: list[list[Edge]] = []
        nodes = [start.node]
        for node in nodes:
            edges = []
            for following, position in node.next_functions:
                if following is None:
                    continue
                if following not in self._number:
                    self._number[following] = len(nodes)
                    nodes.append(following)
                edges.append((self._number[following], position))
            self._next.append(edges)
        self.start: Edge = (0, start.output_nr)

    def find(self, edges: Iterable[GradientEdge | None]) -> list[Edge]:
        """Those of some tensors that the output depends on."""
        known = (e for e in edges if e is not None and e.node in self._number)
        return [(self._number[e.node], e.output_nr) for e in known]

    def reach(self, held: Mapping[Edge, Iterable[Edge]]) -> set[Edge]:
        """Tensors the output still depends on.

        Args:
            held: Tensors that are held, and what each then depends on instead.
        """
        seen: set[Edge] = set()
        entered = bytearray(len(self._next))
        todo = [self.start]
        while todo:
            edge = todo.pop()
            if edge in seen:
                continue
            seen.add(edge)
            if edge in held:
                todo.extend(held[edge])
            elif not entered[edge[0]]:
                entered[edge[0]] = True
                todo.extend(self._next[edge[0]])
        return seen
