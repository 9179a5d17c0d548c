"""A plan as a scheduler of diffusers, so that any of its pipelines samples by it.

    pipe.scheduler = as_scheduler(recipe, pipe.scheduler)

The pipeline stays as it is: it asks for time steps, puts them to its net, does its own guidance,
and hands the answers to `step`. Samples travel in the coordinates the net was trained in, so
pipelines that never rescale what they give to the net work as well.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hasten.adapters.diffusers import library
from hasten.adapters.diffusers.scheduler_facts import Facts, facts
from hasten.core.plan import Combination, Noise, Plan
from hasten.core.process import Flow, Process
from hasten.errors import OutputError, PlanError

_ALONE = "a plan begins with noise alone; image to image and inpainting need another scheduler"


@runtime_checkable
class Resolvable(Protocol):
    """What a process makes a plan of: a recipe, or the short form of a plan."""

    def resolve(self, process: Process) -> Plan:
        """The plan, for one process."""
        ...


def as_scheduler(plan: Plan | Resolvable, like: Any) -> Any:
    """A scheduler that plays a plan.

    Args:
        plan: What to play; a recipe or a short form is resolved for the pipeline's own process.
        like: The pipeline's scheduler, which says how the net was trained.

    Returns:
        A scheduler of diffusers with the configuration of `like`. The number of steps is the
        plan's, whatever a pipeline asks for. It is not saved with a pipeline; `hasten.export`
        writes a folder that keeps the plan.

    Raises:
        PlanError: If the plan reuses features, sets guidance, or begins with anything but the start
            itself, none of which a scheduler can do.
        ModelError: If the configuration describes no process known here.
        MissingExtra: If diffusers is not installed.
    """
    config = {k: v for k, v in dict(like.config).items() if not k.startswith("_")}
    found = facts(config, type(like).__name__)
    if isinstance(plan, Resolvable):
        plan = plan.resolve(found.process)
    if not all(entry.full for entry in plan.reuse):
        raise PlanError(
            "a scheduler cannot hold features over",
            where=plan.label,
            hint="use hasten.apply, or tune with --only plan",
        )
    if any(row.guidance is not None for row in plan.rows):
        raise PlanError(
            "a pipeline does its own guidance",
            where=plan.label,
            hint="leave guidance and its interval out, and tell the pipeline",
        )
    if plan.rows[0].input != Combination(1.0):
        raise PlanError(
            "a pipeline asks its net about the start itself, and row 0 of this plan does not",
            where=plan.label,
            hint='solver = "edm" adds noise to its first level: state a high below it; by hand, '
            "row 0 has input = { start = 1.0 }",
        )
    scheduler = _kind()()
    scheduler.register_to_config(**config)
    scheduler.take(plan, found)
    return scheduler


def _kind() -> Any:
    """The class, made where diffusers is at hand."""
    base = library()

    class PlanScheduler(_Played, base.SchedulerMixin, base.ConfigMixin):  # type: ignore[misc, name-defined]
        """Plays a plan of hasten."""

    return PlanScheduler


class _Played:
    """What a pipeline asks of a scheduler, answered from a plan's rows."""

    order = 1

    def take(self, plan: Plan, found: Facts) -> None:
        """Begin with this plan on a net with these facts."""
        self.plan, self._facts = plan, found
        process = found.process
        times = np.array([float(process.time(np.array([row.sigma]))[0]) for row in plan.rows])
        whole = np.rint(times)
        exact = np.abs(times - whole).max() < 1e-6
        self._times = torch.from_numpy(whole.astype(np.int64) if exact else times).to(
            torch.int64 if exact else torch.float32
        )
        levels = np.array(plan.sigmas)
        # a flow's are its times from 0 to 1, as its pipelines read them; all others' are ours
        if isinstance(process, Flow):
            levels = process.time(levels) / process.time_scale
        self.sigmas = torch.from_numpy(np.append(levels, 0.0)).float()
        first = plan.rows[0].sigma
        self.init_noise_sigma = first * self._alpha(first)
        self.set_timesteps()

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,  # noqa: ARG002  (the plan's own)
        device: Any = None,
        *,
        sigmas: Any = None,  # noqa: ARG002  (flow pipelines always give some)
        mu: float | None = None,  # noqa: ARG002
        timesteps: Any = None,
    ) -> None:
        """Begin a run.

        Raises:
            PlanError: If time steps are given: they are the plan's.
        """
        if timesteps is not None:
            raise PlanError(
                "the time steps are the plan's", hint="leave timesteps out, or use another plan"
            )
        self.timesteps = self._times.to(device)
        self.num_inference_steps = len(self._times)
        self._index = 0
        self._outputs: list[Tensor] = []
        self._noises: dict[Noise, Tensor] = {}

    def set_begin_index(self, begin_index: int = 0) -> None:
        """Where a run begins.

        Raises:
            PlanError: If that is not row 0.
        """
        if begin_index != 0:
            raise PlanError(f"a run from row {begin_index} on", where=self.plan.label, hint=_ALONE)

    def add_noise(self, *_given: Any, **_named: Any) -> Tensor:
        """What pipelines that begin with an image ask for.

        Raises:
            PlanError: Always.
        """
        raise PlanError("an image to begin with", where=self.plan.label, hint=_ALONE)

    scale_noise = add_noise

    def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:  # noqa: ARG002
        """What the net reads."""
        sigma = self.plan.rows[min(self._index, len(self.plan.rows) - 1)].sigma
        scale, _, _ = self._coefficients(sigma)
        factor = scale / self._alpha(sigma)
        return sample if abs(factor - 1) < 1e-12 else sample * factor

    def step(
        self,
        model_output: Tensor,
        timestep: Any,  # noqa: ARG002  (the rows are taken in turn)
        sample: Tensor,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
        *,
        eta: float = 0.0,
        use_clipped_model_output: bool | None = None,  # noqa: ARG002  (a plan always does)
    ) -> Any:
        """From the net's answer at one row to the sample at the next.

        Raises:
            OutputError: If there is no row left.
            PlanError: If noise is asked for: it is the plan's.
        """
        if eta:
            raise PlanError(
                f"eta = {eta:g}: the noise is the plan's",
                where=self.plan.label,
                hint='leave eta out, and put it in the recipe: solver = "ddim", eta = 1.0',
            )
        if self._index >= len(self.plan.rows):
            raise OutputError(
                f"the plan has {len(self.plan.rows)} evaluations, and all are made",
                hint="call set_timesteps before another run",
            )
        row = self.plan.rows[self._index]
        x = sample.to(torch.promote_types(sample.dtype, torch.float32)) / self._alpha(row.sigma)
        if self._index == 0:
            self._start = x
        _, skip, out = self._coefficients(row.sigma)
        raw = model_output[:, : sample.shape[1]].to(x.dtype)  # learned variances are left out
        x0 = skip * x + out * raw
        if self._facts.clip is not None:
            x0 = x0.clamp(-self._facts.clip, self._facts.clip)
        self._outputs.append(x0)
        self._index += 1
        if self._index < len(self.plan.rows):
            following = self.plan.rows[self._index]
            sample_next = self._combine(following.input, generator) * self._alpha(following.sigma)
        else:
            sample_next = self._combine(self.plan.result, generator)
        result = sample_next.to(sample.dtype)
        if not return_dict:
            return (result,)
        from diffusers.schedulers.scheduling_utils import SchedulerOutput

        return SchedulerOutput(prev_sample=result)

    def _combine(self, combination: Combination, generator: torch.Generator | None) -> Tensor:
        total = self._start * combination.start
        for index, weight in combination.outputs:
            total = total.add_(self._outputs[index], alpha=weight)
        for noise, weight in combination.noise:
            if noise not in self._noises:
                from diffusers.utils.torch_utils import randn_tensor

                like = self._start
                self._noises[noise] = randn_tensor(
                    like.shape, generator=generator, device=like.device, dtype=like.dtype
                )
            total = total.add_(self._noises[noise], alpha=weight)
        return total

    def _alpha(self, sigma: float) -> float:
        return float(self._facts.process.alpha(np.array([sigma]))[0])

    def _coefficients(self, sigma: float) -> tuple[float, float, float]:
        level = np.array([sigma])
        scale, skip, out = self._facts.prediction.coefficients(self._facts.process, level)
        return float(scale[0]), float(skip[0]), float(out[0])

    def __len__(self) -> int:
        return int(self.config.num_train_timesteps)  # type: ignore[attr-defined]
