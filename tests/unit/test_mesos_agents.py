"""What an agent tells Mesos' operators: its tasks and executors, what they use, their files."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_agent.containers.sessions import Entry, Session
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core import events as ev
from pymesos_agent.mesos import server
from pymesos_agent.mesos.operators import files, older, sessions, showing
from pymesos_agent.mesos.operators.api import Call
from pymesos_agent.mesos.operators.endpoints import PATHS
from pymesos_agent.mesos.operators.rights import Rights
from pymesos_agent.queries import Queries
from pymesos_agent.runtimes.interface import Runtime
from pymesos_agent.services.executor import ExecutorStreams
from pymesos_agent.settings import AgentSettings
from pymesos_core.mesos import media
from pymesos_core.mesos.http import BODY_S
from pymesos_core.resources import parse, to_proto
from pymesos_core.security.roles import EVERY, read_roles
from pymesos_core.serving import Listen
from pymesos_core.tasks import running
from pymesos_proto.mesos.v1 import agent_pb2 as mesos_agent
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_executors import launch, say, subscribe
from pymesos_testing.mesos_agent import JSON, Agent
from pymesos_testing.recordings.wire import Answer, ask

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


# Sessions, which `mesos task exec` makes.


class Machine:
    """A runtime whose containers are this machine."""

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        program = shutil.which(argv[0]) or argv[0]
        return Entry([program, *argv[1:]], {"PATH": "/bin:/usr/bin", "TERM": term}, Path("/"))


def nested(agent: Agent, name: str = "n") -> dict[str, Any]:
    return {"value": name, "parent": {"value": agent.container_id}}


async def session(agent: Agent, command: Any, name: str = "n", **more: Any) -> Answer:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    headers = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}
    said = {"container_id": nested(agent, name), "command": command, **more}
    return await agent.call("LAUNCH_NESTED_CONTAINER_SESSION", headers, **said)


async def written(answer: Answer) -> dict[str, bytes]:
    assert answer.stream is not None and answer.stream.task is not None, answer.body
    await asyncio.wait_for(answer.stream.task, 20)
    out: dict[str, bytes] = {}
    for _, event in answer.stream.events:
        data = event["data"]
        out[data["type"]] = out.get(data["type"], b"") + base64.b64decode(data["data"])
    return out


def program(*argv: str) -> dict[str, Any]:
    return {"value": argv[0], "arguments": list(argv), "shell": False}


async def fed(agent: Agent, *records: Any, name: str = "n") -> Answer:
    first = {"type": "CONTAINER_ID", "container_id": nested(agent, name)}
    body = b""
    for one in (first, *records):
        data = json.dumps(
            {"type": "ATTACH_CONTAINER_INPUT", "attach_container_input": one}
        ).encode()
        body += b"%d\n%b" % (len(data), data)
    headers = {
        "Content-Type": "application/recordio",
        "Message-Content-Type": "application/json",
        "Accept": "application/json",
    }
    return await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)


def stdin(data: bytes) -> dict[str, Any]:
    said = {"type": "STDIN", "data": base64.b64encode(data).decode()}
    return {"type": "PROCESS_IO", "process_io": {"type": "DATA", "data": said}}


async def test_a_session_writes_and_how_it_ended_is_told(agent: Agent) -> None:
    answer = await session(agent, {"value": "echo out; echo err >&2; exit 3"})
    assert answer.headers["content-type"] == "application/recordio"
    assert answer.headers["message-content-type"] == "application/json"
    assert await written(answer) == {"STDOUT": b"out\n", "STDERR": b"err\n"}
    ended = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    assert ended == {"exit_status": 3 << 8}
    assert await agent.told("WAIT_CONTAINER", container_id=nested(agent)) == ended
    again = await agent.call("KILL_CONTAINER", container_id=nested(agent))
    assert again.status == 404
    assert (await session(agent, {"value": "true"})).status == 202, "it is there already"
    gone = await agent.call("KILL_NESTED_CONTAINER", container_id=nested(agent))
    assert gone.status == 404 and b"(or is already killed)" in gone.body
    removed = await agent.call("REMOVE_CONTAINER", container_id=nested(agent))
    assert removed.status == 200
    unknown = await agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    said = f"Container {agent.container_id}.n cannot be found"
    assert (unknown.status, unknown.body.decode()) == (404, said)


async def test_a_session_reads_what_comes_by_another_connection(agent: Agent) -> None:
    answer = await session(agent, program("cat"))
    resized = {
        "type": "CONTROL",
        "control": {"type": "TTY_INFO", "tty_info": {"window_size": {"rows": 1, "columns": 2}}},
    }
    control = {"type": "PROCESS_IO", "process_io": resized}
    assert (await fed(agent, stdin(b"hello"), control, stdin(b""))).status == 200
    assert await written(answer) == {"STDOUT": b"hello"}
    late = await fed(agent, stdin(b"x"))
    assert late.status == 404
    assert await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent)) == {
        "exit_status": 0
    }


async def test_a_session_has_a_terminal_if_it_wants_one(agent: Agent) -> None:
    answer = await session(agent, program("tty"), container={"type": "MESOS", "tty_info": {}})
    assert (await written(answer))["STDOUT"].startswith(b"/dev/pts/")


async def test_a_session_ends_with_a_signal_or_its_connection(agent: Agent) -> None:
    for number, name in ((15, "a"), (9, "b")):
        answer = await session(agent, program("sleep", "1000"), name)
        said: Any = {"container_id": nested(agent, name)} | (
            {"signal": number} if number == 15 else {}
        )
        assert (await agent.call("KILL_NESTED_CONTAINER", **said)).status == 200
        assert await written(answer) == {}
        waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent, name))
        assert waited == {"exit_status": number}
    answer = await session(agent, program("sleep", "1000"), "c")
    early = await agent.call("REMOVE_NESTED_CONTAINER", container_id=nested(agent, "c"))
    assert early.status == 500
    assert answer.stream is not None
    answer.stream.close()
    waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent, "c"))
    assert waited == {"exit_status": 9}


async def test_a_session_that_nobody_reads_is_aborted(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not answered a second time, in the middle of what it writes."""
    monkeypatch.setattr(server, "SENDING_S", 0.05)
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = {"container_id": nested(agent), "command": program("yes")}
    kind = "LAUNCH_NESTED_CONTAINER_SESSION"
    body = json.dumps({"type": kind, kind.lower(): said}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port, limit=100)
    writer.write(
        b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    known = agent.server._sessions
    async with asyncio.timeout(20):
        while known._live:
            await asyncio.sleep(0.01)
    assert known._ended == {f"{agent.container_id}.n": -9}
    rest = b""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 20):
            rest = rest[-20:] + data
            assert b"HTTP/1.1" not in rest
    writer.close()


