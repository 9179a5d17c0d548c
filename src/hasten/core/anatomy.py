"""Anatomy: what a net is made of, found by watching it run.

Three forward passes on made-up inputs: one at batch 1 counts the work, one at batch 2 with
gradients shows who hands what to whom, one at batch 3 shows by comparison which axis of each tensor
is the batch. From these follow block stacks, attention, MLPs, the token grid, and the cuts: what
can be held over from an earlier evaluation, and what that makes unnecessary. Nothing is known by
class name, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from hasten.core.cuts import Finder, Unsuitable, propose, verify
from hasten.core.edit import bare, is_open
from hasten.core.macs import count_macs
from hasten.core.model import Model
from hasten.core.parts import Anatomy, Attention, Block, Cut, Grid, Mlp, Stack
from hasten.core.stacks import continued, find_attention, find_grid, find_mlps, find_stacks
from hasten.core.watch import Record, watch
from hasten.errors import EditOpen, MethodError, ModelError

__all__ = ["Anatomy", "Attention", "Block", "Cut", "Grid", "Mlp", "Stack", "anatomy", "cut_at"]


@final
@dataclass
class _Known:
    key: Any
    anatomy: Anatomy
    cuts: dict[tuple[tuple[str, ...], str], Cut] = field(default_factory=dict)


# what was found is remembered for as long as the net lives and stays the same
_known: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()


def anatomy(model: Model) -> Anatomy:
    """What a model's net is made of; looked up once and again when the net changes.

    Raises:
        ModelError: If the net cannot be run on an example input.
        EditOpen: If the net is wrapped already and was never looked at before.
    """
    return _look(model).anatomy


def cut_at(model: Model, sites: Sequence[str], hold: str) -> Cut:
    """The cut that holds modules named by hand.

    Args:
        model: The model.
        sites: Their paths.
        hold: ``output`` or ``residual``.

    Raises:
        MethodError: If they cannot be held, with the reason.
        ModelError: If the net cannot be run on an example input.
        EditOpen: If the net is wrapped already and these sites were never looked at before.
    """
    known, key = _look(model), (tuple(sites), hold)
    if key not in known.cuts:
        known.cuts[key] = _cut_at(model, known.anatomy, key[0], hold)
    return known.cuts[key]


def _look(model: Model) -> _Known:
    net = bare(model.net)
    key = _key(model, net)
    known = _known.get(net)
    if known is None or known.key != key:
        known = _known[net] = _Known(key, _examine(model))
    return known


def _key(model: Model, net: nn.Module) -> Any:
    modules = [(path, type(m)) for path, m in net.named_modules() if bare(m) is m]
    tensors = [(name, t.shape, t.dtype, t.device) for name, t in net.named_parameters()]
    facts = (model.shape, model.call, model.classes, model.card.get("cond_shape"))
    return modules, tensors, repr(facts)


def _refuse_wrapped(model: Model) -> None:
    if is_open(model.replace(net=bare(model.net))):
        raise EditOpen(
            "a net must be looked at before it is wrapped",
            where=model.name,
            hint="call anatomy(model) before other tactics attach",
        )


def _examine(model: Model) -> Anatomy:
    _refuse_wrapped(model)
    counter, notes = count_macs(model), list[str]()
    total = counter.within("")
    three = watch(model, 3, gradients=False)
    two = _watch_with_gradients(model, notes)
    paths = [call.path for call in two.calls]
    shares = {p: counter.within(p).total / total.total if total.total else 0.0 for p in set(paths)}
    axes = _batch_axes(two, three)
    if axes is None:
        notes.append("the net takes different paths for different batch sizes: nothing can be held")
        return Anatomy((), (), (), None, (), total, shares, {}, tuple(notes))
    stacks = find_stacks(two.calls, shares)
    attention = find_attention(counter, shares)
    mlp = find_mlps(two.calls, attention, shares)
    grid = find_grid(model, two.calls, stacks[0]) if stacks else None
    if two.tied:
        notes.append(f"reachable by several paths, so never held: {', '.join(sorted(two.tied))}")
    if not stacks:
        notes.append("no stack: no three blocks hand a tensor of one shape from one to the next")
    if not total.total:
        notes.append("the net does no matrix products, so no share of work can be stated")
    cuts = _cuts(model, Finder(two, shares), stacks, attention, mlp, notes) if total.total else ()
    return Anatomy(
        tuple(stacks), tuple(attention), tuple(mlp), grid, cuts, total, shares, axes, tuple(notes)
    )


def _watch_with_gradients(model: Model, notes: list[str]) -> Record:
    try:
        two = watch(model, 2, gradients=True)
    except ModelError as error:
        notes.append(f"no gradients: {error.what}")
        two = watch(model, 2, gradients=False)
    if not two.output.requires_grad:
        notes.append(
            "no gradient flows through this net (its weights are not floating point, or it has "
            "none): what a held output makes unnecessary cannot be found, stacks can be held"
        )
    return two


def _batch_axes(two: Record, three: Record) -> dict[str, tuple[int | None, ...]] | None:
    if [c.path for c in two.calls] != [c.path for c in three.calls]:
        return None
    axes: dict[str, tuple[int | None, ...]] = {}
    for a, b in zip(two.calls, three.calls, strict=True):
        pairs = zip(a.outputs, b.outputs, strict=True)
        axes[a.path] = tuple(_axis(s.shape, t.shape) for s, t in pairs if isinstance(s, Tensor))
    return axes


def _axis(two: Sequence[int], three: Sequence[int]) -> int | None:
    return next(
        (i for i, (m, n) in enumerate(zip(two, three, strict=True)) if 3 * m == 2 * n), None
    )


def _cuts(
    model: Model,
    finder: Finder,
    stacks: Sequence[Stack],
    attention: Sequence[Attention],
    mlp: Sequence[Mlp],
    notes: list[str],
) -> tuple[Cut, ...]:
    found: list[Cut] = []
    for group in propose(finder, stacks, attention, mlp):
        for cut in group[:3]:
            if not (reason := verify(model, cut)):
                found.append(cut)
                break
            notes.append(f"not offered: {cut.why} ({cut.hold}), because {reason}")
    return tuple(sorted(found, key=lambda cut: cut.share))


def _cut_at(model: Model, found: Anatomy, sites: tuple[str, ...], hold: str) -> Cut:
    _refuse_wrapped(model)
    streams = {block.path: block.streams for stack in found.stacks for block in stack.blocks}
    record = _watch_with_gradients(model, [])
    streams |= {c.path: continued(c) for c in record.calls if c.path in set(sites) - set(streams)}
    where, lenses = ", ".join(sites), [streams.get(path, ()) for path in sites]
    try:
        cut = Finder(record, found.shares).cut(sites, hold, lenses, why="named by hand")
    except Unsuitable as error:
        raise MethodError(f"these sites cannot be held: {error}", where=where) from None
    if reason := verify(model, cut):
        raise MethodError(f"these sites cannot be held: {reason}", where=where)
    return cut
