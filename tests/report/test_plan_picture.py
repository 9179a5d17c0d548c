from __future__ import annotations

import functools
import io
import itertools
import re
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from PIL import Image

from hasten.core.plan import FULL, HOLD, Combination, Plan, Reuse, Row
from hasten.core.process import VP, Flow
from hasten.report import svg
from hasten.report.plan_picture import draw
from hasten.solvers import stock_plan

SHADES = 11  # cells of the legend


def stock(name: str, steps: int, grid: str = "karras", **more: object) -> tuple[str, Plan]:
    return f"{name}:{grid}:{steps}", stock_plan(VP(), name, grid, steps, **more)


def dense(n: int) -> tuple[str, Plan]:
    """Every row takes up all earlier outputs, and no short form exists."""
    rng = np.random.default_rng(0)

    def mix(rows: int) -> tuple[tuple[int, float], ...]:
        return tuple((row, float(rng.normal())) for row in range(rows))

    levels = np.geomspace(80, 0.02, n).tolist()
    rows = tuple(Row(s, Combination(float(rng.normal()), mix(i)), i) for i, s in enumerate(levels))
    label = f"{n} steps, own grid and coefficients"
    return "a/long/path/" * 12 + "best.toml", Plan(rows, Combination(0.0, mix(n)), label)


CASES: dict[str, list[tuple[str, Plan]]] = {
    "one step": [stock("ddim", 1)],
    "few": [stock("unipc2", 4)],
    "many": [stock("lms4", 50, "uniform"), dense(50)],
    "close": [stock("dpmpp_2m", 20, "logsnr"), stock("unipc3", 13, "logsnr")],
    "slots": [stock("dpm_3", 5), stock("edm", 10)],
    "six": [
        stock("heun", 8),
        stock("dpmpp_2m_sde", 20, "trailing"),
        stock("unipc3", 4, reuse=[FULL, FULL, Reuse("forecast", 1), HOLD]),
        stock("ddim", 50, "uniform"),
        stock("ancestral", 4, guidance=[1.0, 4.0, 2.0, 1.0]),
        dense(6),
    ],
    "flow": [("euler", stock_plan(Flow(), "euler", "uniform", 28))],
}


def picture(plans: Sequence[tuple[str, Plan]], model: str = "") -> Figure:
    with svg.style(svg.LIGHT):
        return draw(plans, model)


@functools.cache
def drawn(case: str) -> Figure:
    return picture(CASES[case], "a model")


def texts(figure: Figure) -> list[Annotation]:
    found = [t for axes in figure.axes for t in axes.texts]
    return [t for t in found if isinstance(t, Annotation) and t.get_text()]


def cells(figure: Figure) -> list[Rectangle]:
    patches = [p for axes in figure.axes for p in axes.patches]
    return [p for p in patches if isinstance(p, Rectangle)]


def marks(figure: Figure, marker: str) -> int:
    lines = [line for axes in figure.axes for line in axes.lines]
    return sum(line.get_marker() == marker for line in lines)


