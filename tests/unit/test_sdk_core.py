"""The driver core: what a framework author need not write."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import (
    Driver,
    FrameworkDeniedError,
    FrameworkError,
    FrameworkRemovedError,
    FrameworkSupersededError,
    Scheduler,
)
from pymesos_sdk.core import (
    Connected,
    Deliver,
    Disconnect,
    Disconnected,
    Fail,
    Lost,
    Send,
    Tick,
)
from pymesos_sdk.executor import Executor, ExecutorDriver
from pymesos_sdk.threads import Home
from pymesos_testing.driver_harness import Harness


def test_it_subscribes_again_under_the_id_it_was_given() -> None:
    h = Harness()
    h.connect()
    h.feed(Disconnected(1))
    assert any(isinstance(e, Lost) for e in h.effects)
    h.connect()
    first, second = (c.subscribe.framework_info.framework_id for c in h.sent("subscribe"))
    assert (first, second) == ("", "id")


def test_an_older_master_is_left() -> None:
    h = Harness()
    h.connect(epoch=5)
    h.feed(Disconnected(1))
    h.connect(epoch=4)
    assert any(isinstance(e, Disconnect) for e in h.effects)
    assert sum(isinstance(e, Deliver) for e in h.effects) == 1


def test_after_a_failover_unfinished_tasks_are_asked_for_until_answered() -> None:
    h = Harness()
    h.connect()
    for task_id in ("a", "b"):
        h.launch(task_id)
    h.update("a", pb.TASK_FINISHED)
    h.feed(Disconnected(1))
    h.connect()
    assert h.asked() == ["b"]
    for _ in range(6):
        h.now_s += 20
        h.feed(Tick())
        h.hear(spb.Event(heartbeat=spb.Event.Heartbeat()))
    assert len(h.asked()) >= 3
    h.update("b", pb.TASK_RUNNING)
    before = len(h.asked())
    h.now_s += 20
    h.feed(Tick())
    assert len(h.asked()) == before


def test_an_unreachable_task_is_asked_for_until_something_better_is_said() -> None:
    h = Harness()
    h.connect()
    h.launch("t")
    h.update("t", pb.TASK_UNREACHABLE)
    for _ in range(5):
        h.now_s += 20
        h.hear(spb.Event(heartbeat=spb.Event.Heartbeat()))
        h.feed(Tick())
        if h.asked():
            h.update("t", pb.TASK_UNREACHABLE)
    assert len(h.asked()) >= 2
    h.update("t", pb.TASK_GONE)
    before = len(h.asked())
    h.now_s += 30
    h.feed(Tick())
    assert len(h.asked()) == before


def test_an_accept_made_while_away_is_found_out() -> None:
    h = Harness()
    h.launch("t")
    assert h.sent("accept") == []
    h.connect()
    assert h.asked() == ["t"]


def test_kills_and_suppression_survive_a_failover() -> None:
    h = Harness()
    h.connect()
    h.call(kill=spb.Call.Kill(task_id="t"))
    h.call(suppress=spb.Call.Suppress())
    h.feed(Disconnected(1))
    h.connect()
    assert len(h.sent("kill")) == 2
    assert list(h.sent("subscribe")[-1].subscribe.suppressed_roles) == ["*"]
    h.update("t", pb.TASK_KILLED)
    h.feed(Disconnected(2))
    h.connect()
    assert len(h.sent("kill")) == 2, "a task that ended is killed no more"


def test_a_silent_master_is_left() -> None:
    h = Harness()
    h.connect()
    h.now_s = 46
    h.feed(Tick())
    assert any(isinstance(e, Disconnect) for e in h.effects)


def test_an_error_is_the_end() -> None:
    h = Harness()
    h.connect()
    error = spb.Event.Error(message="no more", code=spb.Event.Error.FRAMEWORK_REMOVED)
    h.hear(spb.Event(error=error))
    assert Fail("no more", error.code) in h.effects


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        (spb.Event.Error.FRAMEWORK_REMOVED, FrameworkRemovedError),
        (spb.Event.Error.DENIED, FrameworkDeniedError),
        (spb.Event.Error.SUPERSEDED, FrameworkSupersededError),
        (spb.Event.Error.CODE_UNSPECIFIED, FrameworkError),
        (2047, FrameworkError),
    ],
)
async def test_what_a_driver_raises_is_told_by_a_code(
    code: spb.Event.Error.Code, raised: type[Exception]
) -> None:
    driver = Driver(Scheduler(), pb.FrameworkInfo(name="f"), "127.0.0.1:1")
    driver._do(Fail("Framework has been removed", code))
    with pytest.raises(FrameworkError, match="has been removed") as caught:
        await driver.run()
    assert type(caught.value) is raised


async def test_a_driver_is_stopped_and_called_from_other_threads() -> None:
    """What came from another thread was seen when something else woke the loop, if ever."""
    driver = Driver(Scheduler(), pb.FrameworkInfo(name="f"), "127.0.0.1:1")
    fed: list[int] = []
    driver._runner.feed = lambda event: fed.append(threading.get_ident())  # type: ignore[method-assign]
    running = asyncio.create_task(driver.run())
    await asyncio.sleep(0.05)

    def elsewhere() -> None:
        driver.revive()
        driver.stop()

    await asyncio.wait_for(asyncio.gather(asyncio.to_thread(elsewhere), running), 10)
    assert set(fed) == {threading.get_ident()}, "it is done in the loop"
    driver.stop()  # twice is once
    with pytest.raises(RuntimeError, match=r"`run` is called once\. Make another"):
        await driver.run()


@pytest.mark.parametrize("given", ["o-1", b"o-1", [pb.Offer(offer_id="o-1")], [7]])
def test_what_is_no_list_of_ids_is_refused_where_it_is_written(given: Any) -> None:
    """The letters of an id were declined one by one, and the offer was held."""
    driver = Driver(Scheduler(), pb.FrameworkInfo(name="f"), "127.0.0.1:1")
    for call in (driver.decline, driver.accept, driver.revive, driver.suppress):
        with pytest.raises(TypeError, match="expected"):
            call(given)


@pytest.mark.parametrize("given", [pb.TaskInfo(), ["t-1"], [pb.Offer()], 7])
def test_what_is_no_list_of_tasks_is_refused_where_it_is_written(given: Any) -> None:
    driver = Driver(Scheduler(), pb.FrameworkInfo(name="f"), "127.0.0.1:1")
    with pytest.raises(TypeError, match=r"tasks has to be a list of TaskInfo, as Room\.make_task"):
        driver.accept(["o-1"], given)
    with pytest.raises(TypeError, match="each of groups has to be a list of TaskInfo"):
        driver.accept(["o-1"], groups=[given])


async def test_an_executor_reports_from_the_threads_of_its_tasks() -> None:
    names = ("FRAMEWORK_ID", "EXECUTOR_ID", "EXECUTOR_TOKEN")
    environment = {"PYMESOS_AGENT": "127.0.0.1:1"} | {f"PYMESOS_{name}": "x" for name in names}
    driver = ExecutorDriver(Executor(), environment)
    put: list[int] = []
    driver._put = lambda call: put.append(threading.get_ident())  # type: ignore[method-assign]
    running = asyncio.create_task(driver.run())
    await asyncio.sleep(0.05)

    def elsewhere() -> None:
        driver.update("t", pb.TASK_RUNNING)
        driver.send_message(b"x")

    await asyncio.to_thread(elsewhere)
    await asyncio.sleep(0.05)
    assert put == [threading.get_ident()] * 2 and len(driver._unacknowledged) == 1
    driver._unacknowledged.clear()
    await asyncio.to_thread(driver.stop)
    await asyncio.wait_for(running, 10)
    with pytest.raises(RuntimeError, match="`run` is called once"):
        await driver.run()


def test_what_another_thread_wants_as_the_loop_closes_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home, loop = Home("the driver"), asyncio.new_event_loop()

    async def begin() -> None:
        home.begin()

    loop.run_until_complete(begin())
    loop.close()
    monkeypatch.setattr(loop, "is_closed", lambda: False)  # as it was a moment ago
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(home.passes, list).result(10)


def test_an_old_update_that_comes_again_after_the_end_changes_nothing() -> None:
    h = Harness()
    h.connect()
    h.launch("t")
    h.update("t", pb.TASK_FINISHED)
    h.update("t", pb.TASK_RUNNING)
    h.call(kill=spb.Call.Kill(task_id="t"))
    assert len(h.sent("kill")) == 1
    h.effects.clear()
    h.connect(epoch=2)
    assert h.asked() == [] and h.sent("kill") == []


def test_every_task_is_asked_for_however_many_there_are() -> None:
    h = Harness()
    h.connect()
    tasks = [spb.Call.Reconcile.Task(task_id=f"t{n}", agent_id="a") for n in range(2500)]
    h.call(reconcile=spb.Call.Reconcile(tasks=tasks))
    assert h.asked() == [t.task_id for t in tasks]
    assert all(0 < len(call.reconcile.tasks) <= 1000 for call in h.sent("reconcile"))
    h.effects.clear()
    h.feed(Disconnected(h.connection))
    h.connect()
    assert h.asked() == [t.task_id for t in tasks], "and after a failover"


def test_no_more_is_asked_at_once_than_a_master_has_wait_and_nothing_is_left_out() -> None:
    h = Harness()
    h.connect()
    tasks = [spb.Call.Reconcile.Task(task_id=f"t{n}", agent_id="a") for n in range(50_000)]
    h.call(reconcile=spb.Call.Reconcile(tasks=tasks))
    asked = [h.asked()]
    for _ in range(2):  # nothing is answered
        h.effects.clear()
        h.now_s += 2.0
        h.feed(Tick())
        asked.append(h.asked())
    assert all(len(each) <= 20_000 for each in asked)
    assert {i for each in asked for i in each} == {t.task_id for t in tasks}


def test_the_next_are_asked_for_when_the_last_answer_comes() -> None:
    h = Harness()
    tasks = [spb.Call.Reconcile.Task(task_id=f"t{n}", agent_id="a") for n in range(50_000)]
    h.call(reconcile=spb.Call.Reconcile(tasks=tasks))
    h.connect()
    asked: list[str] = []
    for expected in (20_000, 20_000, 10_000):
        now = h.asked()
        assert len(now) == expected
        h.effects.clear()
        for task_id in now[:-1]:
            h.answer(task_id, pb.TASK_RUNNING)
        assert not h.asked()
        h.answer(now[-1], pb.TASK_UNREACHABLE if expected == 10_000 else pb.TASK_FINISHED)
        asked += now
    assert asked == [task.task_id for task in tasks]
    assert not h.asked(), "that one waits for its time"
    h.now_s += 2.0
    h.feed(Tick())
    assert h.asked() == ["t49999"]


def test_questions_come_ever_less_often_only_while_nothing_is_answered() -> None:
    """Agents register one after the other after a failover."""
    h = Harness()
    tasks = [spb.Call.Reconcile.Task(task_id=f"t{n}", agent_id="a") for n in range(4)]
    h.call(reconcile=spb.Call.Reconcile(tasks=tasks))
    h.connect()
    waits = [(2.0, False), (4.0, False), (2.0, True), (2.0, True), (2.0, False), (4.0, False)]
    for waited_s, answered in waits:
        h.answer("t3", pb.TASK_UNREACHABLE)  # is asked for still, and no answer to wait for
        if answered:
            h.answer(h.asked()[0], pb.TASK_RUNNING)
        h.effects.clear()
        h.now_s += waited_s - 0.1
        h.feed(Tick())
        assert h.asked() == [], waited_s
        h.now_s += 0.1
        h.feed(Tick())
        assert "t3" in h.asked(), waited_s


def test_a_role_that_is_not_subscribed_is_not_suppressed_at_the_next_subscription() -> None:
    h = Harness()
    h.connect()
    h.call(suppress=spb.Call.Suppress(roles=["typo"]))
    h.feed(Disconnected(h.connection))
    h.connect()
    assert not h.sent("subscribe")[-1].subscribe.suppressed_roles


def test_what_was_refused_and_what_the_master_is_are_told() -> None:
    h = Harness()
    h.connect()
    assert h.core.master_version == "unknown"
    h.feed(Disconnected(h.connection))
    h.feed(Connected(h.connection))
    subscribed = spb.Event.Subscribed(
        framework_id="id", master_version="9", master_capabilities=[spb.ACCEPT_IN_PARTS]
    )
    h.hear(spb.Event(subscribed=subscribed))
    assert h.core.master_version == "9"
    assert h.core.master_capabilities == {spb.ACCEPT_IN_PARTS}
    refused = spb.Event(refused=spb.Event.Refused(call="REVIVE", message="no"))
    h.hear(refused)
    assert h.effects[-1] == Deliver(refused)
    assert not any(isinstance(e, Disconnect | Fail) for e in h.effects)


def test_nothing_is_told_of_a_task_after_its_end_by_an_answer_that_comes_too_late() -> None:
    """The task is asked for twice, and ends before the second answer: found by CI."""
    h = Harness()
    h.call(reconcile={"tasks": [{"task_id": "t", "agent_id": "a"}]})
    h.connect()
    h.now_s = 2.0
    h.feed(Tick())
    assert h.asked() == ["t", "t"]
    h.answer("t", pb.TASK_RUNNING)
    h.update("t", pb.TASK_KILLED)
    for late in (pb.TASK_RUNNING, pb.TASK_GONE, pb.TASK_LOST, pb.TASK_UNKNOWN, pb.TASK_KILLED):
        h.answer("t", late)
    assert h.told("t") == [pb.TASK_RUNNING, pb.TASK_KILLED]
    h.call(reconcile={"tasks": [{"task_id": "t", "agent_id": "a"}]})
    h.answer("t", pb.TASK_KILLED)
    assert h.told("t")[2:] == [pb.TASK_KILLED], "its author asked"


def test_another_task_of_the_id_of_one_that_ended_is_told_of_and_killed() -> None:
    h = Harness()
    h.connect()
    h.launch("t")
    h.update("t", pb.TASK_FINISHED)
    h.launch("t")
    h.call(kill=spb.Call.Kill(task_id="t"))
    h.feed(Disconnected(1))
    h.connect()
    assert h.asked() == ["t"] and len(h.sent("kill")) == 2
    h.answer("t", pb.TASK_GONE)
    assert h.told("t") == [pb.TASK_FINISHED, pb.TASK_GONE]


def test_a_framework_that_tears_itself_down_is_told_and_says_nothing_more() -> None:
    """The end of its last task comes with an offer: it launched another, to hear TASK_LOST."""
    h = Harness()
    h.connect()
    h.launch("t")
    h.update("t", pb.TASK_KILLED)
    h.call(teardown=spb.Call.Teardown())
    h.call(acknowledge=spb.Call.Acknowledge(task_id="t", agent_id="a", uuid=b"u"))
    assert len(h.sent("teardown")) == len(h.sent("acknowledge")) == 1
    h.effects.clear()
    h.hear(spb.Event(offers=spb.Event.Offers(offers=[pb.Offer(offer_id="o")])))
    h.launch("u")
    h.call(decline=spb.Call.Decline(offer_ids=["o"]))
    h.update("u", pb.TASK_LOST)
    h.feed(Disconnected(1))
    assert h.effects == [] and not h.core.ledger.tasks
    h.connect()
    assert [e.call.WhichOneof("call") for e in h.effects if isinstance(e, Send)] == [
        "subscribe",
        "teardown",
    ]


def test_the_end_of_an_earlier_task_of_the_id_is_not_that_of_the_one_that_runs() -> None:
    """An acknowledgement was lost on the way to the agent, which repeats the end."""
    h = Harness()
    h.connect()
    h.launch("t")  # on the agent a
    end = pb.TaskStatus(task_id="t", state=pb.TASK_FINISHED, uuid=b"u", agent_id="before")
    h.hear(spb.Event(update=spb.Event.Update(status=end)))
    assert h.core.ledger.tasks == {"t": "a"}
    lost = pb.TaskStatus(
        task_id="t",
        state=pb.TASK_DROPPED,
        reason=pb.REASON_RECONCILIATION,
        source=pb.SOURCE_AGENT,
        agent_id="a",
    )
    h.hear(spb.Event(update=spb.Event.Update(status=lost)))
    assert h.told("t")[-1] == pb.TASK_DROPPED, "it answers no question: its launch was lost"
    assert not h.core.ledger.tasks


def test_a_teardown_that_is_refused_is_told() -> None:
    h = Harness()
    h.connect()
    h.call(teardown=spb.Call.Teardown())
    refused = spb.Event.Refused(call="TEARDOWN", message="it is in quarantine")
    h.hear(spb.Event(refused=refused))
    assert h.effects[-1] == Fail("it was not removed: it is in quarantine")
    h.hear(spb.Event(error=spb.Event.Error(message="Framework has been removed")))
    assert h.effects[-1] == Fail(None), "as was asked for"
