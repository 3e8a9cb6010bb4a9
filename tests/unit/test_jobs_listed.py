"""Jobs and their versions are listed in messages below their limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobs.rollouts.lifecycle import State
from pymesos_binpack.jobs.rollouts.state import settled
from pymesos_binpack.services.views import job_view
from pymesos_core.transport import Code
from pymesos_proto.v1 import jobs_pb2 as pb
from pymesos_proto.v1 import types_pb2
from pymesos_testing.job_desk import WEB, Desk, document


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def shop(desk: Desk) -> str:
    """The id of a job that runs."""
    job_id = desk.apply(document(WEB)).job_id
    desk.h.offer()
    for instance in desk.h.core.instances():
        desk.h.update(instance.saved.task_id, types_pb2.TASK_RUNNING)
    return job_id


class TestMessagesStayBelowTheirLimit:
    def test_however_long_agents_say_why_a_task_was_refused(self, desk: Desk) -> None:
        tasks = [{**WEB, "name": f"t{n}", "instances": 1} for n in range(20)]
        job_id = desk.apply(document(*tasks)).job_id
        desk.h.offer("cpus:40;mem:4000")
        for instance in desk.h.core.instances():
            desk.h.update(instance.saved.task_id, types_pb2.TASK_RUNNING)
        desk.apply(document(*({**task, "command": "y"} for task in tasks)))
        desk.h.offer("cpus:40;mem:4000")
        for instance in [i for i in desk.h.core.instances() if i.live and i.version == 2]:
            desk.h.feed(
                c.TaskUpdated(
                    types_pb2.TaskStatus(
                        task_id=instance.saved.task_id, state=types_pb2.TASK_ERROR, uuid=b"u",
                        agent_id="a", message="m" * 60_000,
                    )
                )
            )  # fmt: skip
        state = desk.h.core.jobs[job_id]
        assert any(rollout.failure for rollout in state.rollouts.values())
        assert job_view(state, "f").ByteSize() < 100_000
        of = [v for (kind, _), v in desk.h.records.items() if kind.startswith("rollout")]
        assert sum(map(len, of)) < 100_000

    def test_however_many_rollouts_there_are(self, desk: Desk) -> None:
        for name in ("a", "b", "c"):
            desk.apply(document(WEB, name=name))
        why = 4000 * "\u00fc"
        over = replace(settled(1, 1, 0.0), why=why)
        going = replace(over, state=State.ROLLING)
        for state in desk.h.core.jobs.values():
            state.durable_rollouts = {**dict.fromkeys(map(str, range(999)), over), "last": going}
            rollouts = job_view(state, "f").rollouts
            assert rollouts[0].task_name == "last", "what goes on comes first"
            assert 100 < len(rollouts) < 999
        seen, token = [], ""
        while True:
            page = desk.call("ListJobs", pb.ListJobsRequest(page_token=token))
            assert page.ByteSize() < 2**20
            seen += [view.name for view in page.jobs]
            if not (token := page.next_page_token):
                break
        assert seen == ["a", "b", "c"]


class TestListed:
    NAMES = ("web", "db", "Cache", "api")

    def pages(self, desk: Desk, size: int = 0, **asked: Any) -> list[str]:
        seen, token = list[str](), ""
        while True:
            request = pb.ListJobsRequest(page_size=size, page_token=token, **asked)
            page = desk.call("ListJobs", request)
            seen += [view.name for view in page.jobs]
            if not (token := page.next_page_token):
                return seen

    @pytest.fixture
    def many(self, desk: Desk) -> Desk:
        for name in self.NAMES:
            desk.apply(document(WEB, name=name))
            desk.h.advance(1.0)
        return desk

    @pytest.mark.parametrize("size", [0, 1, 3])
    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ("name", ["Cache", "api", "db", "web"]),
            ("-name", ["web", "db", "api", "Cache"]),
            ("submitted", [*NAMES]),
            ("-submitted", [*reversed(NAMES)]),
        ],
    )
    def test_jobs_are_sorted_whatever_the_pages(
        self, many: Desk, size: int, sort: str, order: list[str]
    ) -> None:
        assert self.pages(many, size, sort=sort) == order

    def test_those_that_are_alike_are_all_there_once(self, many: Desk) -> None:
        for sort in ("id", "-id", "state", "-role", "version"):
            assert sorted(self.pages(many, 1, sort=sort)) == sorted(self.NAMES)
        assert self.pages(many, 1, sort="-state") == self.pages(many, 0, sort="state")[::-1]

    def test_a_search_looks_at_all_that_people_know_of_a_job(self, many: Desk) -> None:
        assert self.pages(many, search="cache") == ["Cache"]
        assert sorted(self.pages(many, 1, search="RUNNING")) == sorted(self.NAMES)
        assert self.pages(many, search="running web") == ["web"]
        assert self.pages(many, search="db web") == []

    def test_a_page_goes_on_after_a_job_that_has_left_the_listing(self, many: Desk) -> None:
        page = many.call("ListJobs", pb.ListJobsRequest(page_size=2, sort="-submitted"))
        (job,) = (job for job in many.h.core.jobs.values() if job.job.name == "Cache")
        many.call("StopJob", pb.StopJobRequest(job_id=job.job_id), "operator/root")
        token = page.next_page_token
        assert token == job.job_id
        request = pb.ListJobsRequest(page_token=token, sort="-submitted")
        assert [view.name for view in many.call("ListJobs", request).jobs] == ["db", "web"]

    def test_what_it_cannot_be_sorted_by_is_refused(self, desk: Desk) -> None:
        error = desk.refused("ListJobs", pb.ListJobsRequest(sort="size"))
        assert (
            error.code == Code.INVALID_ARGUMENT and "expected is one of id, name" in error.message
        )
        gone = desk.refused("ListJobs", pb.ListJobsRequest(sort="name", page_token="gone"))
        assert gone.code == Code.ABORTED
