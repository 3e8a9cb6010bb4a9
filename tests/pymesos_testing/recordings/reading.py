"""A recording: its steps, and which of its strings are ids."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymesos_core.mesos.json_messages import to_object
from pymesos_proto.mesos.v1 import scheduler_pb2 as mesos_scheduler

Json = dict[str, Any]
OFFERS = "offers"


@dataclass(frozen=True)
class Step:
    """Something that was sent, with what came back; or a note."""

    index: int
    t_ms: float
    raw: Json

    @property
    def send(self) -> Json | None:
        return self.raw.get("send")

    @property
    def conn(self) -> str:
        return str(self.raw.get("conn") or "")

    @property
    def note(self) -> str:
        return str(self.raw.get("note") or "")

    @property
    def events(self) -> list[tuple[float, Json]]:
        """What came on the stream that it opened, each with its time in ms."""
        return [
            (float(one["at_ms"]), decoded(one["event"]))
            for one in self.raw.get("events") or ()
            if isinstance(one.get("event"), dict)
        ]

    @property
    def opens_a_stream(self) -> bool:
        return "stream_end" in self.raw


@dataclass(frozen=True)
class Recording:
    """One scenario."""

    name: str
    what: str
    master_flags: tuple[str, ...]
    agent_flags: tuple[str, ...]
    steps: tuple[Step, ...]
    volatile: frozenset[str]
    ids: frozenset[str] = field(default_factory=frozenset)
    agents: dict[str, str] = field(default_factory=dict)  # with their attributes, as first offered
    offers: dict[str, Json] = field(default_factory=dict)  # by their ids

    @property
    def executors(self) -> dict[str, Json]:
        """What executors of ours wrote down, each with its step, by their ids."""
        return {
            step.raw["executor_log"][0]["env"]["MESOS_EXECUTOR_ID"]: step.raw
            for step in self.steps
            if step.raw.get("executor_log")
        }


def read(path: Path) -> Recording:
    """Read a file."""
    value = json.loads(path.read_text("utf-8"))
    t_ms = 0.0
    steps = []
    for index, raw in enumerate(value["steps"]):
        t_ms = float(raw.get("t_ms", t_ms))
        steps.append(Step(index, t_ms, _as_sent(raw | _of_raw(raw))))
    agents: dict[str, str] = {}
    offers: dict[str, Json] = {}
    ids: dict[str, None] = {}
    for step in steps:
        header = (step.raw.get("headers") or {}).get("Mesos-Stream-Id")
        if header:
            ids[header] = None
        for _, event in step.events:
            for found in ids_in(event):
                ids[found] = None
            for offer in offers_in(event):
                agents.setdefault(offer["agent_id"]["value"], attributes(offer))
                offers[offer["id"]["value"]] = offer
    return Recording(
        path.stem,
        value["scenario"],
        tuple(value["master_flags"]),
        tuple(value["agent_flags"]),
        tuple(steps),
        frozenset(value["volatile"]),
        frozenset(ids),
        agents,
        offers,
    )


# Where a recorder did not show a call as it was sent, the answer tells what that said.
_ATTEMPTED = re.compile(
    r"Updating 'FrameworkInfo\.(?P<name>\w+)' is unsupported; attempted to update from"
    r" '[^']*' to '(?P<value>[^']*)'"
)


def _as_sent(raw: Json) -> Json:
    """A step with what its answer says was sent in the place of what it shows."""
    said = raw.get("body")
    found = _ATTEMPTED.search(said) if isinstance(said, str) else None
    if found is None:
        return raw
    value: Any = found["value"]
    if value in ("true", "false"):
        value = value == "true"
    body = json.loads(json.dumps(raw["send"]["body"]))
    body["update_framework"]["framework_info"][found["name"]] = value
    return raw | {"send": raw["send"] | {"body": body}}


def _of_raw(raw: Json) -> Json:
    """What an answer says that was recorded as it came, byte by byte."""
    if "raw_answer" not in raw:
        return {}
    head, _, body = raw["raw_answer"]["latin1"].partition("\r\n\r\n")
    status_line, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    said = {"status": int(status_line.split()[1]), "status_line": status_line, "headers": headers}
    return said if "Transfer-Encoding" in headers else said | {"body": body}


def decoded(event: Json) -> Json:
    """An event, also of a stream of protobuf messages."""
    if set(event) == {"base64"}:
        return to_object(mesos_scheduler.Event.FromString(base64.b64decode(event["base64"])))
    return event


def offers_in(event: Json) -> list[Json]:
    """The offers that an event of a scheduler brings."""
    return (
        list((event.get(OFFERS) or {}).get(OFFERS) or ()) if event.get("type") == "OFFERS" else []
    )


def attributes(offer: Json) -> str:
    """The attributes of an offer's agent, as its flag says them."""
    out = []
    for one in offer.get("attributes") or ():
        match one["type"]:
            case "SCALAR":
                value = f"{one['scalar']['value']:g}"
            case "RANGES":
                parts = (f"{r['begin']}-{r['end']}" for r in one["ranges"]["range"])
                value = f"[{','.join(parts)}]"
            case "SET":
                value = f"{{{','.join(one['set']['item'])}}}"
            case _:
                value = one["text"]["value"]
        out.append(f"{one['name']}:{value}")
    return ";".join(out)


