"""What the SDK sends stays below the limits; what cannot is an error of the one who says it."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_agent.services.executor import _Subscription
from pymesos_core import limits
from pymesos_core.outbox import Outbox
from pymesos_master.services.scheduler import Accepts
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import scheduler_pb2 as spb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler, TooLargeError
from pymesos_sdk.executor import Executor, ExecutorDriver
from pymesos_sdk.sizes import parts_of, subscription

INFO = pb.FrameworkInfo(name="f")
ENVIRONMENT = {
    "PYMESOS_AGENT": "127.0.0.1:1",
    "PYMESOS_FRAMEWORK_ID": "f",
    "PYMESOS_EXECUTOR_ID": "x",
    "PYMESOS_EXECUTOR_TOKEN": "t",
}


def info(number: int, size: int) -> pb.TaskInfo:
    return pb.TaskInfo(task_id=f"t{number}", data=b"x" * size)


def accept(*sizes: int, more_operations: int = 0) -> spb.Call:
    launch = spb.Operation.Launch(task_infos=[info(n, size) for n, size in enumerate(sizes)])
    reserving = [spb.Operation(reserve=spb.Operation.Reserve())] * more_operations
    return spb.Call(
        accept=spb.Call.Accept(
            offer_ids=["o1", "o2"],
            operations=[*reserving, spb.Operation(launch=launch)],
            filters=spb.Filters(refuse_seconds=7),
        )
    )


def infos(call: spb.Call) -> list[pb.TaskInfo]:
    return [i for o in call.accept.operations for i in o.launch.task_infos]


def put_together(calls: list[spb.Call]) -> tuple[list[spb.Call], list[spb.Event]]:
    told: list[spb.Event] = []
    accepts = Accepts(told.append)
    return [whole for call in calls for whole in accepts.take(call)], told


@settings(max_examples=30)
@given(st.lists(st.integers(0, limits.TASK_INFO.most - 100), max_size=25), st.integers(0, 3))
def test_an_accept_comes_whole_at_the_master(sizes: list[int], operations: int) -> None:
    call = accept(*sizes, more_operations=operations)
    parts = parts_of(call)
    assert all(part.ByteSize() <= limits.MESSAGE.most for part in parts)
    assert [part.accept.more for part in parts] == [True] * (len(parts) - 1) + [False]
    (whole,), told = put_together(parts)
    assert not told
    assert infos(whole) == infos(call)
    assert whole.accept.offer_ids == call.accept.offer_ids
    assert whole.accept.filters == call.accept.filters


def test_twenty_tasks_of_60_kb() -> None:
    assert len(parts_of(accept(*[60_000] * 20))) == 3
    with pytest.raises(TooLargeError, match=r"ACCEPT.* has 12\d{5} bytes; at most 1048576"):
        parts_of(accept(*[60_000] * 20), accept_in_parts=False)


def test_what_is_too_large_by_itself_is_an_error_that_names_size_and_limit() -> None:
    with pytest.raises(TooLargeError, match=r"task t1 has 30.* bytes; at most 262144"):
        parts_of(accept(10, 300_000))
    with pytest.raises(TooLargeError, match="1001 tasks; at most 1000"):
        parts_of(accept(*[0] * 1001))
    with pytest.raises(TooLargeError, match="at most 8388608"):
        parts_of(accept(*[200_000] * 50))
    message = spb.Call(message=spb.Call.Message(data=b"x" * 600_000))
    with pytest.raises(TooLargeError, match="600000 bytes; at most 524288"):
        parts_of(message)
    labels = [pb.Label(key="k", value="x" * 600_000)]
    resource = pb.Resource(name="cpus", reservations=[pb.Resource.Reservation(labels=labels)] * 2)
    reserve = spb.Operation(reserve=spb.Operation.Reserve(resources=[resource]))
    with pytest.raises(TooLargeError, match="at most 1048576"):
        parts_of(spb.Call(accept=spb.Call.Accept(offer_ids=["o"], operations=[reserve])))


def test_a_decline_of_many_offers_goes_in_several() -> None:
    ids = [f"o{n}" for n in range(2500)]
    calls = parts_of(spb.Call(decline=spb.Call.Decline(offer_ids=ids)))
    assert [len(call.decline.offer_ids) for call in calls] == [1000, 1000, 500]
    assert [i for call in calls for i in call.decline.offer_ids] == ids


def test_a_driver_refuses_at_the_call_and_sends_nothing_of_it() -> None:
    driver = Driver(Scheduler(), INFO, "127.0.0.1:1")
    with pytest.raises(TooLargeError, match="at most 262144"):
        driver.accept(["o"], [info(1, 10), info(2, 300_000)])
    assert not driver._core.ledger.tasks
    with pytest.raises(TooLargeError, match="at most 65536"):
        Driver(Scheduler(), pb.FrameworkInfo(name="x" * 70_000), "127.0.0.1:1")


def test_parts_that_do_not_belong_together_are_refused_and_their_offers_given_back() -> None:
    first, other = parts_of(accept(*[60_000] * 20))[0], accept(10)
    other.accept.offer_ids[:] = ["o9"]
    calls, told = put_together([first, other])
    assert [call.WhichOneof("call") for call in calls] == ["decline", "accept"]
    assert list(calls[0].decline.offer_ids) == ["o1", "o2"]
    assert told[0].refused.call == "ACCEPT"


def test_an_accept_in_parts_is_bounded() -> None:
    first = parts_of(accept(*[60_000] * 20))[0]
    accepts = Accepts(lambda event: None)
    calls = [call for _ in range(100) for call in accepts.take(first)]
    assert {call.WhichOneof("call") for call in calls} == {"decline"}
    assert accepts._size <= limits.ACCEPT.most


def test_an_accept_in_parts_that_is_too_large_is_refused_once_with_all_its_parts() -> None:
    first, *_, last = parts_of(accept(*[60_000] * 20))
    assert first.accept.more and not last.accept.more
    calls, told = put_together([*[first] * 30, last, accept(10)])
    (refused,) = [event.refused for event in told]
    assert refused.code == spb.Event.Refused.TOO_LARGE
    assert "at most 8388608" in refused.message and "None of its tasks" in refused.message
    declined, after = calls
    assert list(declined.decline.offer_ids) == ["o1", "o2"]
    assert declined.decline.filters.HasField("refuse_seconds")
    assert declined.decline.filters.refuse_seconds == 0, "its offers may come back at once"
    assert after == accept(10), "the next one of the same offers is another"


def test_an_accept_of_other_offers_is_no_part_of_one_that_was_too_large() -> None:
    first, other = parts_of(accept(*[60_000] * 20))[0], accept(10)
    other.accept.offer_ids[:] = ["o9"]
    calls, told = put_together([*[first] * 30, other, accept(10)])
    assert [call.WhichOneof("call") for call in calls] == ["decline", "accept", "accept"]
    assert len(told) == 1


def status(number: int, size: int) -> pb.TaskStatus:
    return pb.TaskStatus(
        task_id=f"t{number}", state=pb.TASK_RUNNING, uuid=bytes([number]), data=b"x" * size
    )


@pytest.mark.parametrize(("tasks", "updates"), [(1, 0), (5, 5), (20, 20), (9_000, 40)])
def test_an_executor_subscribes_in_pages(tasks: int, updates: int) -> None:
    task_ids = [f"{number:0200}" for number in range(tasks)]
    said = [status(number, 60_000) for number in range(updates)]
    calls = list(subscription(executor_pb.ExecutorCall.Subscribe(token="t"), task_ids, said))
    assert all(call.ByteSize() <= limits.MESSAGE.most for call in calls)
    together = _Subscription()
    first, *rest = [whole for call in calls for whole in together.take(call)]
    assert list(first.subscribe.task_ids) == task_ids
    assert first.subscribe.token == "t"
    assert [*first.subscribe.unacknowledged, *(call.update.status for call in rest)] == said


def test_an_executor_checks_what_it_says() -> None:
    driver = ExecutorDriver(Executor(), ENVIRONMENT)
    driver.update("t", pb.TASK_RUNNING, data=b"x" * 60_000, labels={"key": "value"})
    with pytest.raises(TooLargeError, match=r"update of t has 7\d{4} bytes; at most 64512"):
        driver.update("t", pb.TASK_RUNNING, data=b"x" * 70_000)
    with pytest.raises(TooLargeError, match="at most 255"):
        driver.update("t", pb.TASK_RUNNING, labels={"k" * 300: ""})
    with pytest.raises(ValueError, match="TASK_LOST"):
        driver.update("t", pb.TASK_LOST)
    with pytest.raises(TooLargeError, match="at most 524288"):
        driver.send_message(b"x" * 600_000)
    (kept,) = driver._unacknowledged.values()
    assert kept.labels[0] == pb.Label(key="key", value="value")


class Async(Scheduler):
    async def offers(self, driver: Driver, offers: Any) -> None: ...  # type: ignore[override]


class Generator(Scheduler):
    def update(self, driver: Driver, status: pb.TaskStatus) -> Any:
        yield


class AsyncExecutor(Executor):
    async def launch(self, driver: ExecutorDriver, task: pb.TaskInfo) -> None: ...  # type: ignore[override]


async def _late(*_: object) -> None: ...


def test_methods_that_would_do_nothing_are_an_error_at_construction() -> None:
    with pytest.raises(TypeError, match=r"Async\.offers is `async def`.*create_task"):
        Driver(Async(), INFO, "127.0.0.1:1")
    with pytest.raises(TypeError, match=r"Generator\.update"):
        Driver(Generator(), INFO, "127.0.0.1:1")
    with pytest.raises(TypeError, match=r"AsyncExecutor\.launch"):
        ExecutorDriver(AsyncExecutor(), ENVIRONMENT)
    partly = Scheduler()
    setattr(partly, "message", functools.partial(_late, 1))  # noqa: B010
    with pytest.raises(TypeError, match="message"):
        Driver(partly, INFO, "127.0.0.1:1")


class Slips(Scheduler):
    def updates(self, driver: Driver, status: pb.TaskStatus) -> None: ...

    def offer(self) -> None: ...

    def offers(self, driver: Driver, offers: Any) -> None: ...

    def _rescind(self) -> None: ...

    def count(self) -> None: ...


class SlipsExecutor(Executor):
    def launched(self, driver: ExecutorDriver, task: pb.TaskInfo) -> None: ...


def test_methods_that_are_nearly_callbacks_are_told(caplog: pytest.LogCaptureFixture) -> None:
    Driver(Slips(), INFO, "127.0.0.1:1")
    ExecutorDriver(SlipsExecutor(), ENVIRONMENT)
    one, other = caplog.messages
    assert one.startswith("the driver never calls Slips.updates; did you mean update?")
    assert other.startswith("the driver never calls SlipsExecutor.launched; did you mean launch?")


async def test_a_plain_method_that_returns_a_coroutine_is_an_error_when_it_is_called() -> None:
    hidden = Scheduler()
    setattr(hidden, "offers", lambda driver, offers: _late())  # noqa: B010
    driver = Driver(hidden, INFO, "127.0.0.1:1")
    with pytest.raises(TypeError, match="to be awaited"):
        driver._deliver(spb.Event(offers=spb.Event.Offers()))


def test_a_box_counts_what_waits_not_what_was_sent() -> None:
    async def main() -> None:
        box: Outbox[pb.TaskStatus] = Outbox(limit_bytes=10_000)
        for _ in range(100):
            box.put(status(1, 4000))
            assert await box.batch() is not None
        box.put(status(1, 50_000), bounded=False)
        box.put(status(1, 4000))
        assert await box.batch() is not None
        assert not box.overflowed
        box.put(status(1, 4000))
        box.put(status(1, 8000))
        assert box.overflowed

    asyncio.run(main())


def test_an_operation_with_an_id_stays_one() -> None:
    call = accept(*[200_000] * 4)
    call.accept.operations[0].id = "launch-1"
    (part,) = parts_of(call)
    assert part.accept.operations[0].id == "launch-1"
