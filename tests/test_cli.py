from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from hasten import cli
from hasten.cli import talk, tuning
from hasten.core.model import Model
from hasten.errors import PlanError
from hasten.tuning.outcome import Outcome
from report import runs

RECIPE = 'hasten = 1\n[plan]\nsolver = "dpmpp_2m"\ngrid = "karras"\nsteps = 6\n'

TINY = """
import torch
from hasten.adapters.module import from_module
from hasten.core.model import Classes, Pixels
from hasten.core.process import VP, Eps

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 3, padding=1)
    def forward(self, x, t, label=None):
        return self.conv(x)

def make():
    torch.manual_seed(0)
    return from_module(Net(), VP(), Eps(), (1, 8, 8))
"""


def hasten(*words: object) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def failed(result: Result, *said: str, code: int = talk.USAGE) -> None:
    """One screen of words, no traceback, nothing on stdout, this exit code."""
    assert result.exit_code == code, result.output
    for word in said:
        assert word in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) < 24


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    (tmp_path / "tiny.py").write_text(TINY)
    return f"{tmp_path / 'tiny.py'}:make"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def python(*words: str) -> Sequence[str]:
    return [sys.executable, *words]


def test_help_answers_at_once() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['hasten', '--help']\n"
        "from hasten.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'scipy', 'matplotlib', 'jinja2', 'optuna', 'PIL'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))\n"
    )
    out = subprocess.run(python("-c", code), capture_output=True, text=True, check=True).stdout
    assert "Usage:" in out
    assert "loaded: []" in out


COMMANDS = [command.callback.__name__ for command in cli.app.registered_commands]


