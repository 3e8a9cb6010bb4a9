"""The config files of a task: those without secrets are written into its sandbox, the others go
where its secrets are. A template is rendered by a process of its own, `confined_templates.py`."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.files.below import (
    FOLDER,
    OutsideError,
    parent_of,
    parts_of,
    put_whole,
    read_whole,
)
from pymesos_agent.files.kept import Kept
from pymesos_agent.files.memory import Memory
from pymesos_core.ids import secret_name_problem
from pymesos_core.streams import in_thread, to_the_end
from pymesos_core.text import cut, os_problem
from pymesos_proto.v1 import types_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (
    "import json, sys; sys.path[:0] = json.loads(sys.argv[1]);"
    " from pymesos_agent.files.confined_templates import main; main()"
)
WALL_S = 30.0  # of which it computes one second at most; the rest is for a busy machine
LOOK_S = 0.2  # between two looks whether it is still wanted
AT_ONCE = min(os.cpu_count() or 1, 16)  # each keeps a core busy, and a thread of the pool
NOT_WANTED = "it is not wanted any more"
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_SAID = 500  # characters


Stopped = Callable[[], bool]  # whether nobody waits for it any more
Found = Mapping[str, Sequence[Mapping[str, Any]]]  # addresses, by the names that a template has
NOTHING: Mapping[str, Found] = {}
Made = TypeVar("Made")


class ConfigError(Exception):
    """A config file cannot be made: the message says which, why, and in which line."""


@dataclass(frozen=True)
class Remade:
    """Which files were made anew and differ, and why others could not be made.

    `digests` are to be kept once the task was told, so that a crash before that loses no change.
    """

    changed: Sequence[str] = ()
    problems: Sequence[Exception] = ()  # also faults, which are no reason to forget what differs
    digests: Mapping[str, str] | None = None  # None: as they are kept already


class Rendering:
    """Makes config files in threads, few at a time: each file waits for a turn of its own.

    So a task that has many of them, or slow ones, takes turns with the others.
    """

    def __init__(self, at_once: int = AT_ONCE, memory: Memory | None = None) -> None:
        """`memory` has the files with secrets of tasks that run."""
        self._memory = memory
        self._kept = Kept(memory)
        self._turns = asyncio.Semaphore(at_once)  # they are had in the order of asking

    async def write(self, spec: ContainerSpec, told: Mapping[str, Found] = NOTHING) -> None:
        """Write the files that need no secrets into the sandbox. Raises ConfigError.

        `told` is whose addresses each of them uses, by its path.
        """
        digests = {}
        for file in spec.info.container.config:
            if not file.secrets:
                digest = await self.make(_write_file, spec, file, told.get(file.path, {}))
                if file.addresses:
                    digests[file.path] = digest
        if digests:
            await in_thread(self._keep, spec, digests)

    async def rewrite(self, spec: ContainerSpec, told: Mapping[str, Found]) -> Remade:
        """Make those files anew that have addresses, beside the task that runs.

        They differ from what the agent made before, whatever the task has made of them; those by
        which it is to begin anew, from what it has begun with. One that cannot be made stays as it
        was, and keeps no other from being made.
        """
        digests = await in_thread(self._kept.digests, spec)
        before = dict(digests)
        changed: list[str] = []
        problems: list[Exception] = []
        for file in spec.info.container.config:
            if file.addresses:
                of_it = told.get(file.path, {})
                try:
                    remake = self._rewrite_secret if file.secrets else _rewrite_file
                    if await self.make(remake, spec, file, of_it, digests):
                        changed.append(file.path)
                except Exception as error:
                    error.add_note(f"while {file.path[:255]} was made anew")  # in a traceback
                    problems.append(error)
        return Remade(changed, problems, digests if digests != before else None)

    async def keep(self, spec: ContainerSpec, remade: Remade) -> list[Exception]:
        """Keep what was made, once the task was told of it; return why that cannot be.

        Until it is kept the same files differ the next time, too: better told twice than never.
        """
        try:
            if remade.digests is not None:
                await in_thread(self._keep, spec, remade.digests)
        except Exception as error:
            return [error]
        return []

    def _keep(self, spec: ContainerSpec, digests: Mapping[str, str]) -> None:
        """Raises ConfigError."""
        with _kept():
            self._kept.keep(spec, digests)

    def _rewrite_secret(
        self,
        spec: ContainerSpec,
        file: pb.ConfigFile,
        told: Found,
        digests: dict[str, str],
        stopped: Stopped,
    ) -> bool:
        """Make a file with secrets anew, in memory: see `_rewrite_file`."""
        data = made_of(spec, file, told, self._kept.values(spec), stopped)
        if digests.get(file.path) == _digest(data):
            return False
        if self._memory is None:
            raise _wrong(file, "this machine has no storage in memory for its secrets")
        try:
            self._memory.replace(spec.container_id, file.path, data)
        except OSError as error:
            raise _wrong(file, os_problem(error)) from None
        if file.on_change != pb.ON_CHANGE_RESTART:
            digests[file.path] = _digest(data)
        return True

    async def with_secrets(
        self,
        spec: ContainerSpec,
        secrets: Mapping[str, bytes],
        told: Mapping[str, Found] = NOTHING,
    ) -> Mapping[str, bytes]:
        """Return what the files with secrets have, by name. Raises ConfigError.

        What those are made anew from that have addresses, too, is kept in memory.
        """
        files = [file for file in spec.info.container.config if file.secrets]
        for file in files:  # of any framework, which may have checked nothing
            if problem := secret_name_problem(file.path):
                raise _wrong(file, f"with secrets it is a file in $PYMESOS_SECRETS, and {problem}")
        made = {
            file.path: await self.make(made_of, spec, file, told.get(file.path, {}), secrets)
            for file in files
        }
        if again := [file for file in files if file.addresses]:
            values = {name: secrets[name] for file in again for name in file.secrets}
            digests = {file.path: _digest(made[file.path]) for file in again}
            with _kept():
                await in_thread(self._kept.begin, spec, values, digests)
        return made

    async def make(self, function: Callable[..., Made], *arguments: Any) -> Made:
        """Call it with these arguments, and with what says whether it is to stop.

        Who is cancelled while he waits gives up his turn. Raises ConfigError.
        """
        async with self._turns:
            stopped = threading.Event()
            work = asyncio.to_thread(function, *arguments, stopped.is_set)
            return await to_the_end(work, stopped.set)


def _write_file(spec: ContainerSpec, file: pb.ConfigFile, told: Found, stopped: Stopped) -> str:
    """Write it into the sandbox; return its digest. Blocks. Raises ConfigError."""
    data = made_of(spec, file, told, {}, stopped)
    with _folder_of(spec, file) as folder:
        put_whole(parts_of(file.path)[-1], data, spec.owner, folder)
    return _digest(data)


def _rewrite_file(
    spec: ContainerSpec,
    file: pb.ConfigFile,
    told: Found,
    digests: dict[str, str],
    stopped: Stopped,
) -> bool:
    """Make it anew; whether it differs by its digest, which is put to the others.

    Blocks. Raises ConfigError.
    """
    data = made_of(spec, file, told, {}, stopped)
    if digests.get(file.path) == _digest(data):
        return False
    with _folder_of(spec, file, make=False) as folder:
        name = parts_of(file.path)[-1]
        differs = file.path in digests or read_whole(folder, name, MAX_OUTPUT_BYTES) != data
        if differs:
            put_whole(name, data, spec.owner, folder)
    if file.path not in digests or file.on_change != pb.ON_CHANGE_RESTART:
        digests[file.path] = _digest(data)
    return differs


def made_of(
    spec: ContainerSpec,
    file: pb.ConfigFile,
    addresses: Found,
    secrets: Mapping[str, bytes],
    stopped: Stopped,
) -> bytes:
    """Return what a file has. Blocks. Raises ConfigError."""
    if not file.template:
        return file.content.encode()
    used: dict[str, str] = {}
    for name in file.secrets:
        if name not in secrets:  # of a task that runs
            raise _wrong(file, f"the value of the secret {name} that it began with is not kept")
        try:
            used[name] = secrets[name].decode()
        except UnicodeDecodeError:
            raise _wrong(file, f"the secret {name} is no text, and cannot be used in it") from None
    env = {each.name: each.value for each in spec.info.command.environment}
    env |= {f"PORT{index}": str(port) for index, port in enumerate(spec.ports)}
    context = {
        "variables": dict(file.variables),
        "secrets": used,
        "addresses": dict(addresses),
        "env": env,
        "task": {"id": spec.info.task_id, "name": spec.info.name},
    }
    job = {"template": file.template, "context": context, "quiet": bool(used)}
    said = _run(job, stopped)
    if "error" in said:
        raise _wrong(file, cut(said["error"], MAX_SAID))
    return said["made"].encode()


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Raises ConfigError for what cannot be kept."""
    try:
        yield
    except OSError as error:
        said = f"what its config files are cannot be kept: {os_problem(error)}"
        raise ConfigError(said) from None


