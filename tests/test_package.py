from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

import hasten


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout.strip()


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = run(
        "import sys, hasten; print(sorted({'torch', 'numpy', 'scipy'} & sys.modules.keys()))"
    )
    assert heavy == "[]"


def test_every_public_name_is_there_once_and_in_order() -> None:
    assert hasten.__all__ == sorted(set(hasten.__all__)) == dir(hasten)
    assert 15 <= len(hasten.__all__) <= 30
    for name in hasten.__all__:
        assert getattr(hasten, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = hasten.nothing_like_it


def test_no_public_name_is_also_a_modules_name() -> None:
    # importing such a module would put it in the place of the function
    specs = {name: find_spec(f"hasten.{name}") for name in hasten.__all__}
    assert not [name for name, spec in specs.items() if spec and spec.origin]
