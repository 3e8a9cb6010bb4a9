"""An executor as one is written for Mesos' v1 HTTP API, with the standard library alone.

It keeps what happens in `said.json` of its sandbox. A task whose id begins with `fin` ends at once.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}
ENDPOINT = os.environ["MESOS_AGENT_ENDPOINT"]
SAID = Path(os.environ["MESOS_SANDBOX"]) / "said.json"
WHO = {
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
}
said: list[Any] = []


def keep(what: Any) -> None:
    said.append(what)
    SAID.with_suffix(".new").write_text(json.dumps(said))
    SAID.with_suffix(".new").replace(SAID)


def post(call: dict[str, Any], headers: dict[str, str] = HEADERS) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(ENDPOINT)
    connection.request("POST", "/api/v1/executor", json.dumps(WHO | call), headers)
    return connection.getresponse()


def refused(what: str, call: dict[str, Any], headers: dict[str, str] = HEADERS) -> None:
    answer = post(call, headers)
    keep([what, answer.status, answer.read().decode()])


def status(task_id: str, state: str, **more: Any) -> dict[str, Any]:
    stamp = base64.b64encode(uuid.uuid4().bytes).decode()
    told = {"task_id": {"value": task_id}, "state": state, "source": "SOURCE_EXECUTOR"}
    return {"type": "UPDATE", "update": {"status": told | {"uuid": stamp} | more}}


def events(answer: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    while line := answer.readline():
        yield json.loads(answer.read(int(line)))


def main() -> None:
    keep(ENDPOINT)
    zero = base64.b64encode(bytes(16)).decode()
    refused("early", status("x", "TASK_RUNNING"))
    refused("uuid", status("x", "TASK_RUNNING", uuid=zero))
    refused("source", status("x", "TASK_RUNNING", source="SOURCE_MASTER"))
    refused("kind", {"type": "NOPE"})
    refused("part", {"type": "SUBSCRIBE"})
    refused("another", {"type": "SUBSCRIBE", "subscribe": {}, "executor_id": {"value": "nope"}})
    refused("stranger", {"type": "SUBSCRIBE", "subscribe": {}, "framework_id": {"value": "nope"}})
    token = {"Authorization": "Bearer " + "0" * 32}
    refused("token", {"type": "SUBSCRIBE", "subscribe": {}}, HEADERS | token)
    for event in events(post({"type": "SUBSCRIBE", "subscribe": {}})):
        keep(event)
        match event["type"]:
            case "LAUNCH":
                task_id = event["launch"]["task"]["task_id"]["value"]
                assert post(status(task_id, "TASK_RUNNING", message="up")).status == 202
                if task_id.startswith("fin"):
                    assert post(status(task_id, "TASK_FINISHED")).status == 202
            case "KILL":
                task_id = event["kill"]["task_id"]["value"]
                assert post(status(task_id, "TASK_KILLED")).status == 202
            case "MESSAGE":
                post({"type": "MESSAGE", "message": {"data": event["message"]["data"]}})
            case "SHUTDOWN":
                sys.exit(0)


if __name__ == "__main__":
    main()
