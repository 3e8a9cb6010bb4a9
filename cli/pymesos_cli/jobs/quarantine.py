"""`quarantine`: what is stored and cannot be handled, why, and the way out.

Whoever keeps something may set a part of it aside. Each keeper is a Source here: the Jobs services,
the leading master with its registry, and the agents with their checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError
from pymesos_cli.output import count_of, print_json, print_table, printable
from pymesos_cli.services import all_pages, of_each, service, serving, warn
from pymesos_core.json_access import record_text
from pymesos_core.text import quoted
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import operator_pb2 as operator_pb

if TYPE_CHECKING:
    from pymesos_proto.v1.jobs_pb2_grpc import JobsAsyncStub


@dataclass(frozen=True)
class Item:
    """Something that was set aside."""

    id: str
    kind: str  # "job", or "record" of the registry or of an agent's checkpoint
    reason: str
    keeper: str  # the id of who keeps it
    tasks: tuple[str, ...] = ()  # that run on meanwhile
    document: str = ""  # as it is stored; only when it is asked for by its id


class Source(Protocol):
    """Who keeps such things."""

    async def list(self, cluster: Cluster) -> Sequence[Item]:
        """All of them, without documents. Raises CliError."""
        ...

    async def find(self, cluster: Cluster, item_id: str) -> Item | None:
        """One by its exact id, with its document. Raises CliError."""
        ...

    async def release(self, cluster: Cluster, item: Item, *, discard: bool) -> None:
        """Have it tried again, or forgotten. Raises CliError."""
        ...


class Jobs:
    """The Jobs services that the master knows. Those that do not answer are told."""

    async def list(self, cluster: Cluster) -> Sequence[Item]:
        """See Source."""
        found, silent = await of_each(cluster, _aside)
        warn(silent)
        return [item for items in found for item in items]

    async def find(self, cluster: Cluster, item_id: str) -> Item | None:
        """See Source."""
        found, silent = await of_each(cluster, lambda view, stub: _aside(view, stub, item_id))
        warn(silent)
        return next((item for items in found for item in items), None)

    async def release(self, cluster: Cluster, item: Item, *, discard: bool) -> None:
        """See Source."""
        request = pb.ReleaseQuarantinedRequest(job_id=item.id, discard=discard)
        for view in await serving(cluster):
            if view.info.framework_id == item.keeper:
                async with service(cluster, view) as stub:
                    await stub.ReleaseQuarantined(request, timeout=cluster.timeout_s)


class Records:
    """The registry's records, which the leading master keeps. Their ids are KIND/KEY."""

    async def list(self, cluster: Cluster) -> Sequence[Item]:
        """See Source."""
        return [_record(r) for r in await self._records(cluster, "", "")]

    async def find(self, cluster: Cluster, item_id: str) -> Item | None:
        """See Source."""
        kind, slash, key = item_id.partition("/")
        found = await self._records(cluster, kind, key) if slash and key else []
        return _record(found[0]) if found else None

    async def release(self, cluster: Cluster, item: Item, *, discard: bool) -> None:
        """See Source."""
        kind, _, key = item.id.partition("/")
        request = operator_pb.ReleaseQuarantinedRecordRequest(kind=kind, key=key, discard=discard)
        await cluster.call(lambda s, t: s.ReleaseQuarantinedRecord(request, timeout=t))

    async def _records(
        self, cluster: Cluster, kind: str, key: str
    ) -> Sequence[operator_pb.QuarantinedRecord]:
        asked = operator_pb.ListQuarantinedRecordsRequest
        return await cluster.pages(
            lambda s, p, t: s.ListQuarantinedRecords(asked(page=p, kind=kind, key=key), timeout=t),
            lambda r: r.records,
        )


class Checkpoints:
    """The agents' records, as they have registered. Their ids are checkpoint/CONTAINER."""

    async def list(self, cluster: Cluster) -> Sequence[Item]:
        """See Source."""
        return [
            Item(f"checkpoint/{container_id}", "record", why, f"the agent {view.info.agent_id}")
            for view in await cluster.agents()
            for container_id, why in sorted(view.info.set_aside.items())
        ]

    async def find(self, cluster: Cluster, item_id: str) -> Item | None:
        """See Source."""
        found = await self.list(cluster) if item_id.startswith("checkpoint/") else []
        return next((item for item in found if item.id == item_id), None)

    async def release(self, cluster: Cluster, item: Item, *, discard: bool) -> None:
        """See Source."""
        raise CliError(
            f"{item.id} is in the checkpoint of {item.keeper}, which is forgotten as a whole, with"
            f" all its tasks: stop the agent, and run `pymesos-agent recover --discard` there"
        )


