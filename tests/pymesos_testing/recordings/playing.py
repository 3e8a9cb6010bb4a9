"""Plays a recording: sends what was sent, when the ids that it needs are known."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import signal
import time
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pymesos_testing.recordings.acting import Action, Kind, action_of
from pymesos_testing.recordings.cluster import Cluster
from pymesos_testing.recordings.reading import (
    Json,
    Recording,
    Step,
    added,
    attributes,
    offers_in,
    quantities,
    strings_in,
    used_offers,
)
from pymesos_testing.recordings.setting_up import given
from pymesos_testing.recordings.wire import Answer, Stream, ask

KNOWN_S = 5.0  # until the ids that a step needs are known
TOLD_S = 3.0  # until an update that is acknowledged does not come any more
CUT_S = 0.3  # until what is held is declined, to be offered together with what came free since
OFFERED_S = 2.5  # until an offer is taken that holds other amounts
SETTLE_S = 1.5  # after the last step, until streams are looked at
HOST = "127.0.0.1"
ENDS = frozenset(
    {"TASK_FINISHED", "TASK_FAILED", "TASK_KILLED", "TASK_ERROR", "TASK_LOST", "TASK_DROPPED"}
)


@dataclass
class Played:
    """What became of a recording."""

    answers: dict[int, Answer] = field(default_factory=dict)  # by the index of the step
    sent_s: dict[int, float] = field(default_factory=dict)
    problems: list[tuple[Step, str]] = field(default_factory=list)  # steps that could not be sent
    ids: dict[str, list[str]] = field(default_factory=dict)  # recorded → ours
    offers: dict[str, Json] = field(default_factory=dict)  # ours, by their ids
    used: set[str] = field(default_factory=set)  # ids of offers, recorded ones and ours
    executors: dict[str, list[Json]] = field(default_factory=dict)  # what each has written down

    def ours(self, text: str) -> str:
        """A recorded text with the ids of this cluster."""
        for recorded in sorted(self.ids, key=len, reverse=True):  # some are the beginning of others
            found = self.ids[recorded]
            if recorded in text and found:
                text = text.replace(recorded, found[0])
        return text


@dataclass
class _Conversation:
    """A recorded stream and ours: which offers are held on each."""

    step: Step
    stream: Stream
    seen: int = 0  # of our events
    held: dict[str, Json] = field(default_factory=dict)  # our offers
    inverse: list[str] = field(default_factory=list)  # our inverse offers, in turn
    updates: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))


def started_later(recording: Recording) -> Collection[int]:
    """Agents that a note says were started, before it says that they were ended."""
    seen: set[int] = set()
    later: set[int] = set()
    for step in recording.steps:
        action = action_of(step.note) if step.send is None else None
        if action is not None and action.kind in (Kind.KILL, Kind.START, Kind.LEAVE):
            if action.kind is Kind.START and action.agent not in seen:
                later.add(action.agent)
            seen.add(action.agent)
    return later


class Player:
    """Plays one recording against the master at a port.

    It has more than 300 lines and is better whole: each kind of step is a method, and what one has
    learned, such as ids, the next ones need.
    """

    def __init__(self, recording: Recording, running: Cluster) -> None:
        self._recording = recording
        self._running = running
        self._port = running.mesos_port
        self._talks: list[_Conversation] = []
        self.played = Played()
        self._more: list[tuple[_Conversation, Json]] = []  # updates that were not recorded
        self._agents: list[str] = []  # ours, in the order in which they are first seen

    async def play(self) -> Played:
        """Send all steps."""
        before_ms, before_s = 0.0, time.monotonic()
        for step in self._recording.steps:
            gap_s = max(0.0, step.t_ms - before_ms) / 1000
            await asyncio.sleep(max(0.0, before_s + gap_s - time.monotonic()))
            before_ms, before_s = step.t_ms, time.monotonic()
            if step.send is None:
                await self._act(step)
                before_s = time.monotonic()
            elif (port := self._port_of(step)) is not None:
                await self._send(step, step.send, port)
                before_s = time.monotonic()
        await asyncio.sleep(SETTLE_S)
        self._learn()
        for talk in self._talks:
            talk.stream.close()
        return self.played

    async def _act(self, step: Step) -> None:
        """Do what a note says was done."""
        action = action_of(step.note)
        if action is None:
            return
        running, agent = self._running, action.agent
        match action.kind:
            case Kind.CLOSE:
                for talk in self._talks:
                    if talk.step.conn == step.conn:
                        talk.stream.close()
            case Kind.SET_UP:
                await self._set_up(step)
            case Kind.KILL:
                running.agents[agent].kill()
            case Kind.START:
                await asyncio.to_thread(running.start_agent, agent)
                if not any(
                    action_of(s.note) == Action(Kind.AWAIT, agent) for s in self._rest(step)
                ):
                    await running.registered(agent)
            case Kind.AWAIT:
                await running.registered(agent)
            case Kind.LEAVE:
                running.agents[agent].signal(signal.SIGTERM)

    def _port_of(self, step: Step) -> int | None:
        """The port of the server that a step was sent to; None: it is not there."""
        to = str(step.raw.get("to") or "")
        if to == "master":
            return self._port
        number = to.removeprefix("agent").strip("-_ ")
        if not to.startswith("agent") or not (number or "1").isdigit():
            return None
        return self._running.agent_ports.get(int(number or "1") - 1)

    def _rest(self, step: Step) -> Sequence[Step]:
        return self._recording.steps[step.index + 1 :]

    async def _set_up(self, step: Step) -> None:
        """Have what the answers tell of, if they do."""
        there = given(self._recording)
        if there is None:
            self.played.problems.append((step, "no answer tells of a framework with tasks"))
            return
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        path = "/api/v1/scheduler"
        said: Json = {"type": "SUBSCRIBE", "subscribe": {"framework_info": there.info}}
        opened = await ask(HOST, self._port, "POST", path, headers, json.dumps(said).encode())
        assert opened.stream is not None, opened.body
        stream_id = opened.headers["mesos-stream-id"]
        stream = opened.stream
        framework = (await stream.event("SUBSCRIBED"))["subscribed"]["framework_id"]
        headers["Mesos-Stream-Id"] = stream_id
        for turn, (task, launch) in enumerate(zip(there.tasks, there.launches, strict=True)):
            offer = (await stream.event("OFFERS", turn))["offers"]["offers"][0]
            task["agent_id"] = offer["agent_id"]
            filters = {"refuse_seconds": 0}
            accept: Json = {"offer_ids": [offer["id"]], "operations": [launch], "filters": filters}
            said = {"type": "ACCEPT", "framework_id": framework, "accept": accept}
            await ask(HOST, self._port, "POST", path, headers, json.dumps(said).encode())
        ends = {
            task["task_id"]["value"]: task["command"]["value"] == "true" for task in there.tasks
        }
        await self._acknowledge(stream, framework, headers, ends)
        self.played.ids[there.framework_id] = [framework["value"]]
        self.played.ids[there.agent_id] = [offer["agent_id"]["value"]]
        if there.stream_id:
            self.played.ids[there.stream_id] = [stream_id]

    async def _acknowledge(
        self, stream: Stream, framework: Json, headers: dict[str, str], ends: dict[str, bool]
    ) -> None:
        """Acknowledge until each task runs, or has ended if it is to."""
        settled: set[str] = set()
        seen = 0
        while len(settled) < len(ends):
            if seen == len(stream.events):
                stream.changed.clear()
                async with asyncio.timeout(KNOWN_S):
                    await stream.changed.wait()
            _, event = stream.events[seen]
            seen += 1
            status = (event.get("update") or {}).get("status")
            if status is None:
                continue
            task_id = status["task_id"]["value"]
            if status["state"] == ("TASK_FINISHED" if ends[task_id] else "TASK_RUNNING"):
                settled.add(task_id)
            part = {"agent_id": status["agent_id"], "task_id": status["task_id"]}
            said = {
                "type": "ACKNOWLEDGE",
                "framework_id": framework,
                "acknowledge": part | {"uuid": status["uuid"]},
            }
            data = json.dumps(said).encode()
            await ask(HOST, self._port, "POST", "/api/v1/scheduler", headers, data)

    async def _send(self, step: Step, send: Json, port: int) -> None:
        needed = [text for text in strings_in([send.get("body"), send.get("headers"), send["path"]])
                  if text in self._recording.ids]  # fmt: skip
        began_s = time.monotonic()
        declined = False
        while missing := [one for one in needed if not self._known(one, began_s + OFFERED_S)]:
            waited_s = time.monotonic() - began_s
            if waited_s > (KNOWN_S if _type_of(send) != "ACKNOWLEDGE" else TOLD_S):
                if _type_of(send) != "ACKNOWLEDGE":  # else the update is what is missing
                    told = f"not known: {', '.join(missing)[:300]}"
                    self.played.problems.append((step, told))
                return
            if waited_s > CUT_S and not declined:
                declined = True
                await self._offer_anew(missing)
            await asyncio.sleep(0.02)
            self._learn()
            await self._acknowledge_more()
        if _type_of(send) == "TEARDOWN":
            await self._settle_offers(step)
        headers = {name: self.played.ours(value) for name, value in send["headers"].items()}
        path = self.played.ours(send["path"])
        body = self._body(send.get("body"))
        self.played.sent_s[step.index] = time.monotonic()
        answer = await ask(HOST, port, send["method"], path, headers, body)
        self.played.answers[step.index] = answer
        self._note_use(step)
        header = (step.raw.get("headers") or {}).get("Mesos-Stream-Id")
        if header and "mesos-stream-id" in answer.headers:
            self.played.ids[header] = [answer.headers["mesos-stream-id"]]
        if answer.stream is not None:
            self._talks.append(_Conversation(step, answer.stream))
            await asyncio.sleep(0.05)
        self._learn()

    def _body(self, body: Any) -> bytes | None:
        if body is None:
            return None
        if isinstance(body, str):
            return self.played.ours(body).encode()
        if set(body) == {"base64"}:
            return base64.b64decode(body["base64"])
        return json.dumps(self._with_our_ids(body)).encode()

    def _with_our_ids(self, value: Any) -> Any:
        match value:
            case str():
                return self.played.ours(value)
            case dict():
                return {key: self._with_our_ids(inner) for key, inner in value.items()}
            case list():
                return [self._with_our_ids(one) for inner in value for one in self._several(inner)]
        return value

    def _several(self, value: Any) -> list[Any]:
        """The id of an offer may be several of ours."""
        if isinstance(value, dict) and set(value) == {"value"}:
            found = self.played.ids.get(value["value"], [])
            if len(found) > 1:
                return [{"value": one} for one in found]
        return [value]

    # What is known.

    def _known(self, recorded: str, deadline: float) -> bool:
        if recorded in self.played.ids:
            return True
        offer = self._recording.offers.get(recorded)
        return offer is not None and self._find_offer(recorded, offer, deadline)

    def _find_offer(self, recorded: str, offer: Json, deadline: float) -> bool:
        """Find those of ours that hold the same of the same agent: it may be several."""
        agent = self.played.ids.get(offer["agent_id"]["value"])
        wanted = quantities(offer["resources"])
        for talk in self._talks:
            if not any(o["id"]["value"] == recorded for _, e in talk.step.events
                       for o in offers_in(e)):  # fmt: skip
                continue
            taken = {one for found in self.played.ids.values() for one in found}
            mine = [o for i, o in talk.held.items()
                    if agent and o["agent_id"]["value"] == agent[0] and i not in taken]  # fmt: skip
            for count in range(1, min(len(mine), 6) + 1):
                for chosen in itertools.combinations(mine, count):
                    if added([quantities(one["resources"]) for one in chosen]) == wanted:
                        self.played.ids[recorded] = [one["id"]["value"] for one in chosen]
                        return True
            if mine and time.monotonic() > deadline:
                self.played.ids[recorded] = [one["id"]["value"] for one in mine]
                return True
        return False

    async def _acknowledge_more(self) -> None:
        """Acknowledge updates that were not recorded: those behind them would not come."""
        while self._more:
            talk, status = self._more.pop()
            await self._say(
                talk, "ACKNOWLEDGE", {k: status[k] for k in ("agent_id", "task_id", "uuid")}
            )

    async def _say(self, talk: _Conversation, kind: str, part: Json) -> None:
        """Send a call that was not recorded."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        headers["Mesos-Stream-Id"] = talk.stream.headers["mesos-stream-id"]
        framework_id = talk.stream.events[0][1]["subscribed"]["framework_id"]
        said = {"type": kind, "framework_id": framework_id, kind.lower(): part}
        data = json.dumps(said).encode()
        await ask(HOST, self._port, "POST", "/api/v1/scheduler", headers, data)

    async def _settle_offers(self, step: Step) -> None:
        """Have what is held before a framework goes be as much as it was."""
        for talk in self._talks:
            if talk.step.conn != step.conn:
                continue
            left = _left(talk.step, self.played.used)
            wanted = added([quantities(one["resources"]) for one in left.values()])
            mine = added([quantities(one["resources"]) for one in talk.held.values()])
            if left and wanted != mine:
                await self._offer_anew(list(left))
                await asyncio.sleep(CUT_S)
                self._learn()

    async def _offer_anew(self, missing: list[str]) -> None:
        """Decline what is held of the agents of these offers.

        Mesos offers once a second what is free then. We offer at once, and what comes free of an
        agent while it is offered comes with the next offer, when that one is answered.
        """
        agents = {
            self.played.ours(self._recording.offers[one]["agent_id"]["value"])
            for one in missing
            if one in self._recording.offers
        }
        for talk in self._talks:
            held = [i for i, o in talk.held.items() if o["agent_id"]["value"] in agents]
            if not held or not any(
                offer["id"]["value"] in missing
                for _, e in talk.step.events
                for offer in offers_in(e)
            ):
                continue
            offer_ids = [{"value": one} for one in held]
            part = {"offer_ids": offer_ids, "filters": {"refuse_seconds": 0}}
            await self._say(talk, "DECLINE", part)
            for one in held:
                self.played.used.add(one)
                del talk.held[one]

    def _note_use(self, step: Step) -> None:
        """What is accepted or declined is held no more."""
        for one in used_offers(step):
            self.played.used.add(one)
            for ours in self.played.ids.get(one, ()):
                self.played.used.add(ours)
                for talk in self._talks:
                    talk.held.pop(ours, None)

    def _learn(self) -> None:
        for talk in self._talks:
            while talk.seen < len(talk.stream.events):
                _, event = talk.stream.events[talk.seen]
                talk.seen += 1
                self._learn_from(talk, event)

    def _learn_from(self, talk: _Conversation, event: Json) -> None:
        recorded = [one for _, one in talk.step.events]
        if "framework_id" in (event.get("subscribed") or {}):
            theirs = next((e["subscribed"] for e in recorded if "subscribed" in e), None)
            if theirs is not None:
                ours = event["subscribed"]
                self.played.ids[theirs["framework_id"]["value"]] = [ours["framework_id"]["value"]]
                self.played.ids[theirs["master_info"]["id"]] = [ours["master_info"]["id"]]
        for inverse in (event.get("inverse_offers") or {}).get("inverse_offers") or ():
            talk.inverse.append(inverse["id"]["value"])
            theirs_in_turn = [
                one["id"]["value"]
                for other in recorded
                for one in (other.get("inverse_offers") or {}).get("inverse_offers") or ()
            ]
            if len(theirs_in_turn) >= len(talk.inverse):
                self.played.ids[theirs_in_turn[len(talk.inverse) - 1]] = [talk.inverse[-1]]
        for offer in offers_in(event):
            talk.held[offer["id"]["value"]] = self.played.offers[offer["id"]["value"]] = offer
            self._learn_agent(offer)
        if "rescind" in event:
            talk.held.pop(event["rescind"]["offer_id"]["value"], None)
        status = (event.get("update") or {}).get("status") or {}
        if "uuid" in status:
            self._learn_uuid(talk, status, recorded)

    def _learn_agent(self, offer: Json) -> None:
        """Take the first with these attributes that is not known yet."""
        ours = offer["agent_id"]["value"]
        if ours in self._agents:
            return
        self._agents.append(ours)
        for recorded, said in self._recording.agents.items():
            if recorded not in self.played.ids and said == attributes(offer):
                self.played.ids[recorded] = [ours]
                return

    def _learn_uuid(self, talk: _Conversation, status: Json, recorded: list[Json]) -> None:
        """Take the recorded one of the same state in turn; what ends a task is of one kind."""
        key = (status["task_id"]["value"], _turn(status["state"]))
        seen = talk.updates[key]
        if status["uuid"] in seen:
            return
        seen.append(status["uuid"])
        theirs: list[str] = []
        for event in recorded:
            said = (event.get("update") or {}).get("status") or {}
            new = "uuid" in said and said["uuid"] not in theirs
            if new and (said["task_id"]["value"], _turn(said["state"])) == key:
                theirs.append(said["uuid"])
        if len(theirs) >= len(seen):
            self.played.ids[theirs[len(seen) - 1]] = [status["uuid"]]
        else:
            self._more.append((talk, status))


def _type_of(send: Json) -> str:
    body = send.get("body")
    return str(body.get("type", "")) if isinstance(body, dict) else ""


def _left(step: Step, used: Collection[str]) -> dict[str, Json]:
    """The offers of a recorded stream that were not used, and not taken back."""
    out: dict[str, Json] = {}
    for _, event in step.events:
        out |= {o["id"]["value"]: o for o in offers_in(event) if o["id"]["value"] not in used}
        out.pop(((event.get("rescind") or {}).get("offer_id") or {}).get("value", ""), None)
    return out


def _turn(state: str) -> str:
    return "an end" if state in ENDS else state
