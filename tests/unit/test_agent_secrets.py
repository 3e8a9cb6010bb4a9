"""An agent's side of secrets: asked for as a task starts, kept in memory, and shown by nothing."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pymesos_agent import secrets as module
from pymesos_agent.containers.environment import task_environment
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed
from pymesos_agent.files import config
from pymesos_agent.files import memory as memories
from pymesos_agent.files.addresses import Addresses
from pymesos_agent.files.config import ConfigError, Rendering, made_of
from pymesos_agent.files.fetching import Fetching
from pymesos_agent.files.memory import Memory, is_in_memory, memory_of
from pymesos_agent.secrets import Secrets, SecretsError
from pymesos_core.discovery.held import Held
from pymesos_core.resources import EMPTY
from pymesos_proto.v1 import agent_pb2 as pb
from pymesos_proto.v1 import types_pb2

PLANTED = b"planted-77aa"
FILE = types_pb2.SecretUse(name="db", path="password")
VARIABLE = types_pb2.SecretUse(name="db", env="PASSWORD")


def spec_of(
    *uses: types_pb2.SecretUse, image_secret: str = "", container_id: str = "c"
) -> ContainerSpec:
    container = types_pb2.ContainerInfo(secrets=uses, image_secret=image_secret)
    info = types_pb2.TaskInfo(task_id="t", container=container)
    return ContainerSpec(container_id, "f", "", None, info, EMPTY, Path("/sandbox"))


def told(problem: str = "", **values: bytes) -> pb.MasterMessage.Secrets:
    made = [pb.MasterMessage.Secrets.Value(name=n, value=v) for n, v in values.items()]
    return pb.MasterMessage.Secrets(framework_id="f", task_id="t", values=made, problem=problem)


class Master:
    """What answers an agent."""

    def __init__(self, memory: Memory | None = None) -> None:
        self.asked: list[pb.AgentMessage] = []
        self.answers: list[pb.MasterMessage.Secrets | None] = []
        self.there = True
        self.secrets = Secrets(memory, self.ask, Rendering(2))

    def ask(self, message: pb.AgentMessage) -> bool:
        if self.there:
            self.asked.append(message)
            if self.answers and (answer := self.answers.pop(0)) is not None:
                asyncio.get_running_loop().call_soon(self.secrets.heard, answer)
        return self.there


async def test_a_value_counts_as_often_as_it_is_used(master: Master) -> None:
    """One secret may be sixteen variables, of which each is in the task's environment."""
    master.answers = [told(db=b"x" * 64 * 1024)] * 2
    uses = [types_pb2.SecretUse(name="db", env=f"V{n}") for n in range(9)]
    given = await master.secrets.give(spec_of(*uses[:8]))
    assert len(given.secrets.variables) == 8
    with pytest.raises(SecretsError, match="has 589824 bytes; at most 524288"):
        await master.secrets.give(spec_of(*uses))


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    (folder := tmp_path / "memory").mkdir()
    return Memory(folder)