async def launched(agent: Agent, command: Any, name: str = "n") -> Answer:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = {"container_id": nested(agent, name), "command": command}
    return await agent.call("LAUNCH_NESTED_CONTAINER", **said)


async def attached(agent: Agent, name: str = "n") -> Answer:
    headers = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}
    said = {"container_id": nested(agent, name)}
    return await agent.call("ATTACH_CONTAINER_OUTPUT", headers, **said)


async def test_a_nested_container_outlives_who_launched_it(agent: Agent) -> None:
    answer = await launched(agent, program("cat"))
    assert (answer.status, answer.body) == (200, b"")
    assert (await launched(agent, program("cat"))).status == 202, "it is there already"
    readers = [await attached(agent) for _ in range(2)]
    assert readers[0].headers["message-content-type"] == "application/json"
    assert (await fed(agent, stdin(b"hello"), stdin(b""))).status == 200
    for reader in readers:
        assert await written(reader) == {"STDOUT": b"hello"}
    assert await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent)) == {
        "exit_status": 0
    }
    assert (await attached(agent)).status == 404, "it has ended"


async def test_what_a_session_writes_is_also_for_who_attaches(agent: Agent) -> None:
    answer = await session(agent, program("cat"))
    reader = await attached(agent)
    assert (await fed(agent, stdin(b"x"), stdin(b""))).status == 200
    assert await written(answer) == await written(reader) == {"STDOUT": b"x"}


