from __future__ import annotations

import subprocess
import sys

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


@pytest.mark.parametrize("first", ["import hasten.tune.run, hasten.apply, hasten.load", "pass"])
def test_functions_that_share_a_modules_name_are_functions_whatever_was_imported(
    first: str,
) -> None:
    code = f"""
{first}
import hasten
model = hasten.load("mixture")
with hasten.apply(model, hasten.Recipe(hasten.PlanSpec("ddim", "karras", 2))) as fast:
    print(len(fast.sample([1, 2, 3])))
import hasten.tune.settings as settings
from hasten.apply import apply
assert apply is not hasten.apply or callable(apply)
try:
    hasten.tune(model, margin=-1)
except hasten.HastenError as error:
    print(error.what)
"""
    assert run(code).splitlines() == ["3", "margin = -1 is too little"]
