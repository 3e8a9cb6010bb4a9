"""Mesos' maintenance schedule: machines, which are our agents, and their windows.

A machine that is DOWN is one whose agents were told to end in a window. They are let in again when
it is UP, and they are started.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pymesos_core.mesos.refusing import bad_request
from pymesos_core.mesos.tasks import nanoseconds
from pymesos_master.mesos.events import unavailability_to_mesos
from pymesos_master.mesos.operators.reading import REGISTERED, Reading
from pymesos_master.mesos.tasks import NANO
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import operator_pb2 as pb

MAX_MACHINES = 10_000
_ANSWERS: Mapping[str, Any] = {
    "offered": mesos_master.InverseOfferStatus.UNKNOWN,
    "accepted": mesos_master.InverseOfferStatus.ACCEPT,
    "declined": mesos_master.InverseOfferStatus.DECLINE,
}
_Machines = dict[tuple[str, str], list[pb.AgentView]]  # agents by hostname and address
_Find = Callable[[mesos_master.MachineID], list[pb.AgentView]]


def schedule(agents: Iterable[pb.AgentView]) -> mesos_master.Schedule:
    """Return the windows that are planned; machines with the same one share it."""
    windows: dict[bytes, mesos_master.Window] = {}
    for (hostname, ip), on_it in _machines(agents).items():
        planned = next((agent for agent in on_it if agent.HasField("maintenance")), None)
        if planned is None:
            continue
        window = unavailability_to_mesos(planned.maintenance.unavailability)
        key = window.SerializeToString(deterministic=True)
        one = windows.setdefault(key, mesos_master.Window(unavailability=window))
        one.machine_ids.add(hostname=hostname, ip=ip)
    return mesos_master.Schedule(windows=windows.values())


def status(agents: Iterable[pb.AgentView]) -> mesos_master.ClusterStatus:
    """Return which machines are to be away, with what frameworks say to it, and which are."""
    out = mesos_master.ClusterStatus()
    for (hostname, ip), on_it in _machines(agents).items():
        planned = [agent for agent in on_it if agent.HasField("maintenance")]
        if not planned:
            continue
        if _is_down(on_it):
            out.down_machines.add(hostname=hostname, ip=ip)
            continue
        machine = out.draining_machines.add(id=mesos_master.MachineID(hostname=hostname, ip=ip))
        for answer in (answer for agent in planned for answer in agent.maintenance.answers):
            if answer.answer == "offered":
                continue
            said = machine.statuses.add(status=_ANSWERS[answer.answer])
            said.framework_id.value = answer.framework_id
            said.timestamp.CopyFrom(nanoseconds(answer.at_s))
    return out


def _machines(agents: Iterable[pb.AgentView]) -> _Machines:
    out: _Machines = {}
    for agent in agents:
        at = agent.info.address
        if agent.state in (*REGISTERED, "recovering", "unreachable"):
            out.setdefault((at.hostname or at.ip, at.ip), []).append(agent)
    return out


def _is_down(on_it: Iterable[pb.AgentView]) -> bool:
    return any(agent.HasField("maintenance") and agent.drain.down for agent in on_it)


def _shown(machine: mesos_master.MachineID) -> str:
    said = {name: getattr(machine, name) for name in ("hostname", "ip") if machine.HasField(name)}
    return f"Machine '{json.dumps(said, separators=(',', ':'))[:300]}'"


def finder(agents: Iterable[pb.AgentView]) -> _Find:
    """Return what finds the agents of a machine, by what is said of it.

    A schedule names as many machines as there are, so that none is looked for among all.
    """
    known = _machines(agents)
    named: dict[str, list[tuple[str, str]]] = {}  # machines by their hostname, and by their address
    for hostname, ip in known:
        for said in dict.fromkeys((hostname.lower(), ip)):
            named.setdefault(said, []).append((hostname, ip))

    def find(machine: mesos_master.MachineID) -> list[pb.AgentView]:
        hostname, ip = machine.hostname.lower(), machine.ip
        return [
            agent
            for name, at in named.get(hostname or ip, ())
            if hostname in ("", name.lower()) and ip in ("", at)
            for agent in known[name, at]
        ]

    return find


async def update(reading: Reading, wanted: mesos_master.Schedule) -> None:
    """Have the windows be those of a schedule, and no others. Raises RefusalError, RequestError."""
    _check(wanted)
    agents = await reading.agents()
    find = finder(agents)
    chosen: dict[str, tuple[float, float]] = {}
    for window in wanted.windows:
        start_s = window.unavailability.start.nanoseconds / NANO
        duration_s = window.unavailability.duration.nanoseconds / NANO
        for machine in window.machine_ids:
            found = find(machine)
            if not found:
                raise bad_request(
                    f"{_shown(machine)} has no agent here: windows are of agents that are known"
                )
            chosen |= {agent.info.agent_id: (start_s, duration_s) for agent in found}
    freed = [a for a in agents if a.HasField("maintenance") and a.info.agent_id not in chosen]
    for agent in freed:
        if agent.drain.down:
            at = agent.info.address
            machine = mesos_master.MachineID(hostname=at.hostname or at.ip, ip=at.ip)
            raise bad_request(
                f"{_shown(machine)} is deactivated and cannot be removed from the schedule"
            )
    commands, caller = reading.leader.commands, reading.caller
    if freed:
        await commands.cancel_maintenance(caller, [agent.info.agent_id for agent in freed])
    by_window: dict[tuple[float, float], list[str]] = {}
    for agent_id, planned in chosen.items():
        by_window.setdefault(planned, []).append(agent_id)
    for (start_s, duration_s), agent_ids in by_window.items():
        await commands.schedule_maintenance(caller, agent_ids, start_s, duration_s, also_past=True)


def _check(wanted: mesos_master.Schedule) -> None:
    """Raises RefusalError for a schedule that cannot be, in Mesos' words."""
    seen: set[tuple[str, str]] = set()
    for window in wanted.windows:
        if not window.machine_ids:
            raise bad_request("List of machines in the maintenance window is empty")
        if window.unavailability.duration.nanoseconds < 0:
            raise bad_request("Unavailability 'duration' is negative")
        _check_ids(window.machine_ids)
        for machine in window.machine_ids:
            key = (machine.hostname.lower(), machine.ip)
            if key in seen:
                raise bad_request(f"{_shown(machine)} appears more than once in the schedule")
            seen.add(key)
    if len(seen) > MAX_MACHINES:
        raise bad_request(f"the schedule has more than {MAX_MACHINES} machines: split it")


