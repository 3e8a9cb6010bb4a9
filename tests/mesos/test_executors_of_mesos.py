"""An executor that was written for Mesos runs here, with a scheduler that was."""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pymesos_testing.components import passable_folder
from pymesos_testing.recordings.cluster import USUAL, Cluster, cluster, registered
from pymesos_testing.recordings.wire import Stream, ask

SCRIPT = Path(__file__).with_name("executor.py")
JSON = {"Content-Type": "application/json", "Accept": "application/json"}
FRAMEWORK = {"user": "root", "name": "f", "roles": ["*"], "capabilities": [{"type": "MULTI_ROLE"}]}


def amounts(cpus: float, mem: float) -> list[dict[str, Any]]:
    pairs = (("cpus", cpus), ("mem", mem))
    return [{"name": name, "type": "SCALAR", "scalar": {"value": value}} for name, value in pairs]


class Scheduler:
    """A framework, on a stream of its own."""

    def __init__(self, port: int, stream: Stream, stream_id: str) -> None:
        self.port, self.stream, self.stream_id = port, stream, stream_id
        self.framework_id = ""
        self._acknowledged: set[str] = set()

    async def find(self, wanted: Callable[[Any], bool]) -> Any:
        """The first event of that kind; updates are acknowledged meanwhile."""
        async with asyncio.timeout(40):
            while True:
                self.stream.changed.clear()
                events = [event for _, event in self.stream.events]
                for event in events:
                    await self._acknowledge(event)
                for event in events:
                    if wanted(event):
                        return event
                await self.stream.changed.wait()

    async def update(self, task_id: str, state: str) -> Any:
        def wanted(event: Any) -> bool:
            told = event.get("update", {}).get("status", {})
            return (told.get("task_id"), told.get("state")) == ({"value": task_id}, state)

        return (await self.find(wanted))["update"]["status"]

    async def _acknowledge(self, event: Any) -> None:
        status = event.get("update", {}).get("status", {})
        if "uuid" in status and status["uuid"] not in self._acknowledged:
            self._acknowledged.add(status["uuid"])
            known = {name: status[name] for name in ("agent_id", "task_id", "uuid")}
            await self.call("ACKNOWLEDGE", acknowledge=known)

    async def call(self, kind: str, **part: Any) -> None:
        body = {"type": kind, "framework_id": {"value": self.framework_id}, **part}
        headers = JSON | {"Mesos-Stream-Id": self.stream_id}
        sent = json.dumps(body).encode()
        answer = await ask("127.0.0.1", self.port, "POST", "/api/v1/scheduler", headers, sent)
        assert answer.status == 202, answer


async def subscribed(running: Cluster) -> Scheduler:
    sent = json.dumps({"type": "SUBSCRIBE", "subscribe": {"framework_info": FRAMEWORK}}).encode()
    port = running.mesos_port
    answer = await ask("127.0.0.1", port, "POST", "/api/v1/scheduler", JSON, sent)
    assert answer.stream is not None
    scheduler = Scheduler(port, answer.stream, answer.headers["mesos-stream-id"])
    told = await scheduler.find(lambda event: event["type"] == "SUBSCRIBED")
    scheduler.framework_id = told["subscribed"]["framework_id"]["value"]
    return scheduler


@pytest.fixture
def running() -> Iterator[Cluster]:
    with passable_folder() as folder, cluster(folder, (USUAL,), (), ()) as made:
        yield made


