"""`events` tells once what a new leader tells again."""

from __future__ import annotations

from pymesos_cli.known import MAX_ENDED, Known
from pymesos_core.resources import parse, to_proto
from pymesos_core.states import kind_name
from pymesos_proto.v1 import operator_pb2 as pb
from pymesos_proto.v1 import types_pb2

Kind = pb.ClusterEvent.Kind
BAG = to_proto(parse("cpus:1"))
STAGING, RUNNING, FINISHED = (
    types_pb2.TASK_STAGING,
    types_pb2.TASK_RUNNING,
    types_pb2.TASK_FINISHED,
)


def agent(kind: Kind, state: str = "", agent_id: str = "a") -> pb.ClusterEvent:
    return pb.ClusterEvent(kind=kind, agent_id=agent_id, resources=BAG, message=state)


def task(kind: Kind, task_id: str, state: types_pb2.TaskState) -> pb.ClusterEvent:
    return pb.ClusterEvent(
        kind=kind, agent_id="a", framework_id="f", task_id=task_id, task_state=state
    )


def told(
    known: Known, *events: pb.ClusterEvent, begins: bool = False, cursor: str = "1-1"
) -> list[str]:
    batch = pb.ClusterEventBatch(event=events, snapshot_begins=begins, cursor=cursor)
    return [
        f"{kind_name(e.kind)} {e.task_id or e.offer_id or e.agent_id}" for e in known.news(batch)
    ]


def first() -> Known:
    known = Known()
    assert told(
        known,
        agent(pb.ClusterEvent.AGENT_PRESENT, "active"),
        task(pb.ClusterEvent.TASK_PRESENT, "t1", RUNNING),
        task(pb.ClusterEvent.TASK_PRESENT, "t2", STAGING),
        pb.ClusterEvent(kind=pb.ClusterEvent.OFFER_PRESENT, offer_id="o", agent_id="a"),
        begins=True,
    ) == ["agent_present a", "task_present t1", "task_present t2", "offer_present o"]
    return known


def test_a_snapshot_again_tells_what_changed_only() -> None:
    known = first()
    assert told(known, agent(pb.ClusterEvent.AGENT_PRESENT, "active"), begins=True, cursor="") == []
    assert told(known, task(pb.ClusterEvent.TASK_PRESENT, "t1", RUNNING), cursor="") == []
    assert told(known, task(pb.ClusterEvent.TASK_PRESENT, "t3", STAGING), cursor="") == [
        "task_present t3"
    ]
    assert told(known, task(pb.ClusterEvent.TASK_PRESENT, "t2", RUNNING)) == [
        "task_present t2",
        "offer_absent o",
    ]


def test_tasks_that_a_new_leader_does_not_know_yet_are_not_gone() -> None:
    known = first()
    assert told(known, agent(pb.ClusterEvent.AGENT_PRESENT, "recovering"), begins=True) == [
        "agent_present a",
        "offer_absent o",
    ]
    assert told(
        known,
        agent(pb.ClusterEvent.AGENT_ADDED),
        task(pb.ClusterEvent.TASK_ADDED, "t1", RUNNING),
        task(pb.ClusterEvent.TASK_ADDED, "t2", RUNNING),
        task(pb.ClusterEvent.TASK_UPDATED, "t2", FINISHED),
    ) == ["agent_added a", "task_added t2", "task_updated t2"]
    assert told(known, task(pb.ClusterEvent.TASK_PRESENT, "t2", FINISHED), begins=True) == [
        "agent_absent a",
        "task_absent t1",
    ], "the end of t2 was told"


def test_what_happens_is_always_told() -> None:
    known = first()
    assert told(known, task(pb.ClusterEvent.TASK_UPDATED, "t1", RUNNING)) == ["task_updated t1"]
    assert told(known, pb.ClusterEvent(kind=pb.ClusterEvent.QUOTA_SET, message="web")) == [
        "quota_set "
    ]
    assert told(known, task(pb.ClusterEvent.TASK_UPDATED, "t1", FINISHED)) == ["task_updated t1"]
    assert told(known, task(pb.ClusterEvent.TASK_ADDED, "t1", STAGING)) == ["task_added t1"], (
        "its id is used again"
    )


def test_it_does_not_grow_with_the_tasks_that_ended() -> None:
    known = first()
    for number in range(MAX_ENDED + 100):
        told(known, task(pb.ClusterEvent.TASK_ADDED, f"n{number}", STAGING))
        told(known, task(pb.ClusterEvent.TASK_UPDATED, f"n{number}", FINISHED))
    assert len(known._ended) == MAX_ENDED and len(known._live) == 4


def test_a_task_that_its_agent_comes_back_without_is_gone() -> None:
    """Found by the simulator's desk: nobody was told of it again, and it stayed known for ever."""
    recovering = agent(pb.ClusterEvent.AGENT_PRESENT, "recovering")
    known = first()
    told(known, recovering, begins=True)
    came_back = agent(pb.ClusterEvent.AGENT_ADDED)
    assert told(known, came_back, task(pb.ClusterEvent.TASK_ADDED, "t1", RUNNING)) == [
        "agent_added a",
        "task_absent t2",
    ]
    assert told(known, came_back) == ["agent_added a"], "its tasks are told of by their own events"
    known = first()
    told(known, recovering, begins=True)
    gone = told(known, agent(pb.ClusterEvent.AGENT_GONE))
    assert gone == ["agent_gone a", "task_absent t1", "task_absent t2"]
