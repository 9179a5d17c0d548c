"""Recipe: a plan and the methods that carry it out, as a value and as a file.

    hasten = 1

    [plan]                      # short form: made into rows by the solver, for the model's process
    solver = "dpmpp_2m"
    grid = "karras"             # or  sigmas = [80.0, 12.4, ...]
    steps = 12
    reuse = "every:3"           # "full", "every:N" or one entry a step: ["full", "hold", ...]

    [[method]]
    method = "cache"
    depth = 0.5

All keys of the short form are in `hasten.spec`; the long form of ``[plan]`` is the table of rows
itself (`hasten.core.plan.to_dict`). A recipe that reads and writes itself differently is a bug; an
unknown key is an error, never ignored. Methods are attached in the order of their stages, however
they are listed.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, final

import tomli_w

from hasten import spec
from hasten.core import plan as plans
from hasten.core.fingerprint import fingerprint
from hasten.core.method import Aspect, Method, Obstacle, Stage, Tactic, Transform
from hasten.core.model import Model
from hasten.core.plan import Plan
from hasten.core.process import Process
from hasten.errors import PlanError, RecipeError
from hasten.methods import METHODS
from hasten.solvers.stochastic import LIFT
from hasten.spec import PlanSpec as PlanSpec
from hasten.tables import a_table, construct, known, only, short

SCHEMA = 1
"""Version of the file format."""

ROUNDED = 1e-3
"""People write noise levels to a few digits: by so much they may leave a process's range."""


