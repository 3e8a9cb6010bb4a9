"""Drives the bin-packing core by hand: events in, effects out, writes held or made at once.

The driver's part of the ledger is played, too: what it asks and kills is among the effects.
"""

from __future__ import annotations

from collections.abc import Iterable

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_binpack.making import made_job
from pymesos_binpack.placement.packing import read_policy
from pymesos_core.clock import Now
from pymesos_core.resources import parse, to_proto
from pymesos_core.store import Change
from pymesos_proto.v1 import types_pb2 as pb

WALL_S = 1.8e9  # what the clock on the wall says when the monotonic one says 0


class BinpackHarness:
    def __init__(self, records: dict[tuple[str, str], bytes] | None = None) -> None:
        self.records = records if records is not None else {}
        self.core = c.BinpackCore(read_policy("default"), dict(self.records))
        self.now_s = 0.0
        self.skew_s = 0.0  # how wrong the clock on the wall is
        self.effects: list[c.Effect] = []
        self.hold_writes = False
        self.held: list[tuple[int, tuple[Change, ...]]] = []
        self.hold_made = False
        self.wanted: list[c.MakeJob] = []
        self.offers = 0
        self.role = next((job.job.role for job in self.core.jobs.values()), "*")  # of the offers

    def feed(self, event: c.Event) -> None:
        self._drive(event)
        for effect in self.core.step(Now(self.now_s, WALL_S + self.skew_s + self.now_s), event):
            self.effects.append(effect)
            if isinstance(effect, c.Accept):
                self.core.ledger.launch(effect.tasks, sent=True)
            if isinstance(effect, c.Store):
                self.held.append((effect.token, effect.changes))
            if isinstance(effect, c.MakeJob):
                self.wanted.append(effect)
        if not self.hold_writes:
            self.write()
        if not self.hold_made:
            self.make()

    def _drive(self, event: c.Event) -> None:
        ledger = self.core.ledger
        if isinstance(event, c.Subscribed):
            ledger.subscribed()
            calls, _ = ledger.to_send()
            for call in calls:
                asked = tuple((t.task_id, t.agent_id) for t in call.reconcile.tasks)
                self.effects.append(c.Reconcile(asked))
        elif isinstance(event, c.TaskUpdated) and (kill := ledger.hear(event.status)) is not None:
            self.effects.append(c.Kill(kill.kill.task_id, kill.kill.agent_id))

    def write(self) -> None:
        while self.held:
            token, changes = self.held.pop(0)
            for change in changes:
                if change.value is None:
                    self.records.pop((change.kind, change.key), None)
                else:
                    self.records[change.kind, change.key] = change.value
            self.feed(c.Stored(token))

    def make(self) -> None:
        while self.wanted:
            wanted = self.wanted.pop(0)
            self.feed(c.JobMade(wanted, made_job(wanted)))

    def advance(self, seconds: float) -> None:
        end = self.now_s + seconds
        while (at := self.core.next_deadline_s()) is not None and at <= end:
            self.now_s = max(self.now_s, at)
            self.feed(c.Tick())
        self.now_s = end

    def of(self, kind: type) -> list[c.Effect]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    def offer(
        self,
        text: str = "cpus:4;mem:400;ports:[1-9]",
        agent: str = "a",
        capabilities: Iterable[pb.AgentCapability] = (pb.SECRETS, pb.KILL_SIGNAL),
        **attributes: str,
    ) -> str:
        self.offers += 1
        resources = to_proto(parse(text))
        offer = pb.Offer(
            offer_id=f"o{self.offers}", agent_id=agent, hostname=agent, resources=resources,
            agent_total=resources, agent_capabilities=capabilities,
            agent_ip=f"10.0.0.{ord(agent[-1])}", role=self.role,
            attributes=[pb.Attribute(name=n, text=v) for n, v in attributes.items()],
        )  # fmt: skip
        self.feed(c.OffersReceived((offer,)))
        return offer.offer_id

    def submit(self, job: Job, request_id: str = "r") -> str:
        self.role = job.role
        self.feed(c.JobSubmitted(request_id, f"{job.name}-{request_id}", job))
        return f"{job.name}-{request_id}"

    def update(
        self,
        task_id: str,
        state: pb.TaskState,
        exit_status: int | None = None,
        uuid: bytes = b"u",
        agent: str = "a",
    ) -> None:
        self.feed(
            c.TaskUpdated(
                pb.TaskStatus(
                    task_id=task_id, state=state, uuid=uuid, agent_id=agent, exit_status=exit_status
                )
            )
        )

    def launched(self) -> list[str]:
        return [
            info.task_id
            for effect in self.effects
            if isinstance(effect, c.Accept)
            for info in effect.tasks
        ]


def job(kind: str = "batch", instances: int = 1, **task: object) -> Job:
    made = {"name": "t", "kind": kind, "instances": instances, "command": "x", **task}
    return parse_job({"name": "j", "tasks": [made]})
