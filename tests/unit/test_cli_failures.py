"""What goes wrong beside a command of the CLI is a sentence, and the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from pymesos_cli import sandboxes, services
from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError, NotFoundError, UnreachableError, errors_of_a_plan
from pymesos_cli.finding import find_task, find_tasks
from pymesos_cli.jobs import alerts, quarantine, run
from pymesos_cli.jobs.progress import Progress
from pymesos_cli.operators import listing as listing_module
from pymesos_cli.sandboxes import sandbox_of
from pymesos_cli.tasks import exec as exec_module
from pymesos_cli.tasks import logs, stats
from pymesos_core.contexts import Way
from pymesos_core.store import Change, Store, StoreError
from pymesos_proto.v1 import jobs_pb2, sandbox_pb2, types_pb2
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_testing.binpack_harness import job


async def a_task(*_: object, **__: object) -> pb.TaskView:
    return pb.TaskView()


async def test_nothing_is_written_to_a_command_that_does_not_run_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A command may have been refused; who goes on writing hears of an internal error from gRPC."""
    written: list[str | None] = []

    class Stub:
        async def Exec(
            self, inputs: AsyncIterator[sandbox_pb2.ExecInput], **_: object
        ) -> AsyncIterator[sandbox_pb2.ExecOutput]:
            written.append((await anext(inputs)).WhichOneof("input"))
            following = asyncio.ensure_future(anext(inputs))
            await asyncio.sleep(0.05)
            assert not following.done()
            yield sandbox_pb2.ExecOutput()
            written.append((await following).WhichOneof("input"))
            yield sandbox_pb2.ExecOutput(exit_status=3)

    @asynccontextmanager
    async def sandbox_of(*_: object) -> AsyncIterator[tuple[Stub, tuple[()]]]:
        yield Stub(), ()

    monkeypatch.setattr(exec_module, "sandbox_of", sandbox_of)
    monkeypatch.setattr(exec_module, "find_task", a_task)
    cluster = Cluster(Way("127.0.0.1:1"), 1.0)
    assert await exec_module.run_inside(cluster, "t", ["true"], stdin=None) == 3
    assert written == ["start", "stdin_closed"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, 2),
        (grpc.StatusCode.NOT_FOUND, 2),
        (grpc.StatusCode.PERMISSION_DENIED, 1),
        (grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
async def test_a_file_that_is_not_there_is_wrong_use(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, status: int
) -> None:
    async def answers(*_: object) -> bool:
        return True

    monkeypatch.setattr(sandboxes, "_answers", answers)
    view = pb.TaskView(agent_address=types_pb2.Address(ip="127.0.0.1", port=1))
    with pytest.raises(CliError) as refused:
        async with sandbox_of(Cluster(Way("127.0.0.1:1"), 1.0), view):
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata())
    assert refused.value.exit_code == status


async def exec_of(monkeypatch: pytest.MonkeyPatch, *outputs: sandbox_pb2.ExecOutput) -> int:
    """What `exec` returns where the call answers that, and ends with an error of gRPC then."""

    class Stub:
        async def Exec(self, _: object, **__: object) -> AsyncIterator[sandbox_pb2.ExecOutput]:
            for output in outputs:
                yield output
            if outputs[-1].HasField("exit_status"):
                raise AssertionError("how the call ends was asked")

    @asynccontextmanager
    async def sandbox_of(*_: object) -> AsyncIterator[tuple[Stub, tuple[()]]]:
        yield Stub(), ()

    monkeypatch.setattr(exec_module, "sandbox_of", sandbox_of)
    monkeypatch.setattr(exec_module, "find_task", a_task)
    return await exec_module.run_inside(Cluster(Way("127.0.0.1:1"), 1.0), "t", ["cat"], stdin=None)


async def test_an_exit_status_counts_however_the_call_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = sandbox_pb2.ExecOutput(exit_status=0)
    assert await exec_of(monkeypatch, sandbox_pb2.ExecOutput(), ended) == 0


async def test_a_call_that_ends_without_an_exit_status_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CliError, match="without saying how cat ended"):
        await exec_of(monkeypatch, sandbox_pb2.ExecOutput())


