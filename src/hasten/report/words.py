"""Numbers and sentences, as people read them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hasten.core.method import Stage
from hasten.methods import METHODS
from hasten.report.story import Story
from hasten.report.values import Arm, Interval

NAMES: Mapping[str, str] = {
    "ddim": "DDIM",
    "euler": "Euler",
    "ancestral": "DDPM",
    "ddpm_large": "DDPM, large variance",
    "heun": "Heun",
    "edm": "EDM",
    "dpm_2": "DPM-2",
    "dpm_3": "DPM-3",
    "dpmpp_2s": "DPM++ 2S",
    "dpmpp_3s": "DPM++ 3S",
    "dpm_fast": "DPM-fast",
    "dpmpp_fast": "DPM++ fast",
    "dpm_2m": "DPM 2M",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_exact": "DPM++ 2M, exact",
    "dpmpp_3m": "DPM++ 3M",
    "dpmpp_3m_exact": "DPM++ 3M, exact",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_exact": "DPM++ 2M SDE, exact",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_3m_sde_exact": "DPM++ 3M SDE, exact",
    "deis2": "DEIS-2",
    "deis3": "DEIS-3",
    "deis2_t": "DEIS-2 in t",
    "deis3_t": "DEIS-3 in t",
    "lms2": "LMS-2",
    "lms3": "LMS-3",
    "lms4": "LMS-4",
    "ipndm2": "iPNDM-2",
    "ipndm3": "iPNDM-3",
    "ipndm4": "iPNDM-4",
    "ipndm3_v": "iPNDM_v-3",
    "unipc1": "UniPC-1",
    "unipc2": "UniPC-2",
    "unipc3": "UniPC-3",
    "unipc1_bh1": "UniPC-1 (B1)",
    "unipc2_bh1": "UniPC-2 (B1)",
    "unipc3_bh1": "UniPC-3 (B1)",
}
"""Solvers as the papers write them."""

ROLE_NAMES: Mapping[str, str] = {
    "baseline": "Baseline",
    "fewer_steps": "Fewer steps",
    "best": "hasten",
    "closest": "hasten, closest",
    "converged": "Converged",
    "finalist": "Finalist",
    "rival": "Fewer steps, tried",
}
"""What each role is called on the page."""

NONE = "–"


def duration(seconds: float) -> str:
    """Three digits with the unit that suits: ``21.4 ms``."""
    if not math.isfinite(seconds):
        return NONE
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= scale:
            return f"{digits(seconds / scale)}\N{NO-BREAK SPACE}{unit}"
    return f"{digits(seconds / 1e-9)}\N{NO-BREAK SPACE}ns"


def span(seconds: float) -> str:
    """A length of work: ``1 min 14 s``."""
    if not math.isfinite(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def digits(value: float, count: int = 3) -> str:
    """``count`` significant digits without exponent where that is readable."""
    if not math.isfinite(value):
        return NONE
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -5 or size > 7:
        return f"{value:.{count - 1}e}"
    return f"{value:,.{max(count - 1 - size, 0)}f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def count(value: float) -> str:
    """A whole number with thin spaces between the thousands."""
    if not math.isfinite(value):
        return NONE
    return f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def threads(number: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{number} thread{'' if number == 1 else 's'}"


def factor(value: float) -> str:
    """``7.9×``; two digits below 100."""
    if not math.isfinite(value):
        return NONE
    return f"{value:.0f}×" if value >= 100 else f"{value:.3g}×" if value >= 10 else f"{value:.2f}×"


def short(value: float) -> str:
    """A factor for a headline: ``7.9×``."""
    return f"{value:.1f}×" if value < 10 else factor(value)


def minus(number: str) -> str:
    """A written number with the sign that belongs to it."""
    return number.replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """``5 %``, ``0.9 %``."""
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%" if math.isfinite(share) else NONE


def ratio(value: float) -> str:
    """Three decimals."""
    return f"{value:.3f}" if math.isfinite(value) else NONE


def ends(interval: Interval, form: Any = ratio) -> str:
    """The two ends alone: ``0.991 to 1.034``; empty if there is no width."""
    return f"{form(interval.low)} to {form(interval.high)}" if interval.wide else ""


def sampler(arm: Arm) -> str:
    """A short name of an arm's sampler: ``DDIM-50``, or its label if that says more."""
    plan = arm.recipe.get("plan") or {}
    solver, steps = plan.get("solver"), plan.get("steps")
    plain = plan.get("reuse", "full") == "full" and plan.get("sigmas") is None
    name = NAMES.get(str(solver))
    if name and steps and plain and not _methods(arm):
        return f"{name}, {steps} steps" if name[-1].isdigit() or " " in name else f"{name}-{steps}"
    return arm.label


