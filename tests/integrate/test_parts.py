from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest

from hasten.errors import ModelError
from hasten.integrate.parts import closure, is_free


def test_a_closure_has_all_it_imports_and_nothing_of_hasten() -> None:
    files = closure("hasten.solvers.noise")
    assert {"noise.py", "errors.py"} <= set(files)
    assert "from .errors import PlanError" in files["noise.py"]
    assert all("from hasten" not in text for text in files.values())


def test_only_our_own_files_are_copied() -> None:
    assert is_free("hasten.models.uvit")
    assert not is_free("diffusers.models.unets.unet_2d")
    assert not is_free("hasten.not_there")


def test_other_imports_may_stand_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("hasten.pretend")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "hasten.pretend", package)
    text = "from hasten.errors import PlanError\ndef f():\n    from math import pi\n    return pi\n"
    (tmp_path / "mine.py").write_text(text)
    assert closure("hasten.pretend.mine")["mine.py"] == text.replace("hasten", "")


@pytest.mark.parametrize(
    "text",
    [
        "import hasten.errors\n",
        "import hasten.errors as errors\n",
        "from hasten import errors\n",
        "def f():\n    from hasten.errors import PlanError\n    return PlanError\n",
    ],
)
def test_other_ways_of_importing_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = types.ModuleType("hasten.pretend")
    package.__path__ = [str(tmp_path)]
    monkeypatch.setitem(sys.modules, "hasten.pretend", package)
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ModelError, match="cannot be copied"):
        closure("hasten.pretend.mine")
    assert not is_free("hasten.pretend.mine")