def _check_ids(machines: Iterable[mesos_master.MachineID]) -> None:
    for machine in machines:
        if not machine.hostname and not machine.ip:
            raise bad_request("Both 'hostname' and 'ip' for a machine are empty")


async def start(reading: Reading, machines: Iterable[mesos_master.MachineID]) -> None:
    """Have the agents of machines end now. Raises RefusalError, RequestError."""
    named = await _named(reading, machines)
    for machine, agents in named:
        if _is_down(agents):
            raise bad_request(
                f"{_shown(machine)} is not in DRAINING mode and cannot be brought down"
            )
    ids = [agent.info.agent_id for _, agents in named for agent in agents]
    await reading.leader.commands.drain(reading.caller, ids, 0.0, down=True)


async def stop(reading: Reading, machines: Iterable[mesos_master.MachineID]) -> None:
    """Have the agents of machines offered again; their windows end. Raises RefusalError,
    RequestError."""
    named = await _named(reading, machines)
    for machine, agents in named:
        if not _is_down(agents):
            raise bad_request(f"{_shown(machine)} is not in DOWN mode and cannot be brought up")
    ids = [agent.info.agent_id for _, agents in named for agent in agents]
    await reading.leader.commands.cancel_maintenance(reading.caller, ids)
    await reading.leader.commands.activate(reading.caller, ids)


async def _named(
    reading: Reading, machines: Iterable[mesos_master.MachineID]
) -> list[tuple[mesos_master.MachineID, list[pb.AgentView]]]:
    """The agents of machines that are scheduled."""
    listed = list(machines)
    if not listed:
        raise bad_request("List of machines is empty")
    _check_ids(listed)
    find = finder(await reading.agents())
    out = []
    for machine in listed:
        found = [agent for agent in find(machine) if agent.HasField("maintenance")]
        if not found:
            raise bad_request(f"{_shown(machine)} is not part of a maintenance schedule")
        out.append((machine, found))
    return out
