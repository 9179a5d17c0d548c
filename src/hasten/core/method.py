"""What an acceleration is: a frozen set of hyper-parameters, and what it may do with them.

There are two kinds. A `Transform` makes another model (pruned, quantised, distilled): prepare once,
apply, keep the original to undo it. A `Tactic` changes one run (reuse of features, merged tokens)
through an `Edit`, which takes everything back. Both are final frozen dataclasses; their fields are
the hyper-parameters, and a field made with `knob` is also a dimension of the search:

    @final
    @dataclass(frozen=True)
    class Cache(Tactic):
        name, stage, touches = "cache", Stage.CACHE, Aspect.DEPTH
        needs, paper = Needs(), "arXiv 2312.00858"
        depth: float = knob(0.5, low=0.0, high=0.95, help="share of the work to skip")
"""

from __future__ import annotations

import abc
import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, cast, final

import torch
from torch import Tensor

from hasten.core.edit import Edit
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.errors import MethodError


class Stage(enum.IntEnum):
    """When a method acts; the methods of a recipe are applied in this order."""

    DISTILL = 0
    PRUNE = 1
    SPARSIFY = 2
    QUANTIZE = 3
    TOKENS = 4
    CACHE = 5
    COMPILE = 6
    DECODE = 7


class Aspect(enum.Flag):
    """What a method changes; which methods go together follows from this alone."""

    PLAN = enum.auto()  # which evaluations there are
    GUIDANCE = enum.auto()  # how conditional and free predictions are mixed
    DEPTH = enum.auto()  # which modules run
    TOKENS = enum.auto()  # how many tokens they see
    SHAPE = enum.auto()  # the sizes of weights
    VALUES = enum.auto()  # the numbers in them
    NUMERICS = enum.auto()  # how numbers are stored and multiplied
    KERNELS = enum.auto()  # the code that runs
    OUTPUT = enum.auto()  # what the codec makes of x0


class Data(enum.Enum):
    """What a method wants to look at before it can work."""

    NONE = "none"
    ROLLOUTS = "rollouts"  # samples of the model itself
    SAMPLES = "samples"  # real data


@final
@dataclass(frozen=True)
class Obstacle:
    """A reason why a method cannot be used here.

    Attributes:
        what: One sentence: what is in the way.
        where: The module path, field or fact concerned.
        hint: What the user can do about it.
    """

    what: str
    where: str = ""
    hint: str = ""


@final
@dataclass(frozen=True)
class Needs:
    """What a method asks for before anything runs.

    Attributes:
        data: What it looks at in `Transform.prepare`.
        gradients: Whether preparing means training.
    """

    data: Data = Data.NONE
    gradients: bool = False


