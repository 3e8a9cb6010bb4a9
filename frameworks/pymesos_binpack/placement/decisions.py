"""Why a task is where it is: what the planner saw and compared when it chose, kept small."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pymesos_binpack.placement.hand import AgentOffers
from pymesos_binpack.placement.packing.pool import Short

MAX_BYTES = 1024  # of a decision that is stored
MAX_OTHERS = 3
MAX_RULES = 6
MAX_EXAMPLES = 3
MAX_NAME, MAX_RULE = 64, 100  # characters
OTHERS = "other reasons"


@dataclass(frozen=True, slots=True)
class Other:
    """An agent that would have done, with its score."""

    hostname: str
    score: float


@dataclass(frozen=True, slots=True)
class RuledOut:
    """What ruled some of the agents out, and examples of those, with what is wrong there."""

    rule: str
    agents: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """The choice of an agent for a task. The agents are those that were offered at that moment.

    The chosen one has the lowest score; among equals the one that was offered first.
    """

    policy: str
    considered: int  # agents
    fitted: int  # of those: agents that would have done, the chosen one included
    score: float  # of the chosen one
    others: tuple[Other, ...] = ()  # the best of those that would have done, too
    ruled_out: tuple[RuledOut, ...] = ()  # all the rest; the most agents first
    at_s: float = 0.0  # Unix time


class Rules:
    """Counts the agents that each rule rules out, with the first of them as examples."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def add(self, rule: str, hostname: str, detail: str = "") -> None:
        """One agent more."""
        self._counts[rule] = self._counts.get(rule, 0) + 1
        examples = self._examples.setdefault(rule, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(example(hostname, detail))

    def ruled_out(self) -> tuple[RuledOut, ...]:
        """What was counted."""
        return tuple(
            RuledOut(rule, agents, tuple(self._examples[rule]))
            for rule, agents in self._counts.items()
        )


def example(hostname: str, detail: str = "") -> str:
    """An agent by its name, with what is wrong there."""
    return f"{hostname[:MAX_NAME]}: {detail[:MAX_NAME]}" if detail else hostname[:MAX_NAME]


def most_first(rules: Iterable[RuledOut]) -> tuple[RuledOut, ...]:
    """The rules by the number of agents; those beyond MAX_RULES are one."""
    ordered = sorted(rules, key=lambda each: -each.agents)
    named, rest = ordered[:MAX_RULES], sum(each.agents for each in ordered[MAX_RULES:])
    return (*named, RuledOut(OTHERS, rest)) if rest else tuple(named)


class Choice(NamedTuple):
    """What decided on a place, in as few words as possible: most plans are not taken."""

    score: float
    others: list[tuple[int, float]]
    ruled_out: tuple[RuledOut, ...]
    short: tuple[Short, ...]

    def told(self, policy: str, offers: Sequence[AgentOffers]) -> Decision:
        """The decision, with the names of the agents that were offered."""

        def name(row: int) -> str:
            return offers[row].agent.hostname

        full = (
            RuledOut(
                f"too little {short.resource} is free",
                short.nodes,
                tuple(example(name(row)) for row in short.first),
            )
            for short in self.short
        )
        ruled_out = (*self.ruled_out, *full)
        return Decision(
            policy,
            considered=len(offers),
            fitted=len(offers) - sum(rule.agents for rule in ruled_out),
            score=self.score,
            others=tuple(Other(name(row), score) for row, score in self.others),
            ruled_out=most_first(ruled_out),
        )


def to_text(decision: Decision) -> str:
    """A decision as it is stored, in at most MAX_BYTES: examples go first, then rules, the last
    first."""
    for smaller in _ever_smaller(decision):
        text = json.dumps(smaller, default=_fields, separators=(",", ":"))
        if len(text) <= MAX_BYTES:
            return text
    raise AssertionError("a decision without any names is small")


def _fields(part: Decision | Other | RuledOut) -> dict[str, Any]:
    """A part of a decision, by the names of its fields; `asdict`, which copies all, takes longer
    than the rest of a launch's record."""
    return {name: getattr(part, name) for name in part.__slots__}


def _ever_smaller(decision: Decision) -> Iterator[Decision]:
    cut = replace(
        decision,
        policy=decision.policy[:MAX_RULE],
        others=tuple(Other(o.hostname[:MAX_NAME], o.score) for o in decision.others),
        ruled_out=tuple(replace(r, rule=r.rule[:MAX_RULE]) for r in decision.ruled_out),
    )
    for most in range(MAX_EXAMPLES, -1, -1):
        rules = (replace(rule, examples=rule.examples[:most]) for rule in cut.ruled_out)
        yield replace(cut, ruled_out=tuple(rules))
    bare = tuple(replace(rule, examples=()) for rule in cut.ruled_out)
    for kept in range(len(bare) - 1, -1, -1):
        bare = (*bare[:kept], RuledOut(OTHERS, sum(rule.agents for rule in bare[kept:])))
        yield replace(cut, ruled_out=bare)
    yield replace(cut, policy="", others=(), ruled_out=bare)


def from_text(text: str) -> Decision | None:
    """Read a decision that was stored; None for none, or what cannot be read."""
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        read = json.loads(text) if text else None
        return _decision(read) if read else None
    return None


def _decision(read: dict[str, Any]) -> Decision:
    return Decision(
        policy=str(read["policy"]),
        considered=_number(read["considered"], int),
        fitted=_number(read["fitted"], int),
        score=float(read["score"]),
        others=tuple(Other(str(o["hostname"]), float(o["score"])) for o in read["others"]),
        ruled_out=tuple(
            RuledOut(str(r["rule"]), _number(r["agents"], int), tuple(map(str, r["examples"])))
            for r in read["ruled_out"]
        ),
        at_s=_number(read["at_s"], float),
    )


def _number(value: Any, kind: Callable[[Any], Any]) -> Any:
    """A number of agents, or a time. Raises ValueError."""
    number = kind(value)
    if not (0 <= number < 2**32 and math.isfinite(number)):
        raise ValueError(f"{number} is no number of agents, and no time")
    return number
