"""An agent's core with files and Mesos' listener, as operators see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pymesos_agent.containers.marks import Marks
from pymesos_agent.containers.usage import ContainerUsage
from pymesos_agent.core import events as ev
from pymesos_agent.files.folders import Folders
from pymesos_agent.mesos.server import MesosServer
from pymesos_agent.queries import Queries
from pymesos_core.serving import Listen
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness
from pymesos_testing.recordings.wire import Answer, ask

JSON = {"Content-Type": "application/json", "Accept": "application/json"}
USAGE = ContainerUsage(cpu_s=1.5, mem_bytes=4096, pids=3)


class Agent:
    """An agent with a task `t` that runs, one that has ended, and a group, and its listener."""

    def __init__(self, folder: Path, *, is_open: bool = True) -> None:
        self.h = h = AgentHarness()
        h.connect()
        folders = Folders(folder)
        self.queries = Queries(h.core, {}, folders, Marks(folder), usage_of=lambda pid: USAGE)
        self.done = h.run("done", name="n")
        h.feed(ev.ContainerExited(self.done, 0))
        h.acknowledge(h.updates()[-1].status)
        h.launch_group("g1", "g2")
        self.container_id = h.run(
            "t",
            name="n",
            command=pb.CommandInfo(shell=True, value="sleep 1000 # for a while"),
            labels=[pb.Label(key="a", value="b")],
        )
        for container_id in (self.done, self.container_id):
            made = self.queries.folder_of(container_id)
            made.mkdir(parents=True)
            (made / "stdout").write_bytes(b"0123456789")
        self.sandbox = self.queries.folder_of(self.container_id)
        self.server = MesosServer(
            Listen("127.0.0.1", 0, None, None), {"work_dir": "/w"}, is_open=is_open
        )

    async def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> Answer:
        body = None if method == "GET" else b""
        return await ask("127.0.0.1", self.server.port, method, path, headers or {}, body)

    async def get(self, path: str, /, **query: Any) -> Any:
        answer = await self.ask(f"{path}?{urlencode(query)}" if query else path)
        assert answer.status == 200, answer.body
        return json.loads(answer.body) if answer.body else None

    async def refused(self, path: str, /, **query: Any) -> tuple[int, str]:
        answer = await self.ask(f"{path}?{urlencode(query)}" if query else path)
        return answer.status, answer.body.decode()

    async def call(self, kind: str, headers: dict[str, str] = JSON, **said: Any) -> Answer:
        body = {"type": kind} | ({kind.lower(): said} if said else {})
        made = json.dumps(body).encode()
        return await ask("127.0.0.1", self.server.port, "POST", "/api/v1", headers, made)

    async def told(self, kind: str, **said: Any) -> Any:
        answer = await self.call(kind, **said)
        assert answer.status == 200, answer.body
        whole = json.loads(answer.body)
        assert whole["type"] == kind
        return whole.get(kind.lower())