@pytest.mark.parametrize("case", CASES)
def test_no_word_covers_another_or_leaves_the_picture(case: str) -> None:
    figure = drawn(case)
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
    for (text, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        # a line's box is as tall as its tallest letters might be
        overlap = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert apart or overlap < 2, (text, other)
    for text, box in boxes:
        assert figure.bbox.x0 <= box.x0, text
        assert box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0, text
        assert box.y1 <= figure.bbox.y1, text


@pytest.mark.parametrize("case", CASES)
def test_no_word_covers_a_mark_or_a_cell(case: str) -> None:
    figure = drawn(case)
    lines = [line for axes in figure.axes for line in axes.lines if line.get_marker() != "None"]
    shapes = [shape.get_window_extent() for shape in (*lines, *cells(figure))]
    left, low, right, top = np.array([(b.x0, b.y0, b.x1, b.y1) for b in shapes]).T
    for text in texts(figure):
        box = text.get_window_extent()
        wide = np.minimum(right, box.x1) - np.maximum(left, box.x0)
        tall = np.minimum(top, box.y1) - np.maximum(low, box.y0)
        assert ((wide < 1) | (tall < 2)).all(), text.get_text()


@pytest.mark.parametrize("case", CASES)
def test_cells_keep_out_of_each_other(case: str) -> None:
    boxes = [p.get_window_extent() for p in cells(drawn(case))]
    left, low, right, top = np.array([(b.x0, b.y0, b.x1, b.y1) for b in boxes]).T
    wide = np.minimum(right[:, None], right) - np.maximum(left[:, None], left)
    tall = np.minimum(top[:, None], top) - np.maximum(low[:, None], low)
    both = (wide > 1e-6) & (tall > 1e-6)
    assert both.sum() == len(boxes), "each with itself alone"
    assert (right - left).min() > 2


def test_a_cell_for_each_output_and_a_mark_for_each_evaluation() -> None:
    # an input of DPM-Solver++ 2M takes up two outputs from the third on, the sample one
    figure = picture([stock("dpmpp_2m", 6)])
    assert len(cells(figure)) == SHADES + 0 + 1 + 4 * 2 + 1
    assert marks(figure, "o") == 6 + 1  # and one in the legend
    assert marks(figure, "s") == 1 + 1
    assert marks(figure, "v") == marks(figure, "D") == 0


def test_reuse_and_noise_have_marks_of_their_own() -> None:
    column = [FULL, HOLD, FULL, Reuse("forecast", 1), HOLD]
    figure = picture([stock("dpmpp_2m_sde", 5, reuse=column)])
    filled = [
        line.get_markerfacecolor()
        for line in figure.axes[1].lines
        if line.get_marker() == "o" and line.get_markersize() > 4
    ]
    assert filled == [svg.LIGHT[c] for c in (svg.INK, svg.PAPER, svg.INK, svg.PAPER)]
    assert marks(figure, "D") == 1 + 1
    assert marks(figure, "v") == 4 + 1
    said = {t.get_text() for t in texts(figure)}
    assert {"features held", "features forecast", "fresh noise in the input"} <= said
    assert any("2 full, 2 held, 1 forecast" in text for text in said)


def test_the_weights_are_written_where_there_is_room() -> None:
    name, plan = stock("ddim", 4)
    numbers = {t.get_text() for t in texts(picture([(name, plan)]))}
    weights = [1 - b / a for a, b in itertools.pairwise(plan.sigmas)]
    assert {f"{weight:.2f}" for weight in weights} | {"1"} <= numbers
    crowded = {t.get_text() for t in texts(picture([stock("ddim", 50)]))}
    assert not [text for text in crowded if re.fullmatch(r"\N{MINUS SIGN}?[\d.]+", text)]


def test_colours_say_which_way_an_output_counts() -> None:
    figure = picture([stock("dpmpp_2m", 4)])
    found = [p for p in cells(figure) if p.axes is figure.axes[1]]
    (newest, older) = (np.array(p.get_facecolor()) for p in found[1:3])
    assert newest[2] > newest[0], "blue: it counts for"
    assert older[0] > older[2], "orange: it counts against"


def test_zero_is_on_the_axis_to_the_right_of_all_levels() -> None:
    figure = picture([stock("ddim", 5), stock("heun", 3)])
    axis = figure.axes[0].xaxis
    ticks = axis.get_majorticklocs()
    form = axis.get_major_formatter()
    assert form(ticks[-1]) == "0"
    assert [form(tick) for tick in ticks[:-1]] == ["0.01", "0.1", "1", "10", "100"]
    left, right = figure.axes[0].get_xlim()
    assert left > 80
    assert right < ticks[-1]
    assert ticks[-1] < 0.01


def test_plans_written_by_hand_may_be_odd() -> None:
    """Slots that begin anywhere, a sample of noise alone, levels asked twice, a $ in the name."""
    rows = (Row(2.0, Combination(1.0), 0, 1), Row(2.0, Combination(1.0), 0, 40))
    plans = [
        (r"$\frac$", Plan(rows, Combination(1.0))),
        ("$", Plan(rows[:1] * 2, Combination(0.0, ((1, 0.0),)))),
    ]
    figure = picture(plans)
    assert {r"$\frac$", "$"} <= {t.get_text() for t in texts(figure)}
    assert marks(figure, "o") == 4 + 1
    with svg.style(svg.LIGHT):
        assert svg.standalone(figure, "png")


@pytest.mark.parametrize(
    ("form", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_files_are_whole_repeatable_and_in_real_colours(form: str, head: bytes) -> None:
    def write() -> bytes:
        with svg.style(svg.LIGHT):
            return svg.standalone(draw([stock("heun", 4)], "model"), form)

    before = dict(mpl.rcParams)
    data = write()
    assert dict(mpl.rcParams) == before
    assert data.startswith(head)
    assert data == write()
    if form == "png":
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
            assert image.width == 1800
        ground = [int(svg.LIGHT[svg.PAPER][i : i + 2], 16) for i in (1, 3, 5)]
        share = (pixels == ground).all(1).mean()
        assert 0.5 < share < 0.99
        assert len(np.unique(pixels, axis=0)) > 50
    if form == "svg":
        text = data.decode()
        assert svg.LIGHT[svg.SOFT] in text
        for stand_in in (svg.INK, svg.SOFT, svg.HAIR, svg.ACCENT, svg.PAPER, svg.WASH):
            assert stand_in not in text