def _wrong(file: pb.ConfigFile, why: str) -> ConfigError:
    return ConfigError(f"its config file {file.path[:255]} cannot be made: {why}")


@cache
def _folders() -> str:
    """Where its modules are, as JSON: ours and those of Jinja2, which is not imported here."""
    found = [importlib.util.find_spec(name) for name in ("jinja2", "markupsafe")]
    folders = [str(Path(each.origin).parents[1]) for each in found if each and each.origin]
    return json.dumps([str(ROOT), *dict.fromkeys(folders)])


def _run(job: Mapping[str, object], stopped: Stopped) -> dict[str, str]:
    """What the process says: `made`, or an `error`. What it is told is in no list of processes."""
    if stopped():
        return {"error": NOT_WANTED}
    try:
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", "-c", PROGRAM, _folders()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:  # as where there are too many processes
        return {"error": f"the process that renders it cannot be started: {os_problem(error)}"}
    said: bytes | None = None
    told: bytes | None = json.dumps(job).encode()
    until = time.monotonic() + WALL_S
    try:
        while said is None:
            try:
                said, _ = process.communicate(told, LOOK_S)
            except subprocess.TimeoutExpired:
                told = None
                if stopped():
                    return {"error": NOT_WANTED}
                if time.monotonic() > until:
                    return {"error": f"it was not rendered within {WALL_S:g} s"}
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    with contextlib.suppress(ValueError):
        found = json.loads(said)
        if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
            return found
    if process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return {"error": "it takes more than 1 s to be rendered"}
    return {"error": f"the process that renders it ended with status {process.returncode}"}


@contextlib.contextmanager
def _folder_of(spec: ContainerSpec, file: pb.ConfigFile, *, make: bool = True) -> Iterator[int]:
    """Open the folder that a file is to be in, through no link.

    Raises ConfigError, also for what fails while the folder is open.
    """
    try:
        parts = parts_of(file.path)
        if not parts:
            raise OutsideError("it has no name")
        with contextlib.ExitStack() as opened:
            root = os.open(spec.sandbox, FOLDER)
            opened.callback(os.close, root)
            yield opened.enter_context(parent_of(root, parts, spec.owner, make=make))
    except OutsideError as error:
        raise _wrong(file, f"its path {error}") from None
    except OSError as error:
        raise _wrong(file, os_problem(error)) from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