class TestInputThatCannotBeRead:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What became of calls of Exec, which would go on for ever."""
        ended: list[str] = []

        class Stub:
            async def Exec(self, _: object, **__: object) -> AsyncIterator[None]:
                try:
                    await asyncio.Event().wait()
                    yield None
                except asyncio.CancelledError:
                    ended.append("cancelled")
                    raise

        @asynccontextmanager
        async def sandbox_of(*_: object) -> AsyncIterator[tuple[Stub, tuple[()]]]:
            yield Stub(), ()

        monkeypatch.setattr(exec_module, "sandbox_of", sandbox_of)
        monkeypatch.setattr(exec_module, "find_task", a_task)
        return ended

    async def test_ends_the_call(self, calls: list[str], tmp_path: Path) -> None:
        folder = os.open(tmp_path, os.O_RDONLY)
        cluster = Cluster(Way("127.0.0.1:1"), 1.0)
        try:
            with pytest.raises(CliError, match="the input cannot be read: Is a directory"):
                async with asyncio.timeout(5):
                    await exec_module.run_inside(cluster, "t", ["cat"], stdin=folder)
        finally:
            os.close(folder)
        assert calls == ["cancelled"]


class TestAJobThatIsHostedWithoutRoom:
    async def first(self) -> None:
        views = run.run_here("127.0.0.1:1", job(), Progress(quiet=True))
        async with contextlib.aclosing(views):  # type: ignore[type-var]
            await anext(views)

    async def test_for_its_records(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(_: Store, __: Sequence[Change]) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(Store, "commit", full)
        with pytest.raises(CliError, match="the disk is full"):
            await self.first()

    async def test_for_its_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(**_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(tempfile, "TemporaryDirectory", full)
        with pytest.raises(CliError, match="temporary folder: No space left on device"):
            await self.first()


async def test_agents_that_do_not_answer_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def tasks(*_: object, **__: object) -> list[pb.TaskView]:
        return [pb.TaskView(task_info=types_pb2.TaskInfo(agent_id=i)) for i in ("a", "b")]

    async def of_agent(_: Cluster, views: Sequence[pb.TaskView]) -> list[dict[str, Any]]:
        if views[0].task_info.agent_id == "a":
            raise CliError("the agent a is not reachable")
        return [{"cpus": 1.0}]

    monkeypatch.setattr(Cluster, "tasks", tasks)
    monkeypatch.setattr(stats, "_of_agent", of_agent)
    assert await stats._rows(Cluster(Way("127.0.0.1:1"), 1.0), None) == [{"cpus": 1.0}]
    assert "the agent a is not reachable" in capsys.readouterr().err


class TestServicesOfWhichOneFails:
    @pytest.fixture(
        params=[
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.UNIMPLEMENTED,
            grpc.StatusCode.UNKNOWN,
        ]
    )
    def cluster(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Cluster]:
        async def frameworks(_: Cluster) -> list[pb.FrameworkView]:
            infos = [
                types_pb2.FrameworkInfo(name=f, framework_id=f, jobs_address=f"{f}:1")
                for f in ("bad", "good")
            ]
            return [pb.FrameworkView(info=info, state="active") for info in infos]

        async def answer(*_: object, **__: object) -> jobs_pb2.ListQuarantinedResponse:
            aside = jobs_pb2.QuarantinedJob(job_id="j", reason="why")
            return jobs_pb2.ListQuarantinedResponse(jobs=[aside])

        async def refuse(*_: object, **__: object) -> jobs_pb2.ListQuarantinedResponse:
            nothing = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(request.param, nothing, nothing, "it is so")

        @asynccontextmanager
        async def dialled_jobs(
            _: Cluster, address: str, _principal: str
        ) -> AsyncIterator[SimpleNamespace]:
            does = refuse if address == "bad:1" else answer
            yield SimpleNamespace(ListQuarantined=does)

        monkeypatch.setattr(Cluster, "frameworks", frameworks)
        monkeypatch.setattr(services, "dialled_jobs", dialled_jobs)
        yield Cluster(Way("127.0.0.1:1"), 1.0)

    async def test_the_others_say_what_is_aside(
        self, cluster: Cluster, capsys: pytest.CaptureFixture[str]
    ) -> None:
        jobs = quarantine.Jobs()
        (item,) = await jobs.list(cluster)
        assert (item.id, item.keeper) == ("j", "good")
        assert await jobs.find(cluster, "j") == item
        assert capsys.readouterr().err.count("framework bad (bad) serves the jobs of") == 2
        assert await quarantine.quarantined_jobs(cluster) == {"j": "why"}


class LogsOfATask:
    """The sandbox of a task that wrote to stderr alone."""

    async def ReadLog(
        self, request: sandbox_pb2.ReadLogRequest, **_: object
    ) -> AsyncIterator[sandbox_pb2.LogPart]:
        if request.stderr:
            yield sandbox_pb2.LogPart(data=b"no such file")

    async def ListFiles(self, *_: object, **__: object) -> sandbox_pb2.ListFilesResponse:
        sizes = {"stdout": 0, "stderr": 12, "stderr.1": 30, "stderr.txt": 500}
        files = [sandbox_pb2.FileView(name=n, size_bytes=size) for n, size in sizes.items()]
        return sandbox_pb2.ListFilesResponse(files=files)


@pytest.mark.parametrize(
    ("tasks", "stderr", "tail", "says"),
    [
        (["t"], False, None, "t wrote nothing to stdout; `pymesos-cli logs --stderr t` shows 42 b"),
        (["t"], False, 0, ""),
        (["t"], True, None, ""),
        (
            ["j-1.t.0.1", "j-1.t.1.1"],
            False,
            None,
            "none of 2 tasks wrote anything to stdout; `pymesos-cli logs --stderr x` shows 84 b",
        ),
        (["j-1.t.0.1", "j-1.t.1.1"], True, None, ""),
    ],
)
def test_of_a_task_that_wrote_to_stderr_alone_logs_says_so(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tasks: list[str],
    stderr: bool,
    tail: int | None,
    says: str,
) -> None:
    @asynccontextmanager
    async def sandbox_of(*_: object) -> AsyncIterator[tuple[LogsOfATask, tuple[()]]]:
        yield LogsOfATask(), ()

    async def views(*_: object) -> list[pb.TaskView]:
        return [pb.TaskView(task_info=types_pb2.TaskInfo(task_id=each)) for each in tasks]

    monkeypatch.setattr(logs, "sandbox_of", sandbox_of)
    monkeypatch.setattr(logs, "_views", views)
    cluster = cast(Cluster, SimpleNamespace(timeout_s=1.0))
    asyncio.run(logs.show_logs(cluster, "x", follow=False, stderr=stderr, tail=tail))
    said = capfd.readouterr().err
    assert says in said if says else "to stdout" not in said


async def test_nothing_lives_of_a_job_whose_runs_have_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended = pb.TaskView(
        task_info=types_pb2.TaskInfo(task_id="fast-00000001.t.0.1"),
        state=types_pb2.TASK_FINISHED,
    )

    async def tasks(*, completed: bool, **_: object) -> list[pb.TaskView]:
        return [ended] if completed else []

    async def none() -> list[Any]:
        return []

    cluster = cast(Cluster, SimpleNamespace(tasks=tasks, awaited_agents=none, frameworks=none))
    cluster.timeout_s = 1.0
    for as_json in (False, True):
        await listing_module.list_tasks(
            cluster, called="fast", completed=False, framework=None, states=[], limit=0,
            as_json=as_json,
        )  # fmt: skip
        said = capsys.readouterr()
        hint = said.err if as_json else said.out
        assert "`pymesos-cli tasks --all fast` lists those" in hint
        assert not as_json or said.out == "[]\n"


async def test_what_an_agent_runs_that_is_not_back_since_a_failover_is_not_known(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hosts = ["h1", "h2"]

    async def tasks(**_: object) -> list[pb.TaskView]:
        return []

    async def awaited_agents() -> list[pb.AgentView]:
        infos = [types_pb2.AgentInfo(address=types_pb2.Address(hostname=host)) for host in hosts]
        return [pb.AgentView(info=info) for info in infos]

    async def frameworks(**_: object) -> list[pb.FrameworkView]:
        return []

    async def denied() -> list[pb.AgentView]:
        raise CliError("no rule of the policy lets you")

    listed = partial(
        listing_module.list_tasks,
        completed=False, framework=None, states=[], limit=0, as_json=False,
    )  # fmt: skip
    names = SimpleNamespace(
        tasks=tasks, awaited_agents=awaited_agents, frameworks=frameworks, timeout_s=1.0
    )
    cluster = cast(Cluster, names)
    say = "h1, h2 have not come back to it yet: what runs there is not known until then"
    for find in (find_task, find_tasks):
        with pytest.raises(NotFoundError, match=f"that leads knows no task 'svc', and {say}"):
            await find(cluster, "svc", completed=False)
    await listed(cluster, called=None)
    assert capsys.readouterr().err.endswith(f"since the master that leads took over, {say}\n")
    names.awaited_agents = denied
    with pytest.raises(NotFoundError, match="there is no task 'svc'"):
        await find_task(cluster, "svc", completed=False)
    await listed(cluster, called=None)
    assert capsys.readouterr().out == "no tasks; --all shows those that have ended\n"


@pytest.mark.parametrize(
    ("state", "known", "said"),
    [
        ("pending", False, "pending"),
        ("firing", False, "firing, not yet told"),
        ("firing", True, "firing"),
        ("resolved", True, "resolved, not yet told"),
        ("resolved", False, "resolved, not yet told"),
    ],
)
def test_whether_somebody_was_told_of_an_alert(state: str, known: bool, said: str) -> None:
    assert alerts.shown_state(jobs_pb2.AlertView(state=state, known=known)) == said


@pytest.mark.parametrize(
    ("error", "planned", "acted"),
    [
        (CliError("refused"), 2, 1),
        (CliError("wrong", 2), 2, 2),
        (UnreachableError("its framework is away"), 3, 1),
        (services.SilentError(services.Silent(pb.FrameworkView(), "away")), 3, 1),
        (CliError("no master", 3), 3, 3),
    ],
)
def test_what_goes_wrong_with_a_plan_is_not_taken_for_a_change(
    error: CliError, planned: int, acted: int
) -> None:
    for is_planned, status in ((False, acted), (True, planned)):
        with pytest.raises(CliError) as raised, errors_of_a_plan(planned=is_planned):
            raise error
        assert raised.value.exit_code == status


async def test_without_receivers_it_is_said_how_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def none(*_: object) -> tuple[list[object], list[object]]:
        return [(pb.FrameworkView(), [jobs_pb2.ListAlertsResponse()])], []

    monkeypatch.setattr(alerts, "of_each", none)
    with pytest.raises(NotFoundError, match=r"--receivers FILE \(docs/alerts.md"):
        await alerts.test_receiver(Cluster(Way("h:1"), 1.0), "hook")


async def test_what_is_not_found_was_asked_of_a_cluster_that_is_named() -> None:
    for context, says in (
        ("", "there is no task 'x'. Asked was the master at h:1"),
        ("prod", "there is no task 'x'. Asked was the master at h:1, of the context prod"),
    ):
        with pytest.raises(NotFoundError) as refused:
            async with Cluster(Way("h:1", context=context), 1.0):
                raise NotFoundError("there is no task 'x'")
        assert refused.value.message == says and refused.value.exit_code == 2
    with pytest.raises(CliError) as other:
        async with Cluster(Way("h:1"), 1.0):
            raise CliError("something else")
    assert other.value.message == "something else"


@pytest.mark.parametrize(
    ("through_master", "details", "said"),
    [
        (False, "Socket closed", "the agent h (10.0.0.1:5051) answers no more; if it is started"),
        (True, "not reachable", "h (10.0.0.1:5051) is not reachable, neither from here nor from"),
        (True, "not reachable: nothing listens there", "not reachable, neither from here nor from"),
        (True, "Socket closed", "the master through which the agent h (10.0.0.1:5051) was asked"),
    ],
)
async def test_who_it_is_that_answers_no_more(
    monkeypatch: pytest.MonkeyPatch, through_master: bool, details: str, said: str
) -> None:
    """At a failover of the masters every `logs -f` said that its agent could not be reached."""

    async def answers(*_: object) -> bool:
        return not through_master

    async def leader_channel() -> object:
        return grpc.aio.insecure_channel("127.0.0.1:1")

    monkeypatch.setattr(sandboxes, "_answers", answers)
    cluster = cast(Cluster, SimpleNamespace(credentials=None, leader_channel=leader_channel))
    view = pb.TaskView()
    view.agent_address.CopyFrom(types_pb2.Address(hostname="h", ip="10.0.0.1", port=5051))
    nothing = grpc.aio.Metadata()
    with pytest.raises(CliError) as error:
        async with sandbox_of(cluster, view):
            raise grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details)
    assert said in error.value.format_message()
