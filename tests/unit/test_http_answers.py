"""What is answered by HTTP: by the table of routes, as its schemas say, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pymesos_core.caller import Caller
from pymesos_core.security.audit_files import AuditFiles
from pymesos_core.security.needs import NEEDS
from pymesos_core.transport import CallError, Code
from pymesos_master.http import answering as http_answering
from pymesos_master.http import openapi
from pymesos_master.http.answering import ALL, Answering
from pymesos_master.http.asking import Asked, read_query
from pymesos_master.http.discovery import targets_json
from pymesos_master.http.routes import ROUTES, tasks
from pymesos_master.services.leading import Leadership
from pymesos_master.services.relaying import OperatorCalls
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import ServedTask
from pymesos_testing.http_cluster import (
    AT,
    a_bit_of_everything,
    get,
    get_json,
    leadership_of,
    open_answering,
    values,
)
from pymesos_testing.master_harness import MasterHarness

READS = [route for route in ROUTES if route.method == "GET" and route.service == "Operator"]


REQUIRED = {"/v1/can": "?verb=read&role=eng"}  # of a query


DOCUMENT = openapi.document(ALL)


# What each list must not be empty of, so that its schema is held against something.
FILLED = {
    "/v1/agents", "/v1/frameworks", "/v1/tasks", "/v1/offers", "/v1/roles", "/v1/quota",
    "/v1/weights", "/v1/reservations", "/v1/drains", "/v1/maintenance", "/v1/audit", "/v1/sd",
    "/v1/join-tokens", "/v1/revocations", "/v1/secrets", "/v1/quarantine",
}  # fmt: skip


def validator(schema: Mapping[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


@pytest.fixture
def leadership(tmp_path: Path) -> Leadership:
    files = AuditFiles(tmp_path / "audit", 1 << 20)
    line = {"time": "2026-01-01T00:00:00.000Z", "principal": "operator/a", "object": {}}
    files.append([json.dumps(line).encode() + b"\n"], sync=False)
    return leadership_of(a_bit_of_everything(), files)


@pytest.fixture
def answering(leadership: Leadership) -> Answering:
    return open_answering(leadership)


class TestDocument:
    def test_its_schemas_are_schemas_and_its_calls_are_in_the_table_of_needs(self) -> None:
        for schema in DOCUMENT["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        for route in ROUTES:
            assert NEEDS[route.full_call] is not None
            for parameter in route.parameters:
                Draft202012Validator.check_schema(parameter.schema)
        assert len({route.path for route in ROUTES}) == len(ROUTES)  # so that each has a name
        assert [route.path for route in ROUTES if route.open] == ["/health"]

    def test_all_that_it_refers_to_is_there(self) -> None:
        names = set(DOCUMENT["components"]["schemas"])
        for part in json.dumps(DOCUMENT).split('"#/components/schemas/')[1:]:
            assert part.partition('"')[0] in names

    @pytest.mark.parametrize("route", READS, ids=lambda route: route.path)
    async def test_every_answer_is_as_it_says(self, answering: Answering, route: Any) -> None:
        many = "?completed=true" if any(p.name == "completed" for p in route.parameters) else ""
        frameworks = (await get_json(answering, "/v1/frameworks"))["frameworks"]
        path = route.path.replace("{framework_id}", frameworks[0]["framework_id"])
        said = await get_json(answering, path + (many or REQUIRED.get(path, "")))
        validator(route.schema).validate(said)
        if route.path in FILLED:
            assert said if isinstance(said, list) else next(iter(said.values())), (
                "an empty list shows nothing of its schema"
            )

    async def test_it_is_served(self, answering: Answering) -> None:
        assert await get_json(answering, openapi.PATH) == DOCUMENT


class TestAnswers:
    async def test_agents_as_the_command_shows_them(self, answering: Answering) -> None:
        agents = (await get_json(answering, "/v1/agents"))["agents"]
        assert {a["tasks"] for a in agents} <= {0, 1} and len(agents) == 2
        assert [a["drain"] and a["drain"]["state"] for a in agents if a["drain"]] == ["cordoned"]

    async def test_what_roles_have(self, answering: Answering) -> None:
        weights = (await get_json(answering, "/v1/weights"))["weights"]
        assert {"role": "eng", "weight": 2.5} in weights
        quota = (await get_json(answering, "/v1/quota"))["quota"]
        assert quota == [{"role": "eng", "guarantees": {}, "limits": {"cpus": 3.0}}]

    async def test_what_agents_have(self, answering: Answering) -> None:
        reserved = (await get_json(answering, "/v1/reservations"))["reservations"]
        assert [(r["role"], r["resources"], r["static"]) for r in reserved] == [
            ("ops", {"cpus": 1.0}, False)
        ]
        windows = (await get_json(answering, "/v1/maintenance"))["maintenance"]
        drains = (await get_json(answering, "/v1/drains"))["drains"]
        assert values(windows, "agent_id") == values(drains, "agent_id")
        assert (windows[0]["duration_s"], drains[0]["state"]) == (60.0, "cordoned")

    async def test_tasks_by_filters(self, answering: Answering) -> None:
        async def ids(query: str) -> list[str]:
            return values((await get_json(answering, f"/v1/tasks{query}"))["tasks"], "task_id")

        assert await ids("") == ["runs"]
        assert await ids("?completed=true") == ["runs", "ended"]
        assert await ids("?completed=true&state=TASK_FAILED&state=TASK_LOST") == ["ended"]
        assert await ids("?id_prefix=r%75ns") == ["runs"]
        assert await ids("?agent_id=nobody") == []
        assert await ids("?name=%F3%AE%9C%A9%C2%A0") == [], "what cannot be printed is a name, too"

    async def test_pages_follow_each_other(self, answering: Answering) -> None:
        seen, token = [], ""
        for _ in range(2):
            page = await get_json(answering, f"/v1/agents?limit=1&page_token={token}")
            seen += values(page["agents"], "agent_id")
            token = page["next_page_token"]
        everything = await get_json(answering, "/v1/agents")
        assert seen == values(everything["agents"], "agent_id") and not token

    async def test_targets_are_ready_that_their_framework_says_to_serve(self) -> None:
        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:4096;ports:[31000-31009]"), h.subscribe()
        of = h.framework_id(framework)
        for task_id, ports in (("t0", "[31000-31001]"), ("t1", "[31002-31002]")):
            h.run(framework, task_id, f"cpus:1;mem:32;ports:{ports}")
            h.update(agent, of, task_id, pb.TASK_RUNNING)
        served = ServedTask(
            task_id="t0", agent_id=h.agent_id(agent), role="*", job="shop", task="web", instance=3
        )
        served.ports.add(name="http", port=31001)
        publish = scheduler_pb.Call.Publish(serves=[served], whole=True)
        h.call(framework, publish=publish)
        groups = await get_json(open_answering(leadership_of(h)), "/v1/sd")
        wanted = ("ready", "port_name", "job", "job_task", "instance")
        said = [[g["labels"][f"__meta_pymesos_{name}"] for name in wanted] for g in groups]
        assert said == [
            ["true", "", "shop", "web", "3"],
            ["true", "http", "shop", "web", "3"],
            ["false", "", "", "", ""],
        ]

    async def test_targets_of_prometheus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One for each port of each task that runs, with all pages joined."""
        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:4096;ports:[31000-31009]"), h.subscribe()
        for number, ports in enumerate(("[31000-31001]", "[31002-31002]", "[31003-31003]")):
            h.run(framework, f"t{number}", f"cpus:1;mem:32;ports:{ports}")
        h.run(framework, "none")
        of = h.framework_id(framework)
        for task_id in ("t0", "t1", "none"):
            h.update(agent, of, task_id, pb.TASK_RUNNING)
        of_framework = h.core.state.frameworks[of].tasks
        checked = of_framework["t1"].info
        checked.readiness_check.command.value = "true"
        of_framework["t1"].info = checked
        answering = open_answering(leadership_of(h))
        groups = await get_json(answering, "/v1/sd")
        assert [(g["targets"], g["labels"]["__meta_pymesos_ready"]) for g in groups] == [
            (["127.0.0.1:31000"], "true"), (["127.0.0.1:31001"], "true"),
            (["127.0.0.1:31002"], "false"),
        ]  # fmt: skip
        assert groups[1]["labels"] == {
            "__meta_pymesos_task_id": "t0", "__meta_pymesos_task_name": "t0",
            "__meta_pymesos_framework_id": of, "__meta_pymesos_role": "*",
            "__meta_pymesos_agent_id": h.agent_id(agent), "__meta_pymesos_hostname": "h",
            "__meta_pymesos_port_index": "1", "__meta_pymesos_ready": "true",
            "__meta_pymesos_port_name": "", "__meta_pymesos_job": "",
            "__meta_pymesos_job_task": "", "__meta_pymesos_instance": "",
        }  # fmt: skip
        monkeypatch.setattr(tasks, "MAX_PAGE_SIZE", 1)
        assert await get_json(answering, "/v1/sd") == groups
        assert await get_json(answering, "/v1/sd?called=nothing") == []
        apart = of_framework["t0"].info
        apart.container.network = "corp"
        of_framework["t0"].info = apart
        assert await get_json(answering, "/v1/sd") == groups[2:]
        monkeypatch.setattr(http_answering, "MOST_JOINED", 0)
        refused = await get(answering, "/v1/sd")
        assert refused.status == 429 and b"more than 0 entries" in refused.body

    async def test_a_list_of_targets_begins_anew_by_itself(
        self, answering: Answering, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who asks for it has no token with which to list again."""
        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:4096;ports:[31000-31009]"), h.subscribe()
        for number in range(3):
            h.run(framework, f"t{number}", f"cpus:1;mem:32;ports:[3100{number}-3100{number}]")
            h.update(agent, h.framework_id(framework), f"t{number}", pb.TASK_RUNNING)
        answering = open_answering(leadership_of(h))
        groups = await get_json(answering, "/v1/sd")
        assert len(groups) == 3
        monkeypatch.setattr(tasks, "MAX_PAGE_SIZE", 1)
        ask, forgotten = OperatorCalls.ask, [False, False, True]

        async def flaky(
            calls: OperatorCalls, method: str, request: Any, caller: Caller, **named: Any
        ) -> Any:
            if request.page.page_token and forgotten and forgotten.pop():
                raise CallError(Code.ABORTED, "list again from the start")
            return await ask(calls, method, request, caller, **named)

        monkeypatch.setattr(OperatorCalls, "ask", flaky)
        assert await get_json(answering, "/v1/sd") == groups and not forgotten
        forgotten = [True] * 2
        answer = await get(answering, "/v1/sd")
        assert answer.status == 503 and b"ask again" in answer.body

    async def test_no_more_targets_are_made_than_may_be_told(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[Any] = []

        def targets(view: Any) -> Iterator[Any]:
            for group in targets_json(view):
                made.append(group)
                yield group

        h = MasterHarness()
        agent, framework = h.agent("cpus:4;mem:4096;ports:[1-65535]"), h.subscribe()
        h.run(framework, "t", "cpus:1;mem:32;ports:[1-65535]")
        h.update(agent, h.framework_id(framework), "t", pb.TASK_RUNNING)
        monkeypatch.setattr(tasks, "targets_json", targets)
        monkeypatch.setattr(http_answering, "MOST_JOINED", 3)
        answering = open_answering(leadership_of(h))
        refused = await get(answering, "/v1/sd")
        assert refused.status == 429 and len(made) == 4
        assert (await get(answering, "/v1/tasks")).status == 200
        monkeypatch.setattr(tasks, "MOST_PORTS", 65_534)
        refused = await get(answering, "/v1/tasks")
        assert refused.status == 429 and b"ask with a smaller `limit`" in refused.body

    async def test_the_audit_names_who_has_written_it(self, answering: Answering) -> None:
        page = await get_json(answering, "/v1/audit?who=operator/*")
        assert values(page["lines"], "source") == [f"the master at {AT}"]
        assert page["master"] == str(AT) and page["next_page_token"] is None
        assert (await get_json(answering, "/v1/audit?denied=true"))["lines"] == []

    async def test_who_leads(self, answering: Answering, leadership: Leadership) -> None:
        assert await get_json(answering, "/health") == {"status": "leading"}
        said = await get_json(answering, "/v1/leader")
        assert said == {"address": str(AT), "hostname": "first", "epoch": 7}
        leadership.leader = None
        assert await get_json(answering, "/health") == {"status": "following"}

    async def test_nobody_leads_while_that_is_in_doubt(
        self, answering: Answering, leadership: Leadership
    ) -> None:
        """One that led was named, without an epoch."""
        nobody = {"address": None, "hostname": None, "epoch": None}
        me, leadership.leader = leadership.me, None
        leadership.known_leader = lambda: me  # ZooKeeper says so, and it does not lead yet
        assert await get_json(answering, "/v1/leader") == nobody
        leadership.known_leader = lambda: replace(me, master_id="another")
        said = await get_json(answering, "/v1/leader")
        assert said == {"address": str(AT), "hostname": "first", "epoch": None}
        leadership.in_doubt = lambda: True
        assert await get_json(answering, "/v1/leader") == nobody


@pytest.mark.parametrize(
    ("target", "status", "words"),
    [
        ("/", 404, "/v1/openapi.json lists"),
        ("/v1/agents/", 404, "there is no '/v1/agents/'"),
        ("//v1/agents", 404, "there is no"),
        ("/v1/../v1/agents", 404, "there is no"),
        ("/v1/%61gents", 404, "there is no"),
        ("/v1/agents\x00", 404, "there is no"),
        ("/v1/agents?who=x", 400, "there is no parameter 'who' here; these are: limit, page_token"),
        ("/v1/agents?limt=1", 400, "there is no parameter 'limt' here; did you mean limit?"),
        ("/v1/roles?limit=1", 400, "there is no parameter 'limit' here; it takes none"),
        ("/v1/agents?limit=0", 400, "a whole number from 1 to 1000"),
        ("/v1/agents?limit=1001", 400, "a whole number from 1 to 1000"),
        ("/v1/agents?limit=%D9%A1", 400, "a whole number"),
        ("/v1/agents?limit=" + "9" * 200, 400, "a whole number"),
        ("/v1/agents?limit=1&limit=2", 400, "limit is given twice"),
        ("/v1/agents?id_prefix=%ff", 400, "percent-encoded in UTF-8"),
        ("/v1/agents?id_prefix=a%0Ab", 400, "none is a control character"),
        ("/v1/agents?id_prefix=a%0A", 400, "none is a control character"),
        ("/v1/agents?id_prefix=%00", 400, "none is a control character"),
        ("/v1/agents?id_prefix=" + "a" * 256, 400, "at most 255 characters"),
        ("/v1/agents?" + "a" * 2049, 400, "at most 2048 are accepted"),
        ("/v1/agents?limit", 400, "NAME=VALUE"),
        ("/v1/tasks?" + "&".join(["state=TASK_LOST"] * 33), 400, "at most 32"),
        ("/v1/tasks?state=RUNNING", 400, "one of TASK_STAGING"),
        ("/v1/tasks?completed=yes", 400, "expected is true or false"),
        ("/v1/audit?since_s=nan", 400, "a number of seconds"),
        ("/v1/audit?since_s=-1", 400, "a number of seconds"),
        ("/v1/audit?verb=fly", 400, "one of "),
        ("/v1/can", 400, "the query has no parameter verb, which has to be given"),
        ("/v1/can?verb=read&role=a%20b", 400, "white space"),
        ("/v1/audit?page_token=x", 400, "begin without one"),
        ("/v1/audit?master=10.0.0.9:1", 409, "no master runs at '10.0.0.9:1'"),
        ("/v1/agents?page_token=7.1", 409, "list again from the start"),
        ("/v1/agents?page_token=%C2%B2.1", 409, "list again"),
    ],
)  # fmt: skip
async def test_what_is_refused_says_why(
    answering: Answering, target: str, status: int, words: str
) -> None:
    answer = await get(answering, target)
    said = json.loads(answer.body)
    validator(DOCUMENT["components"]["schemas"]["Error"]).validate(said)
    assert answer.status == status and words in said["error"]["message"], said


async def test_what_pages_ask_for_again_and_again_is_read_once(
    answering: Answering, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(query: str, *more: Any) -> Asked:
        read.append(query)
        return read_query(query, *more)

    monkeypatch.setattr(http_answering, "read_query", counted)
    for target, times in (
        ("/v1/tasks?limit=1", 1),
        ("/v1/agents?limit=1", 2),
        ("/v1/tasks?limit=1", 2),
        ("/v1/agents?limit=2", 3),
        ("/v1/agents?limit=x", 4),
        ("/v1/agents?limit=x", 5),  # what is refused is no request to keep
    ):
        assert (await get(answering, target)).status == (400 if "x" in target else 200)
        assert len(read) == times
    assert len((await get_json(answering, "/v1/agents?limit=1"))["agents"]) == 1
    assert len((await get_json(answering, "/v1/agents?limit=2"))["agents"]) == 2


async def test_only_what_reads_is_answered(answering: Answering) -> None:
    posted = await get(answering, "/v1/agents", method="POST")
    assert posted.status == 405 and posted.headers == {"Allow": "GET, HEAD"}
    for path, allowed in ((openapi.PATH, "GET, HEAD"), ("/v1/tasks/kill", "POST")):
        refused = await get(answering, path, method="PUT")
        assert (refused.status, refused.headers) == (405, {"Allow": allowed})
    assert (await get(answering, "/v1/agents", has_body=True)).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:5080", 200), ("[::1]:5080", 200), ("localhost", 200), ("First:80", 200),
        ("evil.example:5080", 403), ("", 403), ("127.0.0.1.evil.example", 403), ("a@b", 403),
    ],
)  # fmt: skip
async def test_a_page_of_elsewhere_reads_no_open_cluster(
    answering: Answering, host: str, status: int
) -> None:
    assert (await get(answering, "/v1/agents", host=host)).status == status
    assert (await get(answering, "/health", host=host)).status == 200, "it tells nothing"
