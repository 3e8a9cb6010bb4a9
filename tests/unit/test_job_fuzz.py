"""Whatever is submitted is refused in a sentence, or can be stored, read back and launched.

Documents are made from the job schema: right ones, with extremes and nonsense here and there. They
go through the real loader and the real core, down to the messages, and the master checks those.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.checks import resolved
from pymesos_binpack.jobfiles.parsing import Job, JobError, load_document, parse_job, schema
from pymesos_cli.errors import CliError
from pymesos_cli.jobs.settings import apply_settings
from pymesos_core.ids import id_problem
from pymesos_core.resource_tags import Tag
from pymesos_core.resources import Resources, checked_total, from_proto, to_proto
from pymesos_master.core.validation import group_problem, task_problem
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.binpack_harness import BinpackHarness

SURROGATE, BIDI, NUL, BELL, ROCKET = "\ud83d", "\u202e", "\0", "\a", "🚀"
ODD_TEXT = ["", " ", "a\n", BIDI, NUL, BELL, SURROGATE, ROCKET, "../x", "a" * 64, "é" * 40, "\x85",
            "a\u200bb", "$(x)", "%s", "{}", "\ufeff", "\uffff", "\U0010ffff"]  # fmt: skip
ODD_NUMBERS = [math.nan, math.inf, -math.inf, 1e308, 5e-324, 10**5000, -(10**5000), 2**63, -1, 0,
               -0.0, 1e-9, 0.30000000000000004, True]  # fmt: skip
ODD: list[Any] = [None, [], {}, "1", [[]], {"a": {}}, b"x", 1 + 2j, (1,), *ODD_NUMBERS, *ODD_TEXT]
RIGHT_TEXT = {
    "role": ["web"], "version": ["1.0.2"], "path": ["data", "/x"], "uri": ["http://h/a", "https://h/b.tar"],
    "sha256": ["0" * 64], "network": ["host", "bridge", "none"], "host_path": ["/etc"],
    "constraints": ["rack:UNIQUE", "hostname:UNLIKE:([a-z0-9.-]+)+X", "rack:GROUP_BY"],
    "add_capabilities": ["NET_ADMIN"], "drop_capabilities": ["ALL"],
    "command": ["true", f"echo {ROCKET}\t\x07"], "env": ["", ROCKET],
}  # fmt: skip
RIGHT_KEYS = {"env": ["A", "B_1"], "resources": ["fpga", "x-y"], "ulimits": ["nofile", "stack"],
              "variables": ["level", "_B1"], "options": ["mem_mib", "p1"]}  # fmt: skip
RARE = 100  # one in so many values is nonsense

Node = Mapping[str, Any]


def often(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, RARE).flatmap(lambda number: wrong if number == RARE else right)


def numbers(node: Node) -> st.SearchStrategy[Any]:
    least, most = node["minimum"], node["maximum"]
    whole = node["type"] == "integer"
    right = [least, least + 1, min(most, least + 7), float(least + 1)]
    edges = [most, float(most), least - 1, most + 1, most * 1.000001]
    return often(
        st.sampled_from(right if whole else [*right, least + 0.25]), st.sampled_from(edges)
    )


def texts(node: Node, key: str) -> st.SearchStrategy[Any]:
    right = st.sampled_from(RIGHT_TEXT.get(key, ["a", "b", "web", "x-1"]))
    most = node.get("maxLength", 63)
    edges = ["a" * most, "a" * (most + 1), "é" * (most // 2), "é" * (most // 2 + 1), *ODD_TEXT]
    return often(right, st.sampled_from(edges))


def mappings(node: Node, key: str) -> st.SearchStrategy[Any]:
    known = {name: values(inner, name) for name, inner in node.get("properties", {}).items()}
    required = {name: known.pop(name) for name in node.get("required", ())}
    more = node.get("additionalProperties")
    if isinstance(more, dict):
        known |= {name: values(more, key) for name in RIGHT_KEYS[key]}
    one = [{name: known.pop(name)} for name in _alternatives(known)]
    few = st.lists(st.sampled_from(sorted(known) or ["x"]), max_size=4, unique=True)
    # Few keys at a time: else nothing is ever right as a whole.
    some = st.tuples(few, st.sampled_from(one or [{}])).flatmap(
        lambda drawn: st.fixed_dictionaries(
            {**required, **{name: known[name] for name in drawn[0] if name in known}, **drawn[1]}
        )
    )
    keys = st.sampled_from([*ODD_TEXT, "unknown", 1, None])
    return often(some, st.tuples(some, keys).map(lambda made: {**made[0], made[1]: "x"}))


def _alternatives(known: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of which one is expected: what a check asks, and where."""
    for names in (("command", "http", "tcp", "grpc"), ("port", "port_index"), ("command",)):
        if all(name in known for name in names) and "protocol" not in known:
            return names
    return ()


