"""`volumes list`, `volumes remove`: what tasks left on agents for their next runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import EXIT_USAGE, CliError, NotFoundError
from pymesos_cli.output import note, print_json, print_table
from pymesos_cli.services import Silent, all_pages, of_each, service, serving, warn
from pymesos_core.confirming import confirm
from pymesos_core.resource_values import MILLI, ResourceError
from pymesos_core.resources import Resources, from_proto
from pymesos_core.serving_jobs import takes
from pymesos_core.states import is_terminal
from pymesos_core.text import count_of, quoted
from pymesos_proto.v1 import jobs_pb2, types_pb2
from pymesos_proto.v1 import operator_pb2 as pb

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub

Key = tuple[str, str, str]  # agent id, role, volume id


@dataclass
class Volume:
    """One, as the master, its task and its framework know it."""

    volume_id: str
    role: str
    agent_id: str
    hostname: str
    size_mib: float
    agent_state: str  # "" when the master does not know of the volume
    task_id: str = ""  # of the task that has it
    job_id: str = ""  # of the job that has not ended and has it, or waits for it
    of: str = ""  # the job, task and instance whose name it belongs to
    framework: pb.FrameworkView | None = None  # that remembers it

    @property
    def state(self) -> str:
        """For people."""
        if self.task_id:
            return f"used by {self.task_id}"
        if not self.agent_state:
            waits = f"; the job {self.job_id} waits for it" if self.job_id else ""
            return f"missing{waits}: remove it to begin anew"
        if self.job_id:
            return f"job {self.job_id}"
        return "left over" if self.of else "not used"

    def __str__(self) -> str:
        size = f"{self.size_mib:g} MiB of the role {self.role}"
        return f"{self.volume_id} ({size} on {self.hostname}, {self.state})"


async def all_volumes(cluster: Cluster) -> tuple[list[Volume], list[Silent]]:
    """Return the volumes of all agents and frameworks, and who did not say what it has."""
    found: dict[Key, Volume] = {}
    for view in await cluster.agents():
        for tag, bag in _bag(view.total).tagged.items():
            if tag.volume is not None and view.state != "gone":
                volume = Volume(
                    tag.volume.id,
                    tag.role,
                    view.info.agent_id,
                    view.info.address.hostname,
                    sum(bag.scalars.values()) / MILLI,
                    view.state,
                )
                found[volume.agent_id, volume.role, volume.volume_id] = volume
    kept, silent = await of_each(cluster, lambda view, stub: _kept(cluster, view, stub))
    for framework, views in kept:
        for told in views:
            key = (told.agent_id, told.role, told.volume_id)
            missing = Volume(
                told.volume_id, told.role, told.agent_id, told.hostname, told.size_mib, ""
            )
            volume = found.setdefault(key, missing)
            volume.of = f"{told.job_name}.{told.task_name}.{told.instance}"
            volume.job_id, volume.framework = told.job_id, framework
    if found:
        await _find_users(cluster, found)
    return sorted(found.values(), key=lambda v: (v.role, v.volume_id, v.hostname)), silent


def _bag(messages: Any) -> Resources:
    try:
        return from_proto(messages)
    except ResourceError:
        return Resources()


async def _kept(
    cluster: Cluster, view: pb.FrameworkView, stub: JobsAsyncStub
) -> tuple[pb.FrameworkView, list[jobs_pb2.VolumeView]]:
    async def ask(token: str) -> jobs_pb2.ListVolumesResponse:
        request = jobs_pb2.ListVolumesRequest(page_token=token)
        return await stub.ListVolumes(request, timeout=cluster.timeout_s)

    return view, [volume for page in await all_pages(ask) for volume in page.volumes]


async def _find_users(cluster: Cluster, found: dict[Key, Volume]) -> None:
    for task in await cluster.tasks():
        for resource in task.task_info.resources:
            if resource.HasField("disk") and not is_terminal(task.state):
                for tag in _bag([resource]).tagged:
                    volume_id = tag.volume.id if tag.volume else ""
                    volume = found.get((task.task_info.agent_id, tag.role, volume_id))
                    if volume is not None:
                        volume.task_id = task.task_info.task_id


async def list_volumes(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli volumes list`."""
    found, silent = await all_volumes(cluster)
    warn(silent)
    if as_json:
        keys = ("volume_id", "role", "hostname", "agent_id", "size_mib", "task_id", "job_id")
        print_json([{k: getattr(v, k) for k in keys} | {"state": v.state} for v in found])
        return
    rows = [
        (v.volume_id, v.role, f"{v.size_mib:g} MiB", f"{v.hostname}{_unusual(v)}", v.state)
        for v in found
    ]
    print_table(("VOLUME", "ROLE", "SIZE", "HOST", "STATE"), rows, "no volumes", ("STATE",))


