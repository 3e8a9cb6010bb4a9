"""What Mesos' command line does to list the files of a task and to run a command in it."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

from pymesos_testing.components import passable_folder
from pymesos_testing.recordings.cluster import cluster, registered
from pymesos_testing.recordings.wire import Answer, ask

JSON = {"Content-Type": "application/json", "Accept": "application/json"}
RECORDS = JSON | {"Accept": "application/recordio", "Message-Accept": "application/json"}


async def get(port: int, path: str) -> Any:
    answer = await ask("127.0.0.1", port, "GET", path, {}, None)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


async def post(port: int, path: str, said: Any, headers: dict[str, str]) -> Answer:
    return await ask("127.0.0.1", port, "POST", path, headers, json.dumps(said).encode())


async def launch(port: int) -> Answer:
    """A framework with a task `t` that runs; its stream."""
    info = {"user": "", "name": "f", "roles": ["*"], "capabilities": [{"type": "MULTI_ROLE"}]}
    said: Any = {"type": "SUBSCRIBE", "subscribe": {"framework_info": info}}
    opened = await post(port, "/api/v1/scheduler", said, JSON)
    assert opened.stream is not None, opened.body
    framework_id = (await opened.stream.event("SUBSCRIBED"))["subscribed"]["framework_id"]
    offer = (await opened.stream.event("OFFERS"))["offers"]["offers"][0]
    task = {
        "name": "n",
        "task_id": {"value": "t"},
        "agent_id": offer["agent_id"],
        "command": {"value": "echo hello; sleep 1000"},
        "resources": [
            {"name": name, "type": "SCALAR", "scalar": {"value": amount}}
            for name, amount in (("cpus", 0.1), ("mem", 32))
        ],
    }
    operations = [{"type": "LAUNCH", "launch": {"task_infos": [task]}}]
    accept = {"offer_ids": [offer["id"]], "operations": operations}
    said = {"type": "ACCEPT", "framework_id": framework_id, "accept": accept}
    headers = JSON | {"Mesos-Stream-Id": opened.headers["mesos-stream-id"]}
    assert (await post(port, "/api/v1/scheduler", said, headers)).status == 202
    while (await get(port, "/tasks"))["tasks"][:1] == [] or (await get(port, "/tasks"))["tasks"][0][
        "state"
    ] != "TASK_RUNNING":
        await asyncio.sleep(0.1)
    return opened


async def test_the_files_of_a_task_are_found_and_a_command_is_run_in_it() -> None:
    with passable_folder() as folder, cluster(folder, (), (), ()) as running:
        await registered(running)
        async with asyncio.timeout(60):
            opened = await launch(running.mesos_port)
            (slave,) = (await get(running.mesos_port, "/slaves"))["slaves"]
            port = int(slave["pid"].rpartition(":")[2])
            (framework,) = (await get(port, "/state"))["frameworks"]
            (executor,) = framework["executors"]
            folder_of_task = executor["directory"]
            names = []
            while f"{folder_of_task}/stdout" not in names:
                listed = await get(port, f"/files/browse?path={folder_of_task}")
                names = [one["path"] for one in listed]
            path = f"/files/read?offset=0&length=5&path={folder_of_task}/stdout"
            while (read := await get(port, path))["data"] != "hello":
                await asyncio.sleep(0.1)
            assert read["offset"] == 0
            (task,) = (await get(running.mesos_port, "/tasks"))["tasks"]
            parent = task["statuses"][0]["container_status"]["container_id"]
            command = {"value": "pwd", "arguments": ["pwd"], "shell": False}
            said = {"container_id": {"value": "n", "parent": parent}, "command": command}
            session = {
                "type": "LAUNCH_NESTED_CONTAINER_SESSION",
                "launch_nested_container_session": said,
            }
            answer = await post(port, "/api/v1", session, RECORDS)
            assert answer.stream is not None and answer.stream.task is not None, answer.body
            await answer.stream.task
            told = [event["data"] for _, event in answer.stream.events]
            assert b"".join(base64.b64decode(one["data"]) for one in told) == (
                f"{folder_of_task}\n".encode()
            )
            wait = {
                "type": "WAIT_NESTED_CONTAINER",
                "wait_nested_container": {"container_id": said["container_id"]},
            }
            ended = json.loads((await post(port, "/api/v1", wait, JSON)).body)
            assert ended["wait_nested_container"] == {"exit_status": 0}
            assert opened.stream is not None
            opened.stream.close()
