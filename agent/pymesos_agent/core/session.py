"""The master: this agent registers with it, and obeys it under its epoch."""

from __future__ import annotations

from itertools import islice

from pymesos_agent.core import events, sandboxes
from pymesos_agent.core.context import Connection, Context
from pymesos_agent.core.effects import Disconnect, RemoveVolume, SetRevoked
from pymesos_agent.core.executors import life as executors
from pymesos_agent.core.tasks import endings, launches, updates
from pymesos_core import contract
from pymesos_core.copies import copy_of
from pymesos_core.ids import id_problem
from pymesos_core.limits import MAX_SAID
from pymesos_core.reservations import dynamic, volumes_of, with_reserved
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import from_proto, to_proto
from pymesos_core.store import Change
from pymesos_core.text import cut, quoted
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import checkpoint_pb2 as checkpoint_pb
from pymesos_proto.v1 import types_pb2 as pb

AGENT = "agent"
NO_RUNTIME = "none"
LAUNCHES = ("launch", "launch_group")
MAX_SET_ASIDE_TOLD, MAX_WHY = 20, 200  # records and characters; the log has all


def on_connected(ctx: Context, event: events.Connected) -> None:
    """Register, as soon as it is known what runs here."""
    ctx.connection = Connection(event.connection_id)
    if ctx.recovered:
        register(ctx)


def register(ctx: Context) -> None:
    """Say who we are. Ours: an agent chooses its id and stores it before it is known by it.

    Mesos' master assigns the id; an agent that dies before it has stored it leaves a ghost
    behind, on which tasks may have been launched already.

    Not while containers without a record are ending: what they hold must not be offered.
    """
    if ctx.strays:
        return
    connection = ctx.connection
    assert connection is not None
    if ctx.agent_id_durable:
        _say_who(ctx, connection)
    elif not ctx.state.agent_id:
        _choose_id(ctx)  # else it is being stored, since an earlier connection


def _choose_id(ctx: Context) -> None:
    ctx.state.agent_id = next(ctx.agent_ids)

    def durable() -> None:
        ctx.agent_id_durable = True
        if ctx.connection is not None and not ctx.connection.said_who:
            _say_who(ctx, ctx.connection)

    def failed(message: str) -> None:
        ctx.state.agent_id = ""
        if ctx.connection is not None:
            _drop_connection(ctx, f"the agent id cannot be stored: {message}")

    ctx.checkpoint((_identity(ctx),), durable, failed)


def _say_who(ctx: Context, connection: Connection) -> None:
    connection.said_who = True
    info = pb.AgentInfo()
    info.CopyFrom(ctx.config.info)
    info.agent_id = ctx.state.agent_id
    # None at all is what an agent says that does not know which it has.
    info.runtimes[:] = ctx.runtimes or ((NO_RUNTIME,) if ctx.unavailable else ())
    for name, why in ctx.unavailable.items():
        info.unavailable[name] = cut(why, MAX_SAID)
    for name, what in ctx.isolation.items():
        info.isolation[name] = what
    for key, why in islice(ctx.state.set_aside.items(), MAX_SET_ASIDE_TOLD):
        # A key may be damaged, too, and the master takes nothing that cannot be shown.
        info.set_aside[quoted(key) if id_problem(key) else key] = cut(why, MAX_WHY)
    connection.executors = executors.held(ctx)
    register = agent_pb.Register(
        agent_info=info,
        incarnation_id=next(ctx.incarnation_ids),
        tasks=[task.report() for task in ctx.state.by_key.values()],
        epoch_seen=ctx.state.epoch_seen,
        boot_id=ctx.config.boot_id,
        mono_s=ctx.now.mono_s,
        reserved=to_proto(ctx.state.reserved),
        leaving=ctx.ending,
        executors=[executor.report() for executor in connection.executors],
    )
    ctx.tell(agent_pb.AgentMessage(register=register))


def on_disconnected(ctx: Context, event: events.Disconnected) -> None:
    """Tasks run on meanwhile."""
    if ctx.connection and ctx.connection.connection_id == event.connection_id:
        ctx.connection = None


