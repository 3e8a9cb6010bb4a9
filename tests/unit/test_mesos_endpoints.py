"""Mesos' older endpoints: /state and its parts, flags, logging, JSONP."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pymesos_core.caller import Method
from pymesos_core.errors import Problem, ProblemKind
from pymesos_core.mesos import verbosity
from pymesos_core.mesos.http import query_of
from pymesos_core.mesos.refusing import RefusalError
from pymesos_core.mesos.verbosity import Verbosity
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.audit import Entry
from pymesos_master.core import events as ev
from pymesos_master.mesos.flags import flags_of
from pymesos_master.mesos.operators import (
    api,
    changing,
    converting,
    endpoints,
)
from pymesos_master.mesos.operators.endpoints import METHODS, Request
from pymesos_proto.mesos.v1 import master_pb2 as mesos_master
from pymesos_proto.v1 import agent_pb2 as agent_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.master_harness import task
from pymesos_testing.mesos_operating import (
    FRAMEWORK,
    NOBODY,
    Cluster,
    cluster,
    refused,
)


async def test_more_is_logged_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    root, ours = logging.getLogger(), logging.getLogger("pymesos_master")
    monkeypatch.setattr(root, "level", logging.WARNING)
    monkeypatch.setattr(ours, "level", logging.INFO)  # as `set_up_logging` leaves it
    wanted = Verbosity("pymesos_core", "pymesos_master")
    wanted.set(2, 0.01)
    assert (wanted.level, ours.level) == (2, logging.DEBUG)
    assert root.level == logging.WARNING, "of libraries nothing more is written"
    async with asyncio.timeout(10):
        while ours.level != logging.INFO:
            await asyncio.sleep(0.005)
    assert wanted.level == 0
    wanted.set(1, 100)
    wanted.set(0, 100)
    assert ours.level == logging.INFO
    for level, duration_s in ((4, 1.0), (1, 0.0), (1, verbosity.MOST_S + 1)):
        with pytest.raises(RefusalError):
            wanted.set(level, duration_s)


@pytest.mark.parametrize("problem", [None, Problem(ProblemKind.FULL, "the disk is full")])
async def test_more_is_logged_once_the_audit_tells_so(problem: Problem | None) -> None:
    made, _, _ = cluster()
    gathering = made.operators._gathering
    told: list[tuple[Any, int]] = []

    async def record(entry: Entry) -> Problem | None:
        told.append((json.loads(entry.line()), gathering.verbosity.level))
        return problem

    gathering.leadership.audit = cast(Any, SimpleNamespace(record=record))
    asked = made.ask("SET_LOGGING_LEVEL", level=2, duration={"nanoseconds": 10**9})
    if problem is None:
        assert (await asked).status == 200
        assert gathering.verbosity.level == 2
        gathering.verbosity.set(0, 1.0)
    else:
        assert await refused(asked) == (409, "the disk is full")
        assert gathering.verbosity.level == 0
    ((line, level),) = told
    assert (line["method"], line["verb"], line["decision"]) == (
        "SET_LOGGING_LEVEL",
        "policy",
        "allowed",
    )
    assert (line["object"], level) == ({"level": "2", "duration_s": "1"}, 0)
    wrong = made.ask("SET_LOGGING_LEVEL", level=9, duration={"nanoseconds": 10**9})
    assert (await refused(wrong))[0] == 400 and len(told) == 1


# The older endpoints.


async def test_state_and_its_parts() -> None:
    made, agent_id, framework_id = cluster()
    state = await made.older("state")
    assert (state["version"], state["activated_slaves"]) == ("1.12.0", 1)
    assert state["flags"] == {"offer_timeout": "30secs"}
    (framework,) = state["frameworks"]
    (task,) = framework["tasks"]
    assert (task["id"], task["slave_id"], task["resources"]["cpus"]) == ("t", agent_id, 1.0)
    (slave,) = state["slaves"]
    assert slave["used_resources"] == {"disk": 0.0, "mem": 32.0, "gpus": 0.0, "cpus": 1.0}
    assert slave["resources"]["ports"] == "[31000-31099]"
    summary = await made.older("state-summary")
    assert summary["slaves"][0]["TASK_RUNNING"] == summary["frameworks"][0]["TASK_RUNNING"] == 1
    assert summary["slaves"][0]["framework_ids"] == [framework_id]
    assert summary["frameworks"][0]["slave_ids"] == [agent_id]
    (role,) = [one for one in (await made.older("roles"))["roles"] if one["name"] == "dev"]
    assert role["quota"]["consumed"] == {"cpus": 1.0, "mem": 32.0}


async def test_what_is_revocable_consumes_no_quota() -> None:
    made = Cluster()
    h = made.harness
    agent = h.agent("cpus:4;mem:4096")
    slack = to_proto(parse("cpus{REV}:3;mem{REV}:1000"))
    h.feed(ev.AgentSlackTold(agent, agent_pb.AgentMessage.Slack(revocable=slack)))
    taker = h.subscribe(roles=["dev"], capabilities=(pb.REVOCABLE_RESOURCES,))
    (offer,) = (o for o in h.offers(taker) if any(r.revocable for r in o.resources))
    info = task(offer, "t")
    info.ClearField("resources")
    info.resources.extend(to_proto(parse("cpus{REV}:2;mem{REV}:100")))
    h.accept(taker, [offer.offer_id], info)
    h.feed(ev.OperatorReserved(1000, h.agent_id(agent), "dev", tuple(to_proto(parse("mem:64")))))
    (role,) = [one for one in (await made.older("roles"))["roles"] if one["name"] == "dev"]
    assert role["allocated"]["cpus"] == 2.0
    assert role["quota"]["consumed"] == {"mem": 64.0}


async def test_tasks_are_chosen_and_cut() -> None:
    made, _, _ = cluster()
    assert [t["id"] for t in (await made.older("tasks"))["tasks"]] == ["t"]
    query: Any
    for query in ({"task_id": "x"}, {"framework_id": "x"}, {"limit": "0"}, {"offset": "1"}):
        assert await made.older("tasks", **query) == {"tasks": []}, query
    assert len((await made.older("tasks", limit="abc", order="asc"))["tasks"]) == 1
    assert (await made.older("slaves", slave_id="x"))["slaves"] == []
    assert (await made.older("frameworks", framework_id="x"))["frameworks"] == []


async def test_jsonp_is_for_those_whom_a_page_cannot_be() -> None:
    made = Cluster()
    asked = Request("GET", ("tasks",), {"jsonp": "cb"}, b"", NOBODY)
    done = await made.endpoints.answer(made.leader, asked)
    assert (done.body, done.content_type) == (b'cb({"tasks":[]})', "text/javascript")
    problem = endpoints.jsonp_problem
    assert problem("cb", NOBODY, page_is_known=True) is None
    for method in Method:  # a browser shows by itself what is no token
        refused = problem("cb", replace(FRAMEWORK, method=method), page_is_known=False)
        assert (refused is None) is (method is Method.TOKEN), method
    assert problem("cb", NOBODY, page_is_known=False) is not None
    assert problem("alert(1)//", FRAMEWORK, page_is_known=True) is not None


def test_endpoints_have_the_methods_of_mesos() -> None:
    assert METHODS["machine", "down"] == ("POST",)
    assert METHODS["state",] == ("GET", "HEAD")
    assert METHODS["quota",] == ("GET", "HEAD", "POST", "DELETE")
    assert ("roles.json",) not in METHODS


def test_every_call_of_mesos_is_answered() -> None:
    """Each is read, watched, a change, a conversion or of files; UNKNOWN is none."""
    changes = set(re.findall(r"Call\.([A-Z_]+)", inspect.getsource(changing)))
    others = {"SUBSCRIBE", "SET_LOGGING_LEVEL", "LIST_FILES", "READ_FILE", "UNKNOWN"}
    conversions = set(map(mesos_master.Call.Type.Name, converting.OPERATIONS))
    reads = set(re.findall(r"Call\.(GET_[A-Z_]+)", inspect.getsource(api)))
    known = set(mesos_master.Call.Type.keys())
    assert changes | others | conversions | reads >= known


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(RefusalError):
        query_of("&".join(f"a{i}=1" for i in range(1000)))


def test_flags_are_told_as_mesos_writes_them() -> None:
    names = ("agent_ping_timeout_s", "agent_reregister_timeout_s", "zk_session_timeout_s")
    settings = dict.fromkeys(names, 15.0) | {"offer_timeout_s": 0.5, "zk": None, "ip": "::1"}
    rest = ("hostname", "max_agent_ping_timeouts", "max_completed_tasks", "mesos_port", "work_dir")
    told = flags_of(SimpleNamespace(**settings, **dict.fromkeys(rest)))
    assert told["offer_timeout"] == "0.5secs" and told["ip"] == "::1" and "zk" not in told
