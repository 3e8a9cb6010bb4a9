"""The calls of a framework as methods (include/mesos/v1/scheduler of Mesos, message Call)."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

from pymesos_core.copies import add_all
from pymesos_proto.v1 import scheduler_pb2 as pb
from pymesos_proto.v1 import types_pb2 as types_pb
from pymesos_proto.v1.names_pb2 import ServedTask

# The shortest period that a KILL says. One of zeros says nothing, and one of a signal alone nothing
# of the period: the task would have the one that it was launched with.
AT_ONCE_S = 0.001


def texts(name: str, given: Iterable[Any]) -> list[str]:
    """The texts of an argument. Raises TypeError: one text is a list of its letters, too."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{name} is one text, {given!r}, where several are expected: [{given!r}]")
    if not isinstance(given, Iterable):
        raise TypeError(f"{name} is a {type(given).__name__}, where a list of texts is expected")
    out = list(given)
    for each in out:
        if not isinstance(each, str):
            kind = type(each).__name__
            raise TypeError(f"{name} has a {kind} where texts are expected, as ids are")
    return out


def text(name: str, given: Any) -> str:
    """An argument that is a text. Raises TypeError, ValueError; protobuf would not say which."""
    if not isinstance(given, str):
        raise TypeError(f"{name} is a {type(given).__name__}, {given!r}; a text is expected")
    if not given.isascii() and any("\ud800" <= letter <= "\udfff" for letter in given):
        raise ValueError(f"{name} is {given!r}, which has bytes that are no text in UTF-8")
    return given


def data_of(given: Any, name: str = "data") -> bytes:
    """Raises TypeError."""
    if not isinstance(given, bytes):
        raise TypeError(f"{name} is a {type(given).__name__}; bytes are expected: text.encode()")
    return given


