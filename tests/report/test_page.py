from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hasten.errors import RunError
from hasten.report import read, render, write
from report import runs

VOID = {"meta", "img", "br", "link", "input"}


class Outline(HTMLParser):
    """Checks that tags nest, and collects ids, links and words."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href", "xlink:href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    assert not found.open
    return found


@pytest.mark.parametrize("kind", ["image", "toy", "shower"])
@pytest.mark.parametrize("outcome", ["within", "undecided"])
def test_the_page_needs_nothing_but_itself(tmp_path: Path, kind: str, outcome: str) -> None:
    text = render(read(runs.write(tmp_path / "run", kind=kind, outcome=outcome)))
    found = outline(text)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in found.links)
    assert "http" not in re.sub(r"base64,[^\"]*", "", text)
    assert "@import" not in text
    assert "<script" not in text


def test_the_command_writes_what_the_model_makes(tmp_path: Path) -> None:
    story = read(runs.write(tmp_path / "run"))
    for kind, name in (("image", "samples.png"), ("shower", "samples.h5")):
        assert f"-n 64 -o {name}<" in render(dataclasses.replace(story, kind=kind))


def test_ids_are_unique_and_references_resolve(tmp_path: Path) -> None:
    text = render(read(runs.write(tmp_path / "run")))
    found = outline(text)
    assert len(found.ids) == len(set(found.ids))
    inner = {link[1:] for link in found.links if link.startswith("#")}
    inner |= set(re.findall(r"url\(#([^)]+)\)", text))
    assert inner <= set(found.ids)


def test_the_page_says_what_the_run_found(tmp_path: Path) -> None:
    text = render(read(runs.write(tmp_path / "run")))
    words = " ".join(" ".join(outline(text).words).split()).replace("\xa0", " ")
    for said in (
        "7.9× faster than DDIM-50",
        "21.4 ms",
        "0.990 to 1.034",
        "UniPC-2, 13 steps",
        "undecided",
        "outside",
        "Fréchet distance, Fashion judge v1",
        "9f2c61aa0b3d4e58",
        "torch 2.13.0",
        "What did not work",
        'method = "cache"',
    ):
        assert said in words, said


def test_every_plot_takes_the_page_colours(tmp_path: Path) -> None:
    text = render(read(runs.write(tmp_path / "run")))
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 10  # five, wide and narrow
    for drawing in drawings:
        assert not re.search(r"#0[1-6]0[1-6]0[1-6]", drawing)
        assert "var(--" in drawing
        assert 'role="img"' in drawing


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    result = folder / "result.json"
    result.write_text(result.read_text().replace("fashion-uvit", "<script>alert(1)</script>"))
    assert "<script" not in render(read(folder))


def test_a_run_with_almost_nothing_still_has_a_page(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    (folder / "samples.npz").unlink()
    (folder / "errors.npz").unlink()
    import json

    facts = json.loads((folder / "result.json").read_text())
    facts |= {"best": None, "fewer_steps": None, "front": [], "finalists": [], "rivals": []}
    facts |= {"converged": None, "closest": None, "warnings": [], "search": {}}
    (folder / "result.json").write_text(json.dumps(facts))
    text = render(read(folder))
    outline(text)
    assert "No recipe passed" in text


def test_the_page_lands_whole_in_the_run_folder(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    path = write(folder)
    assert path == folder / "report.html"
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert not [p for p in folder.iterdir() if p.name.startswith(".")]


def test_an_unwritable_place_is_said(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write(folder, tmp_path / "file" / "report.html")
