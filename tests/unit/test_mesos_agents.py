"""What an agent tells Mesos' operators: its tasks and executors, what they use, their files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pymesos_agent.mesos.operators import files, older, showing
from pymesos_agent.mesos.operators.api import Call
from pymesos_agent.mesos.operators.endpoints import PATHS
from pymesos_agent.mesos.operators.rights import Rights
from pymesos_agent.queries import Queries
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_agent.settings import AgentSettings
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.roles import EVERY, read_roles
from pymesos_core.serving import Listen
from pymesos_core.tasks import running
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch
from pymesos_testing.mesos_agent import JSON, Agent
from pymesos_testing.recordings.wire import ask

RUN = "/frameworks/f/executors/t/runs"


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    made = Agent(tmp_path)
    serving = made.server.serve(made.queries, ExecutorStreams(), lambda event: None)
    async with running(serving):
        yield made


async def test_tasks_are_sorted_as_mesos_does(agent: Agent) -> None:
    tasks = await agent.told("GET_TASKS")
    assert {name: [one["task_id"]["value"] for one in of] for name, of in tasks.items()} == {
        "pending_tasks": [],
        "queued_tasks": ["g1", "g2"],
        "launched_tasks": ["t"],
        "terminated_tasks": [],
        "completed_tasks": ["done"],
    }
    (task,) = tasks["launched_tasks"]
    assert (task["state"], task["framework_id"]["value"]) == ("TASK_RUNNING", "f")
    assert task["labels"] == {"labels": [{"key": "a", "value": "b"}]}
    latest = task["statuses"][-1]
    assert latest["executor_id"] == {"value": "t"}
    assert latest["container_status"]["container_id"] == {"value": agent.container_id}


async def test_a_command_has_an_executor_as_in_mesos(agent: Agent) -> None:
    shown = await agent.told("GET_EXECUTORS")
    by_id = {one["executor_info"]["executor_id"]["value"]: one for one in shown["executors"]}
    info = by_id["t"]["executor_info"]
    assert info["name"] == "Command Executor (Task: t) (Command: sh -c 'sleep 1000 #...')"
    assert (info["source"], info["framework_id"]) == ("t", {"value": "f"})
    (ended,) = shown["completed_executors"]
    assert ended["executor_info"]["executor_id"] == {"value": "done"}
    known = await agent.told("GET_FRAMEWORKS")
    assert [one["framework_info"]["id"]["value"] for one in known["frameworks"]] == ["f"]
    assert known["completed_frameworks"] == []
    state = await agent.told("GET_STATE")
    assert state["get_executors"] == shown and state["get_frameworks"] == known
    assert len(state["get_tasks"]["launched_tasks"]) == 1


async def test_what_environments_hold_is_not_shown(agent: Agent) -> None:
    """Who may read a role may not `read-env`, and a master passes on what agents answer."""
    command = pb.CommandInfo(value="run")
    command.environment.add(name="PASSWORD", value="planted-in-an-environment")
    launch(agent.h, "c", pb.ExecutorInfo(executor_id="x", command=command, data=b"planted-in-data"))
    for task in agent.h.core.state.tasks.values():
        for status in (*task.unacknowledged, task.acknowledged):
            if status is not None:
                status.data = b"planted-in-data"
    shown = await agent.told("GET_EXECUTORS")
    infos = {one["executor_info"]["executor_id"]["value"]: one for one in shown["executors"]}
    info = infos["x"]["executor_info"]
    assert info["command"]["environment"]["variables"] == [{"name": "PASSWORD", "type": "VALUE"}]
    planted = base64.b64encode(b"planted-in-data").decode()
    for kind in ("GET_EXECUTORS", "GET_STATE", "GET_TASKS", "GET_CONTAINERS"):
        told = json.dumps(await agent.told(kind))
        assert "planted" not in told and planted not in told, kind
    state = json.dumps(await agent.get("/state"))
    assert "planted" not in state and planted not in state


async def test_containers_with_what_they_use(agent: Agent) -> None:
    (shown,) = (await agent.told("GET_CONTAINERS"))["containers"]
    assert shown["container_id"] == {"value": agent.container_id}
    assert shown["container_status"]["executor_pid"] == 4711
    used = shown["resource_statistics"]
    assert (used["cpus_user_time_secs"], used["mem_rss_bytes"]) == (1.5, 4096)
    assert (used["cpus_limit"], used["mem_limit_bytes"]) == (1.0, 32 * 1024 * 1024)
    (older,) = await agent.get("/containers")
    assert older["statistics"]["processes"] == 3 and older["executor_id"] == "t"
    assert await agent.get("/containers", container_id="x") == []
    (statistics,) = await agent.get("/monitor/statistics")
    assert statistics["source"] == "t" and "status" not in statistics


def test_an_agent_is_shown_without_what_is_reserved_for_others() -> None:
    info = pb.AgentInfo(resources=to_proto(parse("cpus:1;cpus(dev/a):2;cpus(ops):3")))
    for patterns, amounts in (("dev/a", [1.0, 2.0]), (EVERY, [1.0, 2.0, 3.0])):
        shown = showing.agent_info(info, "a", 5051, read_roles([patterns]))
        assert sorted(one.scalar.value for one in shown.resources) == amounts


async def test_the_older_state_counts_what_may_be_seen(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = pb.AgentInfo(resources=to_proto(parse("cpus:1;cpus(dev/a):2;cpus(ops):3")))
    monkeypatch.setattr(Queries, "agent_info", lambda self: info)
    for patterns, cpus, roles in (("dev/a", 3.0, ["dev/a"]), (EVERY, 6.0, ["dev/a", "ops"])):
        may = Rights(read=read_roles([patterns]))
        state = older.state(agent.server._gathering.for_one(may))
        assert state["resources"]["cpus"] == cpus
        assert sorted(state["reserved_resources"]) == roles


async def test_the_agent_itself(agent: Agent) -> None:
    info = (await agent.told("GET_AGENT"))["agent_info"]
    assert (info["id"]["value"], info["port"]) == ("a", agent.server.port)
    assert (await agent.told("GET_HEALTH")) == {"healthy": True}
    assert (await agent.told("GET_VERSION"))["version_info"]["version"] == "1.12.0"
    assert (await agent.told("GET_FLAGS"))["flags"] == [{"name": "work_dir", "value": "/w"}]
    assert await agent.told("GET_OPERATIONS") == {}
    assert await agent.told("GET_RESOURCE_PROVIDERS") == {}
    metrics = await agent.get("/metrics/snapshot")
    assert metrics["slave/tasks_running"] == 1.0 and metrics["slave/cpus_total"] == 4.0
    assert metrics["slave/cpus_used"] == 3.0, "of all that has not ended"
    told = (await agent.told("GET_METRICS", timeout={"nanoseconds": 1}))["metrics"]
    assert {one["name"] for one in told} == metrics.keys()
    assert await agent.told("GET_LOGGING_LEVEL") == {"level": 0}
    duration = {"nanoseconds": 10**10}
    assert (await agent.call("SET_LOGGING_LEVEL", level=1, duration=duration)).body == b""
    assert await agent.told("GET_LOGGING_LEVEL") == {"level": 1}
    assert (await agent.call("SET_LOGGING_LEVEL", level=0, duration=duration)).status == 200
    assert (await agent.ask("/logging/toggle")).body == b"0\n"


async def test_the_older_state_leads_to_files(agent: Agent) -> None:
    for path in ("/state", "/slave(1)/state", "/state.json"):
        state = await agent.get(path)
        (framework,) = state["frameworks"]
        by_id = {one["id"]: one for one in framework["executors"]}
        assert [one["id"] for one in by_id["t"]["tasks"]] == ["t"]
        assert [one["id"] for one in framework["completed_executors"]] == ["done"]
        assert by_id["t"]["directory"] == str(agent.sandbox)
        assert state["unreserved_resources_allocated"]["cpus"] == 3.0
        (stdout,) = await agent.get("/files/browse", path=by_id["t"]["directory"])
        assert (stdout["path"], stdout["size"]) == (f"{agent.sandbox}/stdout", 10)
        assert (stdout["mode"][0], stdout["nlink"]) == ("-", 1)


@pytest.mark.parametrize("run", ["latest", "CONTAINER"])
async def test_files_are_named_as_mesos_names_them(agent: Agent, run: str) -> None:
    path = f"{RUN}/{run.replace('CONTAINER', agent.container_id)}"
    (agent.sandbox / "sub").mkdir()
    listed = await agent.get("/files/browse", path=path)
    assert [one["path"] for one in listed] == [f"{path}/stdout", f"{path}/sub"]
    assert listed[1]["mode"][0] == "d"
    (_, shown) = (await agent.told("LIST_FILES", path=path))["file_infos"]
    assert shown["path"] == f"{path}/sub"
    assert await agent.get("/files/browse", path=f"{path}/stdout") == [], "as of no folder"
    assert await agent.get("/files/read", path=f"{path}/stdout", offset=4, length=3) == {
        "data": "456",
        "offset": 4,
    }
    assert await agent.get("/files/read", path=f"{path}/stdout") == {"data": "", "offset": 10}
    read = await agent.told("READ_FILE", path=f"{path}/stdout", offset=8)
    assert read == {"size": 10, "data": "ODk="}
    nothing = await agent.told("READ_FILE", path=f"{path}/stdout", offset=1000)
    assert nothing == {"size": 10, "data": ""}
    answer = await agent.ask(f"/files/download?path={path}/stdout")
    assert answer.body == b"0123456789"
    assert answer.headers["content-disposition"] == "attachment; filename=stdout"
    assert answer.headers["content-type"] == "application/octet-stream"


async def test_a_large_file_is_downloaded_whole(agent: Agent) -> None:
    (agent.sandbox / "large").write_bytes(bytes(range(256)) * 1000)
    answer = await agent.ask(f"/files/download?path={RUN}/latest/large")
    assert answer.body == bytes(range(256)) * 1000
    part = await agent.told("READ_FILE", path=f"{RUN}/latest/large", offset=0, length=2**60)
    assert len(part["data"]) * 3 // 4 == pytest.approx(files.MAX_READ_BYTES, abs=2)


async def test_no_path_leads_out_of_a_sandbox(agent: Agent) -> None:
    (agent.sandbox / "out").symlink_to("/etc")
    (agent.sandbox / "passwd").symlink_to("/etc/passwd")
    inside, run = str(agent.sandbox), f"{RUN}/latest"
    for base in (inside, run):
        for wrong in ("out/passwd", "passwd", "../../x", "a/../../../../etc/passwd"):
            status, text = await agent.refused("/files/read", path=f"{base}/{wrong}", offset=0)
            assert (status, "is inaccessible" in text) == (400, True), wrong
            for path in ("/files/browse", "/files/download"):
                assert (await agent.refused(path, path=f"{base}/{wrong}"))[0] == 400
            said = await agent.call("READ_FILE", path=f"{base}/{wrong}", offset=0)
            assert said.status == 400
    other = f"/frameworks/f/executors/done/runs/{agent.container_id}/stdout"
    for nowhere in (
        "/etc/passwd",
        "/",
        f"{inside}x/stdout",
        f"{inside}/../{agent.done}/stdout/x/y",
        str(agent.sandbox.parent),
        other,
        f"{RUN}/nobody/stdout",
        "/frameworks/f/executors/x/runs/latest",
        "/frameworks//executors/t/runs/latest",
        f"{run}/none",
        "x" * 3000,
    ):
        assert (await agent.refused("/files/read", path=nowhere, offset=0))[0] in (400, 404), (
            nowhere
        )
        assert (await agent.refused("/files/browse", path=nowhere))[0] in (400, 404)
    assert await agent.refused("/files/read", path=other, offset=0) == (404, "")
    assert await agent.refused("/files/download", path="/x") == (404, "404 Not Found.")
    assert await agent.refused("/files/read", path=run, offset=0) == (
        400,
        "Cannot read a directory.\n",
    )
    assert await agent.refused("/files/download", path=run) == (
        400,
        "Cannot download a directory.\n",
    )


async def test_files_of_a_group_are_those_of_its_tasks(agent: Agent) -> None:
    container_id = agent.queries.latest("f", "g1")
    assert container_id is not None
    made = agent.queries.folder_of(container_id)
    made.mkdir(parents=True)
    (made / "x").write_text("y")
    path = "/frameworks/f/executors/pod/runs/latest/tasks/g1"
    (shown,) = await agent.get("/files/browse", path=path)
    assert shown["path"] == f"{path}/x"
    debug = await agent.get("/files/debug")
    assert debug[f"{RUN}/latest"] == debug[str(agent.sandbox)] == str(agent.sandbox)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({}, "Expecting 'path=value' in query.\n"),
        (
            {"path": "/x", "offset": "a"},
            "Failed to parse offset: Failed to convert 'a' to number.\n",
        ),
        ({"path": "/x", "offset": "-2"}, "Negative offset provided: -2.\n"),
        ({"path": "/x", "offset": "0", "length": "-2"}, "Negative length provided: -2.\n"),
        (
            {"path": "/x", "length": "9" * 30},
            f"Failed to parse length: Failed to convert '{'9' * 30}' to number.\n",
        ),
    ],
)
async def test_what_is_asked_of_a_file_is_checked(
    agent: Agent, query: dict[str, str], text: str
) -> None:
    assert await agent.refused("/files/read", **query) == (400, text)


@pytest.mark.parametrize(
    ("headers", "body", "status", "text"),
    [
        ({}, b"{}", 400, "Expecting 'Content-Type' to be present"),
        ({"Content-Type": "text/plain"}, b"{}", 415, "Expecting 'Content-Type' of application/"),
        (JSON | {"Accept": "text/html"}, b"{}", 406, "Expecting 'Accept' to allow application/"),
        (JSON | {"Message-Accept": "application/json"}, b"{}", 406, "Expecting 'Message-Accept'"),
        (JSON, b"{}", 400, "Failed to validate agent::Call: Expecting 'type' to be present"),
        (JSON, b"{", 400, "Failed to parse body into JSON"),
        (
            JSON,
            b'{"type":"READ_FILE"}',
            400,
            "Failed to validate agent::Call: Expecting 'read_file' to be present",
        ),
        (JSON, b'{"type":"UNKNOWN"}', 501, "501 Not Implemented."),
        (JSON, b'{"type":"PRUNE_IMAGES"}', 501, "PRUNE_IMAGES is not supported here"),
        (
            JSON,
            b'{"type":"WAIT_CONTAINER","wait_container":{"container_id":{"value":"c"}}}',
            400,
            "a container that belongs to no task is not run here",
        ),
        (JSON, b" " * 70_000, 413, "the body has more than 65536 bytes"),
    ],
)
async def test_calls_are_checked_in_the_words_of_mesos(
    agent: Agent, headers: dict[str, str], body: bytes, status: int, text: str
) -> None:
    answer = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)
    assert (answer.status, answer.body.decode()[: len(text)]) == (status, text)


async def test_both_encodings_say_the_same(agent: Agent) -> None:
    protobuf = JSON | {"Accept": "application/x-protobuf"}
    answer = await agent.call("GET_STATE", protobuf)
    state = mesos_agent.Response.FromString(answer.body).get_state
    assert state.get_tasks.launched_tasks[0].task_id.value == "t"
    call = Call(type=Call.GET_HEALTH).SerializeToString()
    headers = {"Content-Type": "application/x-protobuf"}
    asked = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, call)
    assert json.loads(asked.body)["get_health"] == {"healthy": True}


async def test_no_page_of_elsewhere_is_told_of_tasks(agent: Agent) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://evil.example"},
    ):
        for path in PATHS - {"state", "health", "version"}:
            assert (await agent.ask(f"/{path}", headers=headers)).status == 403, path
        said = await agent.ask("/state", headers=headers)
        assert json.loads(said.body)["frameworks"] == [], "and no task"
        assert (await agent.ask("/state?jsonp=f", headers=headers)).status == 403
        assert (await agent.call("GET_TASKS", JSON | headers)).status == 403
    assert (await agent.ask("/files/debug?jsonp=a(")).status == 403
    assert (await agent.ask("/flags?jsonp=cb")).body == b'cb({"flags":{"work_dir":"/w"}})'


async def test_in_a_cluster_with_certificates_masters_are_asked(tmp_path: Path) -> None:
    made = Agent(tmp_path, is_open=False)
    async with running(made.server.serve(made.queries, ExecutorStreams(), lambda event: None)):
        for path in PATHS - {"state", "health", "version"}:
            status, text = await made.refused(f"/{path}")
            assert (status, "ask a master" in text) == (403, True), path
        assert (await made.get("/state"))["frameworks"] == []
        assert (await made.get("/version"))["version"] == "1.12.0"
        for name in Call.Type.keys():  # noqa: SIM118 - it is no mapping
            assert (await made.call(name)).status == 403, name


async def test_methods_and_paths_are_those_of_mesos(agent: Agent) -> None:
    posted = await agent.ask("/state", "POST")
    assert (posted.status, posted.headers["allow"]) == (405, "GET")
    got = await agent.ask("/api/v1")
    assert (got.status, got.headers["allow"]) == (405, "POST")
    for path in ("/", "/nope", "/files", "/api", "/metrics"):
        assert await agent.refused(path) == (404, "404 Not Found.")
    assert (await agent.ask("/health")).status == 200
    assert (await agent.ask("/containerizer/debug")).body == b'{"pending":[]}'


def test_a_character_that_is_cut_is_left_for_the_next_part() -> None:
    assert files.text_of("aé".encode()[:2]) == "a"
    assert files.text_of("é".encode()[:1]) == "\ufffd", "so that it goes on"
    assert files.text_of(b"a\xffb") == "a\ufffdb"


async def test_how_large_a_download_is_can_be_asked(agent: Agent) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port)
    writer.write(
        f"HEAD /files/download?path={RUN}/latest/stdout HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    )
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 200") and b"Content-Length: 10\r\n" in head
    assert await asyncio.wait_for(reader.readline(), 20) == b"HTTP/1.1 200 OK\r\n", "no file"
    writer.close()


async def test_few_downloads_are_made_at_a_time(agent: Agent) -> None:
    (agent.sandbox / "large").write_bytes(b"x" * 30_000_000)
    path = f"/files/download?path={RUN}/latest/large"
    writers = []
    for _ in range(4):
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port, limit=1024)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert b"200" in await reader.readline()
        writers.append(writer)
    assert (await agent.ask(path)).status == 503
    assert len(await agent.get("/files/browse", path=f"{RUN}/latest")) == 2
    for writer in writers:
        writer.close()


def test_operators_reach_it_where_they_reach_all_else_without_certificates() -> None:
    said = AgentSettings(ip="10.0.0.5", advertise_ip="10.0.0.6", mesos_port=5053)
    assert said.mesos_at == Listen("10.0.0.5", 5053, "10.0.0.6", None)
    for here in (replace(said, tls=Path("/x")), replace(said, ip="::1")):
        assert here.mesos_at == Listen("127.0.0.1", 5053, None, None)
    assert replace(said, mesos_port=None).mesos_at is None
