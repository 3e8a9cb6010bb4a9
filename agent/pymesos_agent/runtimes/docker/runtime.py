"""The `docker` runtime: the Engine API on its socket, Podman's compatible one too.

The `docker` package is synchronous: its calls run in threads, one more thread follows the engine's
events, one sees to it that the engine answers, and one for each output of a container copies that
into the sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import logging
import os
import re
import shutil
import signal
import tarfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import LogConfig, Ulimit
from requests.exceptions import ReadTimeout, RequestException
from urllib3.exceptions import HTTPError

from pymesos_agent.containers import users
from pymesos_agent.containers.cgroups import (
    CPU_PERIOD_US,
    Limits,
    cpu_quota_us,
    cpu_shares,
    limits_of,
)
from pymesos_agent.containers.disks import device_path, disk_of
from pymesos_agent.containers.environment import (
    host_environment,
    plain_error,
    task_argv,
    task_environment,
)
from pymesos_agent.containers.isolation import DECLARED
from pymesos_agent.containers.marks import MARK, new_mark
from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerPulling,
    ContainerStarted,
    ContainerState,
    RuntimeAway,
    RuntimeBack,
)
from pymesos_agent.files.logfile import RotatingLog
from pymesos_agent.files.sandbox import SandboxError, opened
from pymesos_agent.runtimes.docker.output import Copied
from pymesos_agent.runtimes.interface import ContainerEvent, OnEvent, RuntimeUnavailableError
from pymesos_core.resources import Resources

log = logging.getLogger(__name__)

SANDBOX_IN_CONTAINER = Path("/mnt/pymesos/sandbox")
ID_LABEL = "pymesos.container_id"
AGENT_LABEL = "pymesos.agent"
SANDBOX_LABEL = "pymesos.sandbox"
SOCKETS = (
    "/var/run/docker.sock",
    "/run/podman/podman.sock",
    f"/run/user/{os.geteuid()}/podman/podman.sock",
)
MIN_MEM_BYTES = 6 * 1024 * 1024  # the engine refuses less
MILLI_MIB = 1024 * 1024 / 1000
CHUNK_BYTES = 64 * 1024
PROGRESS_S = 5.0  # between two reports of how far a fetching is
OUTPUT_TIMEOUT_S = 10.0  # for what an ended container has written to reach its sandbox
MAX_SAID_BYTES = 4096
NOT_EXECUTED = re.compile(rb"(?:[^\n]*?)(exec format error)\s*", re.IGNORECASE)
LOOK_S = 5.0  # how often the engine is asked whether it is there
LOOK_TIMEOUT_S = 10.0
AGAIN_S = 1.0
MAX_STARTS = 8  # at a time
END_LAUNCHES_S = 10.0
# Of what answered, and of the way to it: the libraries below `docker` have their own.
ENGINE_ERRORS = (
    DockerException,
    RequestException,
    HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


def find_engine(host: str | None) -> str:
    """The address of the engine: `host`, $DOCKER_HOST, or the first socket that is there.

    Raises RuntimeUnavailableError.
    """
    if host := host or os.environ.get("DOCKER_HOST"):
        return host
    for path in SOCKETS:
        if Path(path).exists():
            return f"unix://{path}"
    raise RuntimeUnavailableError(f"no engine's socket is there ({', '.join(SOCKETS)})")


class _KilledError(Exception):
    """Its launch is over, and that was said."""


class KeepError(Exception):
    """What a container writes cannot be written into its sandbox."""


@dataclass(eq=False)
class _Launch:
    """A container that is being launched."""

    thread: threading.Thread | None = None
    killed: bool = False  # nobody wants to hear of it any more
    made: bool = False  # the engine may have it from now on


class DockerRuntime:
    """The containers of one agent in one engine."""

    name = "docker"

    def __init__(self, agent_tag: str, host: str | None, settings: Settings) -> None:
        self._agent_tag = agent_tag
        self._settings = settings
        self._host = host
        self._address = ""
        self._client: Any = None
        self._streams: Any = None  # a client whose reads may wait for ever
        self._looks: Any = None  # one whose calls do not wait for long
        self._events: Any = None
        self._engine = "docker"  # or podman
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_event: OnEvent = lambda event: None
        self._calls = ThreadPoolExecutor(max_workers=8, thread_name_prefix="docker")
        self._closing = False
        self._look = threading.Event()  # whether the engine is there: soon
        self._here = threading.Event()  # as far as is known, it is
        self._broken = False  # its events are not followed any more
        self._failed = 0  # calls, while it was away
        self._lock = threading.Lock()  # of the launches
        self._launching: dict[str, _Launch] = {}
        self._starts = threading.Semaphore(MAX_STARTS)
        self._copies: dict[str, list[threading.Thread]] = {}
        self._sandboxes: dict[str, Path] = {}  # of containers whose output was copied

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime."""
        facets = DECLARED["docker"].keys()
        return dict.fromkeys(facets, self._engine) | {"disk": "watched", "bridge": "bridge"}

    async def start(self, on_event: OnEvent) -> None:
        """Reach the engine and follow its events."""
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._address = find_engine(self._host)
        try:
            await asyncio.to_thread(self._reach)
        except ENGINE_ERRORS as error:
            why = _plain(error)
            raise RuntimeUnavailableError(f"{self._address} does not answer: {why}") from error
        threading.Thread(target=self._keep, name="docker-keeper", daemon=True).start()

    def _reach(self) -> None:
        self._looks = _connect(self._address, LOOK_TIMEOUT_S)
        self._client = _connect(self._address)
        self._streams = _connect(self._address, None)
        self._engine = _engine_of(self._client)
        self._follow()
        self._here.set()

    def _follow(self) -> None:
        """Hear of what ends from now on."""
        self._close_events()
        self._broken = False
        events = self._streams.events(
            decode=True,
            filters={"type": "container", "label": f"{AGENT_LABEL}={self._agent_tag}"},
        )
        self._events = events
        threading.Thread(
            target=self._read_events, args=(events,), name="docker-events", daemon=True
        ).start()
        if self._closing:  # meanwhile
            self._close_events()

    def _tell(self, event: ContainerEvent | RuntimeAway) -> None:
        """From any thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._on_event, event)

    def _read_events(self, events: Any) -> None:
        try:
            for event in events:
                container_id = event["Actor"]["Attributes"].get(ID_LABEL)
                if event.get("Action") == "die" and container_id:
                    self._in_thread(self._report_exit, container_id)
        except Exception as error:  # whatever it is, the keeper looks into it
            log.debug("the engine's events broke off: %s", error)
        if events is self._events:
            self._broken = True
            self._look.set()

    # Whether the engine is there.

    def _keep(self) -> None:
        """Ask it now and then, and whenever something broke off."""
        while True:
            self._look.wait(LOOK_S)
            self._look.clear()
            if self._closing:
                return
            problem = self._problem()
            if problem is None and self._broken:
                problem = self._catch_up()  # it was away for a moment, or only its stream
            if problem is not None and not self._closing:
                self._wait_for_it(problem)

    def _wait_for_it(self, problem: str) -> None:
        self._here.clear()
        self._failed, since_s = 0, time.monotonic()
        log.warning(
            "the engine at %s does not answer (%s): its tasks are unknown for now, and no others"
            " are offered to it",
            *(self._address, problem),
        )
        self._tell(RuntimeAway(self.name, problem))
        while not self._closing and (self._problem() or self._catch_up()):
            self._look.wait(AGAIN_S)
            self._look.clear()
        if not self._closing:
            log.info(
                "the engine answers again, after %.0f s; %d calls to it failed meanwhile",
                *(time.monotonic() - since_s, self._failed),
            )

    def _problem(self) -> str | None:
        """Why it does not answer; None when it does."""
        try:
            self._looks.ping()
        except ENGINE_ERRORS as error:
            return _plain(error)
        return None

    def _catch_up(self) -> str | None:
        """Follow its events again, and look what became of its containers; or why that fails."""
        try:
            self._follow()
            self._here.set()  # what copies output goes on, which is waited for below
            found = self._recover()
        except ENGINE_ERRORS as error:
            self._here.clear()
            return _plain(error)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop may be closed already
            self._loop.call_soon_threadsafe(self._tell_back, found)
        return None

    def _tell_back(self, found: Mapping[str, ContainerState]) -> None:
        """In the loop, where launches begin: none was begun since that is not in it."""
        self._on_event(RuntimeBack(self.name, self._with_launches(found), self.isolation))

    def _with_launches(
        self, found: Mapping[str, ContainerState], begun: Collection[str] = ()
    ) -> dict[str, ContainerState]:
        with self._lock:
            launching = dict.fromkeys((*begun, *self._launching), ContainerState(0))
        return launching | dict(found)

    def _list(self) -> list[Any]:
        found: list[Any] = self._client.containers(
            all=True, filters={"label": f"{AGENT_LABEL}={self._agent_tag}"}
        )
        return found

    def _report_exit(self, container_id: str) -> None:
        """After its output is in the sandbox: what is told as ended may be removed at once."""
        if container_id in self._launching:
            return  # its launch looks, when the output is being copied
        with contextlib.suppress(NotFound):
            state = self._client.inspect_container(_name(container_id))["State"]
            if not state["Running"]:
                self._await_output(container_id)
                self._tell(_exited(container_id, state, self._sandboxes.get(container_id)))

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """The containers that carry this agent's label."""
        return await asyncio.to_thread(self._recover)

    def _recover(self) -> dict[str, ContainerState]:
        found: dict[str, ContainerState] = {}
        with self._lock:
            begun = list(self._launching)  # one of them may end while we look
        for view in self._list():
            container_id = view["Labels"][ID_LABEL]
            state = self._client.inspect_container(view["Id"])["State"]
            if container_id in self._launching:
                continue
            if state["Status"] == "created":
                # The agent ended between create and start: as if it had not been asked.
                self._client.remove_container(view["Id"], force=True)
                continue
            if not any(copy.is_alive() for copy in self._copies.get(container_id, ())):
                self._copy_output(container_id, Path(view["Labels"][SANDBOX_LABEL]))
            ended = None
            if not state["Running"]:
                self._await_output(container_id)
                ended = _exited(container_id, state, self._sandboxes.get(container_id))
            found[container_id] = ContainerState(state["Pid"], ended)
        return self._with_launches(found, begun)

    def _in_thread(self, call: Callable[..., None], *arguments: Any) -> None:
        def run() -> None:
            try:
                call(*arguments)
            except APIError as error:
                log.warning("docker %s: %s", call.__name__.strip("_"), error)
            except ENGINE_ERRORS as error:
                # What was meant is done when the engine is back, by those who wanted it.
                log.debug("docker %s: %s", call.__name__.strip("_"), error)
                self._failed += 1
                self._look.set()
            except Exception:
                log.exception("docker %s", call.__name__.strip("_"))

        with contextlib.suppress(RuntimeError):  # the pool is shut down at the end
            self._calls.submit(run)

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime. In a thread of its own: to fetch an image takes as long as it takes."""
        with self._lock:
            if spec.container_id in self._launching:
                return
            launch = self._launching[spec.container_id] = _Launch()
        launch.thread = threading.Thread(
            target=self._launch, args=(spec, launch), name="docker-launch", daemon=True
        )
        launch.thread.start()

    def _launch(self, spec: ContainerSpec, launch: _Launch) -> None:
        problem = None
        try:
            self._pull_if_missing(spec, launch)
            with self._starts:
                self._start(spec, launch)
        except _KilledError:
            return
        except APIError as error:
            problem = str(error.explanation or error)
        except ENGINE_ERRORS as error:
            problem = _plain(error)
            self._look.set()
        except Exception as error:
            log.exception("the container %s cannot be launched", spec.container_id)
            problem = f"{type(error).__name__}: {error}"
        if problem is not None and launch.made:
            with contextlib.suppress(*ENGINE_ERRORS):
                self._client.remove_container(_name(spec.container_id), force=True)
        with self._lock:
            if launch.killed:
                return
            del self._launching[spec.container_id]
        if problem is not None:
            self._tell(ContainerFailed(spec.container_id, plain_error(problem)))
        else:
            self._in_thread(self._report_exit, spec.container_id)  # in case it has ended already

    def _start(self, spec: ContainerSpec, launch: _Launch) -> None:
        name = _name(spec.container_id)
        with contextlib.suppress(NotFound):
            self._client.inspect_container(name)
            return  # asked twice; once is enough
        with self._lock:
            if launch.killed:
                raise _KilledError
            launch.made = True
        self._create(spec, name)
        self._give_sandbox(spec, name)
        self._client.start(name)
        pid = self._client.inspect_container(name)["State"]["Pid"]
        self._tell(ContainerStarted(spec.container_id, pid))
        self._copy_output(spec.container_id, spec.sandbox)

    def _pull_if_missing(self, spec: ContainerSpec, launch: _Launch) -> None:
        image = spec.info.container.image
        try:
            self._client.inspect_image(image)
        except ImageNotFound:
            self._tell(ContainerPulling(spec.container_id))
            tagged = ":" in image.rsplit("/", 1)[-1] or "@" in image
            self._pull(spec, launch, image if tagged else f"{image}:latest")

    def _pull(self, spec: ContainerSpec, launch: _Launch, image: str) -> None:
        """Tell now and then how far it is."""
        layers: dict[str, tuple[int, int]] = {}
        told_s = time.monotonic()
        for event in self._streams.pull(image, stream=True, decode=True):
            if launch.killed or self._closing:
                raise _KilledError
            if "error" in event:
                raise DockerException(event["error"])
            detail = event.get("progressDetail") or {}
            if event.get("status") == "Downloading" and detail.get("total"):
                layers[event["id"]] = (detail["current"], detail["total"])
            if layers and time.monotonic() - told_s >= PROGRESS_S:
                told_s = time.monotonic()
                done, total = (sum(n) // 2**20 for n in zip(*layers.values(), strict=True))
                text = f"The image is being fetched: {done} of {total} MiB"
                self._tell(ContainerPulling(spec.container_id, text))

    def _create(self, spec: ContainerSpec, name: str) -> None:
        amounts = spec.resources.quantities
        mem_bytes = int(amounts.get("mem", 0) * MILLI_MIB)
        mem_bytes = max(mem_bytes or 32 * 1024 * 1024, MIN_MEM_BYTES)
        environment = task_environment(spec, SANDBOX_IN_CONTAINER, {})
        container = spec.info.container
        quota: dict[str, int] = {}
        if container.cpu_quota:
            quota["cpu_quota"] = cpu_quota_us(amounts.get("cpus", 0))
            quota["cpu_period"] = CPU_PERIOD_US
        rates = {
            "device_read_bps": container.read_mib_per_s,
            "device_write_bps": container.write_mib_per_s,
        }
        disk = disk_of(spec.sandbox) if any(rates.values()) else None
        if any(rates.values()) and disk is None:
            raise OSError("its sandbox is on no disk of its own, so its I/O cannot be limited")
        throttles = {
            name: [{"Path": device_path(disk), "Rate": mib * 1024 * 1024}]
            for name, mib in rates.items()
            if mib and disk is not None
        }
        host_config = self._client.create_host_config(
            binds=_binds(spec),
            tmpfs={
                str(SANDBOX_IN_CONTAINER / m.container_path): f"size={m.size_mib or 64}m,mode=1777"
                for m in container.mounts
                if not m.host_path and not m.group_path
            },
            mem_limit=mem_bytes,
            memswap_limit=mem_bytes,
            cpu_shares=cpu_shares(amounts.get("cpus", 0)),
            log_config=LogConfig(
                type=LogConfig.types.JSON,
                config={
                    "max-size": str(self._settings.logs.max_bytes),
                    "max-file": str(self._settings.logs.files),
                },
            ),
            pids_limit=container.pids_max or self._settings.pids_max or None,
            network_mode=container.network or "host",
            port_bindings={
                f"{p.container_port}/{p.protocol}": p.host_port for p in spec.mapped_ports()
            },
            read_only=container.read_only,
            ulimits=[Ulimit(name=u.name, soft=u.soft, hard=u.hard) for u in container.ulimits],
            cap_add=list(container.add_capabilities) or None,
            cap_drop=list(container.drop_capabilities) or None,
            security_opt=["no-new-privileges"],
            **quota,
            **throttles,
        )
        argv = task_argv(spec.info.command)
        # As in Mesos a shell's command replaces what the image begins with, others are its words.
        shell = spec.info.command.shell
        self._client.create_container(
            spec.info.container.image,
            entrypoint=argv[:1] if shell else None,
            command=(argv[1:] if shell else argv) or None,
            name=name,
            environment=environment,
            user=spec.info.command.user or None,
            host_config=host_config,
            ports=[(p.container_port, p.protocol) for p in spec.mapped_ports()] or None,
            labels={
                ID_LABEL: spec.container_id,
                AGENT_LABEL: self._agent_tag,
                SANDBOX_LABEL: str(spec.sandbox),
            },
        )

    def _give_sandbox(self, spec: ContainerSpec, name: str) -> None:
        """It and its volumes belong to who the container runs as, as far as we may give them."""
        text = self._client.inspect_container(name)["Config"]["User"]
        if text in ("", "0", "root") or os.geteuid() != 0:
            return
        # Of one that is not there the engine says so itself.
        with contextlib.suppress(users.UserError):
            user = users.resolve(text, partial(self._read_etc, name))
            for path in (spec.sandbox, *(volume.host_path for volume in spec.volumes)):
                os.chown(path, user.uid, user.gid)

    def _read_etc(self, name: str, file: str) -> str:
        """A file of a container's /etc; empty when it has none."""
        try:
            chunks, _ = self._client.get_archive(name, f"/etc/{file}", chunk_size=CHUNK_BYTES)
        except NotFound:
            return ""
        data = b"".join(islice(chunks, users.MAX_FILE_BYTES // CHUNK_BYTES))
        try:
            with tarfile.open(fileobj=io.BytesIO(data)) as archive:
                member = archive.next()
                content = archive.extractfile(member) if member and member.isreg() else None
                return content.read().decode("utf-8", "replace") if content is not None else ""
        except (tarfile.TarError, EOFError):
            return ""

    def _copy_output(self, container_id: str, sandbox: Path) -> None:
        """Write the output into the sandbox, from its start: the engine keeps it all."""

        def copy(out: bool) -> None:
            while not self._closing:
                try:
                    self._copy(container_id, sandbox, out)
                    return
                except (NotFound, FileNotFoundError):
                    return
                except KeepError as error:
                    log.warning("the output of %s cannot be kept: %s", container_id, error)
                    return
                except ENGINE_ERRORS as error:
                    log.debug("the output of %s broke off: %s", container_id, error)
                    self._look.set()
                    time.sleep(AGAIN_S)
                    self._here.wait()

        self._sandboxes[container_id] = sandbox
        copies = [
            threading.Thread(target=copy, args=(out,), name="docker-logs", daemon=True)
            for out in (True, False)
        ]
        self._copies[container_id] = copies
        for thread in copies:
            thread.start()

    def _copy(self, container_id: str, sandbox: Path, out: bool) -> None:
        read = partial(
            self._streams.logs, _name(container_id), stdout=out, stderr=not out, stream=True
        )
        with self._log(sandbox, out) as file:
            copied = Copied(file)
            for chunk in read(follow=True):
                copied.write(chunk)
            copied.complete(read(follow=False))

    @contextlib.contextmanager
    def _log(self, sandbox: Path, out: bool) -> Iterator[RotatingLog]:
        """Anew: the engine says all of it again."""
        name = "stdout" if out else "stderr"
        limits = self._settings.logs
        for number in range(limits.files):
            (sandbox / (f"{name}.{number}" if number else name)).unlink(missing_ok=True)
        folder = os.open(sandbox, os.O_PATH | os.O_DIRECTORY)
        try:
            try:
                log = RotatingLog(folder, name, limits.max_bytes, limits.files, None)
            except OSError as error:
                raise KeepError(str(error)) from error
            try:
                yield log
            finally:
                log.close()
        finally:
            os.close(folder)

    def _await_output(self, container_id: str) -> None:
        # Two may wait for it at once, and neither may go on before the output is there.
        for thread in self._copies.get(container_id, ()):
            thread.join(OUTPUT_TIMEOUT_S)
        self._copies.pop(container_id, None)

    @property
    def can_resize(self) -> bool:
        """See Runtime. Podman's compatible API (4.3) has no such call."""
        return self._engine == "docker"

    def resize(self, container_id: str, resources: Resources) -> None:
        """See Runtime."""
        self._in_thread(self._resize, container_id, limits_of(resources))

    def _resize(self, container_id: str, limits: Limits) -> None:
        with contextlib.suppress(NotFound):
            name = _name(container_id)
            now = self._client.inspect_container(name)["HostConfig"]["Memory"]
            mem_bytes = max(now, limits.mem_bytes, MIN_MEM_BYTES)
            self._client.update_container(
                name,
                mem_limit=mem_bytes,
                memswap_limit=mem_bytes,
                cpu_shares=cpu_shares(limits.cpus_milli),
            )

    def kill(self, container_id: str, *, force: bool) -> None:
        """See Runtime. SIGTERM reaches the main process; SIGKILL ends all with it."""
        with self._lock:
            launch = self._launching.get(container_id)
            if launch is not None and not launch.made:
                launch.killed = True
                del self._launching[container_id]
                self._tell(ContainerFailed(container_id, "killed before it was started"))
                return
        self._in_thread(self._kill, container_id, "SIGKILL" if force else "SIGTERM")

    def _kill(self, container_id: str, signal_name: str) -> None:
        with contextlib.suppress(NotFound):
            self._client.kill(_name(container_id), signal_name)

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """See Runtime. By the engine's own command, which brings terminals and signals."""
        if not self._here.is_set():
            raise EntryError(f"the engine at {self._address} does not answer now")
        if command := shutil.which("docker"):
            call = [command, "--host", self._address]
        elif command := shutil.which("podman"):
            call = [command, "--url", self._address]
        else:
            raise EntryError("neither the command docker nor podman is installed on the agent")
        mark = new_mark()
        options = ["--tty", "--env", f"TERM={term}"] if term else []
        options += ["--env", f"{MARK}={mark}"]
        call += ["exec", "--interactive", *options, _name(spec.container_id)]
        return Entry([*call, *argv], host_environment(), Path("/"), mark)

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """See Runtime."""
        return ()

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._in_thread(self._destroy, container_id)

    def _destroy(self, container_id: str) -> None:
        self._sandboxes.pop(container_id, None)
        with contextlib.suppress(NotFound):
            self._client.remove_container(_name(container_id), force=True, v=True)

    async def close(self) -> None:
        """Let go of the engine."""
        self._closing = True
        self._look.set()
        self._here.set()
        await asyncio.to_thread(self._close_events)
        await asyncio.to_thread(self._end_launches)
        await asyncio.to_thread(self._calls.shutdown)
        for client in (self._looks, self._client, self._streams):
            if client is not None:  # no engine has ever answered
                client.close()

    def _end_launches(self) -> None:
        """Those that the engine has begun with, if it is there."""
        with self._lock:
            begun = [each.thread for each in self._launching.values() if each.made and each.thread]
        for thread in begun:
            thread.join(END_LAUNCHES_S)

    def _close_events(self) -> None:
        events, self._events = self._events, None  # the end of what is given up is no news
        with contextlib.suppress(Exception):
            events.close()


def _plain(error: BaseException) -> str:
    """Why an engine does not answer, in plain words."""
    cause: BaseException | None = error
    for _ in range(8):
        if cause is None:
            break
        inner = next((a for a in cause.args if isinstance(a, BaseException)), None)
        if isinstance(cause, FileNotFoundError):
            return "its socket is not there"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens on its socket"
        if isinstance(cause, (ReadTimeout, TimeoutError)):
            return "it takes too long"
        if isinstance(cause, (ConnectionResetError, BrokenPipeError)):
            return "it broke the connection off"
        cause = inner or getattr(cause, "reason", None) or cause.__cause__ or cause.__context__
        cause = cause if isinstance(cause, BaseException) else None
    return str(error)


def _connect(address: str, timeout_s: Any = 60) -> Any:
    client = docker.APIClient(base_url=address, version="auto", timeout=timeout_s)
    client.ping()
    return client


def _engine_of(client: Any) -> str:
    components = client.version().get("Components") or ()
    return "podman" if any("Podman" in c.get("Name", "") for c in components) else "docker"


def _binds(spec: ContainerSpec) -> list[str]:
    """The sandbox, the volumes, and what of the machine it may see."""
    binds = [f"{spec.sandbox}:{SANDBOX_IN_CONTAINER}"]
    binds += [f"{m.host_path}:{SANDBOX_IN_CONTAINER / m.container_path}" for m in spec.volumes]
    for mount in spec.info.container.mounts:
        if mount.host_path:
            mode = "ro" if mount.read_only else "rw"
            where = SANDBOX_IN_CONTAINER / mount.container_path
            binds.append(f"{os.path.realpath(mount.host_path)}:{where}:{mode}")
    return binds


def _name(container_id: str) -> str:
    return f"pymesos-{container_id}"


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
