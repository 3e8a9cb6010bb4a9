"""Tasks that are scaled by what agents measure, in the weather: bounds, pauses, and no guesses."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from pymesos_agent.containers.usage import ContainerUsage
from pymesos_binpack.core.binpack import BinpackCore
from pymesos_binpack.core.scaling import OLD_S
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.jobs.scaling import ScaleStep
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.specs import Job, TaskSpec
from pymesos_core.clock import Now
from pymesos_simulation.world import World

SCALE_EVERY = 10  # of so many seeds one has a task that is scaled
ASKED = 0.05  # CPUs
WAVE_S = 8.0  # in which the work becomes more and less, as an angle of one
ROUNDING_S = 1e-3
Seen = dict[tuple[str, str], tuple[ScaleStep, ...]]  # job, task: the steps that were durable


def scaled_seed(world: World) -> bool:
    """Whether a seed has one."""
    return world.seed % SCALE_EVERY == 0


def scaled_jobs(world: World) -> list[Job]:
    """Return the job with a task that is scaled that a seed has, or none."""
    if not scaled_seed(world):
        return []
    task: dict[str, Any] = {
        "name": "scaled",
        "kind": "service",
        "command": "service",
        "resources": {"cpus": ASKED, "mem": 16},
        "scale": {
            "min": 2,
            "max": 6,
            "target": {"cpu": "100%"},
            "up_after_s": 1,
            "down_after_s": 1,
        },
    }
    return [parse_job({"name": "scaled", "tasks": [task]})]


def usage_of(world: World) -> ContainerUsage | None:
    """Return what a container has used: in bad weather ever more and less, and then as wanted."""
    if not scaled_seed(world):
        return None
    now_s = world.now_s
    if world.faulty:
        return ContainerUsage(cpu_s=ASKED * (now_s - WAVE_S * math.cos(now_s / WAVE_S)))
    return ContainerUsage(cpu_s=1000 * ASKED + ASKED * now_s)


def check(core: BinpackCore, now: Now, seen: Seen) -> None:
    """Assert that steps are within the bounds, some time apart, known for ever, and no guesses."""
    for job in core.jobs.values():
        for spec in job.job.tasks if job.job.has_scaling else ():
            if spec.scale is None:
                continue
            assert spec.scale.min <= spec.instances <= spec.scale.max, f"{spec.instances}"
            meant = job.scalings.get(spec.name)
            if meant is not None and meant.stepped_s == core._ctx.steady_s:  # by this step
                _check_measured(job, spec, meant.steps[-1], now)
            scaling = job.durable_scalings.get(spec.name)
            steps = scaling.steps if scaling is not None else ()
            before = seen.setdefault((job.job_id, spec.name), ())
            if steps == before:
                continue
            missing = [step for step in before[-5:] if step not in steps]
            assert not missing, f"{job.job_id} knows nothing of {missing} any more"
            _check_apart(spec, steps)
            seen[job.job_id, spec.name] = steps


def _check_apart(spec: TaskSpec, steps: tuple[ScaleStep, ...]) -> None:
    assert spec.scale is not None
    for one, two in pairwise(steps):
        least_s = spec.scale.up_after_s if two.after > two.before else spec.scale.down_after_s
        assert two.at_s - one.at_s >= least_s - ROUNDING_S, f"{one} and {two} are too close"


def _check_measured(job: JobState, spec: TaskSpec, step: ScaleStep, now: Now) -> None:
    """There are fewer only where all were measured lately."""
    for index in range(step.before if step.after < step.before else 0):
        mine = [i for i in job.instances if i.spec.name == spec.name and i.index == index]
        known = [i.measured for i in mine if i.measured is not None]
        lately = any(at_s >= now.mono_s - OLD_S - ROUNDING_S for _, at_s in known)
        assert lately, f"{step} though nothing is known of instance {index}"
