"""The compiled spawner and the fork of a supervisor make the same process of the same launch."""

from __future__ import annotations

import base64
import os
import pickle
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_agent.supervision import spawning, supervisor_link
from pymesos_agent.supervision.spawning import Spawner, request_of
from pymesos_testing.compiling import assert_hardened, compiled
from pymesos_testing.components import supervisors
from pymesos_testing.rigs import process_rig
from pymesos_testing.waiting import until

SOURCE = Path(spawning.__file__).with_name("spawner.c")
# All that a process has of those who started it, but for numbers that differ each time.
PROBE = r"""
id; pwd; umask; ulimit -n; ulimit -Hn; ulimit -c; env | sort; echo "$0" "$@"
grep -E '^(Groups|NoNewPrivs|Sig[BIC]|Cap)' /proc/self/status
readlink /proc/$$/fd/*
read -r _ _ _ _ group session _ < /proc/$$/stat; [ $group = $$ ] && [ $session = $$ ] && echo leads
awk '{print $4}' /proc/$$/stat; read -r line || echo "nothing to read"; echo words >&2; exit 7
"""

FRESH = """
import base64, os, pickle, sys
os.set_inheritable(int(sys.argv[2]), False)
from pymesos_agent.supervision.launching import turn_into
spec = pickle.loads(base64.b64decode(sys.argv[1]))
turn_into(spec, int(sys.argv[2]))
"""

Spec = dict[str, Any]
Start = Callable[[Spec, int], int]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(SOURCE, tmp_path_factory.mktemp("spawner") / "pymesos-spawner")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that other users find."""
    with tempfile.TemporaryDirectory(prefix="pymesos-test-") as made:
        Path(made).chmod(0o711)
        yield Path(made)


class Heard(Spawner):
    """A spawner whose answers are waited for, which no supervisor does."""

    def __init__(self, program: str) -> None:
        self.loop = selectors.DefaultSelector()
        super().__init__(program, self.loop)

    def hear_all(self) -> None:
        while self.is_waiting and self.loop.select(10):
            self.hear()
        assert not self.is_waiting

    def is_ready(self) -> bool:
        super().is_ready()
        self.hear_all()
        return super().is_ready()

    def start(self, spec: Spec, error_fd: int) -> int:
        """As a supervisor has it started."""
        said: list[int | None] = []
        request = request_of(spec)
        assert request is not None
        assert self.spawn(request, error_fd, said.append)
        self.hear_all()
        (pid,) = said
        assert pid is not None
        return pid


@pytest.fixture
def spawner(program: str) -> Iterator[Heard]:
    spawner = Heard(program)
    assert spawner.is_ready()
    yield spawner
    spawner.end()
    if spawner.pid:
        os.waitpid(spawner.pid, 0)


def forked(spec: Spec, error_fd: int) -> int:
    """As a supervisor does that has just begun: what this process has been through is not in it."""
    argv = [sys.executable, "-c", FRESH, base64.b64encode(pickle.dumps(spec)).decode()]
    child = subprocess.Popen([*argv, str(error_fd)], pass_fds=[error_fd])
    child.returncode = 0  # whoever waits for it is `result`
    return child.pid


def result(spec: Spec, start: Start) -> tuple[str, int, str, str]:
    """What it said of its start, its status, and what it wrote."""
    files = [Path(path) for path in spec["logs"]["pipes"]]
    for file in files:
        file.write_text("")
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = start(spec, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as errors:
        said = errors.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return said, status, files[0].read_text(), files[1].read_text()


def spec_in(folder: Path) -> Spec:
    """A launch whose cgroup is a file, which shows that it has been joined."""
    sandbox = folder / "sandbox"
    sandbox.mkdir()
    for name in ("procs", "out", "err"):
        (folder / name).touch()
    return {
        "id": "c",
        "argv": ["/bin/sh", "-c", PROBE, "name", "ü", ""],
        "env": {"PATH": os.environ["PATH"], "A": "b=c", "EMPTY": "", "É": os.fsdecode(b"\xff")},
        "cwd": str(sandbox),
        "cgroups": [str(folder / "procs")],
        "ulimits": [("RLIMIT_NOFILE", 100, 200), ("RLIMIT_CORE", 0, 0)],
        "no_new_privileges": True,
        "ids": (65534, 65533, (65532, 65531)) if os.geteuid() == 0 else None,
        "has_path_of_agent": True,
        "logs": {"pipes": [str(folder / "out"), str(folder / "err")]},
    }


def without_ignored_internals(done: tuple[str, int, str, str]) -> tuple[str, int, str, str]:
    """The same, without the signals 32 and 33, which the C library lets no Python program set.

    What `posix_spawn` starts, as GNU make does, ignores one of them, and so does all below it.
    """
    said, status, out, err = done
    ignored = re.compile(r"(?<=SigIgn:\t)[0-9a-f]{16}")
    return said, status, ignored.sub(lambda m: f"{int(m[0], 16) & ~(0b11 << 31):016x}", out), err


def both(spec: Spec, spawner: Heard) -> tuple[str, int, str, str]:
    """What comes of it, which has to be the same either way."""
    ours = result(spec, spawner.start)
    theirs = without_ignored_internals(result(spec, forked))
    assert ours[2].splitlines() == theirs[2].splitlines()
    assert ours == theirs
    return ours


def test_a_mistake_in_it_is_to_end_it_and_no_more(tmp_path: Path) -> None:
    """The spawner reads what tasks say, with the agent's rights."""
    assert_hardened(SOURCE, tmp_path)