def lists(node: Node, key: str) -> st.SearchStrategy[Any]:
    one = values(node["items"], key)
    most = node["maxItems"]
    many = one.flatmap(lambda item: st.sampled_from([most, most + 1]).map(lambda n: [item] * n))
    least = node.get("minItems", 0)
    return often(st.lists(one, min_size=least, max_size=2), many if most < 200 else st.just([]))


def values(node: Node, key: str = "") -> st.SearchStrategy[Any]:
    return often(st.deferred(lambda: right_values(node, key)), st.sampled_from(ODD))


def right_values(node: Node, key: str) -> st.SearchStrategy[Any]:
    node = resolved(node, schema())
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds = [node["type"]] if isinstance(node["type"], str) else node["type"]
    match kinds[0]:
        case "object":
            return mappings(node, key)
        case "array":
            return lists(node, key)
        case "string":
            return texts(node, key)
        case "boolean":
            return st.booleans()
    return numbers(node)


def read(document: Any) -> Job | None:
    """The job, or None where it is refused; by its text, too, it is the same."""
    try:
        job = parse_job(document)
    except JobError as error:
        assert str(error).isprintable() and len(str(error)) < 2000
        return None
    assert parse_job(load_document(job.document, only_json=True)) == job
    job.document.encode()
    return job


def offer(job: Job, number: int) -> pb.Offer:
    """All of everything, of one agent."""
    names = {name for task in job.tasks for name in (*task.scalars, "disk")} - {"gpus"}
    gpus = {Tag(device=f"gpu{n}"): Resources({"gpus": 1000}) for n in range(4)}
    ports = {"ports": ((1, 30_000),)}
    total = to_proto(Resources(dict.fromkeys(names, 10**15), ports, {}, gpus))
    return pb.Offer(
        offer_id=f"o{number}", agent_id=f"a{number}", hostname="long-host-name." * 16,
        role=job.role, resources=total, agent_total=total, runtimes=["process", "docker", "oci"],
        attributes=[pb.Attribute(name="rack", text=f"r{number}")],
    )  # fmt: skip


def check_launch(accept: c.Accept) -> list[pb.TaskInfo]:
    """What the master would say of it."""
    every: list[pb.TaskInfo] = [*accept.tasks, *(info for group in accept.groups for info in group)]
    framework: Any = SimpleNamespace(tasks={})
    for infos in (*((info,) for info in accept.tasks), *accept.groups):
        able = pb.AgentInfo(isolation={"bandwidth": "tc"})
        agent: Any = SimpleNamespace(agent_id=infos[0].agent_id, tasks={}, info=able)
        there = checked_total(from_proto(info.resources) for info in infos)
        if len(infos) > 1:
            problem = group_problem(framework, agent, infos, there)[1]
        else:
            problem = task_problem(framework, agent, infos[0], there)[1]
        assert problem is None
    for message in (*every, *accept.before):
        assert type(message).FromString(message.SerializeToString()) == message
    assert all(id_problem(info.task_id) is None for info in every)
    return every


def run_through(job: Job) -> int:
    """Submit, launch, restart, fail, launch again, stop, restart; how many tasks were launched."""
    h = BinpackHarness()
    h.feed(c.Subscribed("f"))
    h.submit(job)
    h.feed(c.OffersReceived((offer(job, 1), offer(job, 2))))
    launched = [info for a in h.of(c.Accept) if isinstance(a, c.Accept) for info in check_launch(a)]
    again = BinpackHarness(h.records)
    assert not again.core.quarantined
    again.feed(c.Subscribed("f"))
    for info in launched:
        for state in (pb.TASK_RUNNING, pb.TASK_FAILED):
            again.update(info.task_id, state, 1)
    again.feed(c.OffersReceived((offer(job, 3),)))
    again.advance(90)
    again.core.check()
    again.feed(c.JobStopped(f"{job.name}-r"))
    last = BinpackHarness(again.records)
    assert not last.core.quarantined and len(last.core.jobs) == 1
    return len(launched)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(values(schema()))
def test_a_job_is_refused_in_a_sentence_or_can_be_run(document: Any) -> None:
    job = read(document)
    if job is not None and sum(task.instances for task in job.tasks) <= 50:
        run_through(job)


BASE = {"name": "j", "role": "web", "tasks": [{"name": "t", "command": "x"}]}


def leaves(node: Node, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Node]]:
    """Every plain value of the schema, by the keys that lead there; * is an item or any name."""
    node = resolved(node, schema())
    inner = dict(node.get("properties", {}))
    if isinstance(node.get("additionalProperties"), dict):
        inner["*"] = node["additionalProperties"]
    if "items" in node:
        inner["[]"] = node["items"]
    if not inner:
        return [(path, node)]
    return [leaf for key, below in inner.items() for leaf in leaves(below, (*path, key))]


