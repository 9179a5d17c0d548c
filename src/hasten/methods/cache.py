"""Cache: hold features of an earlier evaluation where the plan says ``hold``.

Neighbouring evaluations of a sampler have nearly equal deep features; only the shallow ones move.
The plan's reuse column says at which evaluations deep features are taken over, the anatomy knows
what can be held and how much work that saves, and this method chooses among its cuts:

    output     modules give back the very tensors they returned at the last full evaluation; in a
               U-Net everything that feeds only them is skipped (DeepCache, arXiv 2312.00858)
    residual   blocks of a stack add to their current input what they added at the last full
               evaluation (arXiv 2406.01125); the right kind where blocks are all in one row
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, final

from hasten.core.anatomy import Cut, anatomy, cut_at
from hasten.core.edit import Edit
from hasten.core.hold import install
from hasten.core.method import Aspect, Needs, Obstacle, Stage, Tactic, knob
from hasten.core.model import Model
from hasten.errors import HastenError

TOLERANCE = 0.02
"""A cut may skip this much more than asked."""


@final
@dataclass(frozen=True)
class Cache(Tactic):
    """Hold features at the evaluations whose reuse entry is ``hold``.

    Attributes:
        depth: Share of the multiply-accumulates to skip at such an evaluation. The cut with the
            largest share not above it is taken; 0 holds nothing.
        hold: What is kept, see above.
        sites: Paths of the modules to hold, instead of a cut chosen by depth.
    """

    name, stage, touches = "cache", Stage.CACHE, Aspect.DEPTH
    needs, paper = Needs(), "arXiv 2312.00858, 2406.01125, 2407.01425"
    reuses = True

    depth: float = knob(0.7, low=0.0, high=1.0, help="share of the work skipped when held")
    hold: str = knob("residual", choices=("residual", "output"), help="what is kept")
    sites: tuple[str, ...] = ()

    @classmethod
    def neutral(cls) -> Self:
        """Holds nothing."""
        return cls(depth=0.0)

    def obstacles(self, model: Model) -> list[Obstacle]:
        """Why nothing fitting can be held in this model."""
        try:
            found = self.cut(model)
        except HastenError as error:
            return [Obstacle(error.what, error.where, error.hint)]
        return [found] if isinstance(found, Obstacle) else []

    def attach(self, model: Model, edit: Edit) -> None:
        """Wrap the modules of the cut.

        Raises:
            MethodError: If nothing fitting can be held.
        """
        self.require(model)
        found = self.cut(model)
        if isinstance(found, Cut):
            install(edit, model.clock, found)

    def cut(self, model: Model) -> Cut | Obstacle | None:
        """What will be held: a cut, None if neutral, or why there is none.

        Raises:
            MethodError: If sites named by hand cannot be held.
            ModelError: If the net cannot be run on an example input.
        """
        if self.sites:
            return cut_at(model, self.sites, self.hold)
        if self.depth == 0:
            return None
        found = anatomy(model)
        cuts = [cut for cut in found.cuts if cut.hold == self.hold]
        fitting = [cut for cut in cuts if cut.fresh and cut.share <= self.depth + TOLERANCE]
        if fitting:
            return max(fitting, key=lambda cut: cut.share)
        others = sorted({cut.hold for cut in found.cuts if cut.fresh} - {self.hold})
        if any(cut.fresh for cut in cuts):
            shares = ", ".join(f"{cut.share:.2f}" for cut in cuts if cut.fresh)
            return Obstacle(
                f"no cut skips as little as {self.depth:.2f} of the work",
                where=f"{self.name}.depth",
                hint=f"this net offers {shares}; depth 0 holds nothing",
            )
        reason = "; ".join(found.notes) or "no module of it can be held"
        if cuts:
            reason = "whatever is held, the output no longer depends on the current input"
        return Obstacle(
            f"nothing to hold ({self.hold}) was found in this net: {reason}",
            where=model.name,
            hint=f"use hold = {others[0]!r}" if others else "name modules in cache.sites",
        )
