"""Commands in a container, in a terminal of their own: nothing is left out, and nothing left over.

crun's terminals are sent to us (`--console-socket`); the others' are in the hands of the tool.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pymesos_agent.containers import sessions
from pymesos_agent.containers.sessions import Entry, Session
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_proto.v1 import sandbox_pb2 as pb
from pymesos_testing.components import IMAGE, INSTALL
from pymesos_testing.rigs import Rig, docker_rig, oci_rig, process_rig
from pymesos_testing.waiting import until

Runs = tuple[Rig, ContainerSpec]
LINES = "seq 10000"
ALL_LINES = "".join(f"{number}\r\n" for number in range(1, 10_001))
HOLDS = "(trap '' HUP; exec sleep {}) & echo $!; sleep 0.1; echo hi; exit 5"


@contextlib.asynccontextmanager
async def container_of(
    made: contextlib.AbstractAsyncContextManager[Rig], image: str = ""
) -> AsyncIterator[Runs]:
    """One that sleeps, by a runtime."""
    async with made as rig:
        spec = await rig.run("sleep 600", image=image)
        yield rig, spec
        rig.runtime.kill(spec.container_id, force=True)
        await rig.exited(spec)


@pytest.fixture
async def crun(tmp_path: Path) -> AsyncIterator[Runs]:
    """A container of crun's, in a folder whose name is no address of a socket."""
    if shutil.which("crun") is None:
        pytest.skip(f"this needs crun; {INSTALL}")
    folder = tmp_path / ("long-" * 20)
    folder.mkdir()
    async with container_of(oci_rig(folder, Settings(oci_tool="crun"))) as made:
        yield made
        assert list(folder.glob("oci/consoles/*")) == []
        assert (folder / "oci/consoles").stat().st_mode & 0o777 == 0o700


@pytest.fixture(params=["process", "docker", "podman", "crun", "runc"])
async def container(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Runs]:
    """One of each runtime."""
    if request.param in ("docker", "podman"):
        host: str = request.getfixturevalue(f"{request.param}_host")
        made = container_of(docker_rig(tmp_path, host), IMAGE)
    elif request.param == "process":
        made = container_of(process_rig(tmp_path, watched=False))
    else:
        made = container_of(oci_rig(tmp_path, Settings(oci_tool=request.param)))
    async with made as each:
        yield each


def entry(runs: Runs, *argv: str) -> Entry:
    rig, spec = runs
    return rig.runtime.entry(spec, argv, "vt100")


class Typed:
    """A session, and what it has said so far."""

    def __init__(self, made: Entry, rows: int = 0) -> None:
        self.session = Session(made, pb.TerminalSize(rows=rows, columns=rows))
        self.said = ""
        self.status: int | None = None

    async def read(self) -> None:
        async for output in self.session.outputs():
            self.said += output.stdout.decode()
            if output.HasField("exit_status"):
                self.status = output.exit_status

    async def type(self, text: str) -> None:
        await self.session.take(pb.ExecInput(stdin=text.encode()))

    async def until(self, text: str) -> None:
        await until(f"it says {text!r}", lambda: text in self.said)


async def run(made: Entry, timeout_s: float = 20) -> tuple[int | None, str]:
    """To its end: its status, and what it said."""
    typed = Typed(made)
    try:
        async with asyncio.timeout(timeout_s):
            await typed.session.start()
            await typed.read()
    finally:
        await typed.session.close()
    return typed.status, typed.said


def tool_of(typed: Typed) -> psutil.Process:
    """The program that brings it into the container."""
    process = typed.session._process
    assert process is not None
    return psutil.Process(process.pid)


async def test_a_command_that_ends_while_crun_stands_still(crun: Runs) -> None:
    sandbox = crun[1].sandbox
    script = "touch began; until test -e go; do sleep 0.02; done; seq 300; touch ended"
    typed = Typed(entry(crun, "sh", "-c", script))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await until("it runs", (sandbox / "began").exists)
    await until("crun waits", lambda: tool_of(typed).status() == psutil.STATUS_SLEEPING)
    tool_of(typed).suspend()
    (sandbox / "go").touch()
    await until("it has ended", (sandbox / "ended").exists)
    await asyncio.sleep(0.2)
    tool_of(typed).resume()
    await asyncio.wait_for(reading, 20)
    await typed.session.close()
    expected = "".join(f"{number}\r\n" for number in range(1, 301))
    assert (typed.status, typed.said) == (0, expected)