@pytest.fixture
def master(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> Master:
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    return Master(memory)


async def test_files_are_written_and_the_rest_is_in_what_is_launched(
    master: Master, memory: Memory
) -> None:
    master.answers = [told(db=PLANTED, login=b"user:pass\n")]
    spec = await master.secrets.give(spec_of(FILE, VARIABLE, image_secret="login"))
    (wanted,) = (message.secrets_wanted for message in master.asked)
    assert (wanted.framework_id, wanted.task_id) == ("f", "t")
    file = memory.secrets_of("c") / "password"
    assert file.read_bytes() == PLANTED and file.stat().st_mode & 0o777 == 0o400
    assert file.parent.stat().st_mode & 0o777 == 0o700, "nobody else's before it is given"
    assert spec.secrets.variables == {"PASSWORD": PLANTED.decode()}
    assert spec.secrets.login == "user:pass"
    assert PLANTED.decode() not in repr(spec) and "user:pass" not in repr(spec)
    env = task_environment(spec, Path("/s"), {})
    assert env["PASSWORD"] == PLANTED.decode() and env["PYMESOS_SECRETS"] == "/run/secrets"
    assert "PYMESOS_SECRETS" not in task_environment(spec_of(VARIABLE), Path("/s"), {})


async def test_it_asks_again_until_a_master_answers(master: Master) -> None:
    master.there = False
    giving = asyncio.ensure_future(master.secrets.give(spec_of(FILE)))
    for _ in range(3 * module.MAX_ASKED):
        await asyncio.sleep(0.01)
    assert not giving.done() and not master.asked, "that nobody is there does not count"
    master.there, master.answers = True, [None, None, told(db=PLANTED)]
    assert (await giving).secrets.variables == {}
    assert len(master.asked) == 3


async def test_one_that_never_answers_is_given_up(master: Master) -> None:
    with pytest.raises(SecretsError, match="of a version that knows none"):
        await master.secrets.give(spec_of(FILE))
    assert len(master.asked) == module.MAX_ASKED
    master.secrets.heard(told(db=PLANTED))  # nobody waits any more


@pytest.mark.parametrize(
    ("uses", "answer", "says"),
    [
        ((FILE,), told("the role prod does not have it"), "the role prod does not have it"),
        ((FILE,), told(other=PLANTED), "did not send the secret db"),
        ((FILE,), told(db=b"x" * 65537), "cannot be used: values"),
        ((VARIABLE,), told(db=b"\xff" + PLANTED), "is no text"),
        ((VARIABLE,), told(db=PLANTED + b"\0"), "is no text"),
    ],
)
async def test_what_fails_is_said_without_a_value(
    master: Master,
    uses: tuple[types_pb2.SecretUse, ...],
    answer: pb.MasterMessage.Secrets,
    says: str,
) -> None:
    master.answers = [answer]
    with pytest.raises(SecretsError, match=says) as failed:
        await master.secrets.give(spec_of(*uses))
    assert PLANTED.decode() not in str(failed.value) and failed.value.__cause__ is None


@pytest.mark.parametrize("login", [b"user", b":pass", b"user:", b"a:b\nc:d", b"\xff:x"])
async def test_a_login_is_a_user_and_a_password(master: Master, login: bytes) -> None:
    master.answers = [told(login=login)]
    with pytest.raises(SecretsError, match=r"USER:PASSWORD|is no text"):
        await master.secrets.give(spec_of(image_secret="login"))


async def test_without_storage_in_memory_there_are_no_files() -> None:
    master = Master()
    master.answers = [told(db=PLANTED)]
    with pytest.raises(SecretsError, match="no storage in memory"):
        await master.secrets.give(spec_of(FILE))


async def test_two_that_wait_get_their_own(master: Master) -> None:
    one = asyncio.ensure_future(master.secrets.give(spec_of(VARIABLE)))
    other_spec = spec_of(VARIABLE)
    other_spec.info.task_id = "u"
    other = asyncio.ensure_future(master.secrets.give(other_spec))
    await asyncio.sleep(0)
    answer = told(db=b"second")
    answer.task_id = "u"
    master.secrets.heard(answer)
    assert (await other).secrets.variables == {"PASSWORD": "second"}
    assert not one.done()
    master.secrets.heard(told(db=b"first"))
    assert (await one).secrets.variables == {"PASSWORD": "first"}


class TestMemory:
    def test_what_is_given_cannot_be_added_to(self, memory: Memory) -> None:
        memory.put("c", {"a": b"1"})
        memory.give("c", os.geteuid(), os.getegid())
        mode = memory.secrets_of("c").stat().st_mode & 0o777
        assert mode == (0o550 if os.geteuid() == 0 else 0o500)
        with pytest.raises(FileExistsError):
            memory.put("c", {"b": b"2"})
        memory.remove("c")
        assert not list(memory.folder.iterdir())
        memory.remove("c")
        memory.close()
        assert not memory.folder.exists(), "an agent that has ended leaves none behind"

    @pytest.mark.parametrize("replaced", ["c", "c/secrets"])
    def test_a_link_that_a_task_made_is_not_followed(
        self, memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: str
    ) -> None:
        """A task of an agent that root does not run has the agent's user, and so its folders."""
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        (target := tmp_path / "target/secrets").mkdir(mode=0o500, parents=True)
        memory.put("c", {})
        (memory.folder / replaced).rename(memory.folder / "c-before")
        (memory.folder / replaced).symlink_to(target if "/" in replaced else target.parent)
        memory.sweep(())
        assert target.stat().st_mode & 0o777 == 0o500
        assert not list(memory.folder.iterdir())

    def test_what_an_earlier_run_left_goes(self, memory: Memory) -> None:
        for container_id in ("kept", "left"):
            memory.put(container_id, {"a": b"1"})
        memory.pipes("process").mkdir()
        memory.pipes("oci").mkdir()
        (memory.pipes("oci") / "kept.stdout").touch()
        memory.sweep({"kept"})
        memory.close()
        assert {folder.name for folder in memory.folder.iterdir()} == {"kept", "pipes-oci"}
        memory.remove_all()
        assert not memory.folder.exists()

    def test_a_folder_of_somebody_else_is_not_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(memories, "RUN", tmp_path / "run")
        monkeypatch.setattr(memories, "SHARED", tmp_path / "shm")
        monkeypatch.setattr(memories, "is_in_memory", lambda base: base == tmp_path / "shm")
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "shm").mkdir()
        (link := tmp_path / "shm" / f"pymesos-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
        assert memory_of("tag") is None and not list((tmp_path / "elsewhere").iterdir())
        link.unlink()
        found = memory_of("tag")
        assert found is not None and found.folder == link / "tag"
        monkeypatch.setattr(memories, "is_in_memory", lambda base: False)
        assert memory_of("tag") is None

    def test_it_is_found_again_by_an_agent_that_is_started_otherwise(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """By cron at first, when its user has no session and so no folder in /run."""
        uid = os.geteuid()
        session = tmp_path / "run" if uid == 0 else tmp_path / "run/user" / str(uid)
        monkeypatch.setattr(memories, "RUN", tmp_path / "run")
        monkeypatch.setattr(memories, "SHARED", tmp_path / "shm")
        monkeypatch.setattr(memories, "is_in_memory", lambda base: base.exists())
        (tmp_path / "shm").mkdir()
        first = memory_of("tag")
        session.mkdir(parents=True)
        assert first is not None and memory_of("tag") == first
        other = memory_of("other")
        assert other is not None and other.folder.is_relative_to(session)

    def test_a_disk_is_no_memory(self) -> None:
        assert is_in_memory(Path("/dev/shm")) and not is_in_memory(Path("/usr"))


async def test_what_is_not_asked_for_has_no_folder(master: Master, memory: Memory) -> None:
    master.answers = [told(db=PLANTED)]
    await master.secrets.give(replace(spec_of(VARIABLE), container_id="v"))
    assert not list(memory.folder.iterdir())


@pytest.mark.parametrize("path", ["../astray", "/etc/astray", "a/b", "..", ".", ""])
async def test_a_config_file_with_secrets_leads_nowhere_else(path: str) -> None:
    """Whatever its framework is: the agent that writes it may be root."""
    spec = spec_of()
    spec.info.container.config.add(path=path, content="evil", secrets=["s"])
    with pytest.raises(ConfigError, match="is no name"):
        await Rendering().with_secrets(spec, {"s": b"v"})


@pytest.mark.parametrize("name", ["../astray", "a/b", ".."])
def test_no_secret_is_written_outside_of_its_folder(memory: Memory, name: str) -> None:
    with pytest.raises(OSError, match="is no name"):
        memory.put("c1", {name: b"v"})
    assert not list(memory.folder.rglob("astray"))


async def test_what_nobody_foresaw_ends_a_task_that_waits_for_its_secrets() -> None:
    """As where no process can be started to render a template."""
    told: list[Any] = []

    async def give(spec: ContainerSpec, told: object) -> ContainerSpec:
        raise BlockingIOError("hush")

    fetching = Fetching(cast(Any, None), told.append, give, Rendering(), Addresses(Held()))
    fetching.start(spec_of(FILE), (), lambda spec: None)
    async with asyncio.timeout(20):
        while list(fetching):
            await asyncio.sleep(0)
    await fetching.close()
    assert told[-1] == ContainerFailed("c", "its files cannot be made ready: BlockingIOError")


async def test_few_config_files_are_made_at_a_time(memory: Memory) -> None:
    """Each keeps a core busy, with secrets or without; the others wait, and can be given up."""
    rendering, free = Rendering(2), threading.Event()
    going: list[str] = []

    def make(name: str, stopped: Callable[[], bool]) -> bool:
        going.append(name)
        while not (stopped() or free.is_set()):
            free.wait(0.01)
        return not stopped()

    made = {name: asyncio.create_task(rendering.make(make, name)) for name in "abcd"}
    async with asyncio.timeout(20):
        while len(going) < 2:
            await asyncio.sleep(0)
        made["c"].cancel()
        made["a"].cancel()
        await asyncio.wait((made["a"], made["c"]))
        while len(going) < 3:
            await asyncio.sleep(0)
        assert going == ["a", "b", "d"], "who is given up makes room"
        free.set()
        assert await made["b"] and await made["d"]


async def test_a_task_of_many_slow_config_files_takes_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendering, made = Rendering(1), []

    def made_of(spec: ContainerSpec, file: types_pb2.ConfigFile, *more: object) -> bytes:
        made.append(f"{spec.container_id}{file.path}")
        return b"x"

    monkeypatch.setattr(config, "made_of", made_of)

    def has(container_id: str, *paths: str) -> ContainerSpec:
        (sandbox := tmp_path / container_id).mkdir()
        spec = replace(spec_of(container_id=container_id), sandbox=sandbox)
        for path in paths:
            spec.info.container.config.add(path=path, template="x")
        return spec

    of_many, of_two, of_one = has("a", "1", "2", "3", "4"), has("b", "1", "2"), has("c", "1")
    async with asyncio.TaskGroup() as group:
        for spec in (of_many, of_two, of_one):
            group.create_task(rendering.write(spec))
    assert made == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_what_renders_is_ended_once_it_is_not_wanted() -> None:
    file = types_pb2.ConfigFile(path="a", template="{{ 1 }}")
    with pytest.raises(ConfigError, match="it is not wanted any more"):
        made_of(spec_of(), file, {}, {}, lambda: True)
