"""Finding out what can be held in a net, and proving it.

Candidates come from two sides. The output of any one module may be held: in a U-Net, holding a
decoder block silences the whole deep part of the net, while the shallow part still sees the
current input through its skips (DeepCache, arXiv 2312.00858). In a stack of blocks, what the inner
ones add to the stream may be held (arXiv 2406.01125), or what all their attention and MLP modules
return (FORA, arXiv 2407.01425). What each candidate silences is read off the graph of gradients;
then it is tried out: held from an evaluation of the same input, it must reproduce the net's output
bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import final

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from hasten.core.clock import Clock
from hasten.core.edit import Changes, bare
from hasten.core.example import example, undisturbed
from hasten.core.graph import Edge, Graph
from hasten.core.hold import install
from hasten.core.model import Model
from hasten.core.parts import Attention, Block, Cut, Mlp, Stack, Streams
from hasten.core.plan import HOLD, Combination, Row
from hasten.core.stacks import inside, once
from hasten.core.watch import Record, Seen
from hasten.errors import HastenError

SPACING = 0.03
"""Cuts whose shares differ by less are one choice."""

MOST = 8
"""Cuts of one kind that are offered."""


class Unsuitable(Exception):
    """A module that cannot be held; the text says why. Never leaves this package."""


@final
class Finder:
    """Makes cuts of a net that was watched.

    Args:
        record: One forward pass at batch 2, with gradients if there can be any.
        shares: Share of the multiply-accumulates by path.
    """

    def __init__(self, record: Record, shares: Mapping[str, float]) -> None:
        self._graph = Graph(record.output) if record.output.requires_grad else None
        self._shares = shares
        self._calls = {call.path: call for call in once(record.calls)}
        self._paths = list(dict.fromkeys(call.path for call in record.calls))
        self._edges: dict[str, list[Edge]] = {path: [] for path in self._paths}
        for call in record.calls:
            self._edges[call.path] += self._find(call.edges_out)
        self._entrance = self._find(record.calls[0].edges_in[:1])
        # what carries no gradient may matter in ways the graph does not show: it always runs
        self._opaque = {
            call.path
            for call in record.calls
            if any(e is None for e, t in zip(call.edges_out, call.outputs, strict=True) if _is(t))
            or not any(_is(t) for t in call.outputs)
        }
        self._tied = record.tied

    def cut(
        self, held: Sequence[str], hold: str, streams: Sequence[Streams] = (), why: str = ""
    ) -> Cut:
        """What holding some modules silences.

        Raises:
            Unsuitable: If one of them cannot be held.
        """
        instead: dict[Edge, list[Edge]] = {}
        kept = 0
        for index, path in enumerate(held):
            pairs = streams[index] if hold == "residual" else ()
            call = self._holdable(path, hold, pairs)
            instead |= {edge: [] for edge in self._edges[path]}
            for out, given in pairs:
                for edge in self._find([call.edges_out[out]]):
                    instead[edge] = self._find([call.edges_in[given]])
            remembered = [*call.outputs, *(call.inputs[given] for _, given in pairs)]
            kept += sum(t.numel() for t in remembered if isinstance(t, Tensor)) // 2
        reached = self._graph.reach(instead) if self._graph else set()
        silent = self._silent(held, reached) if self._graph else ()
        return Cut(
            held=tuple(held),
            silent=silent,
            share=min(1.0, sum(self._shares.get(path, 0.0) for path in (*held, *silent))),
            hold=hold,
            why=why,
            streams=tuple(streams) if hold == "residual" else (),
            fresh=not self._graph or any(edge in reached for edge in self._entrance),
            kept=kept,
        )

    def outputs(self) -> Iterator[Cut]:
        """Every single module whose output can be held, where it makes a difference."""
        seen: set[tuple[Edge, ...]] = set()
        for path in self._paths:
            edges = tuple(self._edges[path])
            if path and edges and edges not in seen:  # a parent comes before the child it returns
                seen.add(edges)
                try:
                    yield self.cut([path], "output", why=f"output of {path}")
                except Unsuitable:
                    continue

    def _find(self, edges: Sequence[GradientEdge | None]) -> list[Edge]:
        return self._graph.find(edges) if self._graph else []

    def _holdable(self, path: str, hold: str, pairs: Streams) -> Seen:
        if path not in self._edges:
            raise Unsuitable(f"{path} does not run in this net")
        if path in self._tied:
            raise Unsuitable(f"{path} is reachable by several paths")
        if path not in self._calls:
            raise Unsuitable(f"{path} is called several times in one evaluation")
        call = self._calls[path]
        if not all(x is None or isinstance(x, (Tensor, bool, int, float)) for x in call.outputs):
            raise Unsuitable(f"{path} returns something other than tensors")
        if any(a is b for a in call.outputs for b in call.inputs if isinstance(a, Tensor)):
            raise Unsuitable(f"{path} returns what it was given")
        if call.overwritten:
            raise Unsuitable(f"the output of {path} is overwritten in place")
        if any(given in call.moved for _, given in pairs):
            raise Unsuitable(f"{path} writes into its input")
        if hold == "residual" and not pairs:
            raise Unsuitable(f"{path} returns nothing of the shape of what it is given")
        return call

    def _silent(self, held: Sequence[str], reached: set[Edge]) -> tuple[str, ...]:
        needed = {""}
        for path, edges in self._edges.items():
            if any(edge in reached for edge in edges):
                parts = path.split(".")
                needed.update(".".join(parts[:n]) for n in range(1, len(parts) + 1))
        silent: list[str] = []
        for path in self._paths:
            if path in needed or path in self._opaque or path in self._tied:
                continue
            # paths come in order of entry, so whatever contains this one has just been seen
            if not any(inside(path, other) for other in (*held, *silent)):
                silent.append(path)
        return tuple(silent)


def propose(
    finder: Finder, stacks: Sequence[Stack], attention: Sequence[Attention], mlp: Sequence[Mlp]
) -> Iterator[list[Cut]]:
    """Groups of cuts of about the same share, the best of each group first; untried."""
    yield from _spaced(_spans(finder, stacks), lambda cut: -cut.share)
    sublayers = list(_sublayers(finder, stacks, attention, mlp))
    yield from ([cut] for cut in sublayers)
    # less than a block is no choice of its own: that is what the sublayers are for
    least = max(
        (1.01 * block.share for stack in stacks[:1] for block in stack.blocks), default=0.05
    )
    single = [cut for cut in finder.outputs() if least < cut.share < 0.99]
    fresh = [cut for cut in single if cut.fresh]
    yield from _spaced(fresh, lambda cut: cut.kept)
    if single and not fresh and not sublayers:
        most = max(single, key=lambda cut: cut.share)
        yield [dataclasses.replace(most, why=f"{most.why}; the current input is lost")]


def _spans(finder: Finder, stacks: Sequence[Stack]) -> Iterator[Cut]:
    """Inner blocks of every stack, as many of each in proportion."""
    seen: set[tuple[str, ...]] = set()
    for k in range(1, MOST + 1):
        held: list[Block] = []
        for stack in stacks:
            length = round((len(stack.blocks) - 2) * k / MOST)
            first = (len(stack.blocks) - length) // 2
            held += stack.blocks[first : first + length]
        paths = tuple(block.path for block in held)
        if not paths or paths in seen:
            continue
        seen.add(paths)
        total = " + ".join(str(len(stack.blocks)) for stack in stacks)
        try:
            why = f"{len(paths)} inner blocks of {total}"
            yield finder.cut(paths, "residual", [block.streams for block in held], why)
        except Unsuitable:
            continue


def _sublayers(
    finder: Finder, stacks: Sequence[Stack], attention: Sequence[Attention], mlp: Sequence[Mlp]
) -> Iterator[Cut]:
    blocks = [path for stack in stacks for path in stack.paths]
    looks, thinks = (
        [part.path for part in parts if any(_part(part.path, block) for block in blocks)]
        for parts in (attention, mlp)
    )
    kinds = {"attention": looks, "MLP": thinks}
    if looks and thinks:
        kinds["attention and MLP"] = looks + thinks
    for name, held in kinds.items():
        if held:
            try:
                yield finder.cut(held, "output", why=f"every {name} output of {len(blocks)} blocks")
            except Unsuitable:
                continue


def _spaced(cuts: Iterable[Cut], order: Callable[[Cut], float]) -> Iterator[list[Cut]]:
    by_share = sorted(cuts, key=lambda cut: cut.share)
    if not by_share:
        return
    width = max(SPACING, (by_share[-1].share - by_share[0].share) / MOST)
    group: list[Cut] = []
    for cut in by_share:
        if group and cut.share - group[0].share > width:
            yield sorted(group, key=order)
            group = []
        group.append(cut)
    yield sorted(group, key=order)


def verify(model: Model, cut: Cut) -> str:
    """Try a cut out: held from the same input, it must give the same output without running.

    Args:
        model: The model; its net is edited and restored.
        cut: What to hold.

    Returns:
        Why it does not work; empty if it does.

    Raises:
        ModelError: If the net cannot be run at all.
    """
    inputs, clock, ran = example(model, 2), Clock(), set[str]()
    wrapped = {*cut.held, *cut.silent}
    changes = Changes(model)
    with undisturbed(bare(model.net)), torch.inference_mode():
        plain = inputs.ask(model)
        try:
            for path in wrapped:
                changes.observe(path, lambda *_, p=path: ran.add(p))
            install(changes, clock, cut)
            clock.start()
            clock.tick(0, Row(1.0, Combination(1.0), 0))
            if not torch.equal(inputs.ask(model), plain):
                return "the net does not repeat itself"
            if ran != wrapped:
                return f"{min(wrapped - ran)} does not always run"
            ran.clear()
            clock.tick(1, Row(1.0, Combination(1.0), 1, reuse=HOLD))
            # twice, because what is kept might be overwritten when it is used
            if not all(torch.equal(inputs.ask(model), plain) for _ in range(2)):
                return "held from the same input, it gives another output"
            if ran:
                return (
                    f"{min(ran)} is not called through its parent, so it runs although it is held"
                )
        except HastenError as error:
            return error.what
        finally:
            changes.undo()
    return ""


def _is(leaf: object) -> bool:
    return isinstance(leaf, Tensor)


def _part(path: str, block: str) -> bool:
    return path != block and inside(path, block)
