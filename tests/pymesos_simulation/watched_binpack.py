"""The bin-packing core, looked at after each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymesos_binpack import core as bp
from pymesos_binpack.jobs.groups import main_task_id
from pymesos_binpack.jobs.instance import Instance
from pymesos_binpack.jobs.updating import rules_of
from pymesos_binpack.placement.ports import ranges_of
from pymesos_core.clock import Now
from pymesos_core.resources import from_proto
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_simulation import (
    daemons,
    dependencies,
    periodic,
    preempted,
    revocable,
    scaling,
)
from pymesos_simulation.budgets import Budgets
from pymesos_simulation.pages import Promises

if TYPE_CHECKING:
    from pymesos_simulation.frameworks import FrameworkNode


class PlantedError(Exception):
    """What a job causes that the framework cannot handle."""


DRAINED = "an agent that is drained"  # in why an instance leaves


class WatchedBinpack(bp.BinpackCore):
    """Each step is checked, and what it hears and wants is looked at by its node."""

    node: FrameworkNode
    budgets: Budgets
    offered: dict[str, str]  # offers, with the role of each
    promises: Promises

    def step(self, now: Now, event: bp.Event) -> list[bp.Effect]:
        self.node.world.counts["event"] += 1
        try:
            if isinstance(event, bp.TaskUpdated):
                if self.node.acts:
                    self.node.check_end(event.status)
                    self.node.check_order(event.status)
            elif isinstance(event, bp.OffersReceived):
                self.offered |= {offer.offer_id: offer.role for offer in event.offers}
            leaving, jobs = self._leaving(), set(self.jobs)
            served = set(self._ctx.roster.serving)
            gone = preempted.of(self)
            effects = super().step(now, event)
            preempted.check(self, preempted.of(self) - gone)
            if self.node.acts:
                self.promises.check(self, event, effects, lambda: self.node.stored)
            if effects:  # else nobody has seen anything of what the step did
                self.check()
                self.budgets.check(self)
                daemons.check(self)
                periodic.check(self)
                dependencies.check(self, effects, self.node.begun_first)
                scaling.check(self, now, self.node.scale_steps)
            for instance in self._leaving() - leaving:
                if instance.job_id in jobs:  # else it comes back from quarantine as it went there
                    self._check_left(instance)
                    daemons.check_left(instance, served & self._ctx.roster.serving.keys())
            for effect in effects:
                if isinstance(effect, bp.Accept):
                    self._check_ports(effect)
                    periodic.check_begun(self, effect, self.node.begun_runs)
                    self._check_roles(effect)
            return [wanted for effect in effects for wanted in self.node.wanted(effect)]
        except Exception as error:
            if not isinstance(error.__cause__, PlantedError):
                self.node.world.fail(error)
            raise

    def _leaving(self) -> set[Instance]:
        """The instances that leave agents that are drained."""
        return {i for i in self.instances() if DRAINED in i.saved.leaving}

    def _check_roles(self, accept: bp.Accept) -> None:
        """A task is launched on what is offered to the role of its job, and on nothing else."""
        roles = {self.offered[offer_id] for offer_id in accept.offer_ids}
        for info in (*accept.tasks, *(info for group in accept.groups for info in group)):
            instance = self.instance_of(main_task_id(info.task_id))
            if instance is not None:
                job = self._ctx.roster.job_of(instance).job
                assert roles == {job.role}, f"{info.task_id}, of {job.role}, goes to {roles}"

    def _check_ports(self, accept: bp.Accept) -> None:
        """What wants ports by number is launched with these, and knows them."""
        for info in (*accept.tasks, *(group[0] for group in accept.groups)):
            instance = self.instance_of(info.task_id)
            given = {
                port
                for begin, end in ranges_of(from_proto(info.resources))
                for port in range(begin, end + 1)
            }
            if instance is not None:
                assert given.issuperset(instance.spec.host_ports), f"{info.task_id} has {given}"
                assert given == set(instance.saved.ports), f"{info.task_id} has {given}"

    def _check_left(self, instance: Instance) -> None:
        """What does its work leaves only when another one does, unless some may be missing; what
        is being replaced anyhow goes by its rollout, see test_rollout_weather."""
        job, spec = self._ctx.roster.job_of(instance), instance.spec
        rollout = job.rollouts.get(spec.name)
        may_miss = rules_of(spec).in_numbers(spec.instances).unavailable
        if may_miss or (rollout is not None and rollout.going):
            return
        others = (
            other
            for other in job.instances
            if other.spec.name == instance.spec.name and other.index == instance.index
        )
        relieved = any(o.saved.ready_since_s and not o.saved.leaving for o in others)
        idle = not instance.saved.ready_since_s
        assert relieved or idle or instance.spec.volumes, (
            f"{instance.key} leaves a drained agent, and no other one is ready"
        )

    def _advance(self, event: bp.Event) -> None:
        updated = event.status.task_id if isinstance(event, bp.TaskUpdated) else ""
        known = self.instance_of(updated)
        status = event.status if isinstance(event, bp.TaskUpdated) else pb.TaskStatus()
        failed = revocable.failures_of(self, status)
        super()._advance(event)
        revocable.check_failures(self, status, failed)
        if known is not None and self.node.breaks_over(updated):
            self._ctx.at = known.job_id
            raise PlantedError("planted")