def on_master_said(ctx: Context, event: events.MasterSaid) -> None:
    """Obey, unless another master has been obeyed in a later epoch."""
    connection = ctx.connection
    if connection is None or connection.connection_id != event.connection_id:
        return
    if event.epoch < ctx.state.epoch_seen:
        _drop_connection(
            ctx, f"the master speaks in epoch {event.epoch}; {ctx.state.epoch_seen} was seen"
        )
        return
    if connection.silence_s:
        connection.silent_at_s = ctx.now.mono_s + connection.silence_s
    if connection.held_back is not None:
        connection.held_back.append(event.message)
    elif event.epoch > ctx.epoch_durable:
        connection.held_back = [event.message]
        _raise_epoch(ctx, connection, event.epoch)
    else:
        _obey(ctx, event.message)


def _raise_epoch(ctx: Context, connection: Connection, epoch: int) -> None:
    """Remember the epoch for good before anything is done in it.

    Even when it cannot be stored, no older one is obeyed any more.
    """
    ctx.state.epoch_seen = epoch

    def durable() -> None:
        ctx.epoch_durable = max(ctx.epoch_durable, epoch)
        if ctx.connection is connection:
            messages, connection.held_back = connection.held_back or [], None
            for message in messages:
                _obey(ctx, message)

    def failed(message: str) -> None:
        if ctx.connection is connection:
            _drop_connection(ctx, f"the epoch cannot be stored: {message}")

    ctx.checkpoint((_identity(ctx),), durable, failed)


def _identity(ctx: Context) -> Change:
    record = checkpoint_pb.AgentCheckpoint(
        agent_id=ctx.state.agent_id,
        epoch_seen=ctx.state.epoch_seen,
        reserved=to_proto(ctx.state.reserved),
    )
    return Change(AGENT, "", record.SerializeToString())


def register_anew(ctx: Context, reason: str) -> None:
    """What this agent has to offer has changed: offers that others hold are of the past."""
    if ctx.connection is not None and ctx.connection.said_who:
        _drop_connection(ctx, reason)


def _drop_connection(ctx: Context, reason: str) -> None:
    if ctx.connection is not None:
        ctx.emit(Disconnect(ctx.connection.connection_id, reason))
        ctx.connection = None


def on_tick(ctx: Context, _: events.Tick) -> None:
    """Look for the leader again if the master says nothing: the agent may be cut off."""
    silent_at_s = ctx.silent_at_s
    if silent_at_s is not None and silent_at_s <= ctx.now.mono_s:
        _drop_connection(ctx, "the master has been silent for too long")


def _obey(ctx: Context, message: agent_pb.MasterMessage) -> None:
    kind = message.WhichOneof("message")
    if kind == "acknowledgement" and updates.on_acknowledgement(ctx, message.acknowledgement):
        return  # what names the update that waits leaves nothing to look at
    # What is to be launched is looked at where it is refused: that is told of its tasks.
    problem = None if kind in LAUNCHES else contract.problem(message)
    if problem is not None and not _obey_in_part(ctx, message, problem):
        ctx.complain("the master", f"a bad message of the kind {kind}", problem)
        return
    match kind:
        case "registered":
            _on_registered(ctx, message.registered)
        case "set_revoked":
            ctx.emit(SetRevoked(tuple(message.set_revoked.revoked)))
        case "ping":
            if message.ping.usage_interval_s > 0:
                ctx.usage_interval_s = min(max(1.0, message.ping.usage_interval_s), 60.0)
            ctx.tell(agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong()))
        case "launch":
            _note_framework(ctx, message.launch)
            launches.launch_task(ctx, message.launch)
        case "launch_group":
            _note_framework(ctx, message.launch_group)
            launches.launch_group(ctx, message.launch_group)
        case "kill":
            endings.on_kill(ctx, message.kill)
        case "shutdown_framework":
            for owner in ctx.state.recorded():
                if owner.framework_id == message.shutdown_framework.framework_id:
                    endings.kill(ctx, owner, owner.info.kill_policy)
        case "executor_message":
            executors.to_executor(ctx, message.executor_message)
        case "shutdown_executor":
            asked = message.shutdown_executor
            executor = ctx.state.executors.get((asked.framework_id, asked.executor_id))
            if executor is not None:
                endings.kill(ctx, executor, executor.info.kill_policy)
        case "set_reserved":
            _on_set_reserved(ctx, message.set_reserved)
        case "refused":
            _on_refused(ctx, message.refused)


