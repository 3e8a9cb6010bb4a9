"""The `docker` runtime: the Engine API on its socket, Podman's compatible one too.

The `docker` package is synchronous: its calls run in threads. `launching.py` launches containers,
`output.py` copies what they write, `engine.py` is the way to the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from docker.errors import APIError, NotFound

from pymesos_agent.containers.cgroups import Limits, cpu_shares, limits_of
from pymesos_agent.containers.environment import host_environment, plain_error
from pymesos_agent.containers.facets import DECLARED
from pymesos_agent.containers.marks import MARK, new_mark
from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerState,
    RuntimeAway,
    RuntimeBack,
)
from pymesos_agent.files.sandbox import SandboxError, opened
from pymesos_agent.runtimes.docker.creating import MIN_MEM_BYTES
from pymesos_agent.runtimes.docker.engine import (
    AGENT_LABEL,
    ENGINE_ERRORS,
    ID_LABEL,
    SANDBOX_LABEL,
    Engine,
    engine_name,
)
from pymesos_agent.runtimes.docker.images import remove_trial, try_engine
from pymesos_agent.runtimes.docker.launching import Launches
from pymesos_agent.runtimes.docker.output import Outputs
from pymesos_agent.runtimes.interface import AnswerAt, ContainerEvent, OnEvent
from pymesos_agent.runtimes.trials import Trials
from pymesos_core.resources import Resources
from pymesos_core.stop_signals import TERM

log = logging.getLogger(__name__)

MAX_SAID_BYTES = 4096
NOT_EXECUTED = re.compile(rb"(?:[^\n]*?)(exec format error)\s*", re.IGNORECASE)


class DockerRuntime:
    """The containers of one agent in one engine."""

    name = "docker"

    def __init__(
        self,
        agent_tag: str,
        host: str | None,
        settings: Settings,
        answer_at: AnswerAt | None = None,
    ) -> None:
        """`answer_at` has a name server answer the containers of a bridge."""
        self._agent_tag = agent_tag
        self._settings = settings
        self._host = host
        self._answer_at = answer_at
        self._engine = Engine(
            agent_tag,
            on_died=lambda container_id: self._in_thread(self._report_exit, container_id),
            on_away=lambda problem: self._tell(RuntimeAway(self.name, problem)),
            catch_up=self._catch_up,
        )
        self._outputs = Outputs(self._engine, settings.logs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_event: OnEvent = lambda event: None
        self._calls = ThreadPoolExecutor(max_workers=8, thread_name_prefix="docker")
        self._launches = Launches(
            agent_tag,
            settings,
            self._engine,
            self._outputs,
            self._tell,
            lambda container_id: self._in_thread(self._report_exit, container_id),
        )
        self._trials = Trials(self.name, self._trial, lambda event: self._on_event(event))

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime."""
        facets = DECLARED["docker"].keys() - {"user_namespace", "volumes"}
        if os.geteuid() != 0 or self._settings.memory is None or self._engine.holds:
            facets -= {"secrets", "secret_env"}  # its user could not be given them
        holds = dict.fromkeys(facets, self._engine.kind) | self._engine.holds
        mine = {"disk": "watched", "bridge": "bridge", "guard": "yes"}
        return {**holds, **mine, **self._settings.holds}

    async def start(self, on_event: OnEvent) -> None:
        """Reach the engine and follow its events."""
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._engine.reach, self._host)
        if self._answer_at is None:
            return
        if (bridge := await asyncio.to_thread(self._engine.bridge)) is not None:
            self._launches.name_server = self._answer_at(bridge)

    def _tell(self, event: ContainerEvent | RuntimeAway) -> None:
        """From any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._hear, event)

    def _hear(self, event: ContainerEvent | RuntimeAway) -> None:
        """In the loop."""
        self._trials.look_at(event)
        self._on_event(event)

    async def _trial(self) -> str:
        """Whether a container can be made at all."""
        name, labels = f"trial-{self._agent_tag}", {AGENT_LABEL: self._agent_tag}
        return await asyncio.to_thread(try_engine, self._engine.client, name, labels)

    def _catch_up(self) -> None:
        """Look what became of its containers while the engine was away."""
        found = self._recover()
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._tell_back, found)

    def _tell_back(self, found: Mapping[str, ContainerState]) -> None:
        """In the loop, where launches begin: none was begun since that is not in it."""
        self._on_event(RuntimeBack(self.name, self._with_launches(found), self.isolation))

    def _with_launches(
        self, found: Mapping[str, ContainerState], begun: Collection[str] = ()
    ) -> dict[str, ContainerState]:
        launching = dict.fromkeys((*begun, *self._launches.ids()), ContainerState(0))
        return launching | dict(found)

    def _report_exit(self, container_id: str) -> None:
        """After its output is in the sandbox: what is told as ended may be removed at once."""
        if container_id in self._launches:
            return  # its launch looks, when the output is being copied
        with contextlib.suppress(NotFound):
            state = self._engine.client.inspect_container(engine_name(container_id))["State"]
            if not state["Running"]:
                self._outputs.wait(container_id)
                self._tell(_exited(container_id, state, self._outputs.sandbox(container_id)))

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """The containers that carry this agent's label; an earlier run's trials are removed."""
        await asyncio.to_thread(self._remove_trials)
        return await asyncio.to_thread(self._recover)

    def _remove_trials(self) -> None:
        for view in self._engine.containers():
            if ID_LABEL not in view["Labels"]:
                remove_trial(self._engine.client, view["Id"], view.get("ImageID", ""))

    def _recover(self) -> dict[str, ContainerState]:
        found: dict[str, ContainerState] = {}
        begun = self._launches.ids()  # one of them may end while we look
        for view in self._engine.containers():
            container_id = view["Labels"].get(ID_LABEL)
            if container_id is None:
                continue  # the trial of now
            with contextlib.suppress(NotFound):  # it was removed since the engine listed it
                state = self._engine.client.inspect_container(view["Id"])["State"]
                if container_id in self._launches:
                    continue
                if state["Status"] == "created":
                    # The agent ended between create and start: as if it had not been asked.
                    self._engine.client.remove_container(view["Id"], force=True)
                    continue
                sandbox = Path(view["Labels"][SANDBOX_LABEL])
                found[container_id] = self._found(container_id, state, sandbox)
        return self._with_launches(found, begun)

    def _found(self, container_id: str, state: Mapping[str, Any], sandbox: Path) -> ContainerState:
        """What became of a container that an earlier run began; its output is copied again."""
        if not self._outputs.is_copied(container_id):
            self._outputs.copy(container_id, sandbox)
        ended = None
        if not state["Running"]:
            self._outputs.wait(container_id)
            ended = _exited(container_id, state, self._outputs.sandbox(container_id))
        return ContainerState(state["Pid"], ended)

    def _in_thread(self, call: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            try:
                call(*arguments)
            except APIError as error:
                log.warning("docker %s: %s", call.__name__.strip("_"), error)
            except ENGINE_ERRORS as error:
                # What was meant is done when the engine is back, by those who wanted it.
                log.debug("docker %s: %s", call.__name__.strip("_"), error)
                self._engine.call_failed()
            except Exception:
                log.exception("docker %s", call.__name__.strip("_"))

        with contextlib.suppress(RuntimeError):  # the pool is shut down at the end
            self._calls.submit(run)

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime. In a thread of its own: to fetch an image takes as long as it takes."""
        self._launches.begin(spec)

    @property
    def can_resize(self) -> bool:
        """See Runtime. Podman's compatible API (4.3) has no such call."""
        return self._engine.kind == "docker"

    def resize(self, container_id: str, resources: Resources) -> None:
        """See Runtime."""
        self._in_thread(self._resize, container_id, limits_of(resources))

    def _resize(self, container_id: str, limits: Limits) -> None:
        with contextlib.suppress(NotFound):
            name = engine_name(container_id)
            now = self._engine.client.inspect_container(name)["HostConfig"]["Memory"]
            mem_bytes = max(now, limits.mem_bytes, MIN_MEM_BYTES)
            self._engine.client.update_container(
                name,
                mem_limit=mem_bytes,
                memswap_limit=mem_bytes,
                cpu_shares=cpu_shares(0 if limits.yields else limits.cpus_milli),
            )

    def kill(self, container_id: str, *, force: bool, first: str = TERM) -> None:
        """See Runtime. The first signal reaches the main process; SIGKILL ends all with it."""
        if not self._launches.stop(container_id):
            self._in_thread(self._kill, container_id, "SIGKILL" if force else first)

    def signal(self, container_id: str, name: str) -> None:
        """See Runtime. It reaches the main process."""
        if self._launches.is_made(container_id):
            self._in_thread(self._kill, container_id, name)

    def _kill(self, container_id: str, signal_name: str) -> None:
        with contextlib.suppress(NotFound):
            self._engine.client.kill(engine_name(container_id), signal_name)

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """See Runtime. By the engine's own command, which brings terminals and signals."""
        if not self._engine.is_here:
            raise EntryError(f"the engine at {self._engine.address} does not answer now")
        if command := shutil.which("docker"):
            call = [command, "--host", self._engine.address]
        elif command := shutil.which("podman"):
            call = [command, "--url", self._engine.address]
        else:
            raise EntryError("neither the command docker nor podman is installed on the agent")
        mark = new_mark()
        options = ["--tty", "--env", f"TERM={term}"] if term else []
        options += ["--env", f"{MARK}={mark}"]
        call += ["exec", "--interactive", *options, engine_name(spec.container_id)]
        return Entry([*call, *argv], host_environment(), Path("/"), mark)

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """See Runtime."""
        return ()

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._in_thread(self._destroy, container_id)

    def _destroy(self, container_id: str) -> None:
        self._outputs.forget(container_id)
        if self._settings.memory is not None:
            self._settings.memory.variables_of(container_id).unlink(missing_ok=True)
        with contextlib.suppress(NotFound):
            self._engine.client.remove_container(engine_name(container_id), force=True, v=True)

    async def close(self) -> None:
        """Let go of the engine."""
        await self._trials.close()
        await asyncio.to_thread(self._engine.stop)
        await asyncio.to_thread(self._launches.end)
        await asyncio.to_thread(self._calls.shutdown)
        self._engine.close()


def _exited(container_id: str, state: Mapping[str, Any], sandbox: Path | None) -> ContainerExited:
    """137 and the like are how an engine says "ended by a signal"."""
    code = state["ExitCode"]
    status = 128 - code if 128 < code <= 128 + signal.NSIG else code
    limit = "memory" if state.get("OOMKilled") else None
    problem = _why_not_executed(sandbox) if status > 0 and sandbox is not None else ""
    return ContainerExited(container_id, status, limit, problem=problem)


def _why_not_executed(sandbox: Path) -> str:
    """An engine learns that a program cannot be executed when the container runs already, and says
    so in its place, as all that it ever writes."""
    try:
        with opened(sandbox, "stderr") as descriptor:
            said = os.read(descriptor, MAX_SAID_BYTES)
    except (SandboxError, OSError):
        return ""
    matched = NOT_EXECUTED.fullmatch(said)
    return plain_error(matched[1].decode("utf-8", "replace")) if matched else ""
