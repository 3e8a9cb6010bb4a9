"""The `oci` runtime's verbs.

A supervisor (`supervision/`) runs `crun run --detach`, or runc, and reaps the container, so that
it outlives the agent and its end is known. `delete` is not called: what is left of a container that
has ended are its cgroups and two folders, and removing those takes a tenth of the time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import threading
import uuid
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pymesos_agent.containers import cgroups
from pymesos_agent.containers.disks import disk_of
from pymesos_agent.containers.environment import host_environment, path_of_everybody
from pymesos_agent.containers.facets import DECLARED, THE_RUNTIME
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
    killed_early,
)
from pymesos_agent.core.ports import bandwidth_of
from pymesos_agent.files.folders import sandbox_path
from pymesos_agent.files.guards import let_pass
from pymesos_agent.files.shifting import shift
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.files.turns import turn_of
from pymesos_agent.runtimes.interface import OnEvent, RuntimeEvent, RuntimeUnavailableError
from pymesos_agent.runtimes.oci.bundle import (
    BundleError,
    Host,
    Image,
    make_host_root,
    remove_bundle,
    write_bridge_names,
    write_bundle,
    write_process,
)
from pymesos_agent.runtimes.oci.images import Images, layers_in_use
from pymesos_agent.runtimes.oci.networks import NetworkError, Networks, Wanted
from pymesos_agent.runtimes.oci.preparing import (
    check_user_namespaces,
    make_directory,
    try_tool,
    working_tool,
)
from pymesos_agent.runtimes.oci.skopeo import ImageError
from pymesos_agent.runtimes.oci.tools import ERROR_LOG, NAMES, Tool, installed
from pymesos_agent.runtimes.trials import Trials
from pymesos_agent.supervision import supervised
from pymesos_core.resources import Resources
from pymesos_core.stop_signals import TERM
from pymesos_core.tasks import Background

log = logging.getLogger(__name__)

# Static programs that are made to be a container's first process.
INITS = ("docker-init", "tini-static", "catatonit")
CORES = os.cpu_count() or 1
CLEANERS = 2
PRIVATE = "oci"  # of a container, in memory
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
        self._bundles = self._directory / "containers"
        self._consoles = self._directory / CONSOLES
        self._agent_tag = agent_tag
        self._settings = settings
        self._states = tuple(self._directory / name for name in NAMES)  # also of one that is gone
        self._tools: dict[str, Tool] = {}  # that are installed
        self._tool: Tool | None = None  # that new containers are made by
        self._cgroups: cgroups.Cgroups | None = None
        self._host = Host()
        self._on_event: OnEvent = lambda event: None
        self._background = Background("a part of the oci runtime")
        self._launches: dict[str, asyncio.Task[None]] = {}
        self._held: dict[str, contextlib.ExitStack] = {}  # of what is being made
        self._cleaners = ThreadPoolExecutor(CLEANERS, thread_name_prefix="oci-clean")
        self._warmer = ThreadPoolExecutor(1, thread_name_prefix="oci-warm-up")
        base = settings.user_namespace_base
        self._images = Images(
            self._directory / (f"images-{base}" if base else "images"),
            settings.images,
            lambda: layers_in_use(self._bundles),
            base,
        )
        self._networks = Networks(self._directory / "networks", settings.networks)
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
        """See Runtime."""
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
        if os.geteuid() != 0:
            raise RuntimeUnavailableError("it needs an agent that is run by root")
        self._cgroups, why_not = cgroups.detect(self._agent_tag)
        if self._cgroups is None:
            raise RuntimeUnavailableError(f"it needs cgroups: {why_not}")
        if self._settings.user_namespace_base:
            check_user_namespaces(self._directory)
        init = next((path for name in INITS if (path := shutil.which(name))), None)
        try:
            make_directory(self._directory, self._settings.user_namespace_base)
            root = self._directory / "root"
            self._tools = installed(self._directory)
            for folder in (self._bundles, *self._states):
                folder.mkdir(mode=0o711, exist_ok=True)
            try_remove_tree(self._consoles)  # of an agent that was killed
            self._consoles.mkdir(mode=0o700, exist_ok=True)
            root.mkdir(mode=0o755, exist_ok=True)
            make_host_root(root)
            disk = disk_of(self._directory)
            environment = host_environment()
            environment["PATH"] = path_of_everybody(environment["PATH"])
            names = self._bridge_names(self._settings.networks.name_server)
            self._host = Host(environment, init, socket.gethostname(), disk, root, names)
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
        assert self._cgroups is not None
        name = f"trial-{tool.name}"
        sandbox, bundle = self._directory / name, self._bundles / name
        self._clean(name)
        sandbox.mkdir(exist_ok=True)
        try:
            return await try_tool(tool, sandbox, bundle, self._host, self._cgroups.path(name))
        finally:
            self._clean(name)
            sandbox.rmdir()

    def _hear(self, event: RuntimeEvent) -> None:
        self._trials.look_at(event)
        if isinstance(event, ContainerStarted | ContainerFailed | ContainerExited):
            self._held.pop(event.container_id, contextlib.ExitStack()).close()
        if isinstance(event, ContainerFailed):
            self._clean_later(event.container_id)
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
        assert self._cgroups is not None
        found = dict(self._supervised.found(foreign))
        for container_id, pid in pids.items():
            if container_id in found or container_id in foreign:
                continue
            is_there = pid in processes_of(self._cgroups.group(container_id))
            if is_there and self._supervised.may_adopt(container_id):
                self._supervised.adopt(container_id, pid)
                found[container_id] = ContainerState(pid)
        folders = (self._bundles, *self._states)
        there = {path.name for folder in folders for path in folder.iterdir()}
        for container_id in there - found.keys():
            log.warning("removing what an earlier agent left of %s", container_id)
            await asyncio.to_thread(self._clean, container_id)
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

    async def _shift(self, volume: Path) -> None:
        """Have a volume belong to the users of containers. Its thread ends soon after we are
        cancelled, and before anybody else is given the volume. Raises OSError.
        """
        stopped = threading.Event()

        def shift_in_turn() -> None:
            with turn_of(volume):
                shift(volume, self._settings.user_namespace_base, stopped.is_set)

        try:
            await asyncio.to_thread(shift_in_turn)
        finally:
            stopped.set()

    def _launch_ended(self, container_id: str, task: asyncio.Task[None]) -> None:
        """What was to be made is made, has failed, or was killed, maybe before it had begun."""
        self._launches.pop(container_id, None)
        if task.cancelled():
            self._hear(killed_early(container_id))

    async def _launch(self, spec: ContainerSpec) -> None:
        container_id = spec.container_id
        bundle = self._bundles / container_id
        try:
            network = await self._network(spec)
            # From here to the bundle nothing waits, so no layer of it is removed meanwhile.
            image = await self._image(spec)
            assert self._cgroups is not None
            cgroup = self._cgroups.path(container_id)
            private = self._private(spec)
            made = write_bundle(
                bundle, spec, image, self._settings, self._host, cgroup, network, private
            )
            self._held[container_id] = made.held
            if spec.has_secret_files and self._settings.memory is not None:
                self._settings.memory.give(container_id, *made.owner)
            if image is not None:
                for volume in spec.volumes:
                    if not volume.shared:
                        await self._shift(volume.host_path)
                for path in (spec.sandbox, *(volume.host_path for volume in spec.volumes)):
                    os.chown(path, *made.owner)
                    if base := self._settings.user_namespace_base:
                        let_pass(path.parent, base)  # its root mounts it
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
        tool = self._tool if private is None else _with_states(self._tool, private)
        pid_file, error_log = str(bundle / "pid"), str(bundle / ERROR_LOG)
        busy = self._supervised.launching >= CORES
        self._supervised.launch(
            spec,
            made.owner,
            {
                "argv": tool.argv(
                    *("--log", error_log, "--log-format", "json"),
                    *("run", "--detach", "--bundle", str(bundle), "--pid-file", pid_file),
                    container_id,
                    prepared=made.prepared,
                ),
                "env": host_environment() | (dict(tool.env_when_busy) if busy else {}),
                "cwd": str(bundle),  # for a supervisor that an older agent left running
                "helper": {"pid_file": pid_file, "error_log": error_log},
            },
        )

    def _private(self, spec: ContainerSpec) -> Path | None:
        """A folder in memory for what the tool writes down of a container that has secrets in its
        environment; of others it is on disk. Raises OSError."""
        memory = self._settings.memory
        if not spec.secrets.variables or memory is None:
            return None
        private = memory.make(spec.container_id) / PRIVATE
        private.mkdir(mode=0o700)
        return private

    async def _network(self, spec: ContainerSpec) -> Path | None:
        """The network namespace, unless the tool makes it or it is the machine's.

        Raises NetworkError.
        """
        name = spec.info.container.network
        if not spec.own_network or (name == "none" and spec.group is None):
            return None
        if (group := spec.group) is not None:
            members, ports = group.container_ids, group.ports
            wanted = Wanted(group.group_id, name, members, ports, group.bandwidth)
        else:
            owner = spec.container_id
            ports, bandwidth = spec.mapped_ports(), bandwidth_of(spec.info)
            wanted = Wanted(owner, name, (owner,), ports, bandwidth)
        return await self._networks.make(wanted)

    async def _image(self, spec: ContainerSpec) -> Image | None:
        """What the image says. Raises ImageError."""
        if not spec.info.container.image:
            return None
        return await self._images.get(
            spec.info.container.image,
            lambda text: self._on_event(ContainerPulling(spec.container_id, text)),
            spec.secrets.login,
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
        tools = list(self._tools.values())
        if (memory := self._settings.memory) is not None:
            tools += [_with_states(tool, memory.of(container_id) / PRIVATE) for tool in tools]
        for tool in tools:
            if (tool.states / container_id).exists():
                mark = new_mark()
                more = {MARK: mark, "TERM": term} if term else {MARK: mark}
                try:
                    process = write_process(self._bundles / container_id, argv, more)
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
        return (self._bundles / container_id / "upper",)

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._supervised.forget(container_id)
        self._clean_later(container_id)

    def _clean_later(self, container_id: str) -> None:
        def clean() -> None:
            try:
                self._clean(container_id)
            except Exception:
                log.exception("what is left of %s cannot be removed", container_id)

        self._cleaners.submit(clean)

    def _clean(self, container_id: str) -> None:
        """Whatever is there of a container that is not to run; harmless when nothing is."""
        assert self._cgroups is not None
        for pid in processes_of(self._cgroups.group(container_id)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._cgroups.destroy_everywhere(container_id)
        for states in self._states:
            try_remove_tree(states / container_id)
        if self._settings.memory is not None:
            try_remove_tree(self._settings.memory.of(container_id) / PRIVATE)
        self._networks.remove(container_id)
        remove_bundle(self._bundles / container_id)

    async def close(self) -> None:
        """See Runtime. Containers ask the machine's name servers while there is no agent."""
        try:
            self._bridge_names("")
        except OSError as error:
            log.warning("containers on the bridge ask this agent still: %s", error)
        await self._background.close()
        for held in self._held.values():
            held.close()
        await self._trials.close()
        await self._images.close()
        await self._supervised.close()
        await asyncio.to_thread(self._cleaners.shutdown)
        await asyncio.to_thread(self._warmer.shutdown)
        if self._cgroups is not None:
            self._cgroups.close()


def _with_states(tool: Tool, private: Path) -> Tool:
    """The tool, with what it knows of a container in a folder of that."""
    return replace(tool, states=private / tool.name)


def watch_of(group: cgroups.Group) -> dict[str, Any]:
    """How a supervisor looks after the limits of a container."""
    return {
        "namespaced": True,
        "oom_file": group.oom_file,
        "peak_file": group.peak_file,
        "cgroup_procs": group.procs,
        "pids_file": group.pids_file,
    }


def processes_of(group: cgroups.Group) -> list[int]:
    """The processes in a container's cgroup; none when the cgroup is gone."""
    try:
        text = Path(group.procs).read_text("ascii")
    except OSError:
        return []
    return [int(line) for line in text.split()]