@pytest.mark.parametrize("command", ["", "data", *COMMANDS])
def test_every_command_has_help(command: str) -> None:
    result = hasten(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_version() -> None:
    assert hasten("--version").stdout.strip()


def test_unknown_commands_and_options_are_usage_errors() -> None:
    assert hasten("hurry").exit_code == talk.USAGE
    assert hasten("sample", "mixture", "--quick").exit_code == talk.USAGE
    assert hasten("sample").exit_code == talk.USAGE


def test_models_and_methods() -> None:
    found = json.loads(hasten("models", "--format", "json").stdout)
    assert {"name": "mixture", "kind": "toy"}.items() <= {
        key: value for entry in found for key, value in entry.items() if entry["name"] == "mixture"
    }.items()
    listed = json.loads(hasten("methods", "--format", "json").stdout)
    assert "cache" in [method["name"] for method in listed["methods"]]
    assert "ddim" in [solver["name"] for solver in listed["solvers"]]
    by_name = {solver["name"]: solver for solver in listed["solvers"]}
    assert by_name["ddim"]["options"]["eta"] == {"default": 0, "range": "a number from 0 to 1"}
    assert {"name": "heun-18", "recipe": "heun karras 18"}.items() <= {
        key: value
        for plan in listed["plans"]
        for key, value in plan.items()
        if plan["name"] == "heun-18"
    }.items()
    assert "dpmpp_2m" in hasten("methods").stdout
    assert "deepcache-5" in hasten("methods").stdout
    assert "without lower_final" in hasten("methods").stdout
    assert "mixture" in hasten("models").stdout


def test_samples_do_not_depend_on_the_batch(tmp_path: Path, recipe: Path) -> None:
    arrays = []
    for batch in (3, 8):
        out = tmp_path / f"{batch}.npz"
        result = hasten("sample", "mixture", "-r", recipe, "-n", 8, "--batch", batch, "-o", out)
        assert result.exit_code == 0, result.output
        assert result.stdout.strip() == str(out)
        with np.load(out) as found:
            arrays.append(found["samples"])
            assert found["seeds"].tolist() == list(range(8))
            assert str(found["recipe"]).startswith("hasten = 1")
    np.testing.assert_allclose(arrays[0], arrays[1], atol=1e-5)


def test_images_become_a_grid(tmp_path: Path, tiny: str, recipe: Path) -> None:
    out = tmp_path / "grid.png"
    result = hasten("sample", tiny, "-r", recipe, "-n", 7, "-o", out)
    assert result.exit_code == 0, result.output
    # 7 pictures of 8 x 8 in 3 rows of 3, 2 pixels between and around
    with Image.open(out) as sheet:
        assert sheet.size == (3 * 10 + 2, 3 * 10 + 2)


def test_check_finds_nothing_in_a_good_recipe(recipe: Path) -> None:
    result = hasten("check", recipe, "mixture", "--format", "json")
    assert result.exit_code == talk.OK, result.output
    facts = json.loads(result.stdout)
    assert facts["obstacles"] == []
    assert facts["nfe"] == 6


def test_check_finds_obstacles(tmp_path: Path) -> None:
    path = tmp_path / "reuse.toml"
    path.write_text(RECIPE + 'reuse = "every:2"\n')
    result = hasten("check", path, "mixture")
    assert result.exit_code == talk.FINDING
    assert "no method says" in result.stdout
    assert 'add [[method]] method = "cache"' in result.stdout


def test_inspect(tiny: str) -> None:
    facts = json.loads(hasten("inspect", tiny, "--format", "json").stdout)
    assert facts["parameters"] == 10
    assert facts["macs"]["linear_conv"] == 9 * 64
    assert facts["process"]["name"] == "VP"
    assert "parameters" in hasten("inspect", tiny).stdout


def test_bad_input_is_said_on_one_screen(tmp_path: Path, tiny: str, recipe: Path) -> None:
    out = tmp_path / "x.npz"
    failed(hasten("sample", "no-such-model", "-o", out), "no such model", "mixture")
    failed(hasten("sample", "mixture", "-n", 0, "-o", out), "0 samples", "at least 1")
    failed(hasten("sample", "mixture", "-o", tmp_path / "x.gif"), "unknown kind of file")
    failed(hasten("sample", "mixture", "-o", tmp_path / "x.png"), "no pictures", ".npz")
    failed(hasten("sample", "mixture", "-r", tmp_path / "none.toml", "-o", out), "no such recipe")
    failed(hasten("sample", "mixture", "--class", "3", "-o", out), "no classes")
    failed(hasten("sample", "mixture", "--device", "abacus", "-o", out), "no such device", "cpu")
    failed(hasten("sample", "mixture", "--dtype", "int7", "-o", out), "unknown number format")
    failed(hasten("check", tmp_path / "none.toml", "mixture"), "no such recipe")
    failed(hasten("data", "info", tmp_path / "none"), "no such file")
    failed(hasten("train", tmp_path / "none.toml", "--data", tmp_path), "no such configuration")
    failed(hasten("report", tmp_path), "no run here")
    failed(hasten("inspect", tmp_path), "no model")
    broken = tmp_path / "broken.toml"
    broken.write_text(RECIPE.replace("steps", "stepz"))
    failed(hasten("check", broken, "mixture"), "stepz", "broken.toml")
    broken.write_text("hasten = ")
    failed(hasten("check", broken, "mixture"), "TOML", "broken.toml")
    assert not out.exists()


def test_unwritable_places_are_said_before_the_work(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("hasten.loading.load", lambda _: pytest.fail("the work had begun"))
    failed(hasten("sample", "mixture", "-o", tmp_path / "file" / "x.npz"), "cannot write")


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    folder = tmp_path / "out"
    result = hasten("sample", "mixture", "-r", recipe, "-n", 2, "-o", folder / "x.npz")
    failed(result, "no space left", "free some space")
    assert list(folder.iterdir()) == []


def test_report(tmp_path: Path) -> None:
    folder = runs.write(tmp_path / "run")
    result = hasten("report", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(folder / "report.html")
    assert (folder / "report.html").stat().st_size > 10_000


def test_data_info_and_convert(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(20) % 4)
    result = hasten("data", "convert", tmp_path / "set.npz", tmp_path / "shards")
    assert result.exit_code == 0, result.output
    assert Path(result.stdout.strip()).is_file()
    (facts,) = json.loads(hasten("data", "info", tmp_path / "shards", "--format", "json").stdout)
    assert facts["images"] == 20
    assert facts["shape"] == [3, 8, 8]
    assert facts["classes"] == 4


def test_a_fault_of_ours_is_not_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("hasten.loading.bundled", fault)
    result = hasten("models")
    assert result.exit_code == talk.FAULT
    assert "a fault in hasten: ZeroDivisionError" in result.stderr


def test_errors_keep_their_three_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def fault() -> None:
        raise PlanError("no steps", where="row 3", hint="add one")

    monkeypatch.setattr("hasten.loading.bundled", fault)
    failed(hasten("models"), "no steps", "row 3", "add one")


def test_json_has_no_infinities(capsys: pytest.CaptureFixture[str]) -> None:
    talk.emit_json({"a": float("inf"), "b": [float("nan"), 1.5], "c": "é"})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "c": "é"}


def test_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\n"
        "def make():\n"
        f"    pathlib.Path({str(tmp_path / 'begun')!r}).touch()\n"
        "    time.sleep(60)\n"
    )
    out = tmp_path / "x.npz"
    words = ("-m", "hasten", "sample", f"{tmp_path / 'slow.py'}:make", "-o", str(out))
    with subprocess.Popen(
        python(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (tmp_path / "begun").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, err = process.communicate(timeout=20)
    assert process.returncode == talk.STOPPED
    assert said == ""
    assert err.strip() == "Stopped."
    assert not out.exists()


def test_json_of_a_tuned_model_has_exactly_these_keys(tmp_path: Path) -> None:
    facts = runs.result(tmp_path)
    answer = tuning.answer(facts | {"fewer_steps": None})
    assert list(answer) == ["model", "baseline", "best", "fewer_steps", "report", "run"]
    assert answer["fewer_steps"] is None
    assert set(answer["best"]) == {
        *("recipe", "seconds_per_sample", "batch", "device", "dtype", "threads", "nfe"),
        *("speedup", "verdict", "distance", "distance_ratio", "n"),
    }
    assert set(answer["best"]["distance_ratio"]) == {"value", "low", "high"}


def test_tune_asks_for_what_was_said_and_shows_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def study(model: Model, *, progress: Any, **given: Any) -> Outcome:
        asked.update(given, model=model.name)
        progress("search", 0.5, "half way")
        return Outcome.read(runs.write(given["run"]))

    monkeypatch.setattr("hasten.tuning.run.tune", study)
    run = tmp_path / "run"
    words = ("--objective", "throughput", "--margin", 0.1, "--only", "plan", "--batch", 32)
    little = ("--minutes", 0)
    result = hasten("tune", "mixture", "--run", run, *words, *little, "--format", "json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["run"] == str(run)
    assert Path(answer["report"]).is_file()
    assert asked["model"] == "mixture"
    assert (asked["objective"], asked["margin"]) == ("throughput", 0.1)
    assert (asked["only"], asked["batch"], asked["trials"]) == ("plan", 32, 400)
    assert asked["minutes"] == 0  # none at all, which is not the same as no cap
    assert asked["resume"] is None
    assert "search ..." in result.stderr
    # the folder now holds a run: a demo goes on with it
    (run / "facts.json").write_text("{}")
    result = hasten("tune", "mixture", "--run", run, "--demo")
    assert asked["resume"] == run
    assert asked["trials"] < 400
    assert "dpmpp_2m, 8 steps, searched grid" in result.stdout
    assert "best.toml" in result.stderr


def test_a_stopped_study_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def study(model: Model, **_: Any) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr("hasten.tuning.run.tune", study)
    result = hasten("tune", "mixture", "--run", tmp_path / "run")
    failed(result, f"hasten tune mixture --resume {tmp_path / 'run'}", code=talk.STOPPED)


def test_measure_and_compare(tmp_path: Path, recipe: Path) -> None:
    words = ("-n", 100, "--seed", 1, "--no-memory", "--format", "json", "--pairs", 7)
    facts = json.loads(hasten("measure", "mixture", "-r", recipe, *words).stdout)
    assert facts["nfe"] == 6
    assert facts["quality"]["against"] == "own"
    assert facts["seconds_per_sample"]["value"] > 0
    words = words[:4] + words[5:]
    found = json.loads(hasten("compare", "mixture", recipe, recipe, *words).stdout)["recipes"]
    assert all(entry["verdict"]["n"] == 100 for entry in found)
    # the same recipe on the same seeds: the same samples, so the same verdict
    assert found[0]["verdict"]["ratio"] == found[1]["verdict"]["ratio"]
    assert found[0]["difference"] == found[1]["difference"]
    without = hasten("compare", "mixture", recipe, "-n", 0, "--pairs", 7)
    assert "recipe.toml" in without.stdout


def test_export_goes_where_it_is_told(tmp_path: Path, recipe: Path) -> None:
    folder = tmp_path / "out"
    result = hasten("export", "mixture", "-r", recipe, "-o", folder)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(folder)
    assert (folder / "sample.py").is_file()


CONFIG = """
name = "small"
kind = "image"
shape = [1, 8, 8]
codec = "pixels"
clip = 1.0
net = {factory = "uvit", size = 8, channels = 1, patch = 4, width = 16, depth = 2, heads = 2}
process = {name = "vp"}
prediction = {name = "v"}
[train]
samples = 64
batch = 16
every = 2
"""


def test_train_then_sample(tmp_path: Path, recipe: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (32, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    (tmp_path / "config.toml").write_text(CONFIG)
    words = ("--data", tmp_path / "images.npz", "-o", tmp_path / "out")
    result = hasten("train", tmp_path / "config.toml", *words)
    assert result.exit_code == 0, result.output
    model = result.stdout.strip()
    assert model == str(tmp_path / "out" / "model")
    out = tmp_path / "grid.png"
    result = hasten("sample", model, "-r", recipe, "-n", 4, "-o", out)
    assert result.exit_code == 0, result.output
    with Image.open(out) as sheet:
        assert sheet.size == (22, 22)
