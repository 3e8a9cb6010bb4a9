"""Supervisors and the agents that come and go over them: older, newer, and two of one agent."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pymesos_agent.containers.sessions import run_entry
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec, SecretValues
from pymesos_agent.core.events import ContainerFailed
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_agent.supervision import protocol, supervisor_link
from pymesos_testing.components import supervisors
from pymesos_testing.rigs import Rig, oci_rig, process_rig
from pymesos_testing.waiting import until

DATA = Path(__file__).parent / "data"  # supervisors of releases, and the modules they had
# Of a version: the folders of its supervisor and of the logfile, and what it has beside itself.
PLACES = {4: ("supervision", "files", ("becoming", "hiding", "keeping"))}
PLACES_BEFORE: tuple[str, str, tuple[str, ...]] = ("", "", ())
TAG = f"test-{os.getpid()}"


def older(folder: Path, of: int, version: int = 0) -> str:
    """A program that starts the supervisor of an earlier release, made in a folder.

    `of` is the release's version of the protocol; `version`, what it says instead.
    """
    room, files, beside = PLACES.get(of, PLACES_BEFORE)
    package = folder / "earlier/pymesos_agent"
    for place in (package, package / room, package / files):
        place.mkdir(parents=True, exist_ok=True)
        (place / "__init__.py").touch()
    text = (DATA / f"supervisor_v{of}.txt").read_text()
    assert f"\nVERSION = {of}\n" in text
    text = text.replace(f"\nVERSION = {of}\n", f"\nVERSION = {version or of}\n")
    (package / room / "supervisor.py").write_text(text)
    logfile = (DATA / f"logfile_v{max(of, 3)}.txt").read_text()
    (package / files / "logfile.py").write_text(logfile)
    for name in beside:
        (package / room / f"{name}.py").write_text((DATA / f"{name}_v{of}.txt").read_text())
    module = ".".join(filter(None, ("pymesos_agent", room, "supervisor")))
    return (
        f"import sys; sys.argv.pop(1); sys.path.insert(0, {str(package.parent)!r});"
        f" from {module} import main; main()"
    )


def successor(rig: Rig) -> Rig:
    kind = OciRuntime if isinstance(rig.runtime, OciRuntime) else ProcessRuntime
    return Rig(kind(rig.folder, TAG, Settings()), rig.folder)


@pytest.fixture(params=["process", "oci"])
async def old(
    request: pytest.FixtureRequest, passable: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Rig]:
    """A runtime of an older agent, with the supervisor that it had."""
    monkeypatch.setattr(supervisor_link, "PROGRAM", older(passable, 2))
    monkeypatch.setattr(protocol, "VERSION", 2)
    make = oci_rig(passable) if request.param == "oci" else process_rig(passable, watched=False)
    async with make as rig:
        monkeypatch.undo()
        yield rig


async def test_an_upgrade_keeps_tasks(old: Rig) -> None:
    """Tasks run on, their ends are known exactly, and then a supervisor of today takes over."""
    stays, ends = await old.run("sleep 68"), await old.run("sleep 0.5; exit 9")
    (before,) = supervisors(old.folder)
    await old.runtime.close()
    new = successor(old)
    await new.start()
    found = await new.runtime.recover({})
    assert found.keys() == {stays.container_id, ends.container_id}
    ended = found[ends.container_id].exit or await new.exited(ends)
    assert ended.exit_status == 9
    more = await run_as(new, "65533", "id -u; id -g")
    assert (await new.exited(more)).exit_status == 0, "by the older supervisor"
    assert (more.sandbox / "stdout").read_text() == "65533\n65533\n"
    if isinstance(new.runtime, ProcessRuntime):
        said = (more.sandbox / "stderr").read_text()
        assert said.count("/no/such.so") == 3, "sh and two times id, and nothing before it is 65533"
    assert supervisors(new.folder) == [before]
    new.runtime.kill(stays.container_id, force=True)
    assert (await new.exited(stays)).exit_status == -9
    for spec in (stays, ends, more):
        new.runtime.destroy(spec.container_id)
    late = await run_as(new, "65533:65532", "id -u; id -g")
    assert (await new.exited(late)).exit_status == 0
    assert (late.sandbox / "stdout").read_text() == "65533\n65532\n"
    (after,) = supervisors(new.folder)
    assert after != before
    await new.runtime.close()


@pytest.mark.parametrize("runtime", ["process", "oci"])
async def test_the_supervisor_of_the_previous_release_goes_on(
    passable: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    """An older supervisor gives today's rights, and no variable of a secret is on disk."""
    monkeypatch.setattr(supervisor_link, "PROGRAM", older(passable, protocol.VERSION - 1))
    monkeypatch.setattr(protocol, "VERSION", protocol.VERSION - 1)
    make = oci_rig(passable) if runtime == "oci" else process_rig(passable, watched=False)
    async with make as rig:
        monkeypatch.undo()
        stays, ends = await rig.run("sleep 73"), await rig.run("sleep 0.5; exit 9")
        before = supervisors(passable)
        await rig.runtime.close()
        new = successor(rig)
        await new.start()
        found = await new.runtime.recover({})
        assert found.keys() == {stays.container_id, ends.container_id}
        ended = found[ends.container_id].exit or await new.exited(ends)
        assert ended.exit_status == 9
        more = await run_as(new, "65533", "id -u; id -g; grep NoNewPrivs /proc/self/status")
        assert (await new.exited(more)).exit_status == 0
        assert (more.sandbox / "stdout").read_text() == "65533\n65533\nNoNewPrivs:\t1\n"
        if isinstance(new.runtime, ProcessRuntime):
            await refuses_secret_variables(new)
            assert not new.runtime._supervised.can_limit
        new.runtime.kill(stays.container_id, force=True)
        assert (await new.exited(stays)).exit_status == -9
        assert supervisors(passable) == before, "it is as good as a new one"
        await new.runtime.close()