def _methods(arm: Arm) -> list[Any]:
    """Its methods, but for what is done to the output of every arm alike."""
    tables = arm.recipe.get("method") or ()
    kinds = ((table, METHODS.get(table["method"])) for table in tables)
    return [table for table, kind in kinds if kind is None or kind.stage is not Stage.DECODE]


def headline(story: Story) -> tuple[str, str]:
    """The figure everyone looks for, and the words after it."""
    hero = story.hero
    if story.best is not None:
        return short(story.best.speedup.value), f"faster than {sampler(story.baseline)}"
    if hero is None:
        return "1×", "no recipe came close enough to be tested"
    words = {
        "undecided": "faster, but not yet proven equal",
        "outside": "faster, but measurably worse",
    }
    return short(hero.speedup.value), words.get(hero.verdict, "faster, not judged")


def verdict_sentence(story: Story) -> str:
    """What the headline rests on."""
    hero, judge = story.hero, story.judge
    if hero is None:
        return (
            f"Nothing that was tried is faster than {sampler(story.baseline)} "
            f"within the margin of {percent(judge.margin)}."
        )
    allowed = f"within {percent(judge.margin)}"
    if hero.ratio.known:
        figures = f"distance ratio {ratio(hero.ratio.value)}"
        figures += f", interval {ends(hero.ratio)}" if hero.ratio.wide else ""
    else:  # the reference is so close to its own reference set that a ratio has no meaning
        figures = f"distance {digits(hero.distance)}, margin {digits(judge.margin_abs)}"
    figures += f", n = {count(hero.n)} pairs"
    if hero.verdict == "within":
        return f"Its samples stay {allowed} of the quality reference: {figures}."
    if hero.verdict == "outside":
        return f"Its samples are not {allowed} of the quality reference: {figures}."
    more = ""
    if math.isfinite(hero.n_needed):
        more = f" About {count(hero.n_needed)} samples would decide."
    return f"Whether its samples stay {allowed} of the quality reference is open: {figures}.{more}"


def time_sentence(story: Story) -> str:
    """One sample's time before and after, and where it was taken."""
    base, hero = story.baseline, story.hero
    place = f"{base.device}, {base.dtype}, batch\N{NO-BREAK SPACE}{base.batch}"
    if base.threads:
        place += ", " + threads(base.threads).replace(" ", "\N{NO-BREAK SPACE}")
    if hero is None:
        return f"One sample takes {duration(base.seconds)} ({place})."
    return (
        f"One sample takes {duration(hero.seconds)} instead of {duration(base.seconds)} ({place})."
    )


def fewer_sentence(story: Story) -> str:
    """How much the search adds to what anybody gets by taking fewer steps."""
    fewer, over = story.fewer_steps, story.over_fewer
    if fewer is None:
        return "No stock solver with fewer steps was within the margin on the same seeds."
    if story.stock:
        return "It is a stock sampler with fewer steps; the search found nothing faster."
    name = sampler(fewer)
    if not over.known:
        return f"Fewer steps alone ({name}) give {factor(fewer.speedup.value)}."
    if over.wide and over.low <= 1:
        return (
            f"Fewer steps alone ({name}) give {factor(fewer.speedup.value)}; beyond that the "
            "search adds nothing that timing can tell."
        )
    interval = f" ({ends(over, factor)})" if over.wide else ""
    return (
        f"Fewer steps alone ({name}) give {factor(fewer.speedup.value)}; "
        f"the search adds a further {factor(over.value)}{interval}."
    )
