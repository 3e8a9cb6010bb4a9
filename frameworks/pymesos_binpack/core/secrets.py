"""A secret was set anew: services that use it are replaced, job by job, each by a rollout.

Who hears of a secret first has it as it is: only what is another then begins anything. What is yet
to be done is stored, so that a restart goes on with it.
"""

from __future__ import annotations

from dataclasses import replace

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.events import SecretsTold, VersionProposed
from pymesos_binpack.core.spreading import spread_of
from pymesos_binpack.jobs.roster import Use
from pymesos_binpack.jobs.secrets import Seen, secrets_given, services_with
from pymesos_binpack.jobs.state import JobState
from pymesos_core.store import Change

SECRETS = "secrets"  # the timer: a secret is to be spread to the next job


def begin(ctx: Context) -> None:
    """Go on with what a restart has broken off."""
    for seen in ctx.secrets.values():
        if seen.spreading:
            ctx.timers.set((SECRETS, seen.key), ctx.now.mono_s)


def on_told(ctx: Context, event: SecretsTold) -> None:
    """Note at which versions secrets are, and begin with those that are at another."""
    _note_names(ctx, event)
    changes: list[Change] = []
    for name, version, set_at_s in event.secrets:
        now = Seen(event.role, name, version, set_at_s)
        seen = ctx.secrets.get(now.key)
        if seen is not None and (seen.version, seen.set_at_s) == (version, set_at_s):
            continue
        now = replace(now, spreading=seen is not None)
        ctx.secrets[now.key] = now
        changes.append(now.change())
        if now.spreading:
            ctx.timers.set((SECRETS, now.key), ctx.now.mono_s)
    changes += _forget_removed(ctx, event)
    if changes:
        ctx.store("secrets are at other versions", *changes)


def _note_names(ctx: Context, event: SecretsTold) -> None:
    """Note which secrets a role has, if the master tells of all of them."""
    if event.complete:
        ctx.secret_names[event.role] = set()
    if (names := ctx.secret_names.get(event.role)) is not None:
        names.update(name for name, _, _ in event.secrets)
        names.discard(event.removed)


def on_due(ctx: Context, key: str) -> None:
    """Replace what uses a secret in the next job that is yet to be changed for it."""
    seen = ctx.secrets.get(key)
    if seen is None or not seen.spreading:
        return
    spread = spread_of(ctx.spreading_secrets, key, seen.request_id)
    users = ctx.roster.users(Use.SECRET, seen.role, seen.name)
    job = spread.next_of(users.keys, ctx.roster.jobs, lambda job: _is_due(job, seen))
    if job is not None and _replace_services(ctx, job, seen):
        spread.not_taking.add(job.job_id)
    if (wait_s := spread.wait_s()) is not None:
        ctx.timers.set((SECRETS, key), ctx.now.mono_s + wait_s)
        return
    del ctx.spreading_secrets[key]
    ctx.secrets[key] = replace(seen, spreading=False)
    ctx.store("a secret has been spread", ctx.secrets[key].change())


def _replace_services(ctx: Context, job: JobState, seen: Seen) -> str:
    """Replace the services of a job that use a secret; why that cannot be, or nothing."""
    ctx.at = job.job_id
    event = VersionProposed(
        seen.request_id,
        job.job_id,
        job.version,
        job.job,
        f"secret {seen.name}",
        restarts=services_with(job.job, seen.name),
    )
    return versions.propose(ctx, job, event)


def _is_due(job: JobState, seen: Seen) -> bool:
    return (
        not (job.ended or job.stopping)
        and job.history.asked_by(seen.request_id) is None
        and bool(services_with(job.job, seen.name))
    )


def _forget_removed(ctx: Context, event: SecretsTold) -> list[Change]:
    """Forget the secrets of a role that were removed and that nothing uses.

    What still runs by one keeps its record, by which it is replaced should it be set again.
    """
    there = {name for name, _, _ in event.secrets}
    of_role = (seen for seen in ctx.secrets.values() if seen.role == event.role)
    removed = [
        seen
        for seen in (of_role if event.complete or event.removed else ())
        if seen.name not in there and (event.complete or seen.name == event.removed)
    ]
    used = _used_by_tasks(ctx, event.role) if removed else set()
    changes: list[Change] = []
    for seen in removed:
        if seen.name in used or ctx.roster.users(Use.SECRET, seen.role, seen.name):
            continue
        del ctx.secrets[seen.key]
        ctx.spreading_secrets.pop(seen.key, None)
        ctx.timers.cancel((SECRETS, seen.key))
        changes.append(seen.removal())
    return changes


def _used_by_tasks(ctx: Context, role: str) -> set[str]:
    """The secrets of tasks that may run, also by earlier versions of their jobs."""
    live = (i for i in ctx.roster.by_task.values() if i.live)
    specs = {id(i.spec): i.spec for i in live if ctx.roster.job_of(i).job.role == role}
    return {name for spec in specs.values() for name in secrets_given(spec)}
