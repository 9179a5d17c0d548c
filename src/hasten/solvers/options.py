"""Options of solvers, under the names a recipe gives them.

    [plan]
    solver = "edm"
    churn = 40.0
    high = 50.0

`OPTIONS` says what can be stated of which solver, and how the solver is made with it. What is not
stated is as in the stock solver of that name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, final

from hasten.errors import PlanError
from hasten.solvers import stochastic
from hasten.solvers.build import Solver
from hasten.solvers.deis import deis_t
from hasten.solvers.exponential import dpmpp_3m, exponential
from hasten.solvers.multistep import ipndm, lms
from hasten.solvers.unipc import unipc


@final
@dataclass(frozen=True)
class Option:
    """A setting of a solver: a number, or a switch if its default is true or false.

    Attributes:
        default: Its value in the stock solver.
        low: Smallest number.
        high: Largest number.
    """

    default: float | bool
    low: float = 0.0
    high: float = math.inf

    def admits(self, value: Any) -> bool:
        """Whether a value has the right type and lies in the range."""
        if isinstance(self.default, bool) or isinstance(value, bool):
            return isinstance(self.default, bool) and isinstance(value, bool)
        return isinstance(value, (int, float)) and self.low <= value <= self.high

    def __str__(self) -> str:
        if isinstance(self.default, bool):
            return "true or false"
        if math.isinf(self.high):
            return f"a number, at least {self.low:g}"
        return f"a number from {self.low:g} to {self.high:g}"


@final
@dataclass(frozen=True)
class Options:
    """What can be stated of one solver.

    Attributes:
        make: The solver, from its options as keywords.
        known: The options by name.
    """

    make: Callable[..., Solver]
    known: Mapping[str, Option]


# the step to 0 is of first order anyway in the exponential solvers, so those of order 2 have no
# final order to lower
_LOWER = {"lower_final": Option(True)}
_SAME = {"lower_final": Option(False)}
_NOISE = {"eta": Option(1.0)}

OPTIONS: Mapping[str, Options] = MappingProxyType(
    {
        "ddim": Options(stochastic.ddim, {"eta": Option(0.0, high=1.0)}),
        "dpmpp_sde": Options(stochastic.dpmpp_sde, {"eta": Option(1.0, high=1.0)}),
        "dpmpp_2m_sde": Options(stochastic.dpmpp_2m_sde, _NOISE),
        "dpmpp_2m_sde_exact": Options(partial(stochastic.exponential_sde, 2), _NOISE),
        "dpmpp_3m_sde": Options(stochastic.dpmpp_3m_sde, _NOISE | _LOWER),
        "dpmpp_3m_sde_exact": Options(partial(stochastic.exponential_sde, 3), _NOISE | _LOWER),
        "edm": Options(
            lambda churn, **window: stochastic.churn(churn, **window),
            {
                "churn": Option(40.0),
                "low": Option(0.0),
                "high": Option(math.inf),
                "scale": Option(1.0),
            },
        ),
        "dpmpp_3m": Options(dpmpp_3m, _LOWER),
        "dpmpp_3m_exact": Options(partial(exponential, 3), _LOWER),
        "deis3": Options(partial(exponential, 3, noise=True), _LOWER),
        "deis3_t": Options(partial(deis_t, 3), _LOWER),
        "unipc3": Options(partial(unipc, 3), _LOWER),
        "unipc3_bh1": Options(partial(unipc, 3, "bh1"), _LOWER),
        **{f"lms{k}": Options(partial(lms, k), _SAME) for k in (2, 3, 4)},
        **{f"ipndm{k}": Options(partial(ipndm, k), _SAME) for k in (2, 3, 4)},
    }
)
"""The solvers that have options."""


def known_options(solver: str) -> Mapping[str, Option]:
    """The options of a solver by name; none for a solver without."""
    return OPTIONS[solver].known if solver in OPTIONS else {}


def check_options(solver: str, given: Mapping[str, Any]) -> dict[str, float | bool]:
    """The options as they are, whole numbers made floats.

    Raises:
        PlanError: If the solver has no such option, or a value is of another type or out of range.
    """
    known = known_options(solver)
    for name, value in given.items():
        if name not in known:
            has = f"{solver} has {', '.join(known) or 'none'}"
            others = [other for other, options in OPTIONS.items() if name in options.known]
            raise PlanError(
                f"{solver} has no option {name!r}",
                where=name,
                hint=f"{has}; {name} belongs to {', '.join(others)}" if others else has,
            )
        if not known[name].admits(value):
            raise PlanError(f"{name} = {value!r}", where=name, hint=f"{name} takes {known[name]}")
    return {
        name: value if isinstance(value, bool) else float(value) for name, value in given.items()
    }


def with_options(solver: str, given: Mapping[str, Any]) -> Solver:
    """A solver that has options, with some of them stated.

    Args:
        solver: A name from `OPTIONS`.
        given: Options by name.

    Raises:
        PlanError: As `check_options`.
    """
    stated = check_options(solver, given)
    entry = OPTIONS[solver]
    return entry.make(**{name: option.default for name, option in entry.known.items()} | stated)
