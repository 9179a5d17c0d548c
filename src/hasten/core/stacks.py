"""Finding block stacks, attention, MLPs and token grids in what was watched.

No class names: a block is a module that is called once, has parameters like another's, and returns
a tensor of the shape of one of its inputs. Blocks form a stack where the tensor one returns is the
very tensor the next receives; where a small operation stands between them, order and equal shape
have to do.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from hasten.core.macs import Counter
from hasten.core.model import Model
from hasten.core.parts import Attention, Block, Grid, Mlp, Stack, Streams
from hasten.core.watch import Seen

Signature = frozenset[tuple[str, tuple[int, ...]]]


def find_stacks(calls: Sequence[Seen], shares: Mapping[str, float]) -> list[Stack]:
    """Chains of at least three blocks, longest first.

    Args:
        calls: One forward pass at batch 2, in order of entry.
        shares: Share of the multiply-accumulates by path.
    """
    candidates = _alike([c for c in calls if c.path and _streams(c)])
    stacks: list[Stack] = []
    while candidates:
        outermost = _outermost(candidates)
        chains: list[list[Seen]] = []
        for call in outermost:
            if chains and _linked(chains[-1][-1], call):
                chains[-1].append(call)
            else:
                chains.append([call])
        found = [_stack(chain, shares) for chain in chains if len(chain) >= 3]
        stacks += [s for s in found if sum(block.share for block in s.blocks) > 0.05]
        # what is no stack at this level may hold one inside
        taken = {path for stack in found for path in stack.paths}
        candidates = [
            c
            for c in candidates
            if c not in outermost and not any(inside(c.path, path) for path in taken)
        ]
    return sorted(stacks, key=lambda stack: -len(stack.blocks))


def once(calls: Sequence[Seen]) -> list[Seen]:
    """Calls of modules that are called just once in an evaluation."""
    times = Tally(id(call.module) for call in calls)
    return [call for call in calls if times[id(call.module)] == 1]


def inside(path: str, other: str) -> bool:
    """Whether a module is another one or part of it."""
    return path == other or path.startswith(f"{other}.") or not other


def continued(call: Seen, votes: Tally[tuple[int, int]] | None = None) -> Streams:
    """Which outputs of a call continue which of its inputs, judged by shape.

    Args:
        call: The call.
        votes: How often modules of its kind passed each output on as each input; settles which,
            where several inputs have the shape of an output.
    """
    votes = votes or Tally()
    streams: list[tuple[int, int]] = []
    for i, out in enumerate(call.outputs):
        if not isinstance(out, Tensor):
            continue
        free = [
            k
            for k, given in enumerate(call.inputs)
            if isinstance(given, Tensor)
            and given.shape == out.shape
            and k not in {position for _, position in streams}
        ]
        if free:
            streams.append((i, max(free, key=lambda k: (votes[i, k], -k))))
    return tuple(streams)


def find_attention(counter: Counter, shares: Mapping[str, float]) -> list[Attention]:
    """Modules in which a softmax weights activations, in order of execution."""
    found: dict[str, Attention] = {}
    products: defaultdict[str, int] = defaultdict(int)
    for product in counter.products:
        products[product.path] += 1
        softmax = product.path in counter.softmaxes
        if product.path not in found and (product.fused or softmax):
            found[product.path] = Attention(
                product.path, product.rows, product.columns, shares.get(product.path, 0.0)
            )
    return [a for a in found.values() if a.path]


def find_mlps(
    calls: Sequence[Seen], attention: Sequence[Attention], shares: Mapping[str, float]
) -> list[Mlp]:
    """Outermost modules that widen each token through linear layers and bring it back."""
    found: list[Mlp] = []
    for index, call in enumerate(calls):
        stream, given = _first(call.outputs), _first(call.inputs)
        if stream is None or given is None or stream.ndim < 3 or stream.shape != given.shape:
            continue
        if not call.path or any(inside(call.path, mlp.path) for mlp in found):
            continue
        if any(inside(a.path, call.path) for a in attention):
            continue
        parts = itertools.takewhile(lambda c, p=call.path: inside(c.path, p), calls[index:])  # type: ignore[misc]
        holders = [c.module for c in parts if _has_own(c.module)]
        # a block is more than its MLP: it has norms too
        if len(holders) < 2 or not all(_is_linear(module) for module in holders):
            continue
        sizes = [tuple(next(module.parameters()).shape) for module in holders]
        if sizes[0][1] == sizes[-1][0] == stream.shape[-1]:
            hidden = max(rows for rows, _ in sizes)
            found.append(Mlp(call.path, stream.shape[-1], hidden, shares.get(call.path, 0.0)))
    return found


def find_grid(model: Model, calls: Sequence[Seen], stack: Stack) -> Grid | None:
    """How a sample lies in a stack's token stream [L, D]; None if it is not made of tokens.

    The axes are those of a feature map [D, ...] seen in the net, or of a regular tiling of the
    sample, that has the most places not above L; the rest are extra tokens.
    """
    if len(stack.shape) != 2:
        return None
    tokens, width = stack.shape
    maps = {
        tuple(t.shape[2:])
        for call in calls
        for t in call.outputs
        if isinstance(t, Tensor) and t.ndim > 3 and t.shape[1] == width
    }
    if len(model.shape) == 2:
        maps.add((model.shape[0],))
    fitting = [m for m in maps if tokens / 2 < math.prod(m) <= tokens]
    if not fitting:
        axes = model.shape[1:]
        patches = [[p for p in range(1, size + 1) if size % p == 0] for size in axes]
        tilings = (
            (max(patch) / min(patch), tuple(s // p for s, p in zip(axes, patch, strict=True)))
            for patch in itertools.product(*patches)
        )
        # among equally good ones, the patch nearest to a cube
        fitting = [t for _, t in sorted(tilings) if tokens / 2 < math.prod(t) <= tokens]
    if not fitting:
        return None
    best = max(fitting, key=math.prod)
    return Grid(best, tokens - math.prod(best))


def _first(leaves: Sequence[object]) -> Tensor | None:
    return next((leaf for leaf in leaves if isinstance(leaf, Tensor)), None)


def _is_linear(module: nn.Module) -> bool:
    own = list(module.parameters(recurse=False))
    return (
        bool(own)
        and own[0].ndim == 2
        and len(own) <= 2
        and not any(True for _ in module.children())
    )


def _has_own(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _signature(module: nn.Module) -> Signature:
    named = itertools.chain(module.named_parameters(), module.named_buffers())
    return frozenset((name, tuple(tensor.shape)) for name, tensor in named)


def _streams(call: Seen) -> bool:
    shapes = {t.shape for t in call.inputs if isinstance(t, Tensor) and t.is_floating_point()}
    return any(isinstance(t, Tensor) and t.shape in shapes for t in call.outputs)


def _alike(calls: Sequence[Seen]) -> list[Seen]:
    """Calls of modules with parameters like another's: the same, or the same and some more."""
    calls = once(calls)
    signatures = [_signature(call.module) for call in calls]
    common = {s for s, n in Tally(signatures).items() if n > 1 and s}
    return [c for c, s in zip(calls, signatures, strict=True)
            if s in common or any(s >= t or (s and s <= t) for t in common)]  # fmt: skip