async def test_the_last_words_of_short_commands_are_not_taken_for_cruns_errors(crun: Runs) -> None:
    """crun, left to copy the terminal, did so with one of 15 of those that end at once."""
    for _ in range(10):
        made = [run(entry(crun, "sh", "-c", "echo hello; exit 3")) for _ in range(20)]
        assert await asyncio.gather(*made) == [(3, "hello\r\n")] * 20


async def test_many_lines_at_once_are_complete(crun: Runs) -> None:
    for _ in range(5):
        assert await run(entry(crun, "sh", "-c", f"{LINES}; exit 3")) == (3, ALL_LINES)


async def test_who_reads_slowly_is_told_all(crun: Runs) -> None:
    typed = Typed(entry(crun, "sh", "-c", LINES))
    await typed.session.start()
    said = ""
    async for output in typed.session.outputs():
        said += output.stdout.decode()
        await asyncio.sleep(0.01)
    await typed.session.close()
    assert said == ALL_LINES


async def test_what_is_typed_and_sizes_and_ctrl_c_arrive(container: Runs) -> None:
    asked = "while read x && test $x = size; do stty size; done"
    script = f"trap 'echo caught; exit 7' INT; read x; echo got $x; {asked}; cat"
    typed = Typed(entry(container, "sh", "-c", script))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await typed.type("early\n")  # before the command is there
    await typed.until("got early")
    async with asyncio.timeout(20):
        while "33 99\r\n" not in typed.said:
            # An engine's client misses a change that comes before it looks for one.
            for columns in (98, 99):
                size = pb.TerminalSize(rows=33, columns=columns)
                await typed.session.take(pb.ExecInput(resized=size))
            await typed.type("size\n")
            await asyncio.sleep(0.2)
    await typed.type("end\n")
    await typed.type("more\n")
    await typed.until("more\r\nmore\r\n")
    await typed.type("\x03")
    await asyncio.wait_for(reading, 20)
    await typed.session.close()
    assert (typed.status, "caught" in typed.said) == (7, True), typed.said


async def test_a_terminal_has_its_size_at_once(crun: Runs) -> None:
    typed = Typed(entry(crun, "sh", "-c", "sleep 0.2; stty size"), rows=31)
    await typed.session.start()
    await asyncio.wait_for(typed.read(), 20)
    await typed.session.close()
    assert typed.said == "31 31\r\n"


async def test_a_size_of_a_terminal_that_is_not_there_yet(crun: Runs) -> None:
    typed = Typed(entry(crun, "sh", "-c", "read x; stty size"), rows=31)
    await typed.session.start()
    await typed.session.take(pb.ExecInput(resized=pb.TerminalSize(rows=33, columns=99)))
    await typed.type("now\n")
    await asyncio.wait_for(typed.read(), 20)
    await typed.session.close()
    assert typed.said.endswith("33 99\r\n")


async def test_more_than_a_terminal_holds_is_typed(crun: Runs) -> None:
    """A command that begins to read only after a while has all of it."""
    script = "stty raw -echo; echo ready; sleep 0.5; head -c 100000 | wc -c"
    typed = Typed(entry(crun, "sh", "-c", script))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await typed.until("ready")
    for _ in range(10):
        await asyncio.wait_for(typed.type("x" * 10_000), 20)
    await asyncio.wait_for(reading, 20)
    await typed.session.close()
    assert "100000" in typed.said


async def test_a_terminal_is_opened_again(crun: Runs) -> None:
    script = "exec </dev/null >/dev/null 2>&1; sleep 0.5; echo late >/dev/tty; exit 4"
    assert await run(entry(crun, "sh", "-c", script)) == (4, "late\r\n")