def test_a_process_is_the_same_either_way(folder: Path, spawner: Heard) -> None:
    spec = spec_in(folder)
    said, status, out, err = both(spec, spawner)
    assert (said, status, err) == ("", 7, "words\n")
    assert (folder / "procs").read_text() == "0"
    lines = out.splitlines()
    assert {str(folder / "sandbox"), "0022", "100", "200", "A=b=c", "name ü ", "leads"} < {*lines}
    assert {"NoNewPrivs:\t1", "/dev/null", "nothing to read", str(os.getpid())} < {*lines}
    opened = {line for line in lines if line.startswith(("/dev", "pipe", "socket", "/tmp"))}
    assert opened == {"/dev/null", *spec["logs"]["pipes"], spec["cwd"]}, "the others are closed"
    if spec["ids"]:
        assert {"Groups:\t65531 65532 ", "CapEff:\t0000000000000000"} < {*lines}
    assert "PYMESOS_SANDBOX" not in out


@pytest.fixture
def group() -> Iterator[Path]:
    """A cgroup of version 2, of any controllers or none."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [Path(path) for _, path, kind, *_ in mounts if kind == "cgroup2"]
    if not found or not os.access(found[0], os.W_OK) or os.geteuid() != 0:
        pytest.skip("no cgroups of version 2 can be made here: be root where /proc/mounts has some")
    made = found[0] / f"pymesos-test-{os.getpid()}"
    made.mkdir()
    yield made
    made.rmdir()


def test_it_is_in_its_group_of_version_2(folder: Path, spawner: Heard, group: Path) -> None:
    """The spawner forks into it; a fork of the supervisor joins it, which takes longer."""
    spec = spec_in(folder) | {"argv": ["/bin/grep", "^0:", "/proc/self/cgroup"]}
    spec["cgroups"] = [str(group / "cgroup.procs")]
    said, status, out, err = both(spec, spawner)
    assert (said, status, err) == ("", 0, "")
    assert out == f"0::/{group.name}\n"
    (spec_in_none := dict(spec))["cgroups"] = [str(folder / "procs")]
    assert result(spec_in_none, spawner.start)[2] != out, "the next is in no other's"


def test_what_is_no_group_of_version_2_is_joined(folder: Path, spawner: Heard) -> None:
    spec = spec_in(folder)
    (folder / "cgroup.procs").touch()
    spec["cgroups"] = [str(folder / "cgroup.procs")]
    assert both(spec, spawner)[0] == ""
    assert (folder / "cgroup.procs").read_text() == "0"
    spec["cgroups"] = ["/absent/cgroup.procs"]
    assert both(spec, spawner)[0] == "cannot join its cgroup: No such file or directory"


@pytest.mark.parametrize("argv", [["env"], ["absent"], ["/absent"], ["/etc/passwd"], ["./sandbox"]])
@pytest.mark.parametrize("path", [None, "", "/absent:/usr/bin:/bin", "LOCKED", "/bin:LOCKED"])
def test_programs_are_found_the_same_way(
    folder: Path, spawner: Heard, argv: list[str], path: str | None
) -> None:
    locked = folder / "locked"
    (locked / "bin").mkdir(parents=True)
    locked.chmod(0o700)
    spec = spec_in(folder)
    spec |= {"argv": argv, "env": {}, "has_path_of_agent": path is not None}
    if path is not None:
        spec["env"] = {"PATH": path.replace("LOCKED", str(locked / "bin"))}
    said, status, out, _ = both(spec, spawner)
    assert status == (127 if said else 0)
    assert said == "" or said.startswith(f"cannot execute {argv[0]}: ")
    assert (argv == ["absent"]) <= said.endswith("No such file or directory")
    if not said and path:
        kept = {"LOCKED": "/bin:/usr/bin", "/bin:LOCKED": "/bin"}.get(path, path)
        assert out == f"PATH={kept if os.geteuid() == 0 else spec['env']['PATH']}\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cgroups": ["/absent/procs"]}, "cannot join its cgroup: No such file or directory"),
        ({"cwd": "/absent"}, "cannot enter its sandbox: No such file or directory"),
        ({"logs": {"pipes": ["/absent/o", "/absent/e"]}}, "cannot open its pipes: No such file"),
        ({"ulimits": [("RLIMIT_CORE", 2, 1)]}, "cannot limit it: "),
    ],
)
def test_what_fails_is_said(folder: Path, spawner: Heard, changes: Spec, said: str) -> None:
    spec = spec_in(folder) | changes
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid = spawner.start(spec, write_end)
    os.close(write_end)
    with os.fdopen(read_end) as errors:
        assert errors.read().startswith(said)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 127


def test_a_large_request_arrives_whole(folder: Path, spawner: Heard) -> None:
    spec = spec_in(folder)
    spec |= {"argv": ["/bin/sh", "-c", "echo ${#V}"]}
    spec["env"] |= {"V": "x" * 60_000}
    assert result(spec, spawner.start)[2] == "60000\n"
    spec["env"] |= {"V": "x" * 70_000}
    assert request_of(spec) is None, "left to a fork"


def test_one_that_has_ended_is_started_again(folder: Path, spawner: Heard) -> None:
    """What it was asked for before its end is nobody's to know; what comes after is not asked."""
    spec = spec_in(folder)
    request = request_of(spec) or b""
    said: list[int | None] = []
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.kill(spawner.pid, signal.SIGSTOP)
    assert spawner.spawn(request, write_end, said.append)
    os.kill(spawner.pid, signal.SIGKILL)
    spawner.hear_all()
    assert said == [None]
    assert not spawner.is_ready(), "it is not reaped yet"
    os.waitpid(spawner.pid, 0)
    spawner.reaped()
    assert spawner.is_ready()
    os.kill(spawner.pid, signal.SIGKILL)
    os.waitid(os.P_PID, spawner.pid, os.WEXITED | os.WNOWAIT)
    assert not spawner.spawn(request, write_end, said.append), "nothing was sent"
    assert said == [None]
    os.waitpid(spawner.pid, 0)
    spawner.reaped()
    assert spawner.is_ready()
    assert both(spec, spawner)[1] == 7
    os.close(read_end)
    os.close(write_end)


