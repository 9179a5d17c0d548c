"""The parts of a net, as `hasten.core.anatomy` names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from hasten.core.macs import Macs

Streams = tuple[tuple[int, int], ...]
"""Which output of a block continues which of its inputs: pairs (output, input), by position."""


@final
@dataclass(frozen=True)
class Cut:
    """What can be held over from an earlier evaluation, and what then need not run.

    Attributes:
        held: Paths of the modules whose results are kept.
        silent: Paths of further modules that matter to the held results only.
        share: Share of the net's multiply-accumulates that held and silent modules make up.
        hold: ``output`` keeps results as they are, ``residual`` what blocks add to their inputs.
        why: How it was found, for people.
        streams: For ``residual``, one entry a held module.
        fresh: Whether the net's output still depends on its current input when held.
        kept: Numbers to remember per sample.
    """

    held: tuple[str, ...]
    silent: tuple[str, ...]
    share: float
    hold: str
    why: str
    streams: tuple[Streams, ...] = ()
    fresh: bool = True
    kept: int = 0


@final
@dataclass(frozen=True)
class Block:
    """A module of a stack.

    Attributes:
        path: Where it is.
        streams: What passes through it with its shape kept.
        share: Its share of the net's multiply-accumulates.
    """

    path: str
    streams: Streams
    share: float


@final
@dataclass(frozen=True)
class Stack:
    """Blocks that hand a stream of unchanging shape from one to the next, in order of execution.

    Attributes:
        blocks: At least three.
        shape: Shape of the stream, without the batch axis.
        why: What links them.
    """

    blocks: tuple[Block, ...]
    shape: tuple[int, ...]
    why: str

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of the blocks."""
        return tuple(block.path for block in self.blocks)


@final
@dataclass(frozen=True)
class Attention:
    """A module in which activations are weighted by a softmax of their products.

    Attributes:
        path: Where it is.
        queries: Tokens that look.
        keys: Tokens looked at.
        share: Its share of the net's multiply-accumulates.
    """

    path: str
    queries: int
    keys: int
    share: float


@final
@dataclass(frozen=True)
class Mlp:
    """Linear layers that widen every token and bring it back.

    Attributes:
        path: Where it is.
        width: Of a token.
        hidden: Widest layer inside.
        share: Its share of the net's multiply-accumulates.
    """

    path: str
    width: int
    hidden: int
    share: float


@final
@dataclass(frozen=True)
class Grid:
    """How a sample lies in a token stream.

    Attributes:
        shape: Tokens along each axis of the sample.
        extra: Further tokens (time, label, text).
    """

    shape: tuple[int, ...]
    extra: int


@final
@dataclass(frozen=True)
class Anatomy:
    """What was found in a net.

    Attributes:
        stacks: Longest first.
        attention: In order of execution.
        mlp: In order of execution.
        grid: Of the first stack's stream, if it is made of tokens.
        cuts: What can be held; smallest share first.
        macs: Of one evaluation of one sample.
        shares: Share of them by module path, everything inside included.
        batch_axes: For every module, the batch axis of each tensor it returns; None if it has none.
        notes: What was not found and why, in words.
    """

    stacks: tuple[Stack, ...]
    attention: tuple[Attention, ...]
    mlp: tuple[Mlp, ...]
    grid: Grid | None
    cuts: tuple[Cut, ...]
    macs: Macs
    shares: Mapping[str, float] = field(repr=False)
    batch_axes: Mapping[str, tuple[int | None, ...]] = field(repr=False)
    notes: tuple[str, ...] = ()