LEAVES = leaves(schema())
BESIDE: dict[str, dict[str, Any]] = {
    "volumes": {"name": "v", "path": "v", "size": 1},
    "mounts": {"path": "m"},
    "artifacts": {"uri": "http://h/a"},
    "port_mappings": {"port_index": 0, "container_port": 1},
    "sidecars": {"name": "s", "command": "y"},
    "http": {"port": 1}, "tcp": {"port": 1}, "grpc": {"port": 1},
    "health_check": {}, "readiness_check": {},
}  # fmt: skip


def with_value(path: tuple[str, ...], value: Any) -> Any:
    """A job that is right but perhaps for this value."""
    document = json.loads(json.dumps(BASE))
    task = document["tasks"][0]
    if "port_index" in path or "port_mappings" in path:
        task |= {"network": "bridge", "resources": {"ports": 1000}}
    target: Any = document
    for key, after in pairwise(path):
        if key == "[]":
            target[:] = target or [{}]
            target = target[0]
        elif key == "*":
            target = target.setdefault("A", {})
        else:
            target = target.setdefault(key, [] if after == "[]" else {})
        if isinstance(target, dict) and key in BESIDE:
            target |= BESIDE[key]
        elif isinstance(target, list) and key in BESIDE and not target:
            target.append(dict(BESIDE[key]))
    *_, last = path
    if last == "[]":
        target.append(value)
    else:
        name = {"*": "nofile" if "ulimits" in path else "A"}.get(last, last)
        target[name] = value
        if name == "port_index" and "port_mappings" not in path:
            target.pop("port", None)
    check = next((k for k in ("health_check", "readiness_check") if k in path), None)
    if check is not None:
        _complete(document, path, check)
    return document


def _complete(document: Any, path: tuple[str, ...], check: str) -> None:
    """A check asks one thing."""
    owner = document["tasks"][0]
    owner = owner["sidecars"][0] if "sidecars" in path else owner
    if not {"command", "http", "tcp", "grpc"} & owner[check].keys():
        owner[check]["command"] = "true"


@pytest.mark.parametrize(("path", "node"), LEAVES, ids=[".".join(path) for path, _ in LEAVES])
def test_every_value_at_its_limits_and_over_them(path: tuple[str, ...], node: Node) -> None:
    for wrong in ODD:
        read(with_value(path, wrong))
    kind = node.get("type")
    if kind in ("integer", "number"):
        for value in (node["minimum"] - 1, node["maximum"] + 1, math.nan, math.inf, 10**5000, True):
            assert read(with_value(path, value)) is None, value
        for value in (node["minimum"], float(node["minimum"]), node["maximum"]):
            job = read(with_value(path, value))
            if job is not None and path[-1] != "instances":
                run_through(job)
    elif "maxLength" in node and "pattern" not in node:
        assert read(with_value(path, "é" * (node["maxLength"] // 2 + 1))) is None, "it counts bytes"
        job = read(with_value(path, "é" * (node["maxLength"] // 2)))
        if job is not None:
            assert run_through(job)


def test_the_fuzz_reaches_the_core() -> None:
    """Most of what it makes is right, or it tests the schema only."""
    seen = []

    @settings(max_examples=60, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(values(schema()))
    def look(document: Any) -> None:
        job = read(document)
        if job is not None and sum(task.instances for task in job.tasks) <= 50:
            seen.append(run_through(job))

    look()
    assert sum(number > 0 for number in seen) >= 5


PIECES = st.sampled_from(
    ["name", ": ", "- ", "\n", "  ", "{", "}", "[", "]", ",", '"', "'", "|", ">", "&a", "*a",
     "!!int ", "!x", "%YAML 1.2\n", "---", "...", "\\ud83d", "\\x", "0100", "1e400", "#", "\t", "?",
     "~", "é", "<<", "\x85", BIDI, NUL, "\\"]
)  # fmt: skip
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=20))


@settings(max_examples=150, deadline=None)
@given(st.one_of(TEXTS, st.binary(max_size=20)), st.booleans())
def test_any_text_is_a_document_or_refused_in_a_sentence(text: str | bytes, only: bool) -> None:
    try:
        document = load_document(text, only_json=only)
    except JobError as error:
        assert str(error)
    else:
        read(document)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["tasks", "t", "0", "9" * 9, "²", "env", "A", "resources", "cpus", ""])
    ),
    TEXTS,
)
def test_any_setting_is_made_or_refused_in_a_sentence(path: list[str], text: str) -> None:
    try:
        document = apply_settings(BASE, (f"{'.'.join(path)}={text}",))
    except CliError:
        return
    read(document)
