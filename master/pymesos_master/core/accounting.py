"""Accounting: what tasks hold and use is added up, and written to the registry now and then.

What is added up is said at once. A new leader goes on from what is written: of tasks that still run
it adds what they held meanwhile, so that what is lost is of those that ended after the last write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from itertools import count

from pymesos_core import limits
from pymesos_core.clock import Now
from pymesos_core.ids import role_problem
from pymesos_core.names import parse_task_id
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY
from pymesos_master.core import slices
from pymesos_master.core.accounts import (
    DAY_MS,
    HOUR_MS,
    NOTHING,
    Account,
    At,
    Day,
    Held,
    Sums,
    held_by,
)
from pymesos_master.core.context import Context
from pymesos_master.core.records import ACCOUNTING, AccountingRecord
from pymesos_master.core.state import Agent, ClusterState, Executor, Framework, Task
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_proto.v1 import types_pb2 as pb

ROWS_IN_A_RECORD = 250  # as long as names may be, they stay below its limit
MAX_NAME_BYTES = 255  # of the name of a framework
MILLI = 1000
TIMER = ("accounting", "")
_KEY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{1,2})")
_EPOCH = date(1970, 1, 1)
LAST_MS = (date.max - _EPOCH).days * DAY_MS  # its name has four digits for the year
Rows = tuple[tuple[Account, Sums], ...]


@lru_cache(maxsize=1)
def at(now: Now) -> At:
    """The same instant in whole milliseconds; a clock that shows no day is at the nearest."""
    return At(int(now.mono_s * 1000), min(max(0, int(now.wall_s * 1000)), LAST_MS))


def day_name(day: int) -> str:
    """A day as people write it: 2026-11-29."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def read_day(text: str) -> int:
    """The number of a day, counted from 1970. Raises ValueError."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise ValueError(text)
    return (date.fromisoformat(text) - _EPOCH).days


def account_of(task: Task | Executor, framework: Framework | None) -> Account:
    """Who is accounted for what a task uses. A task is of a job if its id is made as those are."""
    name = short = framework.info.name if framework is not None else ""
    if len(name) > MAX_NAME_BYTES // 4:  # of four bytes at most, each
        short = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return Account(task.role, short or task.framework_id, _job_of(task.task_id))


def _job_of(task_id: str) -> str:
    """The name of the job that a task is of. All tasks of a job have the same beginning."""
    job_id, dot, _ = task_id.partition(".")
    return _job_of_id(job_id) if dot else ""


@lru_cache(maxsize=4096)
def _job_of_id(job_id: str) -> str:
    parts = parse_task_id(f"{job_id}.task.0.1")
    return parts.job if parts is not None else ""


def look(ctx: Context, task: Task | Executor, *, since_stored: bool = False) -> None:
    """What a task or an executor holds may have changed: it is accounted for as it is from now on.

    `since_stored`: this leader hears of it for the first time, and it has held it all the while.
    """
    charged, accounts = task.account, ctx.state.accounts
    if charged is not None and task.holds_resources and task.charged is task.resources:
        return
    instant = at(ctx.now)
    if charged is not None:
        accounts.release(charged, held_by(task.charged), instant)
        task.account, task.charged = None, EMPTY
    if not task.holds_resources:
        return
    framework_id = task.framework_id
    framework = ctx.state.frameworks.get(framework_id)
    framework = framework or ctx.state.completed_frameworks.get(framework_id)
    held = held_by(task.resources)
    account = accounts.hold(account_of(task, framework), held, instant)
    task.account, task.charged = account, task.resources
    if since_stored and accounts.stored_until_ms:
        since_ms = max(accounts.stored_until_ms, int(task.launched_at_s * 1000))
        accounts.held_before(account, held, min(instant.wall_ms - since_ms, DAY_MS), instant)


def on_usage(ctx: Context, agent: Agent, usage: agent_pb.Usage) -> None:
    """Account for what an agent has measured of its tasks."""
    key = ("usage", agent.agent_id)
    slices.run_after(ctx, key, len(usage.tasks), _account(ctx, agent, usage.tasks))


def _account(ctx: Context, agent: Agent, measured: Iterable[pb.TaskUse]) -> Iterator[None]:
    for uses in slices.parts(ctx, measured):
        instant = at(ctx.now)
        for use in uses:
            task = agent.tasks.get((use.framework_id, use.task_id))
            if task is not None and task.account is not None and (use.cpu_ms or use.measured_ms):
                mem = round(use.mem_used_mib * MILLI) * use.measured_ms
                ctx.state.accounts.use(task.account, use.cpu_ms * MILLI, mem, instant)
        yield


def begin(ctx: Context) -> None:
    """This leader writes now and then from now on."""
    ctx.timers.set(TIMER, ctx.now.mono_s + ctx.config.accounting_interval_s)


def on_due(ctx: Context, key: str) -> None:
    """Write what has changed since the last time, and forget what is too old."""
    begin(ctx)
    accounts, instant = ctx.state.accounts, at(ctx.now)
    accounts.settle(instant)
    known = ctx.state.image.intended(ACCOUNTING)
    changes: dict[str, AccountingRecord | None] = {}
    for day in (*accounts.forget(limits.ACCOUNTED_DAYS.most), *sorted(accounts.changed)):
        # What cannot be read stays as it is, and its name is taken.
        of_day = [key for key in known if key.startswith(day_name(day))]
        read = {key: one for key in of_day if isinstance(one := known[key], AccountingRecord)}
        names = (f"{day_name(day)}.{n}" for n in count())
        free = (name for name in names if name in read or name not in known)
        wanted = dict(zip(free, _parts(accounts.days.get(day)), strict=False))
        changes.update((key, None) for key in read if key not in wanted)
        for key, rows in wanted.items():
            if key not in read or read[key].rows != rows:
                changes[key] = AccountingRecord(rows, instant.wall_ms)
    accounts.changed.clear()
    if changes:
        ctx.persist({(ACCOUNTING, key): one for key, one in changes.items()}, AccountsWritten())


def _parts(day: Day | None) -> list[Rows]:
    """What is written of a day, in parts; of none, nothing."""
    rows = tuple(day.rows.items()) if day is not None else ()
    return [rows[n : n + ROWS_IN_A_RECORD] for n in range(0, len(rows), ROWS_IN_A_RECORD)]


@dataclass(frozen=True, slots=True)
class AccountsWritten:
    """What was used is written; nobody waits for it."""


def on_written(ctx: Context, done: AccountsWritten) -> None:
    """Nothing follows."""


def take_in(ctx: Context, key: str, record: registry_pb.AccountingRecord) -> None:
    """Have a record count. Raises ResourceError."""
    match = _KEY.fullmatch(key)
    try:
        day = read_day(match[1]) if match is not None else None
    except ValueError:
        day = None
    if day is None:
        raise ResourceError("its name is no day and number, as in 2026-11-29.0")
    rows = tuple(_read(row) for row in record.rows)
    accounts = ctx.state.accounts
    if day not in accounts.days:
        accounts.days[day] = Day()
    for account, sums in rows:
        accounts.days[day].add(account, sums)
    accounts.stored_until_ms = max(accounts.stored_until_ms, record.until_ms)
    ctx.state.image.load((ACCOUNTING, key), AccountingRecord(rows, record.until_ms))


def _read(row: registry_pb.AccountingRecord.Row) -> tuple[Account, Sums]:
    if problem := row.role and role_problem(row.role):
        raise ResourceError(problem)
    amounts = (row.asked_cpus, row.asked_mem, row.asked_gpus, row.used_cpus, row.used_mem)
    sums = Sums(*(amount.hours * HOUR_MS + amount.ms for amount in amounts))
    return Account(row.role, row.framework, row.job, row.rest), sums


def check(state: ClusterState) -> None:
    """Assert that what is held by the accounts is what tasks hold."""
    held: dict[Account, Held] = {}
    for agent in state.agents.values():
        holders: list[Task | Executor] = [*agent.tasks.values(), *agent.executors.values()]
        for task in holders:
            account = task.account
            charged = account is not None
            assert charged == task.holds_resources, f"{task.label}: {charged}"
            if account is not None:
                assert task.charged == task.resources, task.label
                held[account] = held.get(account, NOTHING).plus(held_by(task.resources))
    assert held == state.accounts.held(), f"tasks hold {held}, accounts {state.accounts.held()}"
