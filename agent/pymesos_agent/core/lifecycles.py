"""The life cycles of what an agent knows, as tables; docs/life-cycles.md shows them."""

from __future__ import annotations

from enum import StrEnum

from pymesos_core.lifecycle import Lifecycle, Row
from pymesos_core.states import state_name
from pymesos_proto.v1 import types_pb2 as pb


class TaskEvent(StrEnum):
    """What changes a task, or is to be told of it."""

    FETCHING = "its image or files are being fetched"
    STARTED = "its container runs"
    NOTED = "something new is known of it"
    KILLING = "it is being killed"
    SAID_STARTING = "its executor says TASK_STARTING"
    SAID_RUNNING = "its executor says TASK_RUNNING"
    SAID_KILLING = "its executor says TASK_KILLING"
    FINISHED = "it ended well"
    FAILED = "it ended otherwise"
    KILLED = "it ended because it was killed"
    LOST = "it ended because its agent was started again"
    DROPPED = "it was not launched"
    ERROR = "it cannot be launched"


class TaskEffect(StrEnum):
    """What is done when a task changes."""

    UPDATE = "update"  # stored, then sent
    WATCH = "watch"  # its checks, and how old it becomes
    END_GROUP = "end its group"  # unless it ended well
    CLEAN_UP = "clean up"  # as soon as its end is stored


_BEGINNING = (pb.TASK_STAGING, pb.TASK_STARTING)
_BEGUN = (pb.TASK_STARTING, pb.TASK_RUNNING, pb.TASK_KILLING)
_LIVE = (pb.TASK_STAGING, *_BEGUN)
_END = (TaskEffect.UPDATE, TaskEffect.END_GROUP, TaskEffect.CLEAN_UP)

TASK_LIFE: Lifecycle[pb.TaskState, TaskEvent, TaskEffect] = Lifecycle(
    "A task, as its agent knows it",
    # New, or read from the checkpoint.
    (pb.TASK_STAGING,),
    (
        Row(_BEGINNING, TaskEvent.FETCHING, pb.TASK_STARTING, (TaskEffect.UPDATE,)),
        Row(_BEGINNING, TaskEvent.STARTED, pb.TASK_RUNNING, (TaskEffect.UPDATE, TaskEffect.WATCH)),
        *(Row(state, TaskEvent.NOTED, state, (TaskEffect.UPDATE,)) for state in _BEGUN),
        Row(pb.TASK_RUNNING, TaskEvent.KILLING, pb.TASK_KILLING, (TaskEffect.UPDATE,)),
        Row(_LIVE, TaskEvent.SAID_STARTING, pb.TASK_STARTING, (TaskEffect.UPDATE,)),
        Row(_LIVE, TaskEvent.SAID_RUNNING, pb.TASK_RUNNING, (TaskEffect.UPDATE,)),
        Row(_LIVE, TaskEvent.SAID_KILLING, pb.TASK_KILLING, (TaskEffect.UPDATE,)),
        Row(_LIVE, TaskEvent.FINISHED, pb.TASK_FINISHED, _END),
        Row(_LIVE, TaskEvent.FAILED, pb.TASK_FAILED, _END),
        Row(_LIVE, TaskEvent.KILLED, pb.TASK_KILLED, _END),
        Row(_LIVE, TaskEvent.LOST, pb.TASK_LOST, _END),
        Row(_BEGINNING, TaskEvent.DROPPED, pb.TASK_DROPPED, _END),
        Row(_LIVE, TaskEvent.ERROR, pb.TASK_ERROR, _END),
    ),
    state_name,
)
# What an executor may say of a task.
SAID = {
    pb.TASK_STARTING: TaskEvent.SAID_STARTING,
    pb.TASK_RUNNING: TaskEvent.SAID_RUNNING,
    pb.TASK_KILLING: TaskEvent.SAID_KILLING,
    pb.TASK_FINISHED: TaskEvent.FINISHED,
    pb.TASK_FAILED: TaskEvent.FAILED,
    pb.TASK_KILLED: TaskEvent.KILLED,
    pb.TASK_ERROR: TaskEvent.ERROR,
}


class ContainerState(StrEnum):
    """How far a container is, as far as the agent knows."""

    PLANNED = "planned"  # this agent has not handed it to its runtime
    LAUNCHING = "launching"
    RUNNING = "running"
    ENDED = "ended"  # or it will never be
    DESTROYED = "destroyed"  # its runtime was told to forget it


class ContainerEvent(StrEnum):
    """What changes the state of a container."""

    LAUNCHED = "handed to its runtime"
    STARTED = "its runtime says that it runs"
    ENDED = "it has ended, or never started"
    DESTROYED = "its end is stored"


class ContainerEffect(StrEnum):
    """What is done when a container changes."""

    KILL = "kill it"
    DESTROY = "have its runtime forget it"


