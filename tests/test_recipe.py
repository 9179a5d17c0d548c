from __future__ import annotations

import dataclasses
import itertools
import json
import tomllib
from dataclasses import dataclass
from typing import Self, final

import numpy as np
import pytest

from hasten.core.edit import Edit
from hasten.core.method import Aspect, Needs, Obstacle, Stage, Tactic
from hasten.core.model import Classes, Model
from hasten.core.plan import FULL, HOLD
from hasten.core.process import EDM, VP, DiscreteVP, Flow, Process
from hasten.errors import PlanError, RecipeError
from hasten.loading import BUNDLED
from hasten.methods import METHODS
from hasten.methods.cache import Cache
from hasten.models.mixture import mixture_model
from hasten.recipe import PlanSpec, Recipe, conflicts
from hasten.solvers import GRIDS, SOLVERS, build, churn, stock_plan
from hasten.solvers.options import OPTIONS, known_options

SHORT = """
hasten = 1

[plan]
solver = "dpmpp_2m"
grid = "karras"
steps = 6
reuse = "every:3"

[[method]]
method = "cache"
depth = 0.5
"""


@final
@dataclass(frozen=True)
class Skipper(Tactic):
    name, stage, touches = "skipper", Stage.TOKENS, Aspect.DEPTH
    needs, paper = Needs(), "none"

    amount: int = 1

    @classmethod
    def neutral(cls) -> Self:
        return cls(0)

    def obstacles(self, model: Model) -> list[Obstacle]:
        return [Obstacle("a skipper is never welcome")]

    def attach(self, model: Model, edit: Edit) -> None:
        raise NotImplementedError


