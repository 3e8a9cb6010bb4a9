"""A secret was set anew: services that use it are replaced, job by job, each by a rollout.

Who hears of a secret first has it as it is: only what is another then begins anything. What is yet
to be done is stored, so that a restart goes on with it.
"""

from __future__ import annotations

from dataclasses import replace

from pymesos_binpack.core import versions
from pymesos_binpack.core.context import Context
from pymesos_binpack.core.events import SecretsTold, VersionProposed
from pymesos_binpack.core.spreading import HELD_S, PACE_S, next_of
from pymesos_binpack.jobs.secrets import Seen, services_with
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
    if changes:
        ctx.store("secrets are at other versions", *changes)


def on_due(ctx: Context, key: str) -> None:
    """Replace what uses a secret in the next job that is yet to be changed for it."""
    seen = ctx.secrets.get(key)
    if seen is None or not seen.spreading:
        return
    job, held = next_of(job for job in ctx.roster.jobs.values() if _is_due(job, seen))
    if job is None and held:
        ctx.timers.set((SECRETS, key), ctx.now.mono_s + HELD_S)
        return
    if job is None:
        _keep(ctx, replace(seen, spreading=False))
        return
    ctx.at = job.job_id
    event = VersionProposed(
        seen.request_id,
        job.job_id,
        job.version,
        job.job,
        f"secret {seen.name}",
        restarts=services_with(job.job, seen.name),
    )
    if versions.propose(ctx, job, event):
        _keep(ctx, replace(seen, untaken=(*seen.untaken, job.job_id)))
    ctx.timers.set((SECRETS, key), ctx.now.mono_s + PACE_S)


def _is_due(job: JobState, seen: Seen) -> bool:
    return (
        job.job.role == seen.role
        and not (job.ended or job.stopping)
        and job.history.asked_by(seen.request_id) is None
        and job.job_id not in seen.untaken
        and bool(services_with(job.job, seen.name))
    )


def _keep(ctx: Context, seen: Seen) -> None:
    ctx.secrets[seen.key] = seen
    ctx.store("a secret has been spread", seen.change())
