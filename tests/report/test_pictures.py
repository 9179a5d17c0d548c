from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hasten.report.pictures import data_uri, gallery, is_picture, to_image
from hasten.report.story import read
from report import runs


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


def test_pictures_survive_exactly() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 24), np.uint8)
    back = np.asarray(decoded(data_uri(to_image(pixels.astype(np.float32) / 255))))
    np.testing.assert_array_equal(np.moveaxis(back, -1, 0), pixels)


def test_large_pictures_are_reduced() -> None:
    assert max(decoded(data_uri(Image.new("L", (512, 256)))).size) == 160


@pytest.mark.parametrize(
    ("shape", "yes"),
    [
        ((1, 28, 28), True),
        ((3, 32, 32), True),
        ((4, 32, 32), False),
        ((1, 45, 4), False),
        ((2,), False),
    ],
)
def test_what_a_picture_is(shape: tuple[int, ...], yes: bool) -> None:
    assert is_picture(shape) is yes


def test_same_seed_in_the_same_column(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run"))
    shown = gallery(story)
    assert shown is not None
    names = [strip.name for strip in shown.strips]
    assert names == ["Converged", "Baseline", "Fewer steps", "hasten", "Difference"]
    for column in (0, 11):
        sample = story.samples["best"][column, 0]
        back = np.asarray(decoded(shown.strips[3].pictures[column])) / 255
        assert np.abs(back - np.clip(sample, 0, 1)).max() < 1 / 255
        grey = np.asarray(decoded(shown.strips[4].pictures[column])) / 255
        change = 2 * (sample - story.samples["baseline"][column, 0])
        assert np.abs(grey - np.clip(0.5 + change, 0, 1)).max() < 1 / 255


@pytest.mark.parametrize(("kind", "name"), [("toy", "clouds"), ("shower", "profiles")])
def test_other_samples_are_drawn(tmp_path: Path, kind: str, name: str) -> None:
    shown = gallery(read(runs.write(tmp_path / "run", kind=kind)))
    assert shown is not None
    assert not shown.strips
    assert f"{name}-wide" in shown.plot
    assert f"{name}-narrow" in shown.plot


def test_no_samples_no_gallery(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    (folder / "samples.npz").unlink()
    assert gallery(read(folder)) is None
