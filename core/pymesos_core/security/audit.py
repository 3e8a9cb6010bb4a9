"""What the audit tells: one line of JSON for each call that changes something, and for each denial.

What is in a line is chosen here, one by one: who asked, for what, and what came of it. Environments
and data are in none.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.json_dialect import iso
from pymesos_core.limits import MAX_SAID
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Decision, matches
from pymesos_core.text import cut

MAX_TEXT = 500  # characters of each value
# Where the id of a credential is that is no certificate.
_BY_TOKEN: Mapping[str, str] = {Method.TOKEN: "access_token", Method.SESSION: "session"}
MAX_LISTED = 20  # of what is named, as of the tasks of a launch
MAX_ARGV = 4096  # characters of the arguments of a command, together
DONE = "done"


class Outcome(StrEnum):
    """What came of a call, in a word; the result of a line says more."""

    DONE = "done"
    UNCHANGED = "unchanged"  # it was so already
    BEGUN = "begun"
    REFUSED = "refused"  # it may be asked for, and could not be done
    DENIED = "denied"
    UNKNOWN = "unknown"  # nobody waited for the answer


Value = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. The object is what the call names: a role, a task."""

    at_s: float
    caller: Caller
    call: str  # as in NEEDS; of what no table knows, as it was called
    object: Mapping[str, Value] = field(default_factory=dict)
    verb: str = ""
    rule: str = ""  # that allows it, as it is written
    denied: bool = False
    result: str = DONE
    outcome: Outcome = Outcome.DONE  # of what was allowed
    argv: tuple[str, ...] = ()
    left_out: int = 0  # denials of the same caller before, of which no line was written
    synced: bool = True  # it is on the disk before its caller is answered

    def refused(self, why: str) -> Entry:
        """Return the line of the same call once it was refused."""
        return replace(self, result=why, outcome=Outcome.REFUSED)

    def line(self) -> bytes:
        """As it is in the file."""
        by_token = _BY_TOKEN.get(self.caller.method or "")
        said: dict[str, Any] = {
            "time": iso(self.at_s),
            "principal": self.caller.principal or None,
            "serial": (self.caller.credential_id or None) if not by_token else None,
            "peer": self.caller.peer,
            "method": cut(self.call, MAX_TEXT),
            "verb": self.verb or None,
            "object": {name: _shown(value) for name, value in self.object.items()},
            "decision": "denied" if self.denied else "allowed",
            "rule": cut(self.rule, MAX_TEXT) or None,
            "outcome": Outcome.DENIED if self.denied else self.outcome,
            "result": cut(self.result, MAX_SAID),
        }
        if by_token:
            said[by_token] = self.caller.credential_id
        if self.caller.via == "http":
            said["via"] = "http"
        if self.argv:
            said["argv"] = _bounded(self.argv)
        if self.left_out:
            said["left_out"] = self.left_out
        if self.caller.relayed_by:
            said["relayed_by"] = self.caller.relayed_by
        return json.dumps(said, separators=(",", ":")).encode() + b"\n"


def _shown(value: Value) -> Any:
    if isinstance(value, str):
        return cut(value, MAX_TEXT)
    if isinstance(value, tuple):
        return [cut(one, MAX_TEXT) for one in value[:MAX_LISTED]]
    return value


def _bounded(argv: tuple[str, ...]) -> list[str]:
    """The arguments as far as there is room for them; what is cut ends in `…`."""
    shown: list[str] = []
    left = MAX_ARGV
    for argument in argv:
        if left <= 0:
            return [*shown, "…"]
        shown.append(cut(argument, left))
        left -= len(argument) + 1
    return shown


def entry(
    at_s: float,
    caller: Caller,
    call: str,
    decision: Decision,
    named: Mapping[str, Value],
) -> Entry:
    """The line of a call that was decided."""
    need = NEEDS.get(call)
    verb = need.verb if need is not None else None
    return Entry(
        at_s,
        caller,
        call,
        {name: value for name, value in named.items() if value not in ("", ())},
        verb or "",
        decision.rule.written if decision.rule is not None else "",
        denied=not decision.allowed,
        result=decision.problem or DONE,
    )


@dataclass(slots=True)
class _Denied:
    lines: float  # that may be written now
    at_s: float
    left_out: int = 0
    caller: Caller = NOBODY


class DenialLimit:
    """Which denials have a line: some at once of each caller, then few; the others are counted."""

    AT_ONCE = 20
    PER_S = 1 / 6
    MAX_CALLERS = 1000  # who is denied something then counts with all others

    def __init__(self) -> None:
        self._denied: OrderedDict[str, _Denied] = OrderedDict()

    def passed(self, said: Entry, mono_s: float) -> Entry | None:
        """The line to write, with how many were left out before it; None: it is left out."""
        key = said.caller.principal or said.caller.peer
        if key not in self._denied and len(self._denied) >= self.MAX_CALLERS:
            self._forget(mono_s)
            key = key if len(self._denied) < self.MAX_CALLERS else ""
        of = self._denied.get(key)
        if of is None:
            of = self._denied[key] = _Denied(self.AT_ONCE, mono_s)
        of.lines = min(self.AT_ONCE, of.lines + (mono_s - of.at_s) * self.PER_S)
        of.at_s, of.caller = mono_s, said.caller if key else NOBODY
        if of.lines < 1:
            of.left_out += 1
            return None
        of.lines -= 1
        left_out, of.left_out = of.left_out, 0
        return replace(said, left_out=left_out) if left_out else said

    def _forget(self, mono_s: float) -> None:
        """Forget principals who may have as many lines again as one who was never denied."""
        full_s = self.AT_ONCE / self.PER_S
        for key, of in list(self._denied.items()):
            if not of.left_out and mono_s - of.at_s >= full_s:
                del self._denied[key]

    def counted(self, at_s: float) -> list[Entry]:
        """Lines that say how many were left out, for those of whom some were since the last."""
        found = []
        for of in self._denied.values():
            if of.left_out:
                what = f"{of.left_out} denials like those before have no line of their own"
                found.append(_counted(at_s, of.caller, what, of.left_out, denied=True))
                of.left_out = 0
        return found


def _counted(at_s: float, caller: Caller, what: str, lines: int, *, denied: bool) -> Entry:
    return Entry(
        at_s, caller, "", denied=denied, result=what, outcome=Outcome.UNKNOWN, left_out=lines,
        synced=False,
    )  # fmt: skip


def lost(at_s: float, lines: int) -> Entry:
    """The line that says how many could not be written."""
    what = f"{lines} lines before this one could not be written"
    return _counted(at_s, NOBODY, what, lines, denied=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for; what is empty leaves all."""

    since_s: float = 0.0
    who: str = ""  # a principal, in which `*` stands for anything
    verb: str = ""
    denied: bool = False

    def is_met_by(self, line: bytes) -> bool:
        """Whether a line is wanted. One that a crash has torn is none."""
        try:
            said = json.loads(line)
        except ValueError:
            return False
        if not isinstance(said, dict):
            return False
        return (
            (not self.since_s or str(said.get("time")) >= (iso(self.since_s) or ""))
            and (not self.who or matches(self.who, str(said.get("principal") or "")))
            and self.verb in ("", said.get("verb"))
            and (not self.denied or said.get("decision") == "denied")
        )
