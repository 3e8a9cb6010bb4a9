"""Webhooks and silences in a backup: read, and given back as far as they are not there."""

from __future__ import annotations

import asyncio
import io
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_cli.backup.records import Backup, BackupError, SavedJob, lines_of, read_backup
from pymesos_cli.backup.restored_telling import steps_of_silences, steps_of_webhooks
from pymesos_cli.backup.steps import Found, Step
from pymesos_cli.backup.telling import setting_of, told_of
from pymesos_cli.errors import EXIT_NO_MASTER, CliError
from pymesos_proto.v1 import backup_pb2 as backup_pb
from pymesos_proto.v1 import jobs_pb2
from pymesos_proto.v1 import operator_pb2 as pb

DISK = pb.ClusterSilenceView(when="disk_full", until_s=time.time() + 3600, by="op", why="a new one")
HOOK = pb.WebhookView(
    name="chat", url="https://chat.example/x", kinds=[pb.ClusterEvent.QUOTA_SET],
    secret_role="ops", secret_name="key", link_local=True, set_by="operator/a", problem="away",
)  # fmt: skip
OF_JOB = jobs_pb2.JobSilenceView(job_id="shop-1", job_name="shop", role="*", until_s=1e9)
JOB = SavedJob(
    "shop-1",
    "*",
    "shop",
    (jobs_pb2.JobVersion(version=1, job_json='{"name": "shop", "tasks": []}'),),
)


class FakeCluster:
    """A master with webhooks and silences."""

    def __init__(self, *there: pb.WebhookView | pb.ClusterSilenceView) -> None:
        self.there = there
        self.asked: list[Any] = []
        self.refusal: CliError | None = None

    async def call(self, make: Any) -> Any:
        if self.refusal is not None:
            raise self.refusal
        hooks = [one for one in self.there if isinstance(one, pb.WebhookView)]
        silences = [one for one in self.there if isinstance(one, pb.ClusterSilenceView)]

        def answers(answer: Any) -> Any:
            async def ask(request: Any, timeout: float) -> Any:
                if answer is None:
                    self.asked.append(request)
                return answer

            return ask

        stub = SimpleNamespace(
            ListWebhooks=answers(pb.ListWebhooksResponse(webhooks=hooks)),
            ListClusterAlerts=answers(pb.ListClusterAlertsResponse(silences=silences)),
            SetWebhook=answers(None),
            SilenceClusterAlerts=answers(None),
        )
        return await make(stub, 1.0)


def carried_out(cluster: FakeCluster, steps: list[Step]) -> list[Any]:
    async def run() -> None:
        for step in steps:
            if step.do is not None:
                await step.do()

    asyncio.run(run())
    return cluster.asked


def test_they_are_read() -> None:
    missing: list[str] = []
    of: Any = FakeCluster(HOOK, DISK)
    assert asyncio.run(told_of(of, missing)) == ([setting_of(HOOK)], [DISK])
    assert not missing
    of.refusal = CliError("you may not")
    assert asyncio.run(told_of(of, missing)) == ([], [])
    assert missing == [
        "webhooks: you may not",
        "silences of alerts of the cluster: you may not",
    ]
    of.refusal = CliError("nobody is there", EXIT_NO_MASTER)
    with pytest.raises(CliError, match="nobody is there"):
        asyncio.run(told_of(of, missing))


def test_a_webhook_is_set_as_it_was() -> None:
    wanted = setting_of(HOOK)
    assert (wanted.secret_name, wanted.link_local, list(wanted.kinds)) == (
        "key", True, [pb.ClusterEvent.QUOTA_SET],
    )  # fmt: skip
    other = pb.WebhookView(name="chat", url="https://elsewhere.example/")
    for there, found in (((), Found.MISSING), ((other,), Found.DIFFERS), ((HOOK,), Found.SAME)):
        cluster = FakeCluster(*there)
        of: Any = cluster
        steps = asyncio.run(steps_of_webhooks(of, [wanted]))
        assert [step.found for step in steps] == [found]
        assert carried_out(cluster, steps) == ([] if found is Found.SAME else [wanted])


def test_a_silence_lasts_for_as_long_as_is_left() -> None:
    over = pb.ClusterSilenceView(when="no_leader", until_s=time.time() - 1)
    longer = pb.ClusterSilenceView(when="disk_full", until_s=DISK.until_s + 600, why="a new one")
    for there, found in (((), Found.MISSING), ((longer,), Found.DIFFERS), ((DISK,), Found.SAME)):
        cluster = FakeCluster(*there)
        of: Any = cluster
        steps = asyncio.run(steps_of_silences(of, [over, DISK]))
        assert [step.found for step in steps] == [Found.LEFT_OUT, found]
        asked = carried_out(cluster, steps)
        assert [(one.when, one.why) for one in asked] == (
            [] if found is Found.SAME else [("disk_full", "a new one")]
        )
        assert all(0 < one.for_s <= 3600 for one in asked)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"webhooks": (pb.SetWebhookRequest(name="w"),)}, "a name and where it sends"),
        ({"webhooks": (setting_of(HOOK),) * 2}, "second time"),
        ({"silences": (DISK, DISK)}, "second time"),
        ({"silences": (pb.ClusterSilenceView(until_s=1e15),)}, "Unix time"),
        ({"jobs": (JOB,), "job_silences": (OF_JOB, OF_JOB)}, "second time"),
        ({"job_silences": (OF_JOB,)}, "a version of 'shop-1' was expected before"),
        ({"silences": (pb.ClusterSilenceView(until_s=float("nan")),)}, "Unix time"),
    ],
)
def test_what_cannot_be_is_refused(saved: dict[str, Any], said: str) -> None:
    with pytest.raises(BackupError, match=said):
        list(lines_of(Backup(backup_pb.BackupBegin(format=1), **saved)))


def test_silences_of_jobs_are_read_again() -> None:
    begin = backup_pb.BackupBegin(format=1)
    task = jobs_pb2.JobSilenceView(job_id="shop-1", task_name="web", until_s=1e9)
    backup = Backup(begin, jobs=(JOB,), job_silences=(OF_JOB, task))
    assert read_backup(io.BytesIO(b"".join(lines_of(backup)))) == backup
