"""A run folder as `hasten tune` leaves it, made without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

SOLVERS = {"baseline": "ddim", "fewer_steps": "unipc2", "best": "dpmpp_2m"}


def arm(
    name: str, nfe: int, seconds: float, ratio: float, verdict: str, **more: Any
) -> dict[str, Any]:
    rng = np.random.default_rng(nfe)
    base = 0.1690
    held = more.pop("held", ())
    width = more.pop("width", 0.022)
    sigmas = np.geomspace(80, 0.02, nfe)
    pairs = [
        [base * f, seconds * f * g]
        for f, g in zip(rng.normal(1, 0.03, 15), rng.normal(1, 0.012, 15), strict=True)
    ]
    speedup = base / seconds
    plan: dict[str, Any] = {"solver": SOLVERS.get(name, "dpmpp_2m"), "steps": nfe}
    if name == "best":
        plan = {"solver": "dpmpp_2m", "sigmas": [float(f"{s:.4g}") for s in sigmas]}
        plan["reuse"] = ["hold" if i in held else "full" for i in range(nfe)]
    else:
        plan["grid"] = "uniform" if name == "baseline" else "karras"
    recipe: dict[str, Any] = {"hasten": 1, "plan": plan}
    if held:
        recipe["method"] = [{"method": "cache", "depth": 0.5}]
    facts = {
        "label": more.pop("label", f"{plan['solver']} karras {nfe}"),
        "recipe": recipe,
        "recipe_file": None,
        "fingerprint": f"{nfe:04x}{int(seconds * 1e6):012x}",
        "seconds_per_sample": seconds,
        "batch": 1,
        "device": "cpu",
        "dtype": "float32",
        "threads": 2,
        "nfe": nfe,
        "full_evaluations": nfe - len(held),
        "speedup": speedup,
        "speedup_interval": {"value": speedup, "low": 0.975 * speedup, "high": 1.02 * speedup},
        "pairs": pairs,
        "predicted_seconds": seconds * 1.02,
        "endpoint_error": 0.012 + 2.2 / nfe**1.6,
        "verdict": verdict,
        "distance": 12.2 * ratio,
        "distance_ratio": {"value": ratio, "low": ratio - width, "high": ratio + width},
        "n": 2000,
        "verdict_detail": {
            "distance_baseline": 12.2,
            "margin_abs": 0.61,
            "se": 0.11,
            "rho": 0.97,
            "se_share": 0.009,
            "n_needed": 9500 if verdict == "undecided" else None,
        },
        "search_ratio": ratio - 0.024,
        "checks": {"kid": 0.0012 * ratio, "density": 0.91, "coverage": 0.88, "accuracy": 0.931},
        "rows": [
            {"sigma": float(s), "step": i, "slot": 0, "reuse": "hold" if i in held else "full"}
            for i, s in enumerate(sigmas)
        ],
    }
    return facts | more


def result(folder: Path, *, kind: str = "image", outcome: str = "within") -> dict[str, Any]:
    rng = np.random.default_rng(0)
    baseline = arm("baseline", 50, 0.1690, 1.004, "within", label="ddim uniform 50")
    best = arm(
        "best",
        8,
        0.0214,
        1.012,
        outcome,
        held=(2, 5),
        label="dpmpp_2m, 8 steps, searched grid, cache 0.5",
    )
    fewer = arm("fewer_steps", 13, 0.0452, 1.021, "within", label="unipc2 karras 13")
    fast = arm(
        "rival",
        5,
        0.0129,
        1.31,
        "outside",
        width=0.05,
        label="dpmpp_2m, 5 steps, searched grid, cache 0.4",
    )
    open_ = arm(
        "rival",
        7,
        0.0188,
        1.046,
        "undecided",
        width=0.03,
        label="dpmpp_2m, 7 steps, searched grid, cache 0.5",
    )
    coarse = arm("rival", 11, 0.0382, 1.062, "outside", width=0.01, label="unipc2 karras 11")
    converged = arm("converged", 127, 0.42, 1.0, "within", width=0.0, label="heun karras 64")
    converged |= {"pairs": [], "speedup": None, "speedup_interval": None}
    front = []
    for i in range(220):
        nfe = int(rng.integers(4, 50))
        cost = 0.0033 * nfe * rng.uniform(0.62, 1.0) + 0.0004
        error = 0.01 + 2.1 / nfe**1.55 * rng.lognormal(0.35, 0.45)
        front.append(
            {
                "seconds": cost,
                "error": error,
                "nfe": nfe,
                "kind": "stock" if i % 4 == 0 else "search",
                "label": f"candidate {i}",
                "stage": 1,
                "ratio": None,
                "verdict": None,
                "on_front": False,
                "fingerprint": f"{i:016x}",
            }
        )
    lowest = np.inf
    for point in sorted(front, key=lambda p: p["seconds"]):
        if point["error"] < lowest:
            lowest, point["on_front"], point["stage"] = point["error"], True, 2
            point["ratio"] = 1 + point["error"]
    decided = outcome == "within"
    return {
        "hasten": 1,
        "model": "fashion-uvit" if kind == "image" else "toy",
        "kind": kind,
        "shape": [1, 28, 28] if kind == "image" else [2],
        "parameters": 1830412,
        "run": str(folder),
        "run_id": "9f2c61aa0b3d4e58",
        "report": str(folder / "report.html"),
        "message": "7.9 times faster, within 5 %",
        "decided": decided,
        "baseline": baseline,
        "converged": converged,
        "best": best if decided else None,
        "fewer_steps": fewer,
        "closest": None if decided else best,
        "finalists": [fast, open_, best],
        "rivals": [coarse, fewer],
        "best_over_fewer_steps": {"value": 2.11, "low": 2.05, "high": 2.16} if decided else None,
        "front": front,
        "judge": {
            "features": "Fréchet distance, Fashion judge v1",
            "reference": "Fashion-MNIST test set, 10 000 images",
            "against": "data" if kind == "image" else "own",
            "margin": 0.05,
            "margin_abs": 0.61,
            "just_visible": 8.2,
            "better": "converged",
            "confidence": 0.95,
            "looks": 3,
            "floor": 1.1,
        },
        "search": {
            "trials": 180,
            "evaluations": 812345,
            "seeds": 64,
            "validation_seeds": 64,
            "stopped_by": "minutes",
            "seconds": 74.2,
            "converged_check": 0.0031,
        },
        "speeds": {
            "overhead": 0.0004,
            "full": 0.0031,
            "held": {"cache depth=0.5 hold=output": 0.0017},
            "batch": 1,
            "device": "cpu",
            "dtype": "float32",
            "threads": 2,
        },
        "settings": {
            "margin": 0.05,
            "objective": "latency",
            "trials": 200,
            "minutes": 10,
            "seed": 0,
        },
        "versions": {"hasten": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        "samples": {"file": "samples.npz", "arms": ["baseline", "best", "fewer_steps"], "n": 16},
        "errors": {"file": "errors.npz", "arms": ["baseline", "best", "fewer_steps"]},
        "warnings": ["the two halves of the timing pairs disagree for unipc2 karras 11"],
    }


def write(folder: Path, *, kind: str = "image", outcome: str = "within") -> Path:
    """A finished run of a model of images, showers or points."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = result(folder, kind=kind, outcome=outcome)
    hero = "best" if outcome == "within" else "closest"
    for name in ("baseline", "fewer_steps", hero):
        facts[name]["recipe_file"] = f"{name}.toml"
        (folder / f"{name}.toml").write_text(tomli_w.dumps(facts[name]["recipe"]))
    names = {"converged": 0.0, "baseline": 0.02, "fewer_steps": 0.05, hero: 0.04}
    clean = _clean(kind)
    noise = np.random.default_rng(1).normal(size=clean.shape)
    arrays = {n: (clean + scale * noise).astype(np.float32) for n, scale in names.items()}
    np.savez(folder / "samples.npz", seeds=np.arange(len(clean)), **arrays)
    curves = {}
    for name in ("baseline", "fewer_steps", hero):
        rows = (facts[name] or facts["best"])["rows"]
        sigma = np.array([row["sigma"] for row in rows])
        curves[f"{name}_sigma"] = sigma
        curves[f"{name}_error"] = 0.5 * sigma**0.8 / (1 + sigma**0.8) + 0.3 / len(rows)
        curves[f"{name}_held"] = np.array([row["reuse"] != "full" for row in rows])
    np.savez(folder / "errors.npz", **curves)
    (folder / "result.json").write_text(json.dumps(facts))
    return folder


def _clean(kind: str) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(3)
    if kind == "toy":
        angles = 2 * np.pi * rng.integers(0, 8, 256) / 8
        return np.stack([np.cos(angles), np.sin(angles)], 1) + 0.08 * rng.normal(size=(256, 2))
    if kind == "shower":
        depth = np.exp(-((np.arange(18) - 6) ** 2) / 18)[:, None, None]
        width = np.exp(-np.abs(np.arange(8) - 3.5) / 1.2)
        shape = depth * width[:, None] * width
        return shape * rng.lognormal(0, 0.5, (64, 1, 18, 8, 8))
    y, x = np.mgrid[0:28, 0:28] / 27 - 0.5
    pictures = []
    for _ in range(16):
        a, b, t, w = (
            rng.uniform(0.15, 0.42),
            rng.uniform(0.15, 0.42),
            rng.uniform(0, 3.1),
            rng.uniform(4, 20),
        )
        u, v = x * np.cos(t) + y * np.sin(t), -x * np.sin(t) + y * np.cos(t)
        inside = 1 / (1 + np.exp(40 * (np.hypot(u / a, v / b) - 1)))
        pictures.append(inside * (0.65 + 0.3 * np.sin(w * u)))
    return np.stack(pictures)[:, None]