@final
@dataclass(frozen=True)
class Artifact:
    """What preparing a method has made: enough to apply it again without the data.

    Attributes:
        tensors: Weights, masks, scales.
        facts: Everything else, of types JSON knows.
        fingerprint: Of the weights, method and plan it was made for; others must refuse it.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""


@final
@dataclass(frozen=True, eq=False)
class Given:
    """What there is to prepare a method with.

    Attributes:
        model: After all methods of earlier stages.
        plan: The rows it will be sampled with.
        data: What the user gave to calibrate on.
        rng: For whatever is random.
        progress: Told how much of how much is done.
    """

    model: Model
    plan: Plan
    data: Iterable[Tensor] = ()
    rng: torch.Generator = field(default_factory=torch.Generator)
    progress: Callable[[int, int], None] = lambda _done, _total: None


@final
@dataclass(frozen=True)
class Knob:
    """The search range of a hyper-parameter: a list of choices, or an interval.

    Attributes:
        choices: The values it may take; empty for an interval.
        low: Smallest value.
        high: Largest value.
        help: One line for people.
    """

    choices: tuple[Any, ...]
    low: float | None
    high: float | None
    help: str

    def admits(self, value: Any) -> bool:
        """Whether a value lies in the range."""
        if self.choices:
            return value in self.choices
        if self.low is None or self.high is None or isinstance(value, bool):
            return False
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        return f"from {self.low} to {self.high}"


def knob(
    default: Any,
    *,
    help: str,  # noqa: A002
    choices: tuple[Any, ...] = (),
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """A dataclass field that is also a dimension of the search space.

    Args:
        default: Its value unless given.
        help: One line for people.
        choices: The values it may take; or else give an interval.
        low: Smallest value.
        high: Largest value.
    """
    if bool(choices) == (low is not None and high is not None):
        raise TypeError("a knob has either choices or both low and high")
    return field(default=default, metadata={"knob": Knob(choices, low, high, help)})


def knobs(method: type[Method]) -> dict[str, Knob]:
    """The search dimensions of a method, by field name."""
    fields = dataclasses.fields(cast("Any", method))
    return {f.name: f.metadata["knob"] for f in fields if "knob" in f.metadata}


class Method(abc.ABC):
    """What transforms and tactics share. Subclass one of those two, not this.

    Attributes:
        name: Its key in recipes.
        stage: When it acts.
        touches: What it changes.
        needs: What it asks for.
        paper: Where it comes from.
    """

    name: ClassVar[str]
    stage: ClassVar[Stage]
    touches: ClassVar[Aspect]
    needs: ClassVar[Needs]
    paper: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if Method in cls.__bases__:
            return
        facts = ("name", "stage", "touches", "needs", "paper")
        if missing := [fact for fact in facts if fact not in vars(cls)]:
            raise TypeError(f"method {cls.__name__} does not declare {', '.join(missing)}")

    def __post_init__(self) -> None:
        """Check every knob against its range.

        Raises:
            MethodError: If one is out of range.
        """
        for key, range_ in knobs(type(self)).items():
            if not range_.admits(value := getattr(self, key)):
                raise MethodError(
                    f"{value!r} is out of range", where=f"{self.name}.{key}", hint=str(range_)
                )

    @abc.abstractmethod
    def obstacles(self, model: Model) -> list[Obstacle]:
        """Why it cannot be used on this model; empty if it can. Never raises."""

    def rough(self) -> Self:
        """A form that is prepared sooner and tells poor recipes from good ones all the same."""
        return self

    @final
    def require(self, model: Model) -> None:
        """Insist that nothing is in the way.

        Raises:
            MethodError: With every obstacle in words.
        """
        refuse(self.name, self.obstacles(model))


class Transform(Method):
    """A method that makes another model."""

    @abc.abstractmethod
    def prepare(self, given: Given) -> Artifact:
        """Calibrate or train; all that is random or depends on timing ends up in the artifact."""

    @abc.abstractmethod
    def apply(self, model: Model, artifact: Artifact) -> Model:
        """Another model; the one given stays as it is."""


class Tactic(Method):
    """A method that changes a run and is taken back afterwards.

    Attributes:
        reuses: Whether it carries out the plan's reuse column.
    """

    reuses: ClassVar[bool] = False

    @abc.abstractmethod
    def attach(self, model: Model, edit: Edit) -> None:
        """Change the net through the edit; undoing the edit is the detaching.

        Raises:
            MethodError: If there is an obstacle.
        """

    @classmethod
    @abc.abstractmethod
    def neutral(cls) -> Self:
        """The setting at which samples equal the plain model's bit for bit."""


def refuse(name: str, obstacles: list[Obstacle]) -> None:
    """Raise if there are obstacles.

    Raises:
        MethodError: One error that says all of them.
    """
    if not obstacles:
        return
    first, *others = obstacles
    what = "; ".join([first.what, *(o.what for o in others)])
    hints = "; ".join(dict.fromkeys(o.hint for o in obstacles if o.hint))
    raise MethodError(f"{name}: {what}", where=first.where, hint=hints)
