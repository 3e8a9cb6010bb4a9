"""Logs, files and exec go through the master, which goes by the policy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pymesos_core.addresses import HostPort
from pymesos_core.caller import NOBODY, Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.outside import Outside
from pymesos_core.security.needs import NEEDS
from pymesos_core.security.policy import Verb
from pymesos_core.security.policy_file import read_policy
from pymesos_core.transport import CallError, Code
from pymesos_master.core import Config
from pymesos_master.core import events as ev
from pymesos_master.queries import Queries
from pymesos_master.services import sandbox_relay
from pymesos_master.services.leading import Leadership
from pymesos_master.services.sandbox_relay import SandboxRelay
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_testing.master_harness import MasterHarness
from pymesos_testing.waiting import until

O = Caller("operator/o", Method.CERT)  # noqa: E741
ROOT = Caller("operator/root", Method.CERT)
METHODS = {
    "ListFiles": pb.ListFilesRequest,
    "ReadFile": pb.ReadFileRequest,
    "FollowFile": pb.FollowFileRequest,
    "ReadLog": pb.ReadLogRequest,
    "GetUsage": pb.GetUsageRequest,
}
POLICY = "allow:\n- {{who: operator/root, do: ['*'], role: '**'}}\n{}\n"


class Agent:
    """What the relay finds at the other end."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self._answers: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._cancelled = asyncio.Event()

    def say(self, *parts: bytes | None) -> None:
        for part in parts:
            self._answers.put_nowait(part)

    def stream(self, method: Any, metadata: Any = None) -> Any:
        return self

    async def read(self) -> bytes | None:
        reading = asyncio.ensure_future(self._answers.get())
        ended = asyncio.ensure_future(self._cancelled.wait())
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        if reading.done():
            return reading.result()
        reading.cancel()
        raise CallError(Code.CANCELLED, "this side has ended the stream")

    async def write(self, part: bytes) -> None:
        self.heard.append(part)

    async def done_writing(self) -> None: ...

    def cancel(self) -> None:
        self._cancelled.set()

    async def close(self) -> None: ...


class Call:
    """What an operator asks, and is answered."""

    def __init__(self, caller: Caller, *parts: bytes) -> None:
        self.caller = caller
        self.metadata = {"pymesos-agent": "a"}
        self.answered: list[bytes] = []
        self._parts = list(parts)
        self.more: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def read(self) -> bytes | None:
        return self._parts.pop(0) if self._parts else await self.more.get()

    async def write(self, part: bytes) -> None:
        self.answered.append(part)


class Cluster:
    """A leader that knows a task of the role prod."""

    def __init__(self, *rules: str) -> None:
        self.h = MasterHarness(Config(seed_policy=policy(*rules)))
        self.h.agent()
        framework = self.h.subscribe(roles=["prod"])
        self.h.run(framework)
        self.framework_id = self.h.framework_id(framework)
        self.agent = Agent()
        leader: Any = type("Leader", (), {"queries": Queries(self.h.core)})()
        me = MasterInfo("m", HostPort("127.0.0.1", 1), "m", "")
        outside = Outside(dial=lambda *_: self.agent)
        self.relay = SandboxRelay(Leadership(me, outside, leader))
        there: Any = lambda _: (HostPort("127.0.0.1", 1), "a")  # noqa: E731
        self.relay._agent = there  # type: ignore[method-assign]

    async def ask(self, method: str, call: Call) -> Code | None:
        try:
            async with asyncio.timeout(5):
                await self.relay.relay(f"/pymesos.v1.Sandbox/{method}", call)  # type: ignore[arg-type]
        except CallError as error:
            return error.code
        return None

    def request(self, method: str, task_id: str = "t") -> bytes:
        ids: dict[str, Any] = {"framework_id": self.framework_id, "task_id": task_id}
        if method == "Exec":
            return pb.ExecInput(start=pb.ExecInput.Start(**ids)).SerializeToString()
        return bytes(METHODS[method](**ids).SerializeToString())

    def set_policy(self, *rules: str) -> None:
        event = ev.OperatorSetPolicy(9, read_policy(policy(*rules)), 1, ROOT)
        self.h.feed(event)
        assert self.h.answers[9] is None


def policy(*rules: str) -> str:
    return POLICY.format("\n".join(f"- {rule}" for rule in rules))


