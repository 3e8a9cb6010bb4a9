"""Compares what is offered: what the offers of an agent hold together, not how they are cut.

That is looked at where offers are used or taken back and where a stream ends, and so is how long
it takes until the agent is offered again. Mesos allocates once a second, we at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from pymesos_testing.recordings.comparing import Report, compare_json, name_of
from pymesos_testing.recordings.playing import Played
from pymesos_testing.recordings.reading import (
    Json,
    Recording,
    Step,
    added,
    launched,
    merged,
    offers_in,
    quantities,
    used_offers,
)
from pymesos_testing.recordings.streams import volatile_of

ALLOCATION_S = 1.6  # at most, from one of Mesos' allocations to the next
ENDS = ("TASK_FINISHED", "TASK_FAILED", "TASK_KILLED")
RUN_S = 0.5  # what is taken back within that is taken back together
Timed = tuple[float, Json]


def compare_offers(report: Report, recording: Recording, played: Played) -> None:
    """Compare what is offered on all streams."""
    offers = recording.offers
    prefix = "offers.offers[*]."
    volatile = frozenset(
        path.removeprefix(prefix) for path in volatile_of(recording) if path.startswith(prefix)
    )
    gone: set[str] = set()
    for step in recording.steps:
        named = [one for one in used_offers(step) if one in offers and one not in gone]
        gone.update(named)
        if named and step.index in played.sent_s:
            used = [
                played.offers[ours] for one in named for ours in played.ids.get(one, ())
                if ours in played.offers
            ]  # fmt: skip
            theirs = [offers[one] for one in named]
            _compare_held(report, name_of(step), theirs, used, played, volatile)
            _compare_again(report, recording, played, step, theirs[0]["agent_id"]["value"])
    shared = _overlap([s for s in recording.steps if _subscribes(s)])
    for step in recording.steps:
        answer = played.answers.get(step.index)
        if step.opens_a_stream and answer is not None and answer.stream is not None:
            told, ours = _timed(step), answer.stream.events
            for agent in _agents(told):
                name = f"{name_of(step)} of an agent"
                mapped = played.ours(agent)
                _compare_rescinds(report, name, told, ours, (agent, mapped), played, volatile)
                freed = _freed_late(recording, agent, _ends_s(step))
                _compare_end(
                    report, name, told, ours, (agent, mapped), played, volatile, freed,
                    shared=shared,
                )  # fmt: skip


def _timed(step: Step) -> list[Timed]:
    return [(at_ms / 1000, event) for at_ms, event in step.events]


def _subscribes(step: Step) -> bool:
    return any("framework_id" in (event.get("subscribed") or {}) for _, event in step.events)


def _overlap(steps: Sequence[Step]) -> bool:
    """Whether two streams were open at once: which of them an agent is offered to may differ."""
    return any(_ends_s(one) * 1000 > other.t_ms for one, other in pairwise(steps))


def _agents(events: Sequence[Timed]) -> list[str]:
    return list(dict.fromkeys(o["agent_id"]["value"] for _, e in events for o in offers_in(e)))


def _ends_s(step: Step) -> float:
    return float((step.raw.get("stream_end") or {}).get("at_ms", math.inf)) / 1000


def _compare_held(
    report: Report,
    name: str,
    theirs: list[Json],
    ours: list[Json],
    played: Played,
    volatile: frozenset[str],
) -> None:
    if not theirs or not ours:
        report.compare(name, "event OFFERS", bool(theirs), bool(ours))
        return
    one, other = merged(theirs), merged(ours)
    compare_json(report, name, "event OFFERS", one, other, played, volatile)


def _compare_again(
    report: Report, recording: Recording, played: Played, step: Step, agent: str
) -> None:
    """How long it took after each use of an offer until its agent was offered again, to anybody."""
    theirs = [
        at_ms / 1000 for other in recording.steps for at_ms, event in other.events
        if any(o["agent_id"]["value"] == agent for o in offers_in(event))
    ]  # fmt: skip
    mapped = played.ours(agent)
    ours = [
        at_s for answer in played.answers.values() if answer.stream is not None
        for at_s, event in answer.stream.events
        if any(o["agent_id"]["value"] == mapped for o in offers_in(event))
    ]  # fmt: skip
    since_s = step.t_ms / 1000
    took_s = _next(since_s, theirs)
    mine_s = _next(played.sent_s[step.index], ours)
    ends_s = max(
        (_ends_s(s) for s in recording.steps if s.opens_a_stream and s.t_ms <= step.t_ms),
        default=math.inf,
    )
    if took_s is None and ends_s - since_s < ALLOCATION_S:
        return  # Mesos would have had to allocate once more
    quick = took_s is not None and took_s <= ALLOCATION_S
    same = (
        (took_s is None and (mine_s is None or mine_s > ALLOCATION_S))
        or (quick and mine_s is not None and mine_s <= 2 * ALLOCATION_S)
        or (took_s is not None and mine_s is not None and abs(took_s - mine_s) <= ALLOCATION_S)
    )
    said = _seconds(took_s)
    report.compare(name_of(step), "offered again after", said, said if same else _seconds(mine_s))


def _next(since_s: float, times: list[float]) -> float | None:
    later = [at_s - since_s for at_s in times if at_s > since_s]
    return min(later, default=None)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def _rescinds(events: Sequence[Timed], agent: str) -> list[list[Json]]:
    """The offers of an agent that are taken back, those together that are so at once."""
    known = {o["id"]["value"]: o for _, e in events for o in offers_in(e)}
    runs: list[list[Json]] = []
    last_s = -math.inf
    for at_s, event in events:
        offer = known.get(((event.get("rescind") or {}).get("offer_id") or {}).get("value", ""))
        if offer is not None and offer["agent_id"]["value"] == agent:
            if at_s - last_s > RUN_S:
                runs.append([])
            runs[-1].append(offer)
            last_s = at_s
    return runs


def _compare_rescinds(
    report: Report,
    name: str,
    theirs: Sequence[Timed],
    ours: Sequence[Timed],
    agent: tuple[str, str],
    played: Played,
    volatile: frozenset[str],
) -> None:
    a, b = _rescinds(theirs, agent[0]), _rescinds(ours, agent[1])
    report.compare(name, "event RESCIND count", len(a), len(b))
    for one, other in zip(a, b, strict=False) if len(a) == len(b) else ():
        _compare_held(report, f"{name}, taken back", one, other, played, volatile)


def _held(
    events: Sequence[Timed], agent: str, used: Iterator[str]
) -> list[tuple[float, list[Json]]]:
    """What is held of an agent from when on."""
    gone = set(used)
    held: dict[str, Json] = {}
    out: list[tuple[float, list[Json]]] = [(-math.inf, [])]
    for at_s, event in events:
        for offer in offers_in(event):
            if offer["agent_id"]["value"] == agent and offer["id"]["value"] not in gone:
                held[offer["id"]["value"]] = offer
        held.pop(((event.get("rescind") or {}).get("offer_id") or {}).get("value", ""), None)
        out.append((at_s, list(held.values())))
    return out


def _compare_end(
    report: Report,
    name: str,
    theirs: Sequence[Timed],
    ours: Sequence[Timed],
    agent: tuple[str, str],
    played: Played,
    volatile: frozenset[str],
    freed: list[Json],
    *,
    shared: bool,
) -> None:
    """What is offered at the end, or was before the last of Mesos' allocations.

    `freed`: what Mesos had no time to offer. `shared`: among several frameworks, so that it may be
    another's turn here.
    """
    expected = _held(theirs, agent[0], iter(played.used))[-1][1]
    mine = _held(ours, agent[1], iter(played.used))
    ended_s = ours[-1][0] if ours else 0.0
    until_s = [at_s for at_s, _ in mine[1:]] + [math.inf]
    late = [held for (_, held), end_s in zip(mine, until_s, strict=True)
            if end_s > ended_s - ALLOCATION_S]  # fmt: skip
    found = next((h for h in late if _amounts(h) == _amounts(expected)), mine[-1][1])
    if expected and freed and _sum(found) == added([_sum(expected), quantities(freed)]):
        report.compare(f"{name}, at the end", "offered at the end", True, True)
    elif expected and found:
        _compare_held(report, f"{name}, at the end", expected, found, played, volatile)
    elif not shared:
        report.compare(f"{name}, at the end", "offered at the end", bool(expected), bool(found))


def _amounts(offers: list[Json]) -> object:
    return merged(offers)["resources"] if offers else None


def _sum(offers: list[Json]) -> dict[str, Any]:
    return added([quantities(one["resources"]) for one in offers])


def _freed_late(recording: Recording, agent: str, ends_s: float) -> list[Json]:
    """What tasks had on an agent that ended too late for Mesos to offer it again."""
    told = (
        (at_ms / 1000, (event.get("update") or {}).get("status") or {})
        for step in recording.steps
        for at_ms, event in step.events
    )
    ended = {
        status["task_id"]["value"] for at_s, status in told
        if status.get("state") in ENDS and ends_s - ALLOCATION_S < at_s <= ends_s
    }  # fmt: skip
    return [
        resource for task in launched(recording)
        if task["task_id"]["value"] in ended and task["agent_id"]["value"] == agent
        for resource in task["resources"]
    ]  # fmt: skip