_LIVE_CONTAINER = (ContainerState.PLANNED, ContainerState.LAUNCHING, ContainerState.RUNNING)

CONTAINER_LIFE: Lifecycle[ContainerState, ContainerEvent, ContainerEffect] = Lifecycle(
    "A container, as its agent knows it",
    # New or found by its runtime; of a task whose end is stored.
    (ContainerState.PLANNED, ContainerState.ENDED),
    (
        Row(
            (ContainerState.PLANNED, ContainerState.LAUNCHING),
            ContainerEvent.LAUNCHED,
            ContainerState.LAUNCHING,
        ),
        Row(_LIVE_CONTAINER, ContainerEvent.STARTED, ContainerState.RUNNING),
        Row(_LIVE_CONTAINER, ContainerEvent.ENDED, ContainerState.ENDED),
        # Its runtime told of it before it said what it holds.
        Row(ContainerState.RUNNING, ContainerEvent.LAUNCHED, ContainerState.RUNNING),
        # It was given up while it was on its way, and nobody else would end it.
        *(
            Row(
                state,
                ContainerEvent.STARTED,
                state,
                (ContainerEffect.KILL, ContainerEffect.DESTROY),
            )
            for state in (ContainerState.ENDED, ContainerState.DESTROYED)
        ),
        Row(ContainerState.ENDED, ContainerEvent.ENDED, ContainerState.ENDED),
        # Its runtime was told to forget it too early.
        Row(
            ContainerState.DESTROYED,
            ContainerEvent.ENDED,
            ContainerState.DESTROYED,
            (ContainerEffect.DESTROY,),
        ),
        Row(
            (ContainerState.ENDED, ContainerState.DESTROYED),
            ContainerEvent.DESTROYED,
            ContainerState.DESTROYED,
            (ContainerEffect.DESTROY,),
        ),
    ),
)


class ExecutorState(StrEnum):
    """Where an executor stands with its agent."""

    PLANNED = "planned"  # its container is not known to be there
    AWAITED = "awaited"  # it is to subscribe
    SUBSCRIBED = "subscribed"
    ENDING = "ending"  # it was asked to shut down
    ENDED = "ended"


class ExecutorEvent(StrEnum):
    """What changes the state of an executor."""

    LAUNCHED = "its container was handed to its runtime, or found"
    SUBSCRIBED = "it subscribed"
    LEFT = "its stream ended"
    SHUT_DOWN = "it is to end"
    ENDED = "its container has ended, or never started"


class ExecutorEffect(StrEnum):
    """What is done when an executor changes."""

    AWAIT = "await it"  # for a minute
    WELCOME = "welcome it"  # wait no longer
    SHUT_DOWN = "ask it to end"
    END_TASKS = "end its tasks, and tell the master"


ExecutorLife = Lifecycle[ExecutorState, ExecutorEvent, ExecutorEffect]
_MAY_SUBSCRIBE = (ExecutorState.PLANNED, ExecutorState.AWAITED, ExecutorState.SUBSCRIBED)

EXECUTOR_LIFE: ExecutorLife = Lifecycle(
    "An executor, as its agent knows it",
    # New, or of an earlier run; of an earlier run, and its end is stored.
    (ExecutorState.PLANNED, ExecutorState.ENDED),
    (
        Row(
            ExecutorState.PLANNED,
            ExecutorEvent.LAUNCHED,
            ExecutorState.AWAITED,
            (ExecutorEffect.AWAIT,),
        ),
        # It came back before its runtime had said that it is there.
        *(
            Row(state, ExecutorEvent.LAUNCHED, state)
            for state in (ExecutorState.AWAITED, ExecutorState.SUBSCRIBED, ExecutorState.ENDING)
        ),
        Row(
            _MAY_SUBSCRIBE,
            ExecutorEvent.SUBSCRIBED,
            ExecutorState.SUBSCRIBED,
            (ExecutorEffect.WELCOME,),
        ),
        Row(
            ExecutorState.ENDING,
            ExecutorEvent.SUBSCRIBED,
            ExecutorState.ENDING,
            (ExecutorEffect.WELCOME, ExecutorEffect.SHUT_DOWN),
        ),
        Row(
            ExecutorState.SUBSCRIBED,
            ExecutorEvent.LEFT,
            ExecutorState.AWAITED,
            (ExecutorEffect.AWAIT,),
        ),
        Row(ExecutorState.ENDING, ExecutorEvent.LEFT, ExecutorState.ENDING),
        Row(
            (*_MAY_SUBSCRIBE, ExecutorState.ENDING),
            ExecutorEvent.SHUT_DOWN,
            ExecutorState.ENDING,
            (ExecutorEffect.SHUT_DOWN,),
        ),
        Row(
            (*_MAY_SUBSCRIBE, ExecutorState.ENDING),
            ExecutorEvent.ENDED,
            ExecutorState.ENDED,
            (ExecutorEffect.END_TASKS,),
        ),
    ),
)