def test_supervisors_of_all_versions_are_kept() -> None:
    """Who raises the version keeps the supervisor that spoke the one before, and tries it above."""
    kept = {int(path.stem.removeprefix("supervisor_v")) for path in DATA.glob("supervisor_v*.txt")}
    assert kept >= set(range(2, protocol.VERSION)), "keep the supervisor of the last release"


async def refuses_secret_variables(rig: Rig) -> None:
    spec = rig.spec("true")
    object.__setattr__(spec, "secrets", SecretValues({"TOKEN": "hush"}))
    rig.runtime.launch(spec)
    failed = await rig.until(ContainerFailed, spec.container_id)
    assert isinstance(failed, ContainerFailed) and "on disk" in failed.message


async def run_as(rig: Rig, user: str, command: str) -> ContainerSpec:
    spec = rig.spec(command)
    spec.info.command.environment.add(name="LD_PRELOAD", value="/no/such.so")
    uid, _, gid = user.partition(":")
    object.__setattr__(spec, "user", user)
    object.__setattr__(spec, "owner", (int(uid), int(gid or uid)))
    for folder in (spec.sandbox, *spec.sandbox.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    rig.runtime.launch(spec)
    return spec


@pytest.mark.parametrize("version", [1, 99])
async def test_no_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    monkeypatch.setattr(supervisor_link, "PROGRAM", older(tmp_path, 2, version))
    monkeypatch.setattr(protocol, "VERSION", version)
    async with process_rig(tmp_path, watched=False) as rig:
        monkeypatch.undo()
        spec = await rig.run("sleep 69")
        await rig.runtime.close()
        new = successor(rig)
        await new.start()
        assert (await new.runtime.recover({})).keys() == {spec.container_id}
        new.runtime.kill(spec.container_id, force=False)
        assert (await new.exited(spec)).exit_status == -15
        await new.runtime.close()


async def test_every_task_has_one_supervisor(tmp_path: Path) -> None:
    """Restarted over both, each runtime finds its own, and nothing stays when all is over."""
    async with process_rig(tmp_path, watched=False) as process, oci_rig(tmp_path) as oci:
        theirs = {rig: await rig.run("sleep 70") for rig in (process, oci)}
        pids = {}
        for rig, spec in theirs.items():
            pids[spec.container_id] = next(e.pid for e in rig.events if hasattr(e, "pid"))
            await rig.runtime.close()
        for lost in (False, True):
            if lost:
                for pid in supervisors(tmp_path):
                    os.kill(pid, signal.SIGKILL)
            again = {rig: successor(rig) for rig in theirs}
            for rig, spec in theirs.items():
                await again[rig].start()
                # As an agent of the first release did it: all of them to each.
                found = await again[rig].runtime.recover(pids)
                assert found.keys() == {spec.container_id}
            for rig in again.values():
                await rig.runtime.close()
        again = {rig: successor(rig) for rig in theirs}
        for rig, spec in theirs.items():
            await again[rig].start()
            await again[rig].runtime.recover({})
            again[rig].runtime.kill(spec.container_id, force=True)
            await again[rig].exited(spec)
            again[rig].runtime.destroy(spec.container_id)
            await again[rig].runtime.close()
        await until("no supervisor stays", lambda: not supervisors(tmp_path))


async def test_what_an_older_agent_had_adopted_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor of the other runtime forgets it, and ends."""
    async with process_rig(tmp_path, watched=False) as process, oci_rig(tmp_path) as oci:
        spec = await process.run("sleep 71")
        pid = next(e.pid for e in process.events if hasattr(e, "pid"))
        assert isinstance(oci.runtime, OciRuntime)
        oci.runtime._supervised.adopt(spec.container_id, pid)
        await asyncio.sleep(0.2)
        await oci.runtime.close()
        new = successor(oci)
        await new.start()
        assert await new.runtime.recover({}, {spec.container_id}) == {}
        process.runtime.kill(spec.container_id, force=True)
        await process.exited(spec)
        await new.runtime.close()
        await until("it ends", lambda: len(supervisors(tmp_path)) == 1)
        assert new.events == []


HELLO = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
try:
    s.sendall(b'{"op": "hello", "version": 3}\\n')
    print(s.recv(9) or "refused")
except OSError:
    print("refused")
"""


@pytest.mark.parametrize("watched", [False, True])
async def test_what_a_task_says_is_not_heard(tmp_path: Path, *, watched: bool) -> None:
    """Though its user is the agent's. An agent of an earlier version is answered, if it is root."""
    async with process_rig(tmp_path, watched=watched) as rig:
        argv = [sys.executable, "-c", HELLO, str(tmp_path / "supervisor.sock")]
        command = shlex.join(argv)
        spec = await rig.run(f"{command}; (setsid env -i {command} &) ; sleep 600")
        await until("twice", lambda: said(spec).count("\n") == 2)
        assert said(spec) == "refused\nrefused\n"
        status, inside = await run_entry(rig.runtime.entry(spec, argv, ""), 20)
        assert (status, inside) == (0, "refused\n"), "what enters is a task's as well"
        rig.runtime.kill(spec.container_id, force=True)
        await rig.exited(spec)
        await rig.runtime.close()
        earlier = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        assert (await earlier.communicate())[0] == b'b\'{"ev": "h\'\n'


def said(spec: ContainerSpec) -> str:
    path = spec.sandbox / "stdout"
    return path.read_text() if path.exists() else ""


async def test_sigterm_ends_a_supervisor_when_nothing_of_its_runs(tmp_path: Path) -> None:
    async with process_rig(tmp_path, watched=False) as rig:
        spec = await rig.run("sleep 72")
        (pid,) = supervisors(tmp_path)
        await rig.runtime.close()
        os.kill(pid, signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert supervisors(tmp_path) == [pid], "its container needs it"
        started = next(e.pid for e in rig.events if hasattr(e, "pid"))
        os.kill(started, signal.SIGKILL)
        await until("it ends", lambda: not supervisors(tmp_path))
        assert spec.sandbox.exists()


async def test_a_launch_while_a_supervisor_is_replaced(tmp_path: Path) -> None:
    async with process_rig(tmp_path, watched=False) as rig:
        assert isinstance(rig.runtime, ProcessRuntime)
        writer = rig.runtime._supervised._link._writer
        assert writer is not None
        writer.close()
        first, second = rig.spec("exit 5"), rig.spec("exit 6")
        rig.runtime.launch(first)
        rig.runtime.launch(second)
        rig.runtime.kill(second.container_id, force=False)
        assert (await rig.exited(first)).exit_status == 5
        failed = await rig.until(ContainerFailed, second.container_id)
        assert isinstance(failed, ContainerFailed) and "killed" in failed.message


async def test_a_launch_that_is_too_large_fails_alone(tmp_path: Path) -> None:
    """The supervisor is not told of it: it would drop the agent, and what is launched beside it."""
    async with process_rig(tmp_path, watched=False) as rig:
        large, beside, most = rig.spec("true"), rig.spec("exit 5"), rig.spec("exit 6")
        for spec, count, value in ((large, 12, "\x01" * 64 * 1024), (most, 8, "é" * 512)):
            variables = {f"V{n}": value for n in range(count)}
            object.__setattr__(spec, "secrets", SecretValues(variables))
        for spec in (beside, large, most):
            rig.runtime.launch(spec)
        failed = await rig.until(ContainerFailed, large.container_id)
        assert isinstance(failed, ContainerFailed)
        assert f"at most {protocol.MAX_LINE_BYTES} are accepted" in failed.message
        assert (await rig.exited(beside)).exit_status == 5
        assert (await rig.exited(most)).exit_status == 6
        assert "\x01" not in failed.message


def test_texts_are_sent_in_few_bytes_and_arrive_as_they_were() -> None:
    message = {"op": "launch", "env": {"é": "ü" * 100, "path": os.fsdecode(b"\xff"), "c": "\x01\n"}}
    line = supervisor_link.written(message)
    assert json.loads(line) == message and line.count(b"\n") == 1
    assert len(line) < 300


@pytest.mark.parametrize("watched", [False, True])
async def test_a_kill_that_comes_with_the_launch(tmp_path: Path, *, watched: bool) -> None:
    """The kill arrives before there is a process to get it, and is said once."""
    async with process_rig(tmp_path, watched=watched) as rig:
        assert isinstance(rig.runtime, ProcessRuntime)
        for kill, status in (("term", -15), ("kill", -9), ("shutdown", -9)):
            spec = rig.spec("exec sleep 74")
            rig.runtime.launch(spec)
            if kill == "shutdown":
                rig.runtime._supervised._link.send({"op": "shutdown"})
            else:
                rig.runtime.kill(spec.container_id, force=kill == "kill")
            assert (await rig.exited(spec)).exit_status == status, kill
