"""What a core keeps of a message stands alone, so that it does not keep all that came with it.

A message that was fed is changed afterwards: who holds a part of it would see that.
"""

from __future__ import annotations

from google.protobuf.message import Message

from pymesos_core.resources import parse, to_proto
from pymesos_master.core import events as ev
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.master_harness import MasterHarness, task

Reconcile = scheduler_pb.Call.Reconcile


def test_a_question_that_waits_keeps_no_message() -> None:
    h = MasterHarness()
    h.hold_reading = True
    framework = h.subscribe()
    many = [Reconcile.Task(task_id=f"t{n}") for n in range(300)]
    h.call(framework, reconcile=Reconcile(tasks=many))
    asked = scheduler_pb.Call(reconcile=Reconcile(tasks=[Reconcile.Task(task_id="mine")]))
    h.feed(ev.FrameworkCalled(framework, asked))
    asked.reconcile.tasks[0].task_id = "changed"
    h.hold_reading = False
    h.read(framework)
    assert h.last(framework).task_id == "mine"


def test_a_task_keeps_no_message_that_launched_it() -> None:
    h = MasterHarness()
    h.agent()
    framework = h.subscribe()
    (offer,) = h.offers(framework)
    launch = scheduler_pb.Operation(
        launch=scheduler_pb.Operation.Launch(task_infos=[task(offer, "t")])
    )
    accept = scheduler_pb.Call.Accept(offer_ids=[offer.offer_id], operations=[launch])
    call = scheduler_pb.Call(accept=accept)
    h.feed(ev.FrameworkCalled(framework, call))
    call.accept.operations[0].launch.task_infos[0].name = "changed"
    (kept,) = h.core.state.frameworks[h.framework_id(framework)].tasks.values()
    assert kept.info.name != "changed"


def test_a_task_keeps_no_message_in_which_its_agent_reported_it() -> None:
    h = MasterHarness()
    framework_id = h.framework_id(h.subscribe())
    status = pb.TaskStatus(task_id="t", state=pb.TASK_RUNNING, uuid=b"u", message="said")
    register = agent_pb.Register(
        tasks=[
            agent_pb.TaskRecord(
                framework_id=framework_id,
                task_info=pb.TaskInfo(task_id="t", resources=to_proto(parse("cpus:1"))),
                state=pb.TASK_RUNNING,
                unacknowledged=[status],
            )
        ]
    )
    h.agent(tasks=list(register.tasks))
    record = register.tasks[0]
    record.task_info.name = record.unacknowledged[0].message = "changed"
    (kept,) = h.core.state.frameworks[framework_id].tasks.values()
    assert kept.status is not None
    assert kept.info.name != "changed" and kept.status.message == "said"


def test_an_agent_keeps_no_message_that_reported_its_usage() -> None:
    h = MasterHarness()
    connection = h.agent()
    usage = agent_pb.Usage(containers=1)
    h.feed(ev.AgentUsageReported(connection, usage))
    usage.containers = 2
    kept = h.core.state.agents[h.agent_id(connection)].usage
    assert kept is not None and kept.containers == 1


def test_an_agent_keeps_no_message_of_its_master() -> None:
    h = AgentHarness()
    h.connect()
    infos = [pb.TaskInfo(task_id="t", command=pb.CommandInfo(shell=True, value="said"))]
    launch = agent_pb.LaunchTask(
        framework_id="f",
        role="*",
        task_info=infos[0],
        framework_info=pb.FrameworkInfo(framework_id="f", name="said"),
    )
    message = agent_pb.MasterMessage(launch=launch)
    h.hear(message)
    message.launch.task_info.command.value = message.launch.framework_info.name = "changed"
    (kept,) = h.core.state.tasks.values()
    assert kept.info.command.value == h.core.state.frameworks["f"].name == "said"


def test_a_task_that_runs_keeps_no_message_at_all() -> None:
    """A message takes several times its size on the wire, and there may be a million tasks."""
    h = MasterHarness()
    agent = h.agent()
    framework = h.subscribe()
    h.run(framework)
    framework_id = h.framework_id(framework)
    (kept,) = h.core.state.frameworks[framework_id].tasks.values()
    h.update(agent, framework_id, "t", pb.TASK_RUNNING)
    status = kept.unacknowledged
    assert status is not None and kept.status is status
    acknowledge = scheduler_pb.Call.Acknowledge(
        agent_id=h.agent_id(agent), task_id="t", uuid=status.uuid
    )
    h.call(framework, acknowledge=acknowledge)
    held = [getattr(kept, name) for name in type(kept).__slots__]
    assert not [each for each in held if isinstance(each, Message)]
    assert kept.info.task_id == kept.name == "t"
    assert kept.status == status and kept.unacknowledged is None


def test_tasks_of_one_job_are_charged_to_one_account() -> None:
    h = MasterHarness()
    h.agent()
    framework = h.subscribe()
    for task_id in ("web-1.task.0.1", "web-1.task.1.1"):
        h.run(framework, task_id)
    tasks = h.core.state.frameworks[h.framework_id(framework)].tasks
    one, other = tasks.values()
    assert one.account is not None and one.account is other.account
    assert one.charged is other.charged