RECIPES = {
    "default": Recipe(),
    "short": Recipe.loads(SHORT),
    "sigmas": Recipe(PlanSpec("ipndm3", None, None, (80.0, 1 / 3, 0.1), ("full", "hold", "full"))),
    "eta": Recipe(PlanSpec("ddim", "trailing", 4, options={"eta": 0.3}, guidance=2.5)),
    "options": Recipe(PlanSpec("edm", "karras", 18, options={"churn": 40, "high": 50.0})),
    "switch": Recipe(PlanSpec("lms4", "karras", 8, options={"lower_final": True})),
    "interval": Recipe(PlanSpec("heun", "karras", 6, guidance=2.0, guidance_interval=(0.2, 3.0))),
    "open": Recipe(PlanSpec("heun", "karras", 6, guidance_interval=(0.2, float("inf")))),
    "rows": Recipe(stock_plan(EDM(), "heun", "karras", 3)),
    "noise": Recipe(stock_plan(EDM(), "ancestral", "karras", 3)),
    "about": Recipe(methods=(Cache(hold="output"),), about={"model": "toy", "speedup": 3.25}),
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_a_recipe_survives_its_file_exactly(recipe: Recipe) -> None:
    assert Recipe.loads(recipe.dumps()) == recipe
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert Recipe.loads(recipe.dumps()).fingerprint() == recipe.fingerprint()


PRINTS = {
    "": "5b22751afdc15f05",
    'solver = "dpmpp_2m"\ngrid = "karras"\nsteps = 6\nreuse = "every:3"': "ae8148da8984c1f1",
    'grid = "trailing"\nsteps = 4\nguidance = 2.5\neta = 0.3': "e29713f167ed3dd9",
    "eta = 0": "c23050cd6cfe97be",
}


@pytest.mark.parametrize(("text", "known"), PRINTS.items(), ids=PRINTS.values())
def test_fingerprints_stay_what_they_were(text: str, known: str) -> None:
    """Evidence on disk is filed under them."""
    assert Recipe.loads(f"hasten = 1\n[plan]\n{text}\n").fingerprint() == known


BUNDLED_PRINTS = {
    "fashion-unet/fast": "883300ac8840c01a",
    "fashion-unet/fewer-steps": "671d2a8d58233795",
    "fashion-uvit/fast": "109b7ad61c2fe34f",
    "fashion-uvit/fewer-steps": "4563e61bbfc81557",
}


@pytest.mark.parametrize(("name", "known"), BUNDLED_PRINTS.items())
def test_fingerprints_of_bundled_recipes_stay_too(name: str, known: str) -> None:
    model, recipe = name.split("/")
    text = (BUNDLED / model / "recipes" / f"{recipe}.toml").read_text()
    assert Recipe.loads(text).fingerprint() == known


def test_options_are_plain_keys_of_the_plan() -> None:
    text = "solver = 'edm'\nchurn = 40\nlow = 0.05\ngrid = 'karras'\nsteps = 9\n"
    recipe = Recipe.loads(f"hasten = 1\n[plan]\n{text}")
    assert recipe.plan == PlanSpec("edm", "karras", 9, options={"churn": 40.0, "low": 0.05})
    assert recipe.label == "edm(churn=40, low=0.05) karras 9"
    written = tomllib.loads(recipe.dumps())["plan"]
    assert (written["churn"], written["low"]) == (40.0, 0.05)
    assert "options" not in written
    plan = recipe.resolve(EDM())
    assert plan.rows == build(churn(40.0, low=0.05), GRIDS["karras"](EDM(), 9)).rows
    off = Recipe(PlanSpec("unipc3", "karras", 9, options={"lower_final": False}))
    assert off.label == "unipc3(lower_final=false) karras 9"


def test_options_and_fields_share_no_name() -> None:
    names = {name for solver in OPTIONS for name in known_options(solver)}
    assert not names & {spec.name for spec in dataclasses.fields(PlanSpec)}


def test_the_fingerprint_sees_options_and_interval() -> None:
    specs = [
        PlanSpec("edm", "karras", 9),
        PlanSpec("edm", "karras", 9, options={"churn": 10}),
        PlanSpec("edm", "karras", 9, options={"churn": 11}),
        PlanSpec("edm", "karras", 9, guidance=2.0),
        PlanSpec("edm", "karras", 9, guidance=2.0, guidance_interval=(0.1, 1.0)),
        PlanSpec("edm", "karras", 9, guidance_interval=(0.1, 1.0)),
    ]
    assert len({Recipe(spec).fingerprint() for spec in specs}) == len(specs)
    whole, real = (Recipe(PlanSpec("edm", options={"churn": x})) for x in (40, 40.0))
    assert whole == real
    assert whole.fingerprint() == real.fingerprint()


def test_an_interval_of_guidance_reaches_the_rows() -> None:
    text = "guidance_interval = [0.5, 3]\nguidance = 2.0\nsigmas = [4.0, 2.0, 1.0, 0.5]\n"
    recipe = Recipe.loads(f"hasten = 1\n[plan]\n{text}")
    assert [row.guidance for row in recipe.resolve(EDM()).rows] == [1, 2, 2, 1]
    assert recipe.label == "ddim own grid 4, guidance 2 for sigma 0.5 to 3"


def test_a_forecast_with_enough_behind_it_is_read() -> None:
    text = "steps = 4\nreuse = ['full', 'hold', 'full', 'forecast:1']\n"
    plan = Recipe.loads(f"hasten = 1\n[plan]\n{text}").resolve(EDM())
    assert [str(entry) for entry in plan.reuse] == ["full", "hold", "full", "forecast:1"]


def test_the_rows_of_a_recipe_forecast_only_what_they_can() -> None:
    table = Recipe(stock_plan(EDM(), "ddim", "karras", 3)).to_dict()
    table["plan"]["rows"][2]["reuse"] = "forecast:3"
    with pytest.raises(RecipeError, match="4 earlier full evaluations") as caught:
        Recipe.from_dict(table)
    assert "row 2" in str(caught.value)


def test_the_short_form_becomes_the_solvers_rows() -> None:
    plan = RECIPES["short"].resolve(EDM())
    assert plan.with_reuse([FULL] * 6) == dataclasses.replace(
        stock_plan(EDM(), "dpmpp_2m", "karras", 6), label=plan.label
    )
    assert plan.reuse == (FULL, HOLD, HOLD, FULL, HOLD, HOLD)
    assert RECIPES["short"].resolve(VP()).sigmas != plan.sigmas


def test_the_fingerprint_sees_what_changes_samples_and_nothing_else() -> None:
    base = RECIPES["short"]
    other = dataclasses.replace(base, methods=(Cache(depth=0.6),))
    told = dataclasses.replace(base, about={"by": "somebody"})
    shorter = dataclasses.replace(base, plan=PlanSpec("dpmpp_2m", "karras", 5, reuse="every:3"))
    assert told.fingerprint() == base.fingerprint()
    assert len({r.fingerprint() for r in (base, other, shorter)}) == 3


TABLE = DiscreteVP.from_betas(np.linspace(1e-4, 0.02, 1000))

WRONG = {
    "key": ("[plan]\nsolvr = 'heun'", "solvr", "did you mean 'solver'"),
    "solver": ("[plan]\nsolver = 'dpmpp2m'", "dpmpp2m", "did you mean 'dpmpp_2m'"),
    "grid": ("[plan]\ngrid = 'karas'", "karas", "karras"),
    "type": ("[plan]\nsteps = 'ten'", "ten", "a whole number"),
    "bool": ("[plan]\nsteps = true", "True", "a whole number"),
    "steps": ("[plan]\nsteps = 0", "0 steps", "at least 1"),
    "absurd": ("[plan]\nsteps = 1001", "1001 steps", "at most 1000"),
    "share": ("[plan]\nsolver = 'dpmpp_sde'\neta = 1.5", "eta = 1.5", "from 0 to 1"),
    "window": ("[plan]\nsolver = 'edm'\nlow = 2.0\nhigh = 1.0", "low = 2, high = 1", "low <= high"),
    "endless": ("[plan]\nsolver = 'edm'\nchurn = inf", "churn = inf", "churn < infinity"),
    "both": ("[plan]\ngrid = 'karras'\nsigmas = [2.0, 1.0]", "both", "leave out"),
    "eta": ("[plan]\nsolver = 'heun'\neta = 1.0", "eta", "ddim"),
    "option": ("[plan]\nsolver = 'edm'\nchrun = 1.0", "unknown key 'chrun'", "'churn'"),
    "range": ("[plan]\neta = 1.5", "eta = 1.5", "from 0 to 1"),
    "number": ("[plan]\nsolver = 'edm'\nchurn = 'much'", "churn = 'much'", "a number"),
    "switch": ("[plan]\nsolver = 'lms2'\nlower_final = 1", "lower_final = 1", "true or false"),
    "options": ("[plan]\noptions = {eta = 1.0}", "unknown key 'options'", ""),
    "turned": ("[plan]\nguidance_interval = [3.0, 1.0]", "no interval", "low < high"),
    "triple": ("[plan]\nguidance_interval = [3.0, 1.0, 2.0]", "[3.0, 1.0, 2.0]", "list of 2"),
    "reuse": ("[plan]\nreuse = 'sometimes'", "sometimes", "every:N"),
    "column": ("[plan]\nsteps = 2\nreuse = ['full']", "1 reuse entries for 2", ""),
    "entry": ("[plan]\nsteps = 2\nreuse = ['full', 'keep']", "keep", "forecast"),
    "first": ("[plan]\nsteps = 2\nreuse = ['hold', 'full']", "an earlier full", "full"),
    "degree": (
        "[plan]\nsteps = 3\nreuse = ['full', 'full', 'forecast:2']",
        "forecast:2 without 3 earlier full",
        "K + 1",
    ),
    "every": ("[plan]\nreuse = 'every:\N{SUPERSCRIPT TWO}'", "unknown reuse", "every:N"),
    "order": ("[plan]\nsolver = 'ipndm5'", "ipndm5", "did you mean 'ipndm"),
    "no order": ("[plan]\nsolver = 'lms0'", "lms0", "did you mean 'lms"),
    "stated": ("[plan]\nsolver = 'unipc3'\norder = 0", "order", ""),
    "method": ("[[method]]\nmethod = 'cahe'", "cahe", "cache"),
    "field": ("[[method]]\nmethod = 'cache'\ndeph = 0.5", "deph", "depth"),
    "value": ("[[method]]\nmethod = 'cache'\ndepth = 7", "7", "from 0.0 to 1.0"),
    "nameless": ("[[method]]\ndepth = 0.5", "name", "cache"),
    "table": ("[method]\nmethod = 'cache'", "list", "[[method]]"),
    "section": ("[plann]\nsteps = 3", "plann", "plan"),
    "rows": ("[plan]\nrows = [{sigma = 1.0}]\nresult = {start = 0.0}", "missing", ""),
    "about": ("[about]\ndeep = {er = 1}", "only text", ""),
}


@pytest.mark.parametrize(("text", "what", "hint"), WRONG.values(), ids=WRONG)
def test_what_is_unknown_or_wrong_is_refused_with_a_hint(text: str, what: str, hint: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.loads(f"hasten = 1\n{text}\n")
    assert what in caught.value.what
    assert hint in caught.value.hint
    assert caught.value.where


@pytest.mark.parametrize("text", ["", "hasten = 2\n", "hasten = "])
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        Recipe.loads(text)


def test_methods_of_others_can_be_named() -> None:
    text = "hasten = 1\n[[method]]\nmethod = 'skipper'\namount = 3\n"
    with pytest.raises(RecipeError):
        Recipe.loads(text)
    assert Recipe.loads(text, {**METHODS, "skipper": Skipper}).methods == (Skipper(3),)


def test_methods_are_applied_by_stage_and_named_in_that_order() -> None:
    recipe = Recipe(methods=(Cache(), Skipper()))
    assert recipe.ordered == (Skipper(), Cache())
    turned = Recipe(methods=(Skipper(), Cache()))
    assert turned.fingerprint() == recipe.fingerprint()


def test_methods_that_decide_the_same_thing_conflict() -> None:
    assert conflicts([Cache()]) == []
    assert "which blocks" in conflicts([Cache(), Skipper()])[0].what
    assert "twice" in conflicts([Cache(), Cache(depth=0.1)])[0].what


def test_reuse_without_a_mechanism_is_an_obstacle() -> None:
    model = mixture_model()
    held = Recipe(PlanSpec("ddim", "karras", 4, reuse="every:2"))
    (obstacle,) = held.obstacles(model)
    assert "2 of 4" in obstacle.what
    assert "cache" in obstacle.hint
    assert Recipe(PlanSpec("ddim", "karras", 4)).obstacles(model) == []


def test_guidance_by_nothing_is_an_obstacle() -> None:
    plain, classes = mixture_model(), mixture_model(labels=(0, 0, 1, 1))
    guided = Recipe(PlanSpec("ddim", "karras", 4, guidance=2.0, guidance_interval=(0.1, 1.0)))
    (obstacle,) = guided.obstacles(plain)
    assert "guides 1 of 4 evaluations" in obstacle.what
    assert "guide" in obstacle.hint
    for model in (classes, plain.replace(guide=mixture_model())):
        assert guided.obstacles(model) == []
    assert guided.obstacles(classes.replace(classes=Classes(2, null=0))) == []
    assert guided.obstacles(classes.replace(classes=Classes(2))) != []
    assert Recipe(PlanSpec("ddim", "karras", 4, guidance=1.0)).obstacles(plain) == []


def test_a_grid_the_process_does_not_have_is_an_obstacle() -> None:
    recipe = Recipe(PlanSpec("ddim", None, None, (1.0, 1.0)))
    assert "descend" in recipe.obstacles(mixture_model())[0].what
    (turned,) = Recipe(PlanSpec("ddim", None, None, (0.4, 3.0, 80.0))).obstacles(mixture_model())
    assert "from the noisiest down" in turned.hint


@pytest.mark.parametrize(
    ("sigmas", "row", "others"),
    [((5000.0, 30.0, 1.0), 0, ""), ((80.0, 30.0, 1e-5), 2, ""), ((99.0, 30.0, 0.009), 0, "1 more")],
)
def test_levels_the_net_was_not_trained_at_are_an_obstacle(
    sigmas: tuple[float, ...], row: int, others: str
) -> None:
    model = mixture_model(VP())  # from .01 to 80
    (obstacle,) = Recipe(PlanSpec("ddim", None, None, sigmas)).obstacles(model)
    assert f"sigma = {sigmas[row]:g}" in obstacle.what
    assert others in obstacle.what
    assert obstacle.where == f"[plan] row {row}"
    assert "between 0.01 and 80" in obstacle.hint


@pytest.mark.parametrize("process", [EDM(), VP(), Flow(), TABLE], ids=lambda p: type(p).__name__)
def test_stock_plans_stay_where_the_net_was_trained(process: Process) -> None:
    """Two of a grid's ends are rounded; noise may lift a level, but only as far as churn does."""
    model = mixture_model(process)
    for solver, grid in itertools.product(SOLVERS, GRIDS):
        try:
            recipe = Recipe(stock_plan(process, solver, grid, 10))
        except PlanError:
            continue  # the list begins too high, or two levels are one in the table
        assert recipe.obstacles(model) == []
    lifted = stock_plan(EDM(), "edm", "karras", 9)
    narrow = mixture_model(EDM(0.002, 79.0))
    assert "row 0" in Recipe(lifted).obstacles(narrow)[0].where


def test_what_is_wrong_in_the_rows_is_said_once_with_the_row() -> None:
    table = Recipe(stock_plan(EDM(), "ddim", "karras", 3)).to_dict()
    table["plan"]["rows"][1]["input"]["outputs"] = [[1, 1.0]]
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(table)
    error = caught.value
    assert (error.where, error.hint) == ("[plan] row 1", "outputs 0 to 0 are there")
    assert str(error).count("where:") == 1
