"""What an agent looks at now and then: its disk, what its tasks write, fork and use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from pymesos_agent.core import AgentCore
from pymesos_agent.core.events import (
    DiskExceeded,
    DiskMeasured,
    Event,
    ProcessesRefused,
    UsesMeasured,
)
from pymesos_agent.core.executors.executor import Executor
from pymesos_agent.files.folders import Folders
from pymesos_agent.files.sandbox import disk_usage
from pymesos_agent.health.gauges import gathered
from pymesos_agent.host import Forks, Host
from pymesos_agent.queries import Queries
from pymesos_agent.runtimes.interface import Runtime
from pymesos_core.resources import from_proto
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.renewing import renew_by_s
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import sandbox_pb2 as sandbox_pb
from pymesos_proto.v1 import types_pb2 as pb

DISK_SPACE_INTERVAL_S = 5.0
DISK_INTERVAL_S = 2.0
FORKS_INTERVAL_S = 1.0
SLACK_INTERVAL_S = 1.0
MAX_USES = 5000  # so that a message stays below its limit
MILLI_MIB = 1024 * 1024 / 1000
MAX_MEASURED_MS = 86_400_000
Feed = Callable[[Event], None]
Key = tuple[str, str]  # the ids of a framework and of its task


async def watch_disk_space(work_dir: Path, feed: Feed, host: Host) -> None:
    """Measure the disk of the sandboxes, for ever."""
    while True:
        feed(DiskMeasured(host.disk_used_fraction(work_dir)))
        await asyncio.sleep(DISK_SPACE_INTERVAL_S)


async def watch_disks(
    core: AgentCore, runtimes: Mapping[str, Runtime], folders: Folders, feed: Feed
) -> None:
    """Find what has written more than it may, for ever, as far as it asked for disk at all."""
    while True:
        await asyncio.sleep(DISK_INTERVAL_S)
        for container_id, owner in list(core.state.owners.items()):
            if isinstance(owner, Executor):
                asked = owner.resources
            else:
                asked = from_proto(owner.info.resources)
            limit = asked.quantities.get("disk", 0) * MILLI_MIB
            if owner.ended or not limit or owner.runtime not in runtimes:
                continue
            more = runtimes[owner.runtime].private_paths(container_id)
            used = await asyncio.to_thread(disk_usage, (folders.sandbox(container_id), *more))
            if used > limit:
                feed(DiskExceeded(container_id, used))


async def watch_forks(core: AgentCore, feed: Feed, watch: Forks) -> None:
    """Find what is refused processes, for ever."""
    while True:
        await asyncio.sleep(FORKS_INTERVAL_S)
        pids = {
            container_id: owner.container.pid
            for container_id, owner in core.state.owners.items()
            if owner.container is not None and owner.container.pid and not owner.ended
        }
        for container_id, count in (await asyncio.to_thread(watch.look, pids)).items():
            feed(ProcessesRefused(container_id, count))


async def watch_slack(core: AgentCore, queries: Queries, feed: Feed) -> None:
    """Measure what tasks use, for ever: what nobody uses is offered as revocable."""
    while True:
        feed(UsesMeasured(await queries.measured()))
        await asyncio.sleep(SLACK_INTERVAL_S)


async def report_usage(
    core: AgentCore,
    queries: Queries,
    work_dir: Path,
    tell: Callable[[agent_pb.AgentMessage], bool],
    host: Host,
    credentials: Credentials | None = None,
) -> None:
    """Tell a master what the machine and its tasks use, for ever.

    What tasks have used is said since a master was told last, so that none of it is lost while
    nobody leads. `tell` says whether a master is told.
    Frameworks that want to know are told from the second measurement on, which is a rate.
    """
    before: dict[Key, sandbox_pb.TaskUsage] = {}
    told: dict[Key, sandbox_pb.TaskUsage] | None = None
    while True:
        running = sum(not task.ended for task in core.state.by_key.values())
        usage = host.usage(work_dir, running)
        if credentials is not None:
            usage.renew_by_s = renew_by_s(credentials.current())
        measured = await queries.task_usage("", "")
        wanted = queries.told_tasks()
        gauges = await gathered(queries.gauges(wanted))
        for now in measured[:MAX_USES]:
            key = (now.framework_id, now.task_id)
            use = usage.tasks.add()
            use.CopyFrom(_use(before.get(key), now))
            if told is not None:
                use.cpu_ms, use.measured_ms = used_since(told.get(key), now)
            use.told = key in wanted and key in before
            if key in gauges:
                use.gauge = gauges[key]
        before = {(u.framework_id, u.task_id): u for u in measured}
        if tell(agent_pb.AgentMessage(usage=usage)) or told is None:
            told = before
        await asyncio.sleep(core.usage_interval_s)


def _use(before: sandbox_pb.TaskUsage | None, now: sandbox_pb.TaskUsage) -> pb.TaskUse:
    """Between two measurements; the first one has no rate."""
    cpus = 0.0
    if before is not None and now.timestamp_s > before.timestamp_s:
        cpus = max(0.0, now.cpu_s - before.cpu_s) / (now.timestamp_s - before.timestamp_s)
    return pb.TaskUse(
        framework_id=now.framework_id,
        task_id=now.task_id,
        cpus_used=cpus,
        mem_used_mib=now.mem_bytes / (1024 * 1024),
    )


def used_since(before: sandbox_pb.TaskUsage | None, now: sandbox_pb.TaskUsage) -> tuple[int, int]:
    """The CPU time that a task has used since a measurement, and how long that is, both in ms.

    One that was not there then is new: all of its CPU time is meant, and no time.
    """
    if before is None:
        return max(0, int(now.cpu_s * 1000)), 0
    measured_ms = int(now.timestamp_s * 1000) - int(before.timestamp_s * 1000)
    cpu_ms = int(now.cpu_s * 1000) - int(before.cpu_s * 1000)
    return max(0, cpu_ms), min(max(0, measured_ms), MAX_MEASURED_MS)
