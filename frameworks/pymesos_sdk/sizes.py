"""What is sent stays below the limits of messages: it is checked where it is said, and split.

A single thing that is too large is an error of the one who says it, before anything of the call is
sent; a call that is too large as a whole goes out in parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pymesos_core import limits
from pymesos_core.limits import Limit
from pymesos_core.outbox import Sized
from pymesos_proto.v1 import executor_pb2 as executor_pb
from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import types_pb2 as types_pb

PART_BYTES = limits.MESSAGE.most // 2
ITEM_BYTES = 16  # what the message around an item adds to it, at most

Item = TypeVar("Item")
Message = TypeVar("Message", bound=Sized)


class TooLargeError(ValueError):
    """Larger than what is accepted: the message names what, its size and the limit."""


def check(limit: Limit, size: int, what: str = "") -> None:
    """Raises TooLargeError."""
    if problem := limit.problem(size, what):
        raise TooLargeError(problem)


def groups(items: Iterable[tuple[Item, int]], most: int = 1 << 62) -> Iterator[list[Item]]:
    """Items in order, in groups of at most PART_BYTES and `most` items."""
    group: list[Item] = []
    size = 0
    for item, weight in items:
        if group and (size + weight + ITEM_BYTES > PART_BYTES or len(group) == most):
            yield group
            group, size = [], 0
        group.append(item)
        size += weight + ITEM_BYTES
    if group:
        yield group


def sized(messages: Iterable[Message]) -> list[tuple[Message, int]]:
    """Each with its size."""
    return [(message, message.ByteSize()) for message in messages]


def parts_of(call: pb.Call, *, accept_in_parts: bool = True) -> list[pb.Call]:
    """The call, in as many as it takes. Raises TooLargeError.

    An ACCEPT goes in parts only to a master that puts them together again.
    """
    match call.WhichOneof("call"):
        case "accept":
            return _accepts(call, accept_in_parts)
        case "decline":
            return _declines(call)
        case "message":
            check(limits.DATA, len(call.message.data))
        case "revive" | "suppress" as kind:
            check(limits.CALL_ROLES, len(getattr(call, kind).roles))
        case "subscribe":
            check(limits.FRAMEWORK_INFO, call.subscribe.framework_info.ByteSize())
        case "update_framework":
            check(limits.FRAMEWORK_INFO, call.update_framework.framework_info.ByteSize())
        case "reconcile":
            return [call]  # the driver asks for so many at a time
        case "publish":
            return _publishes(call.publish)
    check(limits.MESSAGE, call.ByteSize(), "The call")
    return [call]


def _declines(call: pb.Call) -> list[pb.Call]:
    offer_ids = call.decline.offer_ids
    if len(offer_ids) <= limits.CALL_OFFERS.most:
        return [call]
    return [
        pb.Call(decline=pb.Call.Decline(offer_ids=group, filters=call.decline.filters))
        for group in groups(((i, len(i)) for i in offer_ids), limits.CALL_OFFERS.most)
    ]


def _publishes(publish: pb.Call.Publish) -> list[pb.Call]:
    most = limits.PUBLISHED.most
    parts = [pb.Call.Publish(serves=group) for group in groups(sized(publish.serves), most)]
    ended = groups(((i, len(i)) for i in publish.ended), most)
    parts += [pb.Call.Publish(ended=group) for group in ended]
    keeps = groups(((i, len(i)) for i in publish.keeps), most)
    parts += [pb.Call.Publish(keeps=group) for group in keeps]
    parts = parts or [pb.Call.Publish()]
    for part in parts:
        part.whole = part.more = publish.whole
    parts[-1].more = False
    return [pb.Call(publish=part) for part in parts]


def _accepts(call: pb.Call, in_parts: bool) -> list[pb.Call]:
    accept = call.accept
    check(limits.CALL_OFFERS, len(accept.offer_ids), "The ACCEPT")
    check(limits.CALL_OPERATIONS, len(accept.operations), "The ACCEPT")
    tasks = 0
    for operation in accept.operations:
        tasks += len(operation.launch.task_infos) + len(operation.launch_group.task_infos)
    check(limits.CALL_TASKS, tasks, "The ACCEPT")
    size = call.ByteSize()
    if size <= limits.EXECUTOR_INFO.most:
        return [call]
    for operation in accept.operations:
        _check_operation(operation)
    if size <= PART_BYTES:
        return [call]
    check(limits.ACCEPT, size, "The ACCEPT")
    if not in_parts:
        check(limits.MESSAGE, size, "The ACCEPT (this master takes none in parts)")
        return [call]
    cut = [part for operation in accept.operations for part in _operations(operation)]
    calls = [
        pb.Call(accept=pb.Call.Accept(offer_ids=accept.offer_ids, operations=group, more=True))
        for group in groups(sized(cut))
    ]
    calls[-1].accept.more = False
    calls[-1].accept.filters.CopyFrom(accept.filters)
    for part in calls:
        check(limits.MESSAGE, part.ByteSize(), "An operation, with the ids of its offers,")
    return calls


def _check_operation(operation: pb.Operation) -> None:
    for infos in (operation.launch.task_infos, operation.launch_group.task_infos):
        for info in infos:
            name = info.task_id[:255]
            check(limits.TASK_INFO, info.ByteSize(), f"The task {name}")
            executor_bytes = info.executor.ByteSize()
            check(limits.EXECUTOR_INFO, executor_bytes, f"The executor of the task {name}")
    if operation.HasField("launch_group"):
        check(limits.GROUP, operation.ByteSize())
    elif operation.id or not operation.HasField("launch"):
        check(limits.MESSAGE, operation.ByteSize(), "An operation")


def _operations(operation: pb.Operation) -> Iterable[pb.Operation]:
    """A LAUNCH of much as several of less. They are the same, unless somebody waits for its id."""
    if operation.id or operation.ByteSize() <= PART_BYTES or not operation.HasField("launch"):
        return [operation]
    return [
        pb.Operation(launch=pb.Operation.Launch(task_infos=group))
        for group in groups(sized(operation.launch.task_infos))
    ]


def check_status(status: types_pb.TaskStatus) -> None:
    """Raises TooLargeError."""
    what = f"The update of {status.task_id[:255]}"
    check(limits.LABELS, len(status.labels), what)
    for label in status.labels:
        check(limits.LABEL_KEY, len(label.key.encode()))
        check(limits.LABEL_VALUE, len(label.value.encode()))
    check(limits.SAID_STATUS, status.ByteSize(), what)


def subscription(
    subscribe: executor_pb.ExecutorCall.Subscribe,
    task_ids: Iterable[str],
    unacknowledged: Sequence[types_pb.TaskStatus],
) -> Iterator[executor_pb.ExecutorCall]:
    """The calls that subscribe an executor: who it is, its tasks, what it said that may be lost."""
    pages = list(groups((task_id, len(task_id.encode())) for task_id in task_ids)) or [[]]
    first = executor_pb.ExecutorCall(subscribe=subscribe)
    first.subscribe.task_ids.extend(pages[0])
    first.subscribe.more_tasks = len(pages) > 1
    rest = list(unacknowledged)
    if len(pages) == 1 and first.ByteSize() + sum(s.ByteSize() + 16 for s in rest) <= PART_BYTES:
        first.subscribe.unacknowledged.extend(rest)
        rest = []
    yield first
    for number, page in enumerate(pages[1:], 2):
        more = executor_pb.ExecutorCall.MoreTasks(task_ids=page, more_tasks=number < len(pages))
        yield executor_pb.ExecutorCall(more_tasks=more)
    for status in rest:
        update = executor_pb.ExecutorCall.Update(status=status)
        yield executor_pb.ExecutorCall(update=update)
