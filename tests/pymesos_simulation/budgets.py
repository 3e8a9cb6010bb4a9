"""What rollouts and drains promise, held against a framework's instances after each step."""

from __future__ import annotations

from pymesos_binpack import core as bp
from pymesos_binpack.jobs.aligning import version_in
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.lifecycle import Phase
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.rules import Numbers
from pymesos_binpack.jobs.rollouts.seen import serves
from pymesos_binpack.jobs.state import JobState
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.specs import TaskSpec

BACK = (State.ROLLING_BACK, State.ROLLED_BACK)


class Budgets:
    """The instances as they were after the step before."""

    def __init__(self) -> None:
        self._leaving: set[str] = set()
        self._known: set[str] = set()
        self._jobs: set[str] = set()  # none: there was no step before
        self._numbers: dict[tuple[str, str], Numbers] = {}
        self._draining: set[str] = set()  # agents

    def check(self, core: bp.BinpackCore) -> None:
        """A ready one was stopped only if enough are left; one was started only if it fits."""
        draining = set(core._ctx.draining)
        self._draining |= draining  # what was decided before a drain was cancelled holds
        leaving: set[str] = set()
        known: set[str] = set()
        for job in core.jobs.values():
            known.update(i.key for i in job.instances)
            leaving.update(i.key for i in job.instances if i.saved.leaving)
            # One that is back from quarantine was not looked at when it stopped what it stops.
            if job.job_id in self._jobs and not job.stopping:
                for spec in job.job.tasks:
                    if spec.is_service and not spec.is_daemon:
                        self._check_task(job, spec)
        self._leaving, self._known, self._draining = leaving, known, draining
        self._jobs = set(core.jobs)

    def _check_task(self, job: JobState, spec: TaskSpec) -> None:
        key, now = (job.job_id, spec.name), rules_of(spec).in_numbers(spec.instances)
        # When it has gone back the rules of the earlier version are in force again.
        before, self._numbers[key] = self._numbers.get(key, now), now
        numbers = Numbers(*map(max, now, before))
        rollout = job.rollouts.get(spec.name)
        from_count = rollout.from_count if rollout is not None else spec.instances
        instances = [i for i in job.instances if i.spec.name == spec.name]
        self._check_stops(
            job, spec, instances, min(from_count, spec.instances) - numbers.unavailable
        )
        if rollout is not None and any(i.key not in self._known for i in instances):
            live = [i for i in instances if not i.saved.leaving and not i.saved.done]
            most = max(from_count, spec.instances) + numbers.surge + numbers.canaries
            most += sum(map(self._departs, live))
            assert len(live) <= most, f"{len(live)} of {key} are live, at most {most} may be"

    def _check_stops(
        self, job: JobState, spec: TaskSpec, instances: list[Instance], floor: int
    ) -> None:
        rollout = job.rollouts.get(spec.name)
        # What is killed for others is missed already, see `preempted.check`.
        working = [i for i in instances if works(job, i) and not i.saved.preempted]
        ready = [i for i in working if not i.saved.leaving]
        for instance in working:
            if instance.key in self._leaving or not instance.saved.leaving:
                continue
            if rollout is None and instance.index >= spec.instances:
                continue
            assert len(ready) >= floor, (
                f"{instance.key} is stopped ({instance.saved.leaving}), {len(ready)} ready are"
                f" left, of {floor}"
            )
            stays = instance.index < spec.instances and not self._departs(instance)
            if rollout is not None and rollout.state in BACK and stays:
                beside = any(i.index == instance.index for i in ready)
                was = job.revision_in(spec.name, rollout.from_version)
                untouched = instance.revision == was and not beside
                assert not untouched, f"{instance.key} was never changed, and is stopped"

    def _departs(self, instance: Instance) -> bool:
        return instance.saved.agent_id in self._draining


def works(job: JobState, instance: Instance) -> bool:
    """Whether it does its work, as it is meant: a promotion is durable before others are killed."""
    rollout = job.rollouts.get(instance.spec.name)
    ready = instance.state is Phase.RUNNING and bool(instance.saved.ready_since_s)
    if rollout is None or not ready:
        return ready
    return serves(rules_of(instance.spec), rollout, version_in(job, instance, rollout))
