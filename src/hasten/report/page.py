"""The report: one page that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from hasten.files import atomic_write_text
from hasten.report import plots, tables, words
from hasten.report.notes import notes
from hasten.report.pictures import BLOCK, gallery
from hasten.report.showers import showers
from hasten.report.story import Story, read


def write(run: Path, output: Path | None = None) -> Path:
    """Make the page of a finished run.

    Args:
        run: The run folder.
        output: Where to; ``report.html`` in the run folder if not said.

    Returns:
        The page's path.

    Raises:
        RunError: If the run has no result, or the page cannot be written.
    """
    story = read(run)
    path = output or story.folder / "report.html"
    atomic_write_text(path, render(story))
    return path


def render(story: Story) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hasten.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        names=words.ROLE_NAMES,
        sampler=words.sampler,
        duration=words.duration,
        factor=words.factor,
        ratio=words.ratio,
        ends=words.ends,
        count=words.count,
        digits=words.digits,
        percent=words.percent,
    )
    figure, rest = words.headline(story)
    check_columns, check_rows = tables.checks(story)
    return environment.get_template("page.html.jinja").render(
        story=story,
        hero=story.hero,
        headline=figure,
        headline_rest=rest,
        time_sentence=words.time_sentence(story),
        verdict_sentence=words.verdict_sentence(story),
        fewer_sentence=words.fewer_sentence(story),
        slowest=max(arm.seconds for arm in story.trio),
        columns=tables.VERDICTS,
        lines=tables.verdicts(story),
        check_columns=check_columns,
        check_rows=check_rows,
        judge=tables.judge_facts(story),
        search=tables.search_facts(story),
        front=tables.front(story),
        provenance=tables.provenance(story),
        notes=notes(story),
        gallery=gallery(story) if story.physics is None else None,
        physics=showers(story),
        block=BLOCK,
        plots=_plots(story),
    )


def _plots(story: Story) -> dict[str, Markup]:
    """Every drawing the run has data for."""
    timed = any(len(arm.pairs) > 1 for arm in story.trio if arm.role != "baseline")
    possible = {
        "quality": (
            bool(plots.comparable(story)),
            plots.quality_over_time,
            "Time per sample against distance ratio of every judged recipe",
        ),
        "timing": (timed, plots.timing, "Speed-up in every pair of timings"),
        "programmes": (
            any(arm.rows for arm in story.trio),
            plots.programmes,
            "Noise levels of every evaluation of each recipe",
        ),
        "errors": (
            any(arm.role in story.errors for arm in story.trio),
            plots.errors,
            "Error of the estimate at every evaluation",
        ),
        "searched": (
            plots.has_points(story.points),
            plots.searched,
            "Time per sample against endpoint error of every candidate",
        ),
    }
    return {
        name: plots.responsive(draw, story, name, title)
        for name, (present, draw, title) in possible.items()
        if present
    }