@pytest.mark.parametrize(
    "held_by", [HOLDS.format(671), HOLDS.format(671).replace("sleep", "yes", 1)]
)
async def test_who_stays_in_a_terminal_does_not_keep_its_session(crun: Runs, held_by: str) -> None:
    status, said = await run(entry(crun, "sh", "-c", held_by), 10)
    assert status == 5 and "hi\r\n" in said


@pytest.mark.parametrize(
    ("argv", "says"), [(["nosuch"], "`nosuch` not found in $PATH"), (["/etc"], "open executable")]
)
async def test_what_crun_says_of_a_program_that_cannot_be_run(
    crun: Runs, argv: Sequence[str], says: str
) -> None:
    status, said = await run(entry(crun, *argv))
    assert status == 255 and says in said


async def test_a_container_that_has_gone(crun: Runs) -> None:
    rig, _ = crun
    spec = await rig.run("sleep 600")
    late = entry((rig, spec), "true")
    rig.runtime.kill(spec.container_id, force=True)
    await rig.exited(spec)
    status, said = await run(late)
    assert status == 1 and "is not running" in said


PEERS = {  # a tool that is given a socket
    "ignores it": "import sys; print('no'); sys.exit(9)",
    "sends no terminal": "import sys; console.send(b'x'); print('no'); sys.exit(9)",
    "hangs up": "import sys; console.close(); print('no'); sys.exit(9)",
    "is killed": "import os, time; print('no', flush=True); os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("does", PEERS)
async def test_a_tool_that_sends_no_terminal(tmp_path: Path, does: str) -> None:
    path = tmp_path / "console"
    connects = f"""
import socket
console = socket.socket(socket.AF_UNIX)
console.connect({str(path)!r})
"""
    script = ("" if does == "ignores it" else connects) + PEERS[does]
    argv = ["/usr/bin/env", "python3", "-c", script]
    made = Entry(argv, dict(os.environ), tmp_path, console=path)
    assert await run(made) == (-9 if does == "is killed" else 9, "no\r\n")
    assert not path.exists()


async def test_a_tool_that_stands_still_before_it_sends(
    crun: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who types does not wait for it; who goes away ends it."""
    monkeypatch.setattr(sessions, "END_GRACE_S", 0.2)
    made = entry(crun, "true")
    typed = Typed(replace(made, argv=["/bin/sh", "-c", "trap '' HUP TERM; sleep 672 & wait"]))
    await typed.session.start()
    await asyncio.wait_for(typed.type("x"), 20)
    tool = tool_of(typed)
    await typed.session.close()
    assert not tool.is_running()


STANDS_STILL = """
import signal, time
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
print('up', flush=True)
time.sleep(672)
"""


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (pb.ExecInput(stdin=b"y\x03"), -signal.SIGINT),
        (pb.ExecInput(stdin=b"\x1c"), -signal.SIGQUIT),
        (pb.ExecInput(signal=signal.SIGINT), -signal.SIGINT),
        (pb.ExecInput(signal=signal.SIGTERM), -signal.SIGTERM),
    ],
    ids=["Ctrl-C", "Ctrl-Backslash", "SIGINT", "SIGTERM"],
)
async def test_a_tool_that_sends_no_terminal_is_interrupted(
    tmp_path: Path, message: pb.ExecInput, status: int
) -> None:
    """Whatever has been typed before."""
    argv = ["/usr/bin/env", "python3", "-c", STANDS_STILL]
    typed = Typed(Entry(argv, dict(os.environ), tmp_path, console=tmp_path / "console"))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await typed.until("up")
    async with asyncio.timeout(20):
        await typed.type("x" * (sessions.TYPED_AHEAD_BYTES + 1))
        await typed.session.take(pb.ExecInput(resized=pb.TerminalSize(rows=33, columns=99)))
        await typed.session.take(message)
        await reading
    await typed.session.close()
    assert typed.status == status


SENDS_LATE = """
import os, socket, time, tty
print('up', flush=True)
while not os.path.exists('go'):
    time.sleep(0.02)
ours, theirs = os.openpty()
tty.setraw(theirs)
console = socket.socket(socket.AF_UNIX)
console.connect('console')
socket.send_fds(console, [b'x'], [ours])
os.close(ours)
os.write(theirs, b'sent ')
time.sleep(0.3)
said = b''
while not said.endswith(b'later'):
    said += os.read(theirs, 4096)
open('read', 'wb').write(said)
os.write(theirs, b'%d columns' % os.get_terminal_size(theirs).columns)
"""


@pytest.mark.parametrize("lines", [1, 10_000, 20_000])
async def test_what_is_typed_before_a_terminal_comes(tmp_path: Path, lines: int) -> None:
    """Input before the terminal is read first, to a limit; the terminal holds less than that."""
    argv = ["/usr/bin/env", "python3", "-c", SENDS_LATE]
    typed = Typed(Entry(argv, dict(os.environ), tmp_path, console=tmp_path / "console"))
    ahead = "".join(f"{number}\n" for number in range(lines))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await typed.until("up")
    async with asyncio.timeout(20):
        for at in range(0, len(ahead), 1000):
            await typed.type(ahead[at : at + 1000])
        await typed.session.take(pb.ExecInput(resized=pb.TerminalSize(rows=33, columns=99)))
        (tmp_path / "go").touch()
        await typed.until("sent")
        await typed.type("la")
        await typed.type("ter")
        await reading
    await typed.session.close()
    read = (tmp_path / "read").read_text()
    assert read == ahead[: sessions.TYPED_AHEAD_BYTES] + "later"
    assert (typed.status, typed.said.endswith("99 columns")) == (0, True)


async def test_who_types_to_a_command_that_has_left_its_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The terminal always seems writable then, and takes nothing: it is not tried all the time."""
    script = "exec </dev/null >/dev/null 2>&1; touch left; exec sleep 674"
    typed = Typed(Entry(["/bin/sh", "-c", script], dict(os.environ), tmp_path))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await until("it has left", (tmp_path / "left").exists)
    refused = 0

    def write(descriptor: int, data: bytes, write: Callable[[int, bytes], int] = os.write) -> int:
        nonlocal refused
        try:
            return write(descriptor, data)
        except BlockingIOError:
            refused += 1
            raise

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(typed.type("x\n" * 150_000), 2)
    assert 2 < refused < 100
    await typed.session.take(pb.ExecInput(signal=signal.SIGTERM))
    await asyncio.wait_for(reading, 20)
    await typed.session.close()
    assert typed.status == -signal.SIGTERM


@pytest.mark.parametrize("after_s", [0, 0.01, 0.02, 0.04, 0.3])
async def test_who_goes_away_ends_the_command(crun: Runs, after_s: float) -> None:
    before, tasks = descriptors(), asyncio.all_tasks()
    made = entry(crun, "sh", "-c", "sleep 673; sleep 673")
    typed = Typed(made)
    await typed.session.start()
    await asyncio.sleep(after_s)
    await typed.session.close()
    assert made.console is not None and not made.console.exists()
    # The rig has some of its own, that come and go; what is left behind stays.
    await until("no task is left", lambda: asyncio.all_tasks() <= tasks)
    await until("no descriptor is left", lambda: descriptors() <= before)
    await until("the command has ended", lambda: not sleeping(673))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def sleeping(seconds: int) -> list[int]:
    words = ["sleep", str(seconds)]
    return [p.pid for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == words]


async def test_signals_reach_the_command(crun: Runs) -> None:
    script = "trap 'echo usr1; exit 8' USR1; echo ready; while :; do sleep 0.05; done"
    typed = Typed(entry(crun, "sh", "-c", script))
    await typed.session.start()
    reading = asyncio.create_task(typed.read())
    await typed.until("ready")
    await typed.session.take(pb.ExecInput(signal=signal.SIGUSR1))
    await asyncio.wait_for(reading, 20)
    await typed.session.close()
    assert (typed.status, "usr1" in typed.said) == (8, True)