def ids_in(event: Json) -> Iterator[str]:
    """The ids in an event that another cluster gives anew."""
    subscribed = event.get("subscribed") or {}
    if "framework_id" in subscribed:  # of a scheduler's stream
        yield subscribed["framework_id"]["value"]
        yield subscribed["master_info"]["id"]
    for offer in offers_in(event):
        yield offer["id"]["value"]
        yield offer["agent_id"]["value"]
    for inverse in (event.get("inverse_offers") or {}).get("inverse_offers") or ():
        yield inverse["id"]["value"]
    status = (event.get("update") or {}).get("status") or {}
    if "uuid" in status:
        yield status["uuid"]


def strings_in(value: Any) -> Iterator[str]:
    """All strings of a JSON value."""
    match value:
        case str():
            yield value
        case dict():
            for inner in value.values():
                yield from strings_in(inner)
        case list():
            for inner in value:
                yield from strings_in(inner)


def quantities(resources: list[Json]) -> dict[str, Any]:
    """Amounts by the name of a resource and whom it is reserved for, to be added and compared."""
    out: dict[str, Any] = {}
    for one in resources:
        key = resource_key(one)
        if "scalar" in one:
            out[key] = out.get(key, 0) + round(float(one["scalar"]["value"]) * 1000)
        elif "ranges" in one:
            held = out.setdefault(key, set())
            for part in one["ranges"].get("range") or ():
                held.update(range(int(part["begin"]), int(part["end"]) + 1))
    return {key: amount for key, amount in out.items() if amount}


def resource_key(one: Json) -> str:
    """What sets a resource apart from others of an offer."""
    reserved = [(r.get("type"), r.get("role")) for r in one.get("reservations") or ()]
    if not reserved and (one.get("role", "*") != "*" or "reservation" in one):
        reserved = [("DYNAMIC" if "reservation" in one else "STATIC", one.get("role"))]
    volume = ((one.get("disk") or {}).get("persistence") or {}).get("id", "")
    return re.sub(r"[.\[\]]", "_", f"{one['name']}{reserved or ''}{volume}")


def used_offers(step: Step) -> list[str]:
    """The offers that a call accepts or declines."""
    body = (step.send or {}).get("body")
    if not isinstance(body, dict):
        return []
    part = body.get("accept") or body.get("decline") or {}
    return [one["value"] for one in part.get("offer_ids") or ()]


def merged(offers: list[Json]) -> Json:
    """One offer that holds what several of an agent do together."""
    resources: dict[str, Json] = {}
    for offer in offers:
        for one in offer["resources"]:
            key = resource_key(one)
            resources[key] = _sum(resources[key], one) if key in resources else one
    return offers[-1] | {"resources": [resources[key] for key in sorted(resources)]}


def _sum(one: Json, other: Json) -> Json:
    """A resource of two of a kind."""
    if "scalar" in one:
        total = float(one["scalar"]["value"]) + float(other["scalar"]["value"])
        return one | {"scalar": {"value": round(total, 3)}}
    if "ranges" in one:
        parts = [*(one["ranges"].get("range") or ()), *(other["ranges"].get("range") or ())]
        joined: list[Json] = []
        for part in sorted(parts, key=lambda part: int(part["begin"])):
            if joined and int(part["begin"]) == int(joined[-1]["end"]) + 1:
                joined[-1] = {"begin": joined[-1]["begin"], "end": part["end"]}
            else:
                joined.append(part)
        return one | {"ranges": {"range": joined}}
    return one


def added(many: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of quantities."""
    out: dict[str, Any] = {}
    for one in many:
        for key, amount in one.items():
            if isinstance(amount, set):
                out[key] = out.get(key, set()) | amount
            else:
                out[key] = out.get(key, 0) + amount
    return out


def launched(recording: Recording) -> Iterator[Json]:
    """Yield the tasks that LAUNCH operations of a recording name."""
    for step in recording.steps:
        body = (step.send or {}).get("body")
        accept = (body.get("accept") if isinstance(body, dict) else None) or {}
        for operation in accept.get("operations") or ():
            yield from (operation.get("launch") or {}).get("task_infos") or ()