def test_one_that_does_not_answer_holds_nobody_up(folder: Path, spawner: Heard) -> None:
    request = request_of(spec_in(folder)) or b""
    said: list[int | None] = []
    os.kill(spawner.pid, signal.SIGSTOP)
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    asked = 0
    while spawner.spawn(request, write_end, said.append):
        asked += 1
    assert asked > 0
    spawner.look_at(time.monotonic() + spawning.ANSWER_TIMEOUT_S - 1)
    assert said == []
    spawner.look_at(time.monotonic() + spawning.ANSWER_TIMEOUT_S + 1)
    assert said == [None] * asked
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("program", ["/absent", str(SOURCE), "/bin/false"])
def test_one_that_does_not_work_here_is_left_out(program: str) -> None:
    spawner = Heard(program)
    assert not spawner.is_ready()
    assert not spawner.is_ready()
    if spawner.pid:
        os.waitpid(spawner.pid, 0)


def gone(pid: str) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("compiled", [True, False])
async def test_a_supervisor_starts_containers_either_way(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch, *, compiled: bool
) -> None:
    """One whose spawner is killed goes on with the next, and loses no container."""
    code = f"import pymesos_agent.supervision.spawning as s; s.PROGRAM = {program!r};"
    first, second = supervisor_link.PROGRAM.split(" from ")
    code = code if compiled else code.replace(program, "/absent")
    monkeypatch.setattr(supervisor_link, "PROGRAM", f"{first} {code} from {second}")
    async with process_rig(tmp_path, watched=False) as rig:
        assert isinstance(rig.runtime, ProcessRuntime)
        if not rig.runtime.isolation["mem"].startswith("cgroup"):
            pytest.skip("no cgroups can be written here")
        long = await rig.run("sleep 75 & sleep 75; exit 3")
        (supervisor,) = supervisors(tmp_path)
        listed = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
        names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in listed]
        assert sorted(names) == [spawning.NAME] * compiled + ["sh"]
        for pid, name in zip(listed, names, strict=True):
            if name == spawning.NAME:
                os.kill(int(pid), signal.SIGKILL)
                await until("reaped", partial(gone, pid))
        short = await rig.run("exit 5")
        assert (await rig.exited(short)).exit_status == 5
        rig.runtime.kill(long.container_id, force=True)
        assert (await rig.exited(long)).exit_status == -9
