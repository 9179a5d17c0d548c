"""Results: finalists judged on fresh seeds, timed in pairs, and everything written down."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, final

import numpy as np
from torch import Tensor

from hasten.applying import Applied, apply
from hasten.files import atomic_write_text
from hasten.measure.neighbours import density_coverage, kid
from hasten.measure.physics.features import ShowerFeatures
from hasten.measure.physics.means import mean_columns
from hasten.measure.physics.observables import spectrum_edges
from hasten.measure.physics.rows import columns
from hasten.measure.quality import accuracy
from hasten.measure.speed import SpeedRatio, compare_speed
from hasten.recipe import Recipe
from hasten.tuning.contest import looks
from hasten.tuning.folder import versions
from hasten.tuning.newton import mean_error
from hasten.tuning.outcome import (
    RESULT,
    SCHEMA,
    Outcome,
    arm_facts,
    in_seconds,
    interval,
    sentence,
    timed,
)
from hasten.tuning.seeds import stream
from hasten.tuning.space import Scored
from hasten.tuning.stages import Judging
from hasten.tuning.study import CHUNK, Study
from hasten.tuning.teacher import STEPS, converged_plan, teach

PAIRS, TIMED = (9, 61), 5.0
"""Fewest and most pairs of timings; as many between as fit into so many seconds."""
CHECKED = 8
"""Trajectories on which the converged sampler is compared with one twice as fine."""

Arm = dict[str, Any]


@final
class Results:
    """Makes the result of a study.

    Args:
        study: Whose search is over.
        finalists: Of the search, fastest first.
        rivals: Of the stock samplers, fewest evaluations first.
        final: The session on fresh seeds.
    """

    def __init__(
        self,
        study: Study,
        finalists: Sequence[Scored],
        rivals: Sequence[Scored],
        final: Judging,
    ) -> None:
        self.study, self.session, self.final = study, study.session, final
        self.machine = study.machine()
        self.warnings: list[str] = []
        self.scored = {s.recipe.fingerprint(): s for s in (*finalists, *rivals)}
        self.finalists = self._in_turn(finalists)
        self.rivals = self._in_turn(rivals)
        self.baseline = self._reference("baseline")
        self.converged = self._reference("converged")

    # -------------------------------------------------------------------------------------- arms

    def _in_turn(self, candidates: Sequence[Scored]) -> list[Arm]:
        """Judged fastest first, until one is within; the error is spent over all that might be."""
        arms: list[Arm] = []
        for scored in candidates:
            arms.append(self._arm(scored))
            if arms[-1]["verdict"] == "within":
                break
        return arms

    def _arm(self, scored: Scored) -> Arm:
        recipe = scored.recipe
        verdict = self.final.judge(recipe, scored.label)
        key = self.session.key(recipe)
        found = self.study.journal.get(key) if key in self.study.journal else None
        return arm_facts(
            recipe,
            scored.plan,
            label=scored.label,
            predicted=scored.seconds,
            machine=self.machine,
            error=self.study.bench.recipe_error(recipe),
            verdict=verdict,
            checks=self._checks(recipe, scored.label),
            search_ratio=None if found is None else found["ratio"]["value"],
        )

    def _reference(self, name: str) -> Arm:
        recipe = self.study.references[name]
        plan = recipe.resolve(self.study.model.process)
        return arm_facts(
            recipe,
            plan,
            label=recipe.label,
            predicted=self.study.speeds.of(plan, None),
            machine=self.machine,
            error=self.study.bench.recipe_error(recipe),
            verdict=self.final.judge(recipe, name),
            checks=self._checks(recipe, name),
        )

    def _checks(self, recipe: Recipe, label: str) -> dict[str, float]:
        reading = self.final.reading(recipe, label)
        density, coverage = density_coverage(reading.features, self.final.reference)
        found = {
            "kid": kid(reading.features, self.final.reference).value,
            "density": density.value,
            "coverage": coverage.value,
        }
        classes = self.study.model.classes
        wanted = self.study.conditions(self.final.seeds)
        if reading.logits is None or classes is None or wanted is None:
            return found
        if reading.logits.shape[1] == classes.count:  # a judge may know other classes
            found["accuracy"] = accuracy(reading.logits, wanted).value
        return found

    # ------------------------------------------------------------------------------------ timing

    def _compare(self, slow: Arm, fast: Arm) -> SpeedRatio:
        study = self.study
        self.study.progress("timing", 0.5, f"{slow['label']} against {fast['label']}")
        seeds = stream(study.settings.seed, "speed", study.settings.timed_batch)
        once = (slow["predicted_seconds"] + fast["predicted_seconds"]) * len(seeds)
        with ExitStack() as stack:
            samplers: list[Applied] = []
            for arm in (slow, fast):
                # each on a net of its own, so that both stay attached while they take turns
                twin = study.model.replace(net=copy.deepcopy(study.model.net))
                recipe = Recipe.from_dict(arm["recipe"])
                context = apply(twin, recipe, guidance=study.settings.guidance)
                samplers.append(stack.enter_context(context))
            ratio = compare_speed(
                samplers[0],
                samplers[1],
                seeds,
                study.conditions(seeds),
                pairs=int(min(max(TIMED / once, PAIRS[0]), PAIRS[1])),
                device=study.model.device,
                dtype=study.model.dtype,
            )
        if not ratio.stable:
            self.warnings.append(f"timing of {fast['label']}: {ratio.reason}")
        return ratio

    # ----------------------------------------------------------------------------------- choices

    def write(self) -> Outcome:
        """Time what was found, and write every file of the run folder."""
        study, folder = self.study, self.study.folder
        best = _first_within(self.finalists, self.baseline)
        fewer = _first_within(self.rivals, self.baseline)
        if best is None or (
            fewer is not None and fewer["predicted_seconds"] <= best["predicted_seconds"]
        ):
            best = fewer
        over = None
        if best is not None:
            # the search may have added nothing: one recipe, and one timing
            found = {arm["fingerprint"]: arm for arm in (fewer, best) if arm is not None}
            ratios = {key: self._compare(self.baseline, arm) for key, arm in found.items()}
            best = timed(best, ratios[best["fingerprint"]]) | {"recipe_file": "best.toml"}
            if fewer is not None:
                fewer = timed(fewer, ratios[fewer["fingerprint"]])
                fewer["recipe_file"] = "fewer_steps.toml"
            in_seconds(self.baseline, [arm for arm in (fewer, best) if arm is not None])
            if fewer is not None and len(found) > 1:
                over = interval(self._compare(fewer, best))
        self.baseline |= {"speedup": 1.0, "recipe_file": "baseline.toml"}
        closest = None if best is not None else _closest(self.finalists)
        # a search without time for a candidate of its own has rivals to tell of all the same
        nearest = closest or _closest(_faster(self.rivals, self.baseline))
        arms = {"baseline": self.baseline, "best": best, "fewer_steps": fewer}
        shown = {k: v for k, v in (arms | {"closest": closest}).items() if v is not None}
        for name, arm in arms.items():
            if arm is not None:
                text = Recipe.from_dict(arm["recipe"]).dumps()
                atomic_write_text(folder.path / f"{name}.toml", text)
        facts: dict[str, Any] = {
            "hasten": SCHEMA,
            "model": study.model.name,
            "kind": study.model.kind,
            "shape": list(study.model.shape),
            "parameters": sum(p.numel() for p in study.model.net.parameters()),
            "run": str(folder.path),
            "run_id": folder.run_id,
            "report": str(folder.path / "report.html"),
            "message": sentence(best, fewer, nearest, study.settings.margin),
            "decided": best is not None,
            "baseline": self.baseline,
            "converged": self.converged,
            "best": best,
            "fewer_steps": fewer,
            "closest": closest,
            "finalists": self.finalists,
            "rivals": self.rivals,
            "best_over_fewer_steps": over,
            "front": self._points(),
            "judge": self._judge(),
            "search": self._search(),
            "speeds": study.speeds.to_dict(),
            "settings": study.settings.to_dict()
            | {"judge": folder.judge, "reference": folder.reference},
            "versions": versions(),
            "samples": self._samples(shown),
            "errors": self._errors(shown),
            "physics": self._physics(shown),
            "warnings": self.warnings,
        }
        folder.write_json(RESULT, facts)
        return Outcome(folder.path, facts)

    # ------------------------------------------------------------------------------ what is told

    def _judge(self) -> dict[str, Any]:
        court, settings = self.study.court, self.study.settings
        detail = self.converged["verdict_detail"]
        return {
            "features": court.reference.metric,
            "reference": court.reference.data,
            "search_reference": self.study.standard.scout.data,
            "against": self.study.standard.against,
            "margin": settings.margin,
            "margin_abs": detail["margin_abs"],
            "just_visible": court.reference.just_visible,
            "degradation": court.reference.degradation,
            "better": self.final.better,
            "confidence": settings.confidence,
            "looks": self.final.finalists,
            "floor": next((m.value for m in court.reference.floor.values()), None),
        }

    def _search(self) -> dict[str, Any]:
        study = self.study
        seeds = study.bench.valid.seeds[:CHECKED]
        coarse, fine = (
            teach(
                study.model,
                converged_plan(study.model.process, steps),
                seeds,
                study.conditions(seeds),
                guidance=study.settings.guidance,
            ).end
            for steps in (STEPS, 2 * STEPS)
        )
        return {
            "trials": study.search.trials,
            "evaluations": study.search.evaluations,
            "seeds": len(study.bench.train),
            "validation_seeds": len(study.bench.valid),
            "stopped_by": study.search.stopped_by,
            "seconds": round(study.journal.clock, 1),
            "converged_check": mean_error(coarse, fine) / float(fine.square().mean().sqrt()),
            "target": self.session.better,
        }

    def _points(self) -> list[dict[str, Any]]:
        study, found = self.study, {}
        on_front = {s.recipe.fingerprint() for s in study.search.front()}
        for scored in study.search.scored:
            key = scored.recipe.fingerprint()
            judged = self._verdict_of(scored)
            found[key] = {
                "seconds": scored.seconds,
                "error": scored.error,
                "nfe": scored.plan.nfe,
                "kind": scored.candidate.kind,
                "label": scored.label,
                "stage": 3 if key in self.scored else 2 if judged else 1,
                "ratio": judged["ratio"]["value"] if judged else None,
                "verdict": judged["outcome"] if judged else None,
                "on_front": key in on_front,
                "fingerprint": key,
            }
        return sorted(found.values(), key=lambda point: (point["seconds"], point["error"]))

    def _verdict_of(self, scored: Scored) -> dict[str, Any] | None:
        counts = reversed(looks(len(self.session.seeds)))
        names = [self.session.key(scored.recipe, count) for count in counts]
        for key in [self.final.key(scored.recipe), *names]:
            if key in self.study.journal:
                verdict: dict[str, Any] = self.study.journal.get(key)
                return verdict
        return None

    def _samples(self, arms: dict[str, Arm]) -> dict[str, Any]:
        study = self.study
        seeds = self.final.seeds[: study.settings.shown]
        cond = study.conditions(seeds)
        arrays: dict[str, Any] = {"seeds": np.array(seeds, dtype=np.int64)}
        if cond is not None:
            arrays["cond"] = cond.cpu().numpy()
        for name, arm in (arms | {"converged": self.converged}).items():
            with apply(study.model, Recipe.from_dict(arm["recipe"])) as fast:
                made = fast.sample(seeds, cond, study.settings.guidance, CHUNK)
            arrays[name] = made.float().cpu().numpy()
        study.folder.write_arrays("samples.npz", arrays)
        return {"file": "samples.npz", "arms": list(arms), "n": len(seeds), "seeds": list(seeds)}

    def _physics(self, arms: dict[str, Arm]) -> dict[str, Any] | None:
        """Observables of showers, those that judge and those of every arm; None for images."""
        features, standard = self.study.court.features, self.study.standard
        if not isinstance(features, ShowerFeatures) or standard.seen is None:
            return None
        found: dict[str, tuple[Tensor | None, Tensor | None]] = {}
        found["reference"] = standard.seen, standard.means
        for name, arm in (arms | {"converged": self.converged}).items():
            reading = self.final.reading(Recipe.from_dict(arm["recipe"]), arm["label"])
            found[name] = reading.seen, reading.means
        arrays: dict[str, Any] = {"edges": spectrum_edges(features.geometry)}
        for name, (rows, means) in found.items():
            if rows is not None:
                arrays[name] = rows.numpy()
            if means is not None:
                arrays[f"{name}_means"] = means.numpy()
        self.study.folder.write_arrays("physics.npz", arrays)
        places = {"columns": columns(features.geometry), "means": mean_columns(features.geometry)}
        return {"file": "physics.npz", "arms": list(arms), **places}

    def _errors(self, arms: dict[str, Arm]) -> dict[str, Any]:
        arrays: dict[str, Any] = {}
        for name, arm in arms.items():
            errors = self.study.bench.row_errors(Recipe.from_dict(arm["recipe"]))
            if not errors:  # noise is drawn: there is no one path to keep to
                continue
            rows = arm["rows"]
            arrays[f"{name}_sigma"] = np.array([row["sigma"] for row in rows])
            arrays[f"{name}_held"] = np.array([row["reuse"] != "full" for row in rows])
            arrays[f"{name}_error"] = np.array(errors)
        self.study.folder.write_arrays("errors.npz", arrays)
        return {"file": "errors.npz", "arms": list(arms)}


def _first_within(arms: Sequence[Arm], baseline: Arm) -> Arm | None:
    """The fastest that was judged within and is faster than the baseline."""
    within = [arm for arm in _faster(arms, baseline) if arm["verdict"] == "within"]
    return min(within, key=lambda arm: arm["predicted_seconds"], default=None)


def _faster(arms: Sequence[Arm], baseline: Arm) -> list[Arm]:
    return [arm for arm in arms if arm["predicted_seconds"] < baseline["predicted_seconds"]]


def _closest(arms: Sequence[Arm]) -> Arm | None:
    """The one nearest to the margin, in its own standard errors."""

    def distance(arm: Arm) -> float:
        detail = arm["verdict_detail"]
        if detail["contrast"] is None or not detail["se"]:
            return float("inf")
        return float(detail["contrast"] / detail["se"])

    return min(arms, key=distance, default=None)
