"""The `oci` runtime's verbs.

A supervisor (`supervision/`) runs `crun run --detach`, or runc, and reaps the container, so that
it outlives the agent and its end is known. `delete` is not called: what is left of a container that
has ended are its cgroups and two folders (`cleaning.py`), and removing those takes a tenth of the
time. `making.py` makes what a container needs before a tool runs it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers import cgroups
from pymesos_agent.containers.environment import host_environment
from pymesos_agent.containers.facets import DECLARED, THE_RUNTIME
from pymesos_agent.containers.marks import MARK, new_mark
from pymesos_agent.containers.sessions import Entry, EntryError
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerExited,
    ContainerFailed,
    ContainerStarted,
    ContainerState,
    killed_early,
)
from pymesos_agent.files.folders import sandbox_path
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.runtimes.interface import OnEvent, RuntimeEvent, RuntimeUnavailableError
from pymesos_agent.runtimes.oci.bundle import (
    BundleError,
    Host,
    write_bridge_names,
    write_process,
)
from pymesos_agent.runtimes.oci.cleaning import Cleaning, processes_of
from pymesos_agent.runtimes.oci.images import Images, layers_in_use
from pymesos_agent.runtimes.oci.making import Making
from pymesos_agent.runtimes.oci.networks import NetworkError, Networks
from pymesos_agent.runtimes.oci.places import Places
from pymesos_agent.runtimes.oci.preparing import (
    check_user_namespaces,
    make_directory,
    make_host,
    try_tool,
    working_tool,
)
from pymesos_agent.runtimes.oci.skopeo import ImageError
from pymesos_agent.runtimes.oci.tools import ERROR_LOG, PID_FILE, Tool, installed
from pymesos_agent.runtimes.trials import Trials
from pymesos_agent.supervision import supervised
from pymesos_core.resources import Resources
from pymesos_core.stop_signals import TERM
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

CORES = os.cpu_count() or 1
CONSOLES = "consoles"  # sockets, each for the terminal of a command that enters a container

# What holds every container of this runtime, whatever the machine is.
ALWAYS = {
    "disk": "watched",
    "network": "namespace",
    "group": "namespace",
    "root": "image",
    "disk_image": "layout or archive",
    "namespaces": "pid, ipc, uts, mount, cgroup",
    "gpus": "devices",
    "guard": "nosuid, nodev",
}


class OciRuntime:
    """The containers of one agent, by crun or runc."""

    name = "oci"

    def __init__(self, work_dir: Path, agent_tag: str, settings: Settings) -> None:
        """`work_dir` is the agent's; all of this runtime is in its folder `oci`."""
        self._directory = work_dir / "oci"
        self._places = Places(self._directory, settings.memory)
        self._consoles = self._directory / CONSOLES
        self._agent_tag = agent_tag
        self._settings = settings
        self._tools: dict[str, Tool] = {}  # that are installed
        self._tool: Tool | None = None  # that new containers are made by
        self._cgroups: cgroups.Cgroups | None = None
        self._cleaning: Cleaning | None = None  # as soon as there are cgroups
        self._host = Host()
        self._isolation: Mapping[str, str] | None = None
        self._on_event: OnEvent = lambda event: None
        self._background = Background("a part of the oci runtime")
        self._launches: dict[str, asyncio.Task[None]] = {}
        self._warmer = ThreadPoolExecutor(1, thread_name_prefix="oci-warm-up")
        base = settings.user_namespace_base
        self._images = Images(
            self._directory / (f"images-{base}" if base else "images"),
            settings.images,
            lambda: layers_in_use(self._places.written),
            base,
        )
        self._networks = Networks(self._directory / "networks", settings.networks)
        self._making = Making(
            self._places,
            settings,
            self._images,
            self._networks,
            lambda event: self._on_event(event),
        )
        self._trials = Trials(self.name, self._trial_of_mine, lambda event: self._on_event(event))
        self._supervised = supervised.Supervised(
            self.name,
            self._directory,
            settings.logs,
            lambda c: sandbox_path(work_dir, c),
            self._watch,
            settings.memory,
        )

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime. It is the same from one start to the next, and each launch asks for it."""
        if self._isolation is None:
            self._isolation = self._found_isolation()
        return self._isolation

    def _found_isolation(self) -> Mapping[str, str]:
        assert self._cgroups is not None and self._tool is not None
        tool = self._tool.name
        base = self._settings.user_namespace_base
        bridges = {"bridge": ", ".join(names)} if (names := self._networks.names) else {}
        return {
            **self._cgroups.isolation,
            **bridges,
            **({"bandwidth": ", ".join(limited)} if (limited := self._networks.limited) else {}),
            **({"io": "cgroup"} if self._host.disk and self._cgroups.limits_io else {}),
            **ALWAYS,
            **{name: tool for name, how in DECLARED["oci"].items() if how.startswith(THE_RUNTIME)},
            "seccomp": tool,
            **({"user_namespace": f"ids from {base}"} if base else {}),
            **({"secrets": "tmpfs", "secret_env": "tmpfs"} if self._settings.memory else {}),
            "config": "yes",
            "image_secret": "skopeo",
            **({"own_user": str(given)} if (given := self._settings.task_uids) else {}),
            # crun 1.8 forgets the options of mounts there, but not those that they have already.
            **({"guard": "yes"} if base and tool == "crun" else {}),
            **self._settings.holds,
            "init": Path(self._host.init).name if self._host.init else "none",
        }

    def _bridge_names(self, name_server: str) -> Path | None:
        """The resolv.conf of containers on the bridge, if they ask this agent, or did so before.

        Raises OSError.
        """
        path = self._directory / "resolv.conf"
        if not name_server and not path.exists():
            return None
        write_bridge_names(path, name_server)
        return path

    async def start(self, on_event: OnEvent) -> None:
        """Look for a tool that works, and connect to the supervisor."""
        self._on_event = on_event
        self._isolation = None
        if os.geteuid() != 0:
            raise RuntimeUnavailableError("it needs an agent that is run by root")
        self._cgroups, why_not = cgroups.detect(self._agent_tag)
        if self._cgroups is None:
            raise RuntimeUnavailableError(f"it needs cgroups: {why_not}")
        self._cleaning = Cleaning(self._places, self._cgroups, self._networks)
        if self._settings.user_namespace_base:
            check_user_namespaces(self._directory)
        try:
            make_directory(self._directory, self._settings.user_namespace_base)
            self._places.make(self._settings.user_namespace_base)
            self._tools = installed(self._places.folder)
            try_remove_tree(self._consoles)  # of an agent that was killed
            self._consoles.mkdir(mode=0o700, exist_ok=True)
            names = self._bridge_names(self._settings.networks.name_server)
            self._host = make_host(self._directory, names)
            self._tool = await working_tool(
                self._tools.values(), self._settings.oci_tool, self._trial
            )
            self._images.start()
            await asyncio.to_thread(self._networks.start)
            await self._supervised.start(self._hear)
        except NetworkError as error:
            raise RuntimeUnavailableError(str(error)) from error
        except (OSError, TimeoutError) as error:
            raise RuntimeUnavailableError(f"it does not start: {error}") from error
        self._background.start(self._images.collect_for_ever())

    async def _trial(self, tool: Tool) -> str:
        """Why a container that does nothing cannot be run, if it cannot. Raises OSError."""
        assert self._cgroups is not None and self._cleaning is not None
        name = f"trial-{tool.name}"
        sandbox, bundle = self._directory / name, self._places.bundle(name)
        self._cleaning.clean(name)
        sandbox.mkdir(exist_ok=True)
        try:
            return await try_tool(tool, sandbox, bundle, self._host, self._cgroups.path(name))
        finally:
            self._cleaning.clean(name)
            sandbox.rmdir()

    def _hear(self, event: RuntimeEvent) -> None:
        self._trials.look_at(event)
        if isinstance(event, ContainerStarted | ContainerFailed | ContainerExited):
            self._making.let_go(event.container_id)
        if isinstance(event, ContainerFailed):
            assert self._cleaning is not None
            self._cleaning.clean_later(event.container_id)
        self._on_event(event)

    async def _trial_of_mine(self) -> str:
        assert self._tool is not None
        return await self._trial(self._tool)

    def _watch(self, container_id: str) -> dict[str, Any]:
        assert self._cgroups is not None
        return watch_of(self._cgroups.group(container_id))

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """What the supervisor holds; what only an earlier one held is adopted; the rest removed."""
        assert self._cgroups is not None and self._cleaning is not None
        found = dict(self._supervised.found(foreign))
        for container_id, pid in pids.items():
            if container_id in found or container_id in foreign:
                continue
            is_there = pid in processes_of(self._cgroups.group(container_id))
            if is_there and self._supervised.may_adopt(container_id):
                self._supervised.adopt(container_id, pid)
                found[container_id] = ContainerState(pid)
        for container_id in self._places.left() - found.keys():
            log.warning("removing what an earlier agent left of %s", container_id)
            await asyncio.to_thread(self._cleaning.clean, container_id)
        await asyncio.to_thread(self._networks.recover, found)
        for store in self._directory.glob("images*") if not found else ():
            if store != self._images.directory:  # of another --user-namespace-base
                await asyncio.to_thread(try_remove_tree, store)
        self._supervised.remove_pipes(found)
        return found

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime."""
        loop = asyncio.get_running_loop()
        if not self._supervised.launching:
            assert self._cgroups is not None
            loop.run_in_executor(self._warmer, self._cgroups.warm_up)
        task = self._background.start(self._launch(spec))
        self._launches[spec.container_id] = task
        task.add_done_callback(partial(self._launch_ended, spec.container_id))

    def _launch_ended(self, container_id: str, task: asyncio.Task[None]) -> None:
        """What was to be made is made, has failed, or was killed, maybe before it had begun."""
        self._launches.pop(container_id, None)
        if task.cancelled():
            self._hear(killed_early(container_id))

    async def _launch(self, spec: ContainerSpec) -> None:
        container_id = spec.container_id
        assert self._cgroups is not None
        try:
            made = await self._making.make(spec, self._host, self._cgroups.path(container_id))
        except ImageError as error:
            self._hear(ContainerFailed(container_id, str(error), image=error.trouble))
            return
        except (BundleError, NetworkError, OSError) as error:
            self._hear(ContainerFailed(container_id, str(error)))
            return
        except Exception as error:  # what nobody foresaw is a failure like any other
            log.exception("the container %s cannot be made", container_id)
            text = f"it cannot be made: {type(error).__name__}: {error}"
            self._hear(ContainerFailed(container_id, text))
            return
        assert self._tool is not None
        tool = self._tool
        pid_file, error_log = f"{made.bundle}/{PID_FILE}", f"{made.bundle}/{ERROR_LOG}"
        busy = self._supervised.launching >= CORES
        self._supervised.launch(
            spec,
            made.owner,
            {
                "argv": tool.argv(
                    *("--log", error_log, "--log-format", "json"),
                    *("run", "--detach", "--bundle", str(made.bundle), "--pid-file", pid_file),
                    container_id,
                    prepared=made.prepared,
                ),
                "env": host_environment()
                | {"PYMESOS_CONTAINER_ID": container_id}
                | dict(tool.env_when_busy if busy else {}),
                "cwd": str(made.bundle),  # for a supervisor that an older agent left running
                "helper": {"pid_file": pid_file, "error_log": error_log},
            },
        )

    @property
    def can_resize(self) -> bool:
        """See Runtime."""
        return True

    def resize(self, container_id: str, resources: Resources) -> None:
        """See Runtime."""
        assert self._cgroups is not None
        self._cgroups.resize(container_id, cgroups.limits_of(resources), by_runtime=True)

    def kill(self, container_id: str, *, force: bool, first: str = TERM) -> None:
        """See Runtime. The first signal reaches the first process; SIGKILL ends all with it."""
        task = self._launches.get(container_id)
        if task is not None and not task.done():
            if not task.cancelling():  # once: then it waits for what a thread is making
                task.cancel()
        else:
            self._supervised.kill(container_id, force=force, first=first)

    def signal(self, container_id: str, name: str) -> None:
        """See Runtime. It reaches the first process."""
        task = self._launches.get(container_id)
        if task is None or task.done():
            self._supervised.signal(container_id, name)

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """See Runtime."""
        container_id = spec.container_id
        for installed_tool in self._tools.values():
            if (tool := self._places.knowing(installed_tool, container_id)) is not None:
                mark = new_mark()
                more = {MARK: mark, "TERM": term} if term else {MARK: mark}
                try:
                    process = write_process(self._places.config(container_id), argv, more)
                except (OSError, ValueError, LookupError) as error:
                    raise EntryError(f"the container's files cannot be read: {error}") from error
                options = ["--process", str(process), *(["--tty"] if term else [])]
                console = None
                if term and tool.sends_terminals:
                    console = self._consoles / uuid.uuid4().hex
                    # From where it is run: it may be no longer than an address (107 bytes).
                    options += ["--console-socket", f"{CONSOLES}/{console.name}"]
                command = tool.argv("exec", *options, container_id)
                return Entry(command, host_environment(), self._directory, mark, process, console)
        raise EntryError("the container has ended, or what made it (crun, runc) is gone")

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """See Runtime."""
        return (self._places.written_by(container_id) / "upper",)

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        assert self._cleaning is not None
        self._supervised.forget(container_id)
        self._cleaning.clean_later(container_id)

    async def close(self) -> None:
        """See Runtime."""
        await self._background.close()
        self._making.close()
        await self._trials.close()
        await self._images.close()
        await self._supervised.close()
        if self._cleaning is not None:
            await asyncio.to_thread(self._cleaning.close)
        await asyncio.to_thread(self._warmer.shutdown)
        if self._cgroups is not None:
            self._cgroups.close()
        self._places.close()


def watch_of(group: cgroups.Group) -> dict[str, Any]:
    """How a supervisor looks after the limits of a container."""
    return {
        "namespaced": True,
        "oom_file": group.oom_file,
        "peak_file": group.peak_file,
        "cgroup_procs": group.procs,
        "pids_file": group.pids_file,
    }