async def test_an_executor_of_mesos_from_launch_to_shutdown(running: Cluster) -> None:
    await registered(running)
    script = running.roles.folder / "executor.py"
    shutil.copy(SCRIPT, script)
    script.chmod(0o755)
    scheduler = await subscribed(running)
    offered = await scheduler.find(lambda event: event["type"] == "OFFERS")
    offer = offered["offers"]["offers"][0]
    executor = {
        "type": "CUSTOM",
        "executor_id": {"value": "ex1"},
        "framework_id": {"value": scheduler.framework_id},
        "name": "golden",
        "source": "golden",
        "data": "ZGF0YQ==",
        "resources": amounts(0.1, 32),
        "command": {"value": f"exec python3 {script}", "shell": True},
    }

    def task(task_id: str, **more: Any) -> dict[str, Any]:
        mine = {"task_id": {"value": task_id}, "agent_id": offer["agent_id"], "executor": executor}
        return {"name": f"n-{task_id}", "resources": amounts(0.1, 32), **mine, **more}

    large = task("large", executor=executor | {"resources": amounts(1, 32)})
    launch = {"task_infos": [task("fin1"), task("run1"), large]}
    held = [*amounts(0.1, 32), {"name": "disk", "type": "SCALAR", "scalar": {"value": 1}}]
    pod: dict[str, Any] = {
        "executor": {"type": "DEFAULT", "executor_id": {"value": "pod"}, "resources": held}
    }
    commands = {"side": "exec sleep 1000", "main": "sleep 1; exit 3"}
    pod["task_group"] = {
        "tasks": [
            {
                "name": name,
                "task_id": {"value": name},
                "agent_id": offer["agent_id"],
                "resources": amounts(0.1, 32),
                "command": {"value": command},
            }
            for name, command in commands.items()
        ]
    }
    operations = [
        {"type": "LAUNCH", "launch": launch},
        {"type": "LAUNCH_GROUP", "launch_group": pod},
    ]
    await scheduler.call("ACCEPT", accept={"offer_ids": [offer["id"]], "operations": operations})

    assert "another ExecutorInfo" in (await scheduler.update("large", "TASK_ERROR"))["message"]
    failed = await scheduler.update("main", "TASK_FAILED")
    assert failed["executor_id"] == {"value": "pod"}
    beside = await scheduler.update("side", "TASK_KILLED")
    assert "Killed with its group" in beside["message"]
    finished = await scheduler.update("fin1", "TASK_FINISHED")
    assert finished["executor_id"] == {"value": "ex1"}
    assert finished["source"] == "SOURCE_EXECUTOR"
    assert (await scheduler.update("run1", "TASK_RUNNING"))["message"] == "up"
    to_it = {"agent_id": offer["agent_id"], "executor_id": {"value": "ex1"}}
    await scheduler.call("MESSAGE", message=to_it | {"data": "cGluZw=="})
    echoed = await scheduler.find(lambda event: event["type"] == "MESSAGE")
    assert echoed["message"]["data"] == "cGluZw=="

    (kept,) = running.roles.folder.glob("**/said.json")
    at = json.loads(kept.read_text())[0]
    answer = await asyncio.to_thread(_called_by_somebody, at, scheduler.framework_id)
    assert answer == (403, True), "this process is none of the executor's"

    await scheduler.call("KILL", kill={"task_id": {"value": "run1"}})
    assert (await scheduler.update("run1", "TASK_KILLED"))["executor_id"] == {"value": "ex1"}
    await scheduler.call("SHUTDOWN", shutdown=to_it)
    failure = await scheduler.find(lambda event: event["type"] == "FAILURE")
    assert failure["failure"]["executor_id"] == {"value": "ex1"}
    assert failure["failure"]["status"] == 0
    _check(json.loads(kept.read_text()), scheduler.framework_id)
    scheduler.stream.close()


def _called_by_somebody(at: str, framework_id: str) -> tuple[int, bool]:
    """What a process elsewhere is told that says it is the executor."""
    connection = http.client.HTTPConnection(at)
    call = {
        "type": "SUBSCRIBE",
        "subscribe": {},
        "executor_id": {"value": "ex1"},
        "framework_id": {"value": framework_id},
    }
    connection.request("POST", "/api/v1/executor", json.dumps(call), JSON)
    answer = connection.getresponse()
    return answer.status, b"MESOS_EXECUTOR_AUTHENTICATION_TOKEN" in answer.read()


def _check(said: list[Any], framework_id: str) -> None:
    """What the executor has seen, in its order."""
    refused = {one[0]: one[1:] for one in said if isinstance(one, list)}
    words = "Failed to validate Executor::Call: "
    assert refused == {
        "early": [403, "Executor is not subscribed"],
        "uuid": [400, f"{words}Not a valid UUID"],
        "source": [
            400,
            f"{words}Received Call from executor ex1 of framework {framework_id} with invalid"
            " source, expecting 'SOURCE_EXECUTOR'",
        ],
        "kind": [400, f"{words}Expecting 'type' to be present"],
        "part": [400, f"{words}Expecting 'subscribe' to be present"],
        "another": [400, "Executor cannot be found"],
        "stranger": [400, "Framework cannot be found"],
        "token": [401, ""],
    }
    events = [one for one in said if isinstance(one, dict)]
    kinds = [event["type"] for event in events if event["type"] != "ACKNOWLEDGED"]
    assert kinds == ["SUBSCRIBED", "LAUNCH", "LAUNCH", "MESSAGE", "KILL", "SHUTDOWN"]
    stored = {event["acknowledged"]["uuid"] for event in events if "acknowledged" in event}
    assert len(stored) == 4, "each of its updates is acknowledged, at least once"
    told = events[0]["subscribed"]
    assert told["executor_info"]["executor_id"] == {"value": "ex1"}
    assert told["executor_info"]["data"] == "ZGF0YQ=="
    assert told["framework_info"]["id"] == {"value": framework_id}
    assert told["framework_info"]["roles"] == ["*"]
    assert told["agent_info"]["hostname"] == "127.0.0.1" and told["container_id"]["value"]
    launched = next(event for event in events if event["type"] == "LAUNCH")["launch"]["task"]
    assert launched["executor"]["name"] == "golden"
    assert launched["resources"][0]["scalar"] == {"value": 0.1}