def _unusual(volume: Volume) -> str:
    return f" ({volume.agent_state})" if volume.agent_state not in ("", "active") else ""


async def remove_volumes(
    cluster: Cluster, ids: Sequence[str], role: str | None, host: str | None, *, ask: bool
) -> None:
    """`pymesos-cli volumes remove`: all that were named are found before any is destroyed."""
    known, silent = await all_volumes(cluster)
    chosen = [_find(known, volume_id, role, host) for volume_id in dict.fromkeys(ids)]
    for volume in chosen:
        roles_away = [s for s in silent if takes(s.framework, volume.role)]
        if roles_away and volume.framework is None:
            raise CliError(f"{roles_away[0]}: it may have a job that needs {volume.volume_id}")
        await _forget(cluster, volume, check_only=True)
        if volume.job_id and volume.agent_state:  # another of the same task is missing
            raise CliError(
                f"the job {volume.job_id} has the volume {volume.volume_id}: end it first with"
                f" `pymesos-cli stop {volume.job_id}`"
            )
    if ask and sys.stdin.isatty():
        note(f"to be destroyed with all that is in it: {', '.join(map(str, chosen))}.")
        confirm("Go on?")
    for volume in chosen:
        if volume.agent_state:
            await _destroy(cluster, volume)
        await _forget(cluster, volume, check_only=False)
        print(f"removed {volume}")


def _find(known: Sequence[Volume], volume_id: str, role: str | None, host: str | None) -> Volume:
    """Raises CliError."""
    fits = [
        volume
        for volume in known
        if volume.volume_id == volume_id
        and role in (None, volume.role)
        and host in (None, volume.hostname, volume.agent_id)
    ]
    if not fits:
        near = [str(volume) for volume in known if volume.volume_id.startswith(volume_id)][:3]
        hint = f"; a whole id is needed, and so begins {', '.join(near)}" if near else ""
        raise NotFoundError(
            f"there is no volume {quoted(volume_id)}{hint}; `pymesos-cli volumes list` lists them"
        )
    if len(fits) > 1:
        lines = "".join(f"\n  {volume}" for volume in fits)
        raise CliError(
            f"{quoted(volume_id)} is the id of {count_of(len(fits), 'volume')}; say which with"
            f" --role or --host:{lines}",
            EXIT_USAGE,
        )
    (volume,) = fits
    if volume.task_id:
        raise CliError(
            f"the task {volume.task_id} has the volume {volume.volume_id}: end it first"
            + (f" with `pymesos-cli stop {volume.job_id}`" if volume.job_id else "")
        )
    return volume


async def _destroy(cluster: Cluster, volume: Volume) -> None:
    # The master knows the volume by its id; the path and the size are what every volume has.
    named = types_pb2.Resource(
        name="disk",
        scalar=1,
        disk=types_pb2.Resource.Disk(
            persistence_id=volume.volume_id, container_path=volume.volume_id
        ),
    )
    request = pb.UnreserveRequest(agent_id=volume.agent_id, role=volume.role, resources=[named])
    await cluster.call(lambda stub, timeout_s: stub.Unreserve(request, timeout=timeout_s))


async def _forget(cluster: Cluster, volume: Volume, *, check_only: bool) -> None:
    """Tell the frameworks of its role, of which one may have made it. Raises CliError."""
    request = jobs_pb2.ForgetVolumeRequest(
        role=volume.role, volume_id=volume.volume_id, check_only=check_only
    )
    for view in await serving(cluster):
        if view.state == "active" and takes(view, volume.role):
            async with service(cluster, view) as stub:
                await stub.ForgetVolume(request, timeout=cluster.timeout_s)
