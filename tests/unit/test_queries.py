"""What operators read and decide, without any transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.errors import Problem, ProblemKind, RequestError
from pymesos_core.json_dialect import event_json, offer_json, task_json, to_json
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.policy import Policy
from pymesos_core.security.secrets import Sealed
from pymesos_master.commands import Commands
from pymesos_master.core import events as ev
from pymesos_master.queries import PageRequest, Queries, TaskFilter
from pymesos_master.services.agent import _Registration
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import operator_pb2, scheduler_pb2
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import MasterHarness, task

CALLER = Caller("ops", Method.CERT, "c1", "ipv4:10.0.0.1", "grpc")
ALL = PageRequest()


def subscribe_optimistically(h: MasterHarness, connection_id: int) -> None:
    info = pb.FrameworkInfo(name="second", roles=["*"])
    subscribe = scheduler_pb2.Call.Subscribe(framework_info=info, optimistic_roles=["*"])
    h.feed(ev.FrameworkSubscribing(connection_id, subscribe))


def test_offers_are_listed_as_their_frameworks_were_sent_them() -> None:
    h = MasterHarness()
    h.agent("cpus:4;mem:4096;ports:[31000-31005]", port=5051)
    agent = next(iter(h.core.state.agents.values()))
    agent.info.attributes.add(name="rack", text="r1")
    agent.info.runtimes.append("process")
    subscribe_optimistically(h, 900)
    first = h.subscribe()
    h.advance(1.0)
    sent = {
        offer.offer_id: offer for connection_id in (900, first) for offer in h.offers(connection_id)
    }
    listed = {view.offer.offer_id: view.offer for view in Queries(h.core).offers(NOBODY, ALL).views}
    assert listed and listed == {offer_id: sent[offer_id] for offer_id in listed}
    assert {offer.optimistic for offer in listed.values()} == {False, True}
    assert all(offer.agent_total and offer.runtimes for offer in listed.values())
    shown = [offer_json(view) for view in Queries(h.core).offers(NOBODY, ALL).views]
    assert all(o["attributes"] == {"rack": "r1"} and o["runtimes"] == ["process"] for o in shown)


@pytest.mark.parametrize("quota", ["", "cpus:1;mem:1"])
def test_a_framework_is_explained_after_a_failover(quota: str) -> None:
    before = MasterHarness()
    ids = [before.agent_id(before.agent(port=number)) for number in range(1, 11)]
    if quota:
        amounts = to_proto(parse(quota))
        asked = pb.Quota(guarantees=amounts, limits=amounts)
        before.feed(ev.OperatorSetQuota(1, "eng", asked))
    h = MasterHarness(registry=before.registry, now_s=before.now_s)
    framework_id = h.framework_id(h.subscribe())
    for back, agent_id in enumerate(ids):
        awaited = 8 - back if quota and back < 8 else 0
        assert Queries(h.core).explain(NOBODY, framework_id).agents_awaited == awaited
        h.agent(port=back + 1, agent_id=agent_id)
    assert Queries(h.core).explain(NOBODY, framework_id).agents_awaited == 0


@pytest.mark.parametrize(
    ("ask", "kind", "words"),
    [
        (
            lambda q: q.explain(NOBODY, "nobody"),
            ProblemKind.NOT_FOUND,
            "there is no framework nobody",
        ),
        (lambda q: q.agent("x"), ProblemKind.NOT_FOUND, "knows no agent 'x'"),
        (
            lambda q: q.tasks(NOBODY, PageRequest(1, "7.1"), TaskFilter()),
            ProblemKind.OUTDATED,
            "list again",
        ),
    ],
)
def test_what_cannot_be_answered_is_an_error_with_a_kind(
    ask: Callable[[Queries], object], kind: ProblemKind, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        ask(Queries(MasterHarness().core))
    assert refused.value.problem.kind is kind


def test_needs_that_are_no_resources_are_invalid() -> None:
    h = MasterHarness()
    h.subscribe()
    (framework_id,) = h.core.state.frameworks
    bad = pb.Resource(name="cpus", scalar=float("nan"))
    with pytest.raises(RequestError, match="needs") as refused:
        Queries(h.core).explain(NOBODY, framework_id, [bad])
    assert refused.value.problem.kind is ProblemKind.INVALID


def test_the_tasks_of_a_run_are_found_by_its_name() -> None:
    h = MasterHarness()
    h.agent()
    framework = h.subscribe()
    for attempt, run in enumerate(("2026-11-28T01:30Z", "trigger-77")):
        offer = h.offers(framework)[0]
        info = task(offer, f"reports-0a1b2c3d.daily.0.{attempt}")
        info.labels.add(key="run", value=run)
        h.accept(framework, [offer.offer_id], info)

    def runs(called: str, *, exactly: bool) -> list[str | None]:
        wanted = TaskFilter(called=called, called_exactly=exactly)
        views = Queries(h.core).tasks(NOBODY, ALL, wanted).views
        return [task_json(view)["run"] for view in views]

    assert runs("reports.daily@trigger-77", exactly=True) == ["trigger-77"]
    assert runs("reports.daily@2026-11-28", exactly=False) == ["2026-11-28T01:30Z"]
    assert runs("reports.daily@2026-11-28", exactly=True) == []
    assert runs("reports.daily", exactly=True) == ["2026-11-28T01:30Z", "trigger-77"]


Command = Callable[[Commands], "asyncio.Future[None]"]
COMMANDS: list[Command] = [
    lambda c: asyncio.ensure_future(c.kill_task(CALLER, "", "t")),
    lambda c: asyncio.ensure_future(c.tear_down(CALLER, "f")),
    lambda c: asyncio.ensure_future(c.mark_gone(CALLER, "a")),
    lambda c: asyncio.ensure_future(c.cordon(CALLER, ["a"])),
    lambda c: asyncio.ensure_future(c.drain(CALLER, ["a"], 60.0, then_gone=True)),
    lambda c: asyncio.ensure_future(c.activate(CALLER, ["a"])),
    lambda c: asyncio.ensure_future(c.schedule_maintenance(CALLER, ["a"], 1.0, 2.0)),
    lambda c: asyncio.ensure_future(c.cancel_maintenance(CALLER, ["a"])),
    lambda c: asyncio.ensure_future(c.set_quota(CALLER, "r", pb.Quota(), force=True)),
    lambda c: asyncio.ensure_future(c.set_weight(CALLER, "r", 2.0)),
    lambda c: asyncio.ensure_future(c.set_quotas(CALLER, [("r", pb.Quota())], force=True)),
    lambda c: asyncio.ensure_future(c.set_weights(CALLER, [("r", 2.0)])),
    lambda c: asyncio.ensure_future(c.reserve(CALLER, "a", "r", ())),
    lambda c: asyncio.ensure_future(c.unreserve(CALLER, "a", "r", ())),
    lambda c: asyncio.ensure_future(c.convert(CALLER, "a", scheduler_pb2.Operation())),
    lambda c: asyncio.ensure_future(c.release_record(CALLER, "agent", "a", discard=True)),
    lambda c: asyncio.ensure_future(c.set_policy(CALLER, Policy(), 3)),
    lambda c: asyncio.ensure_future(c.make_token(CALLER, "d", "agent/a", 60.0)),
    lambda c: asyncio.ensure_future(c.remove_token(CALLER, "d")),
    lambda c: asyncio.ensure_future(c.set_secret(CALLER, "r", "n", Sealed("k", b"n", b"d"))),
    lambda c: asyncio.ensure_future(c.remove_secret(CALLER, "r", "n", force=True)),
    lambda c: asyncio.ensure_future(c.revoke(CALLER, "agent/a", undo=True)),
    lambda c: asyncio.ensure_future(c.make_access_token(CALLER, "d", "ci", 60.0, ("read",))),
    lambda c: asyncio.ensure_future(c.revoke_access_token(CALLER, "d")),
    lambda c: asyncio.ensure_future(c.sign_in(CALLER, "d")),
    lambda c: asyncio.ensure_future(c.set_webhook(CALLER, operator_pb2.SetWebhookRequest())),
    lambda c: asyncio.ensure_future(c.remove_webhook(CALLER, "w")),
    lambda c: asyncio.ensure_future(
        c.silence_alerts(CALLER, operator_pb2.SilenceClusterAlertsRequest())
    ),
]


async def test_every_command_has_its_caller_and_raises_what_the_core_says() -> None:
    heard: list[ev.Event] = []
    problem = Problem(ProblemKind.NOT_FOUND, "there is none")

    async def ask(make_event: Callable[[int], ev.Event]) -> Problem | None:
        heard.append(make_event(7))
        return problem

    for command in COMMANDS:
        with pytest.raises(RequestError, match="there is none") as refused:
            await command(Commands(ask))
        assert refused.value.problem is problem
    assert {type(event) for event in heard} == {
        kind for kind in vars(ev).values() if getattr(kind, "__name__", "").startswith("Operator")
    }
    assert all(getattr(event, "caller", None) == CALLER for event in heard)


def test_every_message_of_an_agent_has_its_caller() -> None:
    heard: list[ev.Event] = []
    connection: Any = SimpleNamespace(connection_id=1, caller=CALLER, feed=heard.append)
    registration = _Registration(connection, epoch=1)
    turn: Any = None  # of which nothing is needed for a registration without tasks
    for message in (
        agent_pb.AgentMessage(register=agent_pb.Register()),
        agent_pb.AgentMessage(update=agent_pb.StatusUpdate()),
        agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong()),
        agent_pb.AgentMessage(ended_tasks=agent_pb.EndedTasks()),
        agent_pb.AgentMessage(leaving=agent_pb.AgentMessage.Leaving()),
        agent_pb.AgentMessage(usage=agent_pb.Usage()),
        agent_pb.AgentMessage(executor_message=agent_pb.ExecutorMessage()),
        agent_pb.AgentMessage(executor_exited=agent_pb.AgentMessage.ExecutorExited()),
        agent_pb.AgentMessage(),
    ):
        if registration.complete:
            registration.pass_on(message)
        else:
            asyncio.run(registration.add(message, turn))
    assert len(heard) == 9 and len({type(event) for event in heard}) == 7
    assert all(getattr(event, "caller", None) is CALLER for event in heard)


def test_an_operators_problem_has_a_kind() -> None:
    h = MasterHarness()
    agent_id = h.agent_id(h.agent())
    for event, kind in (
        (ev.OperatorKilledTask(1, "", "t"), ProblemKind.NOT_FOUND),
        (ev.OperatorToreDown(1, "f"), ProblemKind.NOT_FOUND),
        (ev.OperatorMarkedGone(1, "a"), ProblemKind.NOT_FOUND),
        (ev.OperatorReserved(1, "a", "db", ()), ProblemKind.NOT_FOUND),
        (ev.OperatorReserved(1, agent_id, "db", ()), ProblemKind.INVALID),
        (ev.OperatorSetWeight(1, "r", -1.0), ProblemKind.INVALID),
        (ev.OperatorReleasedRecord(1, "agent", "x"), ProblemKind.NOT_FOUND),
    ):
        (answer,) = h.core.step(h.now, event)
        assert getattr(answer, "problem").kind is kind, event  # noqa: B009 - of several effects


def test_an_event_of_a_later_kind_is_shown_all_the_same() -> None:
    event = operator_pb2.ClusterEvent.FromString(b"\x60\xe7\x07")  # field 12: 999
    assert event_json(event)["kind"] == "kind_999"
    assert '"kind_999"' in to_json(event_json(event), None)
