from __future__ import annotations

from pathlib import Path

import numpy as np

from test_cli import RECIPE, failed, hasten

WEAKER = """
from hasten.models.mixture import mixture_model

def make():
    return mixture_model(variances=(0.4, 0.5, 0.3, 0.6))

def flat():
    return mixture_model(means=[[0.0] * 3], variances=[1.0], weights=[1.0])
"""


def test_a_weaker_model_guides(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)
    (tmp_path / "weak.py").write_text(WEAKER)
    out, weak = tmp_path / "x.npz", f"{tmp_path / 'weak.py'}:make"

    def samples(*words: object) -> np.ndarray:
        result = hasten("sample", "mixture", "-r", recipe, "-n", 200, "-o", out, *words)
        assert result.exit_code == 0, result.output
        with np.load(out) as found:
            return np.asarray(found["samples"])

    plain, guided = samples(), samples("--guidance", 2, "--guide", weak)
    np.testing.assert_allclose(samples("--guidance", 2, "--guide", "mixture"), plain, atol=1e-5)
    means = np.array([[0.9, 0.4], [-0.8, 0.6], [0.1, -0.9], [-0.5, -0.5]])
    spread, narrow = (
        np.linalg.norm(x[:, None] - means, axis=-1).min(1).mean() for x in (plain, guided)
    )
    assert narrow < 0.9 * spread  # away from a blurred model is towards the centres
    words = ("sample", "mixture", "-r", recipe, "-o", tmp_path / "y.npz")
    failed(hasten(*words, "--guide", weak), "never be asked", "--guidance 2")
    wrong = f"{tmp_path / 'weak.py'}:flat"
    failed(hasten(*words, "--guidance", 2, "--guide", wrong), "cannot guide", "shape")
    failed(hasten(*words, "--guidance", 2), "null class")
    assert not (tmp_path / "y.npz").exists()
