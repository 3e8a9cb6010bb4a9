"""What must hold in the core between any two steps: what is kept twice for speed is the same."""

from __future__ import annotations

from collections import Counter

from pymesos_binpack.core import (
    secrets,
    variables,
)
from pymesos_binpack.core.context import Context
from pymesos_binpack.jobs.occupancy import Occupancy
from pymesos_binpack.jobs.roster import wanted_of


def check(ctx: Context, *, begun: bool) -> None:
    """Assert it; for tests and the simulator."""
    pending = {instance.key for instance in ctx.roster.instances() if instance.pending}
    noted = ctx.placements.keys() | ctx.delayed.keys()
    assert pending == noted, f"{pending ^ noted}"
    for job in ctx.roster.jobs.values():
        assert job.left == sum(not i.saved.done for i in job.instances), job.job_id
        assert job.ended == (job.job_id in ctx.roster.ended), job.job_id
        assert job.durably_left == sum(not i.durable.done for i in job.instances), job.job_id
    going = [wanted_of(job) for job in ctx.roster.jobs.values() if not job.ended]
    assert ctx.roster.shapes == sum((w.shapes for w in going), Counter()), ctx.roster.shapes
    ports = sum((w.host_ports for w in going), Counter[int]())
    assert ctx.roster.host_ports == ports, ctx.roster.host_ports
    assert ctx.roster.roles == Counter(w.role for w in going), ctx.roster.roles
    assert ctx.roster.daemons.keys() == {
        job.job_id for job in ctx.roster.jobs.values() if job.job.has_daemon and not job.ended
    }
    occupancy = Occupancy()
    for instance in ctx.roster.by_task.values():
        job = ctx.roster.job_of(instance)
        occupancy.begin(job.job.role, job.job.priority, instance)
    assert ctx.roster.occupancy == occupancy
    for use, role, name in dict.fromkeys((u, w.role, n) for w in going for u, n in w.uses):
        users = [w.role == role and (use, name) in w.uses for w in going].count(True)
        assert len(ctx.roster.users(use, role, name)) == users, f"{use} {name} of {role}"
    assert ctx.releasing <= ctx.quarantined.keys() - ctx.roster.jobs.keys(), ctx.releasing
    wanted = {*ctx.always, *ctx.roster.roles}
    assert set(ctx.roles) == wanted.difference(ctx.refused_roles, ctx.apart[1:]), ctx.roles
    assert wanted.issuperset((*ctx.refused_roles, *ctx.apart)), ctx.refused_roles
    assert {placement.role for placement in ctx.placements} <= wanted, wanted
    ctx.alerts.check()
    if begun:
        spread = {(variables.VARIABLES, each.key) for each in ctx.variables if each.spreading}
        spread |= {(secrets.SECRETS, s.key) for s in ctx.secrets.values() if s.spreading}
        making = [key for key, each in ctx.spreading_variables.items() if each.making]
        spread -= {(variables.VARIABLES, key) for key in making}
        assert all(timer in ctx.timers for timer in spread), f"{spread} waits for ever"
    if not ctx.writes:
        unsettled = [i.label for i in ctx.roster.instances() if not i.settled]
        assert not unsettled, f"{unsettled} are meant to be what nobody writes"