@pytest.mark.parametrize("method", [*METHODS, "Exec"])
async def test_a_call_needs_exactly_its_rule(method: str) -> None:
    verb = NEEDS[f"Sandbox.{method}"].verb
    others = ", ".join(set(Verb) - {verb, Verb.AGENTS, Verb.POLICY})
    for rule, caller, allowed in (
        ("{who: operator/other, do: ['*'], role: '**'}", O, False),
        (f"{{who: operator/o, do: [{others}], role: '**'}}", O, False),
        (f"{{who: operator/o, do: [{verb}], role: 'other/**'}}", O, method == "GetUsage"),
        (f"{{who: operator/o, do: [{verb}], role: prod}}", O, True),
        ("{who: operator/other, do: ['*'], role: '**'}", NOBODY, True),
    ):
        cluster = Cluster(rule)
        request = cluster.request(method)
        cluster.agent.say(b"", None)
        said = await cluster.ask(method, Call(caller, request))
        assert said == (None if allowed else Code.PERMISSION_DENIED), rule
        assert cluster.agent.heard == ([request] if allowed else [])


async def test_a_task_that_is_not_known_is_of_any_role() -> None:
    """What roles its framework has now says nothing of it."""
    for role, allowed in (("**", True), ("prod", False)):
        cluster = Cluster(f"{{who: operator/o, do: [logs], role: '{role}'}}")
        cluster.agent.say(None)
        said = await cluster.ask("ReadLog", Call(O, cluster.request("ReadLog", "gone")))
        assert said == (None if allowed else Code.PERMISSION_DENIED)


async def test_use_is_shown_of_what_one_may_read() -> None:
    cluster = Cluster("{who: operator/o, do: [read], role: prod}")
    used = [
        pb.TaskUsage(framework_id=cluster.framework_id, task_id="t"),
        pb.TaskUsage(framework_id="others", task_id="x"),
    ]
    cluster.agent.say(pb.GetUsageResponse(tasks=used).SerializeToString(), None)
    call = Call(O, pb.GetUsageRequest().SerializeToString())
    assert await cluster.ask("GetUsage", call) is None
    (answer,) = map(pb.GetUsageResponse.FromString, call.answered)
    assert [task.task_id for task in answer.tasks] == ["t"]


@pytest.mark.parametrize("what", ["nothing", "an input", "an output"])
async def test_a_policy_that_changes_ends_what_is_open(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_relay, "LOOK_AGAIN_S", 0.01 if what == "nothing" else 1000)
    cluster = Cluster("{who: operator/o, do: [exec], role: prod}")
    call = Call(O, cluster.request("Exec"))
    asked = asyncio.ensure_future(cluster.ask("Exec", call))
    cluster.agent.say(b"out")
    while not call.answered:
        await asyncio.sleep(0)
    cluster.set_policy()
    if what == "an input":
        call.more.put_nowait(b"rm -rf")
    elif what == "an output":
        cluster.agent.say(b"secret")
    assert await asked == Code.PERMISSION_DENIED
    assert call.answered == [b"out"] and b"rm -rf" not in cluster.agent.heard


async def test_one_caller_leaves_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_relay, "MAX_RELAYED_FOR_ONE", 2)
    monkeypatch.setattr(sandbox_relay, "MAX_RELAYED", 3)
    rule = "{who: 'operator/*', do: [logs], role: '**'}"
    cluster = Cluster(rule)
    first = cluster.request("ReadLog")
    asking = []
    for _ in range(2):
        call = Call(O, first)
        asking.append(asyncio.create_task(cluster.ask("ReadLog", call)))
        await until("it is relayed", lambda: cluster.relay._relayed[O.principal] == len(asking))
    with pytest.raises(CallError, match="operator/o has 2 calls relayed already: end some"):
        await cluster.relay.relay("/pymesos.v1.Sandbox/ReadLog", Call(O, first))  # type: ignore[arg-type]
    asking.append(asyncio.create_task(cluster.ask("ReadLog", Call(ROOT, first))))
    await until("another's is relayed", lambda: cluster.relay._relayed[ROOT.principal] == 1)
    with pytest.raises(CallError, match="this master relays 3 calls already"):
        await cluster.relay.relay("/pymesos.v1.Sandbox/ReadLog", Call(ROOT, first))  # type: ignore[arg-type]
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert not cluster.relay._relayed