def _obey_in_part(ctx: Context, message: agent_pb.MasterMessage, problem: str) -> bool:
    """Whether there is a way to obey a message that says what it may not.

    What is to be killed is killed, by a policy of its own if the one that was sent is what is
    wrong.
    """
    match message.WhichOneof("message"):
        case "kill" if message.kill.HasField("kill_policy"):
            message.kill.ClearField("kill_policy")
            ctx.complain("the master", "a bad kill policy", problem)
            return contract.problem(message) is None
        case _:
            return False


def _on_set_reserved(ctx: Context, message: agent_pb.MasterMessage.SetReserved) -> None:
    """Keep it, then delete the data of volumes that are no more.

    Of volumes that are new, too: an agent that died before it had deleted a volume must not
    show its data to the next one of that id. A task that uses it is launched after this.
    """
    connection = ctx.connection
    before = ctx.state.reserved
    try:
        reserved = dynamic(from_proto(message.reserved))
        with_reserved(from_proto(ctx.config.info.resources), reserved)
    except ResourceError as error:
        _drop_connection(ctx, f"the master reserves what is not there: {error}")
        return
    ctx.state.reserved = reserved
    changed = set(volumes_of(before)) ^ set(volumes_of(reserved))

    def durable() -> None:
        ctx.reserved_durable = reserved
        for role, volume in sorted(changed):
            ctx.emit(RemoveVolume(role, volume.id))

    def failed(text: str) -> None:
        # As it is stored; the master says it again when the agent registers.
        ctx.state.reserved = ctx.reserved_durable
        if ctx.connection is connection:
            _drop_connection(ctx, f"what is reserved cannot be stored: {text}")

    ctx.checkpoint((_identity(ctx),), durable, failed)


def _on_refused(ctx: Context, refused: agent_pb.MasterMessage.Refused) -> None:
    if refused.shut_down and refused.may_return and endings.all_ended(ctx):
        # One that ended would be started again at once by its supervisor, for ever.
        _drop_connection(ctx, f"the master refused: {refused.message}")
    elif refused.shut_down and refused.may_return:
        ctx.complain("the master", "has this agent end", refused.message)
        endings.end_all(ctx, None)
    elif refused.shut_down:
        endings.end_all(
            ctx,
            f"the master says: {refused.message}. To join again as a new agent:"
            f" `pymesos-agent recover --discard`, then start it",
        )
    else:
        _drop_connection(ctx, f"the master refused: {refused.message}")


def _on_registered(ctx: Context, registered: agent_pb.MasterMessage.Registered) -> None:
    connection = ctx.connection
    assert connection is not None
    connection.silence_s = registered.ping_timeout_s * max(1, registered.max_ping_timeouts)
    if connection.silence_s:
        connection.silent_at_s = ctx.now.mono_s + connection.silence_s

    if registered.agent_id != ctx.state.agent_id:
        _drop_connection(ctx, f"the master calls this agent {registered.agent_id}")
        return
    connection.registered = True
    for executor in connection.executors:
        executors.tell_free(ctx, *executor.key)  # if it has ended meanwhile
    connection.executors = []
    ctx.emit(SetRevoked(tuple(registered.revoked)))
    if registered.wants_ended_tasks:
        sandboxes.tell_ended(ctx)  # before it may take one of them for one that never was
    ctx.tell(agent_pb.AgentMessage(pong=agent_pb.AgentMessage.Pong()))  # we obey this epoch
    updates.send_all(ctx)


def _note_framework(ctx: Context, launch: agent_pb.LaunchTask | agent_pb.LaunchGroup) -> None:
    if launch.HasField("framework_info"):
        ctx.state.frameworks[launch.framework_id] = copy_of(launch.framework_info)