def _record(record: operator_pb.QuarantinedRecord) -> Item:
    return Item(
        f"{record.kind}/{record.key}",
        "record",
        record.reason,
        "the registry",
        document=record_text(record),
    )


SOURCES: tuple[Source, ...] = (Jobs(), Records(), Checkpoints())
CALL_TIMEOUT_S = 10.0
GLANCE_TIMEOUT_S = 2.0


async def _aside(
    view: operator_pb.FrameworkView,
    stub: JobsAsyncStub,
    job_id: str = "",
    timeout_s: float = CALL_TIMEOUT_S,
) -> Sequence[Item]:
    async def ask(token: str) -> pb.ListQuarantinedResponse:
        request = pb.ListQuarantinedRequest(job_id=job_id, page_token=token)
        return await stub.ListQuarantined(request, timeout=timeout_s)

    keeper = view.info.framework_id
    return [
        Item(j.job_id, "job", j.reason, keeper, tuple(j.task_ids), j.document)
        for page in await all_pages(ask)
        for j in page.jobs
    ]


async def quarantined_jobs(cluster: Cluster) -> dict[str, str]:
    """Job id → reason, of the services that answer; for listings of something else."""
    # That one does not answer is no concern of who lists tasks.
    found, _ = await of_each(
        cluster, lambda view, stub: _aside(view, stub, timeout_s=GLANCE_TIMEOUT_S)
    )
    return {item.id: item.reason for items in found for item in items}


async def list_quarantined(cluster: Cluster, *, as_json: bool) -> None:
    """`pymesos-cli quarantine list`."""
    items = [item for source in SOURCES for item in await source.list(cluster)]
    if as_json:
        print_json([_json(item) for item in items])
        return
    rows = [(i.id, i.kind, str(len(i.tasks)), i.keeper, i.reason) for i in items]
    headers = ("WHAT", "KIND", "TASKS", "KEPT BY", "REASON")
    print_table(headers, rows, "nothing is in quarantine", ("KEPT BY", "REASON"))


def _json(item: Item) -> dict[str, Any]:
    made = asdict(item)
    made.pop("document")
    return made


async def _find(cluster: Cluster, item_id: str) -> tuple[Source, Item]:
    for source in SOURCES:
        if (item := await source.find(cluster, item_id)) is not None:
            return source, item
    raise NotFoundError(
        f"nothing of the id {quoted(item_id)} is in quarantine; `pymesos-cli quarantine list` lists"
        f" what is, by exact ids"
    )


async def show(cluster: Cluster, item_id: str, *, as_json: bool) -> None:
    """`pymesos-cli quarantine show`."""
    _, item = await _find(cluster, item_id)
    if as_json:
        print_json({**_json(item), "document": item.document})
        return
    print(printable(f"{item.kind} {item.id}, kept by {item.keeper}"))
    print(printable(f"cannot be handled: {item.reason}"))
    for task_id in item.tasks:
        print(printable(f"is left alone: the task {task_id}"))
    if item.document:
        print("as it is stored:")
    for line in _lines(item.document):
        print(printable(line))


def _lines(document: str) -> Sequence[str]:
    """Indented where it is JSON."""
    try:
        return json.dumps(json.loads(document), indent=2, ensure_ascii=True).splitlines()
    except (ValueError, RecursionError):
        return document.splitlines()


async def release(cluster: Cluster, item_id: str, *, discard: bool) -> None:
    """`pymesos-cli quarantine release`."""
    source, item = await _find(cluster, item_id)
    await source.release(cluster, item, discard=discard)
    if discard:
        ended = f"; ended: {count_of(len(item.tasks), 'task')} of it" if item.tasks else ""
        print(printable(f"the {item.kind} {item.id} is forgotten{ended}"))
    else:
        print(printable(f"the {item.kind} {item.id} goes on"))