async def test_who_does_not_read_ends_no_nested_container(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SENDING_S", 0.05)
    writer = await attached_and_silent(agent)
    await ended_by_nobody(agent)
    writer.close()


async def test_who_goes_while_it_is_told_ends_no_nested_container(agent: Agent) -> None:
    writer = await attached_and_silent(agent)
    await asyncio.sleep(0.2)  # more is written than it takes
    (live,) = agent.server._sessions._live.values()
    assert live.readers, "it is waited for"
    writer.transport.abort()
    await ended_by_nobody(agent)


async def attached_and_silent(agent: Agent) -> asyncio.StreamWriter:
    """A connection on which a nested container writes, and nobody reads."""
    await launched(agent, {"value": "head -c 9000000 /dev/zero; sleep 1000"})
    headers = "Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
    kind = "ATTACH_CONTAINER_OUTPUT"
    body = json.dumps({"type": kind, kind.lower(): {"container_id": nested(agent)}})
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port, limit=100)
    writer.write(
        f"POST /api/v1 HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    return writer


async def ended_by_nobody(agent: Agent) -> None:
    """Once nobody is attached any more, the nested container is there to be killed."""
    (live,) = agent.server._sessions._live.values()
    async with asyncio.timeout(20):
        while live.readers:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    said = {"container_id": nested(agent)}
    killed = await agent.call("KILL_NESTED_CONTAINER", **said, signal=15)
    assert killed.status == 200
    waited = await agent.told("WAIT_NESTED_CONTAINER", **said)
    assert waited == {"exit_status": 15}, "by that signal, and by no other before"


async def test_nested_containers_end_with_their_agent(tmp_path: Path) -> None:
    made = Agent(tmp_path)
    serving = made.server.serve(made.queries, ExecutorStreams(), lambda event: None)
    async with running(serving):
        assert (await launched(made, program("sleep", "1000"))).status == 200
        (live,) = made.server._sessions._live.values()
    assert live.ended.is_set() and not made.server._sessions._live


async def test_a_nested_container_ends_with_its_task(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LOOK_S", 0.05)
    assert (await launched(agent, program("sleep", "1000"))).status == 200
    await asyncio.sleep(0.2)
    (live,) = agent.server._sessions._live.values()
    agent.h.feed(ev.ContainerExited(agent.container_id, 0))
    await asyncio.wait_for(live.ended.wait(), 20)
    waited = await agent.told("WAIT_NESTED_CONTAINER", container_id=nested(agent))
    assert waited == {"exit_status": 9}


async def test_a_nested_container_by_the_newer_names(agent: Agent) -> None:
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said: Any = {"container_id": nested(agent), "command": {"value": "exit 3"}}
    assert (await agent.call("LAUNCH_CONTAINER", **said)).status == 200
    assert await agent.told("WAIT_CONTAINER", container_id=nested(agent)) == {"exit_status": 3 << 8}
    held = [{"name": "cpus", "type": "SCALAR", "scalar": {"value": 1}}]
    refused = await agent.call("LAUNCH_CONTAINER", **said, resources=held)
    assert (refused.status, refused.body[:9]) == (400, b"Resources")
    alone = await agent.call(
        "LAUNCH_CONTAINER", container_id={"value": "c"}, command={"value": "x"}
    )
    assert (alone.status, b"belongs to no task" in alone.body) == (400, True)
    own = {"value": agent.container_id}
    task_own = await agent.call("ATTACH_CONTAINER_OUTPUT", container_id=own)
    assert (task_own.status, task_own.body[:13]) == (400, b"IO switchboar")
    bad = await launched(agent, program("/none/such"), "bad")
    assert (bad.status, b"it cannot be run" in bad.body) == (400, True)


async def test_the_ends_of_few_sessions_are_kept(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_ENDED", 2)
    for name in "abc":
        await written(await session(agent, program("true"), name))
    for name, status in (("a", 404), ("b", 200), ("c", 200)):
        waited = await agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent, name))
        assert waited.status == status, name


async def test_a_connection_that_ends_with_its_session_leaves_no_place_taken(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    closing = asyncio.Event()
    close = Session.close

    async def slowly(self: Session) -> None:
        closing.set()
        await asyncio.sleep(0.1)
        await close(self)

    async def begin() -> Any:
        return lambda message: asyncio.sleep(0)

    monkeypatch.setattr(Session, "close", slowly)
    agent.queries._runtimes = {"process": cast(Runtime, Machine())}
    said = Call.LaunchNestedContainerSession()
    said.container_id.value, said.container_id.parent.value = "n", agent.container_id
    said.command.value = "exit 3"
    known = agent.server._sessions
    async with running(known.run(said, begin)) as run:
        await asyncio.wait_for(closing.wait(), 20)
        run.cancel()
        await asyncio.wait({run})
    assert not known._live and list(known._ended.values()) == [3]


async def test_a_slow_body_keeps_nobody_waiting(agent: Agent) -> None:
    writers = []
    for _ in range(server.MOST_ANSWERS):
        _, writer = await asyncio.open_connection("127.0.0.1", agent.server.port)
        writer.write(
            b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n"
        )
        writers.append(writer)
    async with asyncio.timeout(BODY_S / 2):
        assert await agent.told("GET_HEALTH") == {"healthy": True}
    for writer in writers:
        writer.close()


async def test_who_waits_for_an_end_gives_way_to_others(agent: Agent) -> None:
    answer = await session(agent, program("sleep", "1000"))
    agent.server._most_connections = 3
    waiting = [
        asyncio.create_task(agent.call("WAIT_NESTED_CONTAINER", container_id=nested(agent)))
        for _ in range(2)
    ]
    async with asyncio.timeout(20):
        while len(agent.server._open) < 3:
            await asyncio.sleep(0.01)
    assert (await agent.ask("/health")).status == 200
    assert answer.stream is not None and not answer.stream.end, "a session does not"
    answer.stream.close()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_session_is_in_the_container_of_an_executor(agent: Agent) -> None:
    launch(agent.h, "e1")
    agent.container_id = agent.h.started[-1].container_id
    answer = await session(agent, program("echo", "x"), "early")
    assert (answer.status, b"does not run yet" in answer.body) == (400, True)
    agent.h.feed(ev.ContainerStarted(agent.container_id, 77))
    subscribe(agent.h)
    say(agent.h, "e1", pb.TASK_RUNNING)
    assert agent.h.updates()[-1].status.container_id == agent.container_id, "by which it is named"
    assert await written(await session(agent, program("echo", "x"))) == {"STDOUT": b"x\n"}
    agent.container_id = agent.h.core.state.by_key["f", "e1"].container_id
    assert await written(await session(agent, program("echo", "y"))) == {"STDOUT": b"y\n"}


async def test_a_session_is_in_no_later_container_of_its_task(agent: Agent) -> None:
    agent.h.run("done", name="n")
    agent.container_id = agent.done
    answer = await session(agent, program("echo", "x"))
    assert (answer.status, b"does not run on this agent any more" in answer.body) == (400, True)


async def test_what_a_session_reads_has_to_begin(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "BODY_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.server.port)
    writer.write(
        b"POST /api/v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/recordio\r\n"
        b"Message-Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 20)
    writer.close()


async def test_what_is_no_session_is_refused(agent: Agent) -> None:
    for command, text in (
        ({"value": ""}, "there is no command"),
        ({"value": "a\0b"}, "the command cannot be run"),
        ({"value": "x" * 60_000} | {"user": "root"}, "CommandInfo.user is not supported"),
        (program("/none/such"), "it cannot be run"),
    ):
        answer = await session(agent, command)
        assert (answer.status, text in answer.body.decode()) == (400, True), answer.body
        await agent.call("REMOVE_NESTED_CONTAINER", container_id=nested(agent))
    for wrong, text in (
        ({"value": "n"}, "Expecting 'launch_nested_container_session.container_id.parent'"),
        ({"value": "a/b", "parent": {"value": "p"}}, "contains invalid characters"),
        ({"value": "a", "parent": {"value": "p", "parent": {"value": "q"}}}, "nested deeper"),
        ({"value": "a", "parent": {"value": "nobody"}}, "Parent container nobody does not exist"),
        ({"value": "a", "parent": {"value": agent.done}}, "does not run on this agent any more"),
    ):
        said: Any = {"container_id": wrong, "command": {"value": "true"}}
        answer = await agent.call("LAUNCH_NESTED_CONTAINER_SESSION", **said)
        assert (answer.status, text in answer.body.decode()) == (400, True), answer.body
    assert (await fed(agent)).status == 404


async def test_records_are_found_wherever_their_stream_is_cut() -> None:
    wanted = [b"a", b"", b"12\n34", b"x" * 100]
    stream = b"".join(map(media.record, wanted))

    async def parts(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(stream), size):
            yield stream[start : start + size]

    for size in (1, 2, 3, 7, len(stream)):
        assert [one async for one in media.records_of(parts(size), 100)] == wanted


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"x\n{}", 400),
        (b"9" * 11, 400),
        (b"999999999\n", 413),
        (b"2\n{}", 400),
        (b"4\n", 400),
    ],
)
async def test_records_are_checked(agent: Agent, body: bytes, status: int) -> None:
    headers = {
        "Content-Type": "application/recordio",
        "Message-Content-Type": "application/json",
    }
    answer = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)
    assert answer.status == status, answer.body
    del headers["Message-Content-Type"]
    answer = await ask("127.0.0.1", agent.server.port, "POST", "/api/v1", headers, body)
    assert answer.status == 400
