"""What did not work, and what the figures do not say: read off the data, never left out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from hasten.report.story import Story
from hasten.report.values import Arm
from hasten.report.words import (
    count,
    digits,
    ends,
    factor,
    percent,
    ratio,
    sampler,
    threads,
)


@final
@dataclass(frozen=True)
class Note:
    """A statement and what follows from it."""

    title: str
    text: str


def notes(story: Story) -> tuple[Note, ...]:
    """Every limit of this run's evidence, the gravest first."""
    found = [
        *_verdicts(story),
        *_search(story),
        *_resolution(story),
        *(Note("The run warns", warning) for warning in story.warnings),
        *_reference(story),
        *_scope(story),
    ]
    return tuple(found)


def _verdicts(story: Story) -> list[Note]:
    found = []
    if story.best is None:
        found.append(
            Note(
                "No recipe passed",
                "Nothing the search brought to the test was within the margin. The figure at the "
                "top belongs to the nearest finalist and is no claim of equal quality.",
            )
        )
    for arm in story.judged:
        if arm.role == "baseline" and arm.verdict in ("outside", "undecided"):
            found.append(_poor_baseline(arm))
        elif arm.verdict == "undecided":
            more = (
                f"about {count(arm.n_needed)} samples would decide"
                if math.isfinite(arm.n_needed)
                else "its distance lies on the margin, so more samples need not decide"
            )
            found.append(
                Note(
                    f"Undecided: {sampler(arm)}",
                    f"{factor(arm.speedup.value)} the baseline's speed; {_distance(arm)} does not "
                    f"tell on which side of the margin it lies (n = {count(arm.n)}); {more}.",
                )
            )
        elif arm.verdict == "outside":
            found.append(
                Note(
                    f"Outside: {sampler(arm)}",
                    f"{factor(arm.speedup.value)} the baseline's speed, but {_distance(arm)} lies "
                    "above the margin.",
                )
            )
    return found


def _poor_baseline(arm: Arm) -> Note:
    return Note(
        f"The baseline itself is {arm.verdict}",
        f"{sampler(arm)} is further from the reference set than the converged ODE, and recipes are "
        f"held against the better of the two: {_distance(arm)}.",
    )


def _distance(arm: Arm) -> str:
    if not arm.ratio.known:
        return f"the distance {digits(arm.distance)}"
    interval = f" ({ends(arm.ratio)})" if arm.ratio.wide else ""
    return f"the distance ratio {ratio(arm.ratio.value)}{interval}"


def _search(story: Story) -> list[Note]:
    found = []
    best, over = story.best, story.over_fewer
    if story.stock:
        found.append(
            Note(
                "The search brought nothing",
                "No searched recipe that passed is faster than a stock sampler with fewer steps.",
            )
        )
    if best is not None and over.known and over.low <= 1.05:
        found.append(
            Note(
                "The search added little",
                f"Against fewer steps of {sampler(story.fewer_steps or best)} the best recipe is "
                f"{factor(over.value)} as fast ({ends(over, factor)}); the simpler one may serve.",
            )
        )
    hero = story.hero
    if hero is not None and math.isfinite(hero.search_ratio) and hero.ratio.known:
        lost = hero.ratio.value - hero.search_ratio
        if lost > 0.02:
            found.append(
                Note(
                    "Winner's curse",
                    f"On the seeds of the search the ratio was {ratio(hero.search_ratio)}; on "
                    f"fresh seeds it is {ratio(hero.ratio.value)}. Only the second counts.",
                )
            )
    reason = story.search.get("stopped_by")
    if reason in ("minutes", "samples"):
        found.append(
            Note(
                f"The search stopped at its limit of {reason}",
                "A longer search may find a faster recipe.",
            )
        )
    check = story.search.get("converged_check")
    if check is not None and float(check) > 0.01:
        found.append(
            Note(
                "The converged reference is not quite converged",
                f"Heun with 64 and 128 steps differ by {percent(float(check))} of the samples' "
                "size, so distances below that mean nothing.",
            )
        )
    return found


def _resolution(story: Story) -> list[Note]:
    hero = story.hero
    if hero is None or not math.isfinite(hero.se_share) or hero.se_share <= 0:
        return []
    text = (
        f"The standard error of the difference is {percent(hero.se_share)} of the reference's "
        f"distance at n = {count(hero.n)}"
    )
    if math.isfinite(hero.rho):
        text += f", with pairs correlated at {hero.rho:.2f}"
    return [
        Note("What could not have been seen", f"{text}. Differences smaller than this stay hidden.")
    ]


def _reference(story: Story) -> list[Note]:
    judge = story.judge
    found = []
    if story.run_id == "demo":
        found.append(
            Note(
                "The demo's final seeds are fixed",
                "They are the same in every demo, so that the references need not be sampled each "
                "time. A run of your own draws fresh ones.",
            )
        )
    if judge.own:
        found.append(
            Note(
                "Measured against the model itself",
                "No real data were given, so the reference is the model's own converged samples "
                "from other seeds. The claim is “the same distribution as your sampler”, not “as "
                "good as data”.",
            )
        )
    if math.isfinite(judge.just_visible) and math.isfinite(story.baseline.distance):
        reference = story.baseline.distance
        if judge.just_visible > reference:
            found.append(
                Note(
                    "The margin is set by the eye",
                    "The reference is closer to the data than a just visible degradation, so the "
                    f"margin is {percent(judge.margin)} of the latter: "
                    f"{percent(judge.margin_abs / reference)} of the reference's own distance.",
                )
            )
    found.append(
        Note(
            "One metric sees only what its features see",
            f"The verdicts compare means and covariances of {judge.features}. A flaw those "
            "features do not show is not in the figures; look at the pictures too.",
        )
    )
    return found


def _scope(story: Story) -> list[Note]:
    base = story.baseline
    return [
        Note(
            "The times belong to one machine",
            f"They were taken on {base.device} in {base.dtype} at batch {base.batch} with "
            f"{threads(base.threads) if base.threads else 'its threads'}. On other hardware or "
            "batches the recipe keeps its samples, not its speed-up; hasten measure tells.",
        ),
        Note(
            "Equal in distribution, not sample by sample",
            "The same seed gives a similar but not an identical sample; within the margin means "
            "the two sets of samples could not be told apart by more than it allows.",
        ),
    ]
