from __future__ import annotations

import itertools

import pytest

from hasten.report.axes import Labels, plain_log, seconds_axis, sigma_axis
from hasten.report.svg import canvas, frame, inline, style


def boxes(labels: Labels) -> list[tuple[float, float, float, float]]:
    return list(labels._taken)


def test_names_of_close_marks_do_not_cover_each_other_or_the_marks() -> None:
    figure = canvas(800, 380)
    axes = frame(figure, left=50, right=20, bottom=40, top=20)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    labels = Labels(axes)
    marks = [(0.45, 0.4, 0.5), (0.5, 0.42, 0.52), (0.55, 0.41, 0.5), (0.97, 0.5, 0.5)]
    for mark in marks:
        labels.keep_clear(*mark)
    for index, mark in enumerate(marks):
        labels.put(f"a rather long name {index}", *mark)
    taken = boxes(labels)
    inside = axes.get_window_extent()
    for a, b in itertools.combinations(taken[len(marks) :], 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for left, bottom, right, top in taken[len(marks) :]:
        assert inside.x0 <= left
        assert right <= inside.x1
        assert inside.y0 <= bottom
        assert top <= inside.y1


@pytest.mark.parametrize(
    ("limits", "written"),
    [
        ((0.5, 60), ["1", "3", "10", "30"]),
        ((0.001, 100), ["0.001", "0.01", "0.1", "1", "10", "100"]),
        ((0.9, 9), ["1", "2", "5"]),
    ],
)
def test_logarithmic_ticks_are_written_plainly(
    limits: tuple[float, float], written: list[str]
) -> None:
    axes = frame(canvas(400, 300), left=40, right=10, bottom=40, top=10)
    axes.set_yscale("log")
    axes.set_ylim(*limits)
    plain_log(axes, "y")
    ticks = axes.get_yticks()
    assert [axes.yaxis.get_major_formatter()(tick) for tick in ticks] == written


def test_axes_run_the_way_they_say() -> None:
    axes = frame(canvas(400, 300), left=40, right=10, bottom=40, top=10)
    sigma_axis(axes, [80.0, 1.0, 0.01])
    left, right = axes.get_xlim()
    assert left > 80
    assert right < 0.01
    axes = frame(canvas(400, 300), left=40, right=10, bottom=40, top=10)
    seconds_axis(axes, [0.0011, 0.12])
    form = axes.xaxis.get_major_formatter()
    assert form(0.01) == "10 ms"
    assert form(0.001) == "1 ms"
    assert form(2e-5) == "20 µs"


def test_two_drawings_of_one_thing_are_the_same_text() -> None:
    def draw() -> str:
        with style():
            figure = canvas(200, 100)
            frame(figure, left=20, right=5, bottom=20, top=5).plot([0, 1], [0, 1])
            return str(inline(figure, "name", 'with "quotes" & more'))

    text = draw()
    assert text == draw()
    assert 'aria-label="with &#34;quotes&#34; &amp; more"' in text
    assert "width=" not in text.split(">", 1)[0]
