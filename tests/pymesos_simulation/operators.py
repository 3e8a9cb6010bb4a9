"""Operators, and what they were answered: that holds for good, whoever leads."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pymesos_master.commands import Commands
from pymesos_master.core.records import RoleTerms
from pymesos_master.core.roles import read_role
from pymesos_proto.v1 import registry_pb2 as registry_pb
from pymesos_simulation.masters import MasterNode

What = tuple[str, str]  # a kind of change, and what is changed
FIRST_NUMBER = 1_000_000  # a story counts its own requests


class Operators:
    """For everything that was set: what it may be now, and whether it must be."""

    def __init__(self) -> None:
        self._numbers = itertools.count(FIRST_NUMBER)
        self._asked: dict[int, What] = {}
        self._values: dict[
            What, dict[int, Any]
        ] = {}  # by number; the last one answered comes first
        self._answered: set[What] = set()

    def ask(
        self,
        leader: MasterNode,
        what: What,
        value: Any,
        decide: Callable[[Commands], Awaitable[None]],
    ) -> None:
        """Have something set, and note that it may be so from now on."""
        number = next(self._numbers)
        self._asked[number] = what
        self._values.setdefault(what, {})[number] = value
        leader.ask(decide, lambda problem: self.answered(number, problem))

    def answered(self, number: int, problem: str | None) -> None:
        """From now on it is so, or is as somebody asked later."""
        what = self._asked.pop(number, None)
        if what is None:
            return
        if problem is None:
            self._answered.add(what)
            self._values[what] = {n: v for n, v in self._values[what].items() if n >= number}
        else:
            self._values[what].pop(number, None)  # unless a later one was answered before

    def broken(self, records: Mapping[tuple[str, str], bytes]) -> list[str]:
        """What was answered and is not in the registry."""
        out = []
        for what in sorted(self._answered):
            values = list(self._values[what].values())
            if what[0] in ("drain", "window") and _is_given_up(records, what[1]):
                continue
            if (now := _read(records, what)) not in values:
                out.append(f"{what} is {now}, answered was one of {values}")
        return out


def _is_given_up(records: Mapping[tuple[str, str], bytes], agent_id: str) -> bool:
    """Whether an agent is gone, or forgotten, and what was decided of it too."""
    return ("agent", agent_id) not in records or _read(records, ("gone", agent_id))


_DRAINS = {
    registry_pb.DrainRecord.STATE_UNSPECIFIED: "activated",
    registry_pb.DrainRecord.CORDONED: "cordoned",
    registry_pb.DrainRecord.DRAINING: "drained",
    registry_pb.DrainRecord.DRAINED: "drained",
}


def _read(records: Mapping[tuple[str, str], bytes], what: What) -> Any:
    kind, name = what
    if kind == "gone":
        record = registry_pb.AgentRecord.FromString(records.get(("agent", name), b""))
        return record.state == registry_pb.AgentRecord.GONE
    if kind == "window":
        record = registry_pb.AgentRecord.FromString(records.get(("agent", name), b""))
        return record.maintenance.unavailability.start_s
    if kind == "drain":
        record = registry_pb.AgentRecord.FromString(records.get(("agent", name), b""))
        return _DRAINS[record.drain.state]
    if kind == "torn down":
        return ("framework", name) not in records
    if kind == "secret":
        stored = records.get(("secret", name), b"")
        return registry_pb.SecretRecord.FromString(stored).sealed
    if kind == "policy":
        stored = records.get(("policy", name), b"")
        return registry_pb.PolicyRecord.FromString(stored).document
    data = records.get(("role", name))
    terms = read_role(registry_pb.RoleRecord.FromString(data)) if data else RoleTerms()
    return terms.weight if kind == "weight" else terms.quota