def _outermost(calls: Sequence[Seen]) -> list[Seen]:
    return [c for c in calls if not any(c is not o and inside(c.path, o.path) for o in calls)]


def _linked(before: Seen, after: Seen) -> bool:
    one, other = _signature(before.module), _signature(after.module)
    if not (one <= other or other <= one):
        return False
    if _passed(before, after):
        return True
    siblings = before.path.rpartition(".")[0] == after.path.rpartition(".")[0]
    shapes = [t.shape for t in before.outputs if isinstance(t, Tensor)]
    return siblings and shapes == [t.shape for t in after.outputs if isinstance(t, Tensor)]


def _passed(before: Seen, after: Seen) -> list[tuple[int, int]]:
    """Positions (output of one, input of the other) of the very same tensor."""
    return [
        (i, k)
        for i, out in enumerate(before.outputs)
        for k, given in enumerate(after.inputs)
        if isinstance(out, Tensor) and out is given
    ]


def _stack(chain: Sequence[Seen], shares: Mapping[str, float]) -> Stack:
    # what blocks of one kind hand to each other tells which output continues which input
    votes: defaultdict[Signature, Tally[tuple[int, int]]] = defaultdict(Tally)
    signatures = [_signature(call.module) for call in chain]
    identical = 0
    for (a, b), (s, t) in zip(
        itertools.pairwise(chain), itertools.pairwise(signatures), strict=True
    ):
        pairs = _passed(a, b)
        identical += bool(pairs)
        if s == t:
            votes[s].update(pairs)
    blocks = tuple(
        Block(call.path, continued(call, votes[s]), shares.get(call.path, 0.0))
        for call, s in zip(chain, signatures, strict=True)
    )
    stream = max((chain[0].outputs[i] for i, _ in blocks[0].streams), key=Tensor.numel)
    links = len(chain) - 1
    why = (
        f"{identical} of {links} hand the same tensor on" if identical else "order and equal shapes"
    )
    return Stack(blocks, tuple(stream.shape[1:]), why)
