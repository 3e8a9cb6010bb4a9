"""A bin-packing core whose alerts are collected."""

from __future__ import annotations

from typing import Any

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import Job, parse_job
from pymesos_core.outgoing.notices import Notice
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

CHECK = {"command": "ask"}


def service(*alerts: dict[str, Any], name: str = "db", **task: Any) -> Job:
    made = {"name": "t", "kind": "service", "command": "x", "health_check": CHECK, **task}
    told = [{"to": "oncall", **alert} for alert in alerts]
    return parse_job({"name": name, "tasks": [{**made, "alerts": told}]})


def alert(when: str, for_s: float = 30, **more: Any) -> dict[str, Any]:
    return {"when": when, "for_s": for_s, **more}


class Harness(BinpackHarness):
    """With receivers that take what they are told, unless they are away."""

    def __init__(self, records: dict[tuple[str, str], bytes] | None = None) -> None:
        super().__init__(records)
        self.away = False

    def start(self) -> Harness:
        self.feed(c.Subscribed("f"))
        return self

    def feed(self, event: c.Event) -> None:
        before = len(self.effects)
        super().feed(event)
        for effect in self.effects[before:]:
            if isinstance(effect, c.Tell) and not self.away:
                self.take(effect.notice)

    def take(self, notice: Notice) -> None:
        self.feed(c.NoticeTaken(notice.key, notice.began_s, notice.is_over))

    def restarted(self, after_s: float = 0.0) -> Harness:
        """What another process goes on with, before a master is heard."""
        made = Harness(self.records)
        made.now_s = self.now_s + after_s
        made.feed(c.Tick())
        return made

    @property
    def told(self) -> list[tuple[str, str]]:
        """What it was about and how it is, as it was told."""
        notices = [effect.notice for effect in self.effects if isinstance(effect, c.Tell)]
        return [(notice.key.split("/")[2], notice.status) for notice in notices]

    @property
    def states(self) -> list[str]:
        return [str(one.state) for one in self.core.alerts]

    def say(self, task_id: str, state: pb.TaskState = pb.TASK_RUNNING, **status: Any) -> None:
        told = pb.TaskStatus(task_id=task_id, state=state, uuid=b"u", agent_id="a", **status)
        self.feed(c.TaskUpdated(told))

    def run(self, job: Job, **status: Any) -> None:
        """Have all of a job run."""
        self.submit(job)
        self.offer(f"cpus:{job.tasks[0].instances};mem:40000;ports:[1-9]")
        for task_id in self.launched():
            self.say(task_id, **status)