def seconds(name: str, given: Any) -> float | None:
    """A length of time, if any is said. Raises TypeError."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(f"{name} is {given!r}; a number of seconds is expected")
    return float(given)


def _asked_of(tasks: Iterable[Any]) -> list[pb.Call.Reconcile.Task]:
    """Raises TypeError: a text of two letters would be taken for a task and its agent."""
    asked = []
    for each in [tasks] if isinstance(tasks, str) else tasks:
        if not isinstance(each, tuple | list) or len(each) != 2:
            raise TypeError(
                f'tasks has {each!r}, where (task id, agent id or "") is expected of each:'
                f' reconcile([("web-1", "")])'
            )
        task_id, agent_id = text("a task id", each[0]), text("an agent id", each[1])
        asked.append(pb.Call.Reconcile.Task(task_id=task_id, agent_id=agent_id))
    return asked


def _add_tasks(into: Any, name: str, given: Iterable[types_pb.TaskInfo]) -> None:
    """Add tasks to a message. Raises TypeError for what is none, or one where several may be."""
    try:
        add_all(into, given)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"{name} has to be a list of TaskInfo, as Room.make_task makes them: {error}"
        ) from error


class Calls:
    """Makes the messages; `call` sends them."""

    def call(self, call: pb.Call) -> None:
        """For the one that inherits this."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Remove the framework with all its tasks; it is told nothing more."""
        self.call(pb.Call(teardown=pb.Call.Teardown()))

    def accept(
        self,
        offer_ids: Iterable[str],
        tasks: Iterable[types_pb.TaskInfo] = (),
        refuse_s: float | None = None,
        before: Iterable[pb.Operation] = (),
        groups: Iterable[Iterable[types_pb.TaskInfo]] = (),
    ) -> None:
        """Launch tasks on offers of one agent; what is left counts as declined for `refuse_s`.

        The operations `before` the launch reserve and create what the tasks use (see
        `pymesos_sdk.operations`); after such an ACCEPT everything is offered anew. The tasks of
        each of the `groups` live and die together.
        """
        call = pb.Call()
        accept = call.accept  # filled in place: of its parts it would be put together four times
        accept.offer_ids.extend(texts("offer_ids", offer_ids))
        add_all(accept.operations, before)
        launch = accept.operations.add().launch
        launch.SetInParent()  # also of no tasks
        _add_tasks(launch.task_infos, "tasks", tasks)
        for group in groups:
            launch_group = accept.operations.add().launch_group
            launch_group.SetInParent()
            _add_tasks(launch_group.task_infos, "each of groups", group)
        accept.filters.CopyFrom(pb.Filters(refuse_seconds=seconds("refuse_s", refuse_s)))
        self.call(call)

    def decline(self, offer_ids: Iterable[str], refuse_s: float | None = None) -> None:
        """Give offers back, not to see them again for `refuse_s` (None: 5 s) unless they grow."""
        filters = pb.Filters(refuse_seconds=seconds("refuse_s", refuse_s))
        self.call(
            pb.Call(
                decline=pb.Call.Decline(offer_ids=texts("offer_ids", offer_ids), filters=filters)
            )
        )

    def accept_inverse_offers(self, inverse_offer_ids: Iterable[str]) -> None:
        """Promise that nothing is left on their agents when the windows begin."""
        accept = pb.Call.AcceptInverseOffers(
            inverse_offer_ids=texts("inverse_offer_ids", inverse_offer_ids)
        )
        self.call(pb.Call(accept_inverse_offers=accept))

    def decline_inverse_offers(
        self, inverse_offer_ids: Iterable[str], refuse_s: float | None = None
    ) -> None:
        """Say that it cannot be so, and be asked again after `refuse_s` (None: 5 s)."""
        filters = pb.Filters(refuse_seconds=seconds("refuse_s", refuse_s))
        decline = pb.Call.DeclineInverseOffers(
            inverse_offer_ids=texts("inverse_offer_ids", inverse_offer_ids), filters=filters
        )
        self.call(pb.Call(decline_inverse_offers=decline))

    def publish(
        self,
        serves: Iterable[ServedTask] = (),
        ended: Iterable[str] = (),
        *,
        whole: bool = False,
        keeps: Iterable[str] = (),
    ) -> None:
        """Say which of its tasks serve clients, or otherwise than before, and which do so no more.

        By that they are found by name. `whole`: no others serve; so it begins after a subscription.
        `keeps`: but for these, of which the master is to believe what it was told before.
        To masters that do not know this nothing is said.
        """
        publish = pb.Call.Publish(
            serves=serves, ended=texts("ended", ended), whole=whole, keeps=texts("keeps", keeps)
        )
        self.call(pb.Call(publish=publish))

    def revive(self, roles: Iterable[str] = ()) -> None:
        """Ask for offers again, the refused ones too."""
        self.call(pb.Call(revive=pb.Call.Revive(roles=texts("roles", roles))))

    def update_framework(self, info: types_pb.FrameworkInfo) -> None:
        """Be in other roles from now on, or say other things of the framework.

        The tasks of a role that it leaves run on. The driver adds the framework's id, and says the
        same whenever it subscribes, once a master has taken it: see `Scheduler.framework_updated`.
        """
        self.call(pb.Call(update_framework=pb.Call.UpdateFramework(framework_info=info)))

    def suppress(self, roles: Iterable[str] = ()) -> None:
        """Ask for no offers until `revive`."""
        self.call(pb.Call(suppress=pb.Call.Suppress(roles=texts("roles", roles))))

    def kill(
        self, task_id: str, agent_id: str = "", grace_s: float | None = None, first: str = ""
    ) -> None:
        """Kill a task; repeated over failovers until its end is known.

        `first` is the signal that it is sent `grace_s` before SIGKILL; empty: as it was launched.
        """
        kill = pb.Call.Kill(task_id=text("task_id", task_id), agent_id=text("agent_id", agent_id))
        if (period_s := seconds("grace_s", grace_s)) is not None:
            kill.kill_policy.grace_period_s = max(period_s, AT_ONCE_S)
        if first:
            kill.kill_policy.signal = text("first", first)
        self.call(pb.Call(kill=kill))

    def send_message(self, agent_id: str, executor_id: str, data: bytes) -> None:
        """To an executor of the framework; told once, so it can be lost."""
        message = pb.Call.Message(
            agent_id=text("agent_id", agent_id),
            executor_id=text("executor_id", executor_id),
            data=data_of(data),
        )
        self.call(pb.Call(message=message))

    def shut_down(self, agent_id: str, executor_id: str) -> None:
        """End an executor with its tasks; told once, so it can be lost."""
        shutdown = pb.Call.Shutdown(
            agent_id=text("agent_id", agent_id), executor_id=text("executor_id", executor_id)
        )
        self.call(pb.Call(shutdown=shutdown))

    def acknowledge(self, status: types_pb.TaskStatus) -> None:
        """The update has been dealt with and need not come again."""
        if not isinstance(status, types_pb.TaskStatus):
            raise TypeError(f"status is {status!r}; the TaskStatus of the update is expected")
        if status.uuid:
            call = pb.Call()
            said = call.acknowledge  # filled in place: there are two for each task
            said.agent_id, said.task_id, said.uuid = status.agent_id, status.task_id, status.uuid
            self.call(call)

    def reconcile(self, tasks: Iterable[tuple[str, str]] = ()) -> None:
        """Ask for the state of (task id, agent id or ""); of all that the master knows if none."""
        self.call(pb.Call(reconcile=pb.Call.Reconcile(tasks=_asked_of(tasks))))