@final
@dataclass(frozen=True)
class Recipe:
    """How to sample fast: when the net is asked, and what is done to it.

    Attributes:
        plan: Rows, or the short form that a process turns into rows.
        methods: Transforms and tactics in any order; `ordered` is the order they are applied in.
        about: Facts for people (model, run, speed); no part of the fingerprint.
    """

    plan: Plan | PlanSpec = field(default_factory=PlanSpec)
    methods: tuple[Method, ...] = ()
    about: Mapping[str, str | float | int | bool] = field(default_factory=dict)

    @property
    def ordered(self) -> tuple[Method, ...]:
        """The methods by stage, in the order given within a stage."""
        return tuple(sorted(self.methods, key=lambda method: method.stage))

    @property
    def transforms(self) -> tuple[list[Transform], list[Transform]]:
        """Those that change the net, and those that look at what all of it makes of samples."""
        found = [method for method in self.ordered if isinstance(method, Transform)]
        last = [method for method in found if method.stage is Stage.DECODE]
        return [method for method in found if method not in last], last

    def also(self, methods: Iterable[Method]) -> Recipe:
        """With further methods, those it has of the same names left as they are."""
        known = {method.name for method in self.methods}
        more = tuple(method for method in methods if method.name not in known)
        return dataclasses.replace(self, methods=(*self.methods, *more)) if more else self

    def rough(self) -> Recipe:
        """The same with its methods in their rough form (`Method.rough`)."""
        return dataclasses.replace(self, methods=tuple(each.rough() for each in self.methods))

    @property
    def label(self) -> str:
        """For people, short."""
        return ", ".join([self.plan.label or "own plan", *(spell(m) for m in self.ordered)])

    def resolve(self, process: Process) -> Plan:
        """The plan's rows, for one process.

        Raises:
            PlanError: If the plan's noise levels do not suit the process.
        """
        return self.plan if isinstance(self.plan, Plan) else self.plan.resolve(process)

    def obstacles(self, model: Model) -> list[Obstacle]:
        """Everything that stands between this recipe and that model; empty if it can be applied."""
        found = conflicts(self.methods)
        try:
            plan = self.resolve(model.process)
        except PlanError as error:
            found.append(Obstacle(error.what, where=error.where or "[plan]", hint=error.hint))
        else:
            found += _outside(plan, model.process) + self._unserved(plan) + _unguided(plan, model)
        for method in self.ordered:
            found += method.obstacles(model)
        return found

    def _unserved(self, plan: Plan) -> list[Obstacle]:
        held = sum(not entry.full for entry in plan.reuse)
        if not held or any(isinstance(m, Tactic) and m.reuses for m in self.methods):
            return []
        return [
            Obstacle(
                f"the plan reuses features in {held} of {plan.nfe} evaluations, "
                "but no method says which features and how",
                where="[plan] reuse",
                hint='add [[method]] method = "cache", or set reuse = "full"',
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain tables for JSON or TOML."""
        out: dict[str, Any] = {"hasten": SCHEMA}
        if self.about:
            out["about"] = dict(self.about)
        if isinstance(self.plan, PlanSpec):
            out["plan"] = spec.to_dict(self.plan)
        else:
            out["plan"] = plans.to_dict(self.plan)
        if self.methods:
            out["method"] = [to_table(method) for method in self.methods]
        return out

    @classmethod
    def from_dict(
        cls, facts: Mapping[str, Any], methods: Mapping[str, type[Method]] = METHODS
    ) -> Self:
        """Inverse of `to_dict`.

        Args:
            facts: The tables.
            methods: Which methods may be named; third parties pass ``METHODS | theirs``.

        Raises:
            RecipeError: On anything unknown, missing or of the wrong type.
        """
        only(facts, {"hasten", "about", "plan", "method"}, "recipe")
        if facts.get("hasten") != SCHEMA:
            raise RecipeError(
                f"this is not a recipe of version {SCHEMA}: hasten = {facts.get('hasten')!r}",
                where="hasten",
                hint=f"the first line of a recipe is hasten = {SCHEMA}",
            )
        about = facts.get("about", {})
        a_table(about, "[about]")
        for key, value in about.items():
            if not isinstance(value, (str, int, float, bool)):
                raise RecipeError("only text and numbers", where=f"[about] {key}")
        return cls(
            plan=_read_plan(facts.get("plan", {})),
            methods=_read_methods(facts.get("method", []), methods),
            about=dict(about),
        )

    def dumps(self) -> str:
        """The recipe as TOML."""
        return tomli_w.dumps(self.to_dict())

    @classmethod
    def loads(cls, text: str, methods: Mapping[str, type[Method]] = METHODS) -> Self:
        """A recipe from TOML.

        Raises:
            RecipeError: If it cannot be read, with the line, or says something unknown.
        """
        try:
            facts = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"not readable as TOML: {error}", where="recipe") from error
        return cls.from_dict(facts, methods)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the plan, the methods and their settings."""
        facts = self.to_dict()
        facts.pop("about", None)
        facts["plan"].pop("label", None)
        facts["method"] = [to_table(method) for method in self.ordered]
        return fingerprint(facts)


_FORBIDDEN: dict[tuple[Aspect, Aspect], str] = {
    (Aspect.PLAN, Aspect.PLAN): "two methods would both write the plan",
    (Aspect.GUIDANCE, Aspect.GUIDANCE): "two methods would both decide about guidance",
    (Aspect.DEPTH, Aspect.DEPTH): "two methods would both decide which blocks run",
    (Aspect.TOKENS, Aspect.TOKENS): "two methods would both decide which tokens are kept",
    (Aspect.NUMERICS, Aspect.NUMERICS): "two methods would both choose the number format",
    (Aspect.KERNELS, Aspect.KERNELS): "two methods would both choose the kernels",
}
"""What may not be done twice; everything else composes, in the order of the stages."""


def conflicts(methods: Iterable[Method]) -> list[Obstacle]:
    """Pairs of methods that cannot be used together."""
    found, listed = [], list(methods)
    for i, first in enumerate(listed):
        for second in listed[i + 1 :]:
            if first.name == second.name:
                found.append(
                    Obstacle("listed twice", where=f"method {first.name}", hint="keep one of them")
                )
                continue
            found += [
                Obstacle(why, where=f"methods {first.name} and {second.name}", hint="leave one out")
                for (a, b), why in _FORBIDDEN.items()
                if (a in first.touches and b in second.touches)
                or (b in first.touches and a in second.touches)
            ]
    return found


def _outside(plan: Plan, process: Process) -> list[Obstacle]:
    low, high = process.sigma_min, process.sigma_max
    first, last = low * (1 - ROUNDED), high * (1 + ROUNDED)
    # noise that is drawn before the net is asked may lift a level, as it does in churn
    rows = [
        index
        for index, row in enumerate(plan.rows)
        if not first <= row.sigma <= last * (LIFT if row.input.noise else 1)
    ]
    if not rows:
        return []
    others = f", and {len(rows) - 1} more rows are outside" if len(rows) > 1 else ""
    return [
        Obstacle(
            f"the net is asked at sigma = {plan.rows[rows[0]].sigma:g}, but its process goes from "
            f"{low:g} to {high:g}{others}",
            where=f"[plan] row {rows[0]}",
            hint=f"keep noise levels between {low:g} and {high:g}; of a grid that leaves them, "
            "take fewer steps",
        )
    ]


def _unguided(plan: Plan, model: Model) -> list[Obstacle]:
    null = None if model.classes is None else model.classes.null
    if not plan.guided() or model.guide is not None or null is not None:
        return []
    return [
        Obstacle(
            f"the plan guides {plan.guided()} of {plan.nfe} evaluations, but the model has neither "
            "a guide nor a null class",
            where="[plan] guidance",
            hint="leave guidance out, or name a weaker model as guide",
        )
    ]


def spell(method: Method) -> str:
    """For people: ``cache depth=0.5 hold=output``."""
    facts = to_table(method)
    kind = facts.pop("method")
    return " ".join([kind, *(f"{key}={short(value)}" for key, value in facts.items())])


def to_table(method: Method) -> dict[str, Any]:
    """A method's name and the fields that differ from their defaults or have none."""
    facts: dict[str, Any] = {"method": method.name}
    for name in _field_names(type(method)):
        value = getattr(method, name)
        if value is None or (isinstance(value, tuple) and not value):
            continue
        facts[name] = list(value) if isinstance(value, tuple) else value
    return facts


def _field_names(kind: type[Any]) -> list[str]:
    return [spec.name for spec in dataclasses.fields(kind)]


def _read_plan(table: Any) -> Plan | PlanSpec:
    a_table(table, "[plan]")
    if "rows" in table:
        try:
            return plans.from_dict(table)
        except PlanError as error:
            where = f"[plan] {error.where}".strip()
            raise RecipeError(error.what, where=where, hint=error.hint) from error
    return spec.from_dict(table)


def _read_methods(tables: Any, methods: Mapping[str, type[Method]]) -> tuple[Method, ...]:
    if not isinstance(tables, list):
        raise RecipeError("methods are a list of tables", where="method", hint="write [[method]]")
    read = []
    for index, table in enumerate(tables, 1):
        where = f"[[method]] {index}"
        a_table(table, where)
        facts = dict(table)
        if "method" not in facts:
            raise RecipeError("a method needs a name", where=where, hint='method = "cache"')
        name = facts.pop("method")
        known("method", name, methods, where)
        kind = methods[name]
        only(facts, _field_names(kind), f"{where} ({name})")
        read.append(construct(kind, facts, f"{where} ({name})"))
    return tuple(read)
