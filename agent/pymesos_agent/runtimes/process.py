"""The `process` runtime: nothing to install, works without root.

A supervisor of its own (`supervision/`) starts and reaps the containers, so that they outlive the
agent. Limits are cgroups where the agent may write them; elsewhere the supervisor samples memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pymesos_agent.containers import cgroups, users
from pymesos_agent.containers.environment import (
    host_environment,
    task_argv,
    task_environment,
    ulimits,
)
from pymesos_agent.containers.marks import MARK, new_mark
from pymesos_agent.containers.sessions import Entry, EntryError, run_entry
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import (
    ContainerFailed,
    ContainerState,
    RuntimeBroken,
    RuntimeMended,
)
from pymesos_agent.files.folders import sandbox_path
from pymesos_agent.files.memory import Memory
from pymesos_agent.runtimes.interface import OnEvent, RuntimeEvent, RuntimeUnavailableError
from pymesos_agent.runtimes.trials import Trials
from pymesos_agent.supervision import hiding, procfs, spawning
from pymesos_agent.supervision.supervised import Ids, Supervised
from pymesos_core.resources import Resources, is_revocable
from pymesos_core.stop_signals import TERM
from pymesos_core.text import duration, os_problem

log = logging.getLogger(__name__)

MILLI_MIB = 1024 * 1024 / 1000
TRIAL_TIMEOUT_S = 10.0


class ProcessRuntime:
    """The agent's end of the supervisor's socket."""

    name = "process"

    def __init__(self, directory: Path, agent_tag: str, settings: Settings) -> None:
        """`directory` is the agent's work directory; its supervisor lives there, too."""
        self._agent_tag = agent_tag
        self._settings = settings
        self._supervised = Supervised(
            self.name,
            directory,
            settings.logs,
            lambda c: sandbox_path(directory, c),
            self._watch,
            settings.memory,
        )
        self._cgroups: cgroups.Cgroups | None = None
        self._on_event: OnEvent = lambda event: None
        self._groups: dict[str, cgroups.Group] = {}
        self._limits: dict[str, int] = {}
        self._directory = directory
        self._hidden: dict[str, Any] = {}  # from every container: see `hide`
        self._inherited = host_environment()
        self._trials = Trials(self.name, self._trial, self._tell)

    @property
    def isolation(self) -> Mapping[str, str]:
        """See Runtime."""
        holds = {"mem": "watched"} if self._cgroups is None else self._cgroups.isolation
        users = {"user": "setuid"} if os.geteuid() == 0 else {}
        hides = {"hidden": self._hidden["way"]} if self._hidden else {}
        own = {"own_user": str(given)} if (given := self._settings.task_uids) else {}
        always = dict.fromkeys(("ulimits", "no_new_privileges", "guard", "config"), "yes")
        always |= {"disk": "watched"}
        secrets = {"secrets": "tmpfs", "secret_env": "yes"} if self._settings.memory else {}
        return {**holds, **users, **hides, **own, **always, **secrets, **self._settings.holds}

    async def start(self, on_event: OnEvent) -> None:
        """Connect to the supervisor that is there, or start one."""
        self._on_event = on_event
        self._cgroups, why_not = cgroups.detect(self._agent_tag)
        if self._cgroups is None:
            log.info("no cgroups, so memory is watched and CPU is not limited: %s", why_not)
        elif not spawning.is_built():
            log.info(
                "no compiled spawner, so starting a container takes longer: there was no C compiler"
                " when pymesos was installed"
            )
        if self._settings.hidden:
            self._hidden = await self._how_to_hide()
        try:
            await self._supervised.start(self._hear)
        except (OSError, TimeoutError) as error:
            raise RuntimeUnavailableError(f"its supervisor does not start: {error}") from error

    async def _how_to_hide(self) -> dict[str, Any]:
        """Find out in which way the kernel lets us hide paths. Raises RuntimeUnavailableError."""
        way = await asyncio.to_thread(hiding.way_here)
        if not way:
            raise RuntimeUnavailableError(
                "nothing can be hidden from tasks (--hide): the kernel allows neither user"
                " namespaces nor Landlock"
            )
        # Landlock would forbid much in the folders that ours is in, as in /tmp.
        own = [self._directory] if way == hiding.NAMESPACES else []
        if own and self._settings.memory is not None:
            own.append(self._settings.memory.folder)
        try:
            paths = hiding.identify(map(str, (*self._settings.hidden, *own)))
        except OSError as error:
            raise RuntimeUnavailableError(f"--hide: {os_problem(error)}") from error
        return {"way": way, "paths": paths}

    def _hear(self, event: RuntimeEvent) -> None:
        self._trials.look_at(event)
        if isinstance(event, ContainerFailed):
            self._remove_group(event.container_id)
        self._on_event(event)

    def _tell(self, event: RuntimeBroken | RuntimeMended) -> None:
        self._on_event(event)

    async def _trial(self) -> str:
        """Make what a container of no use would have, and run a program as it would be run."""
        name = f"trial-{self._agent_tag}"
        joins: tuple[str, ...] = ()
        try:
            if self._cgroups is not None:
                joins = self._cgroups.create(name, cgroups.Limits(100, 0)).join
            what = {"argv": ["true"], "env": self._inherited, "cwd": "/", "cgroups": joins}
            what["hidden"] = self._hidden and {**self._hidden, "but": []}
            command, file = self._supervised.entry(name, what)
            entry = Entry(command, self._inherited, Path("/"), scratch=file)
            status, said = await run_entry(entry, TRIAL_TIMEOUT_S)
        except TimeoutError:
            return f"a program that does nothing took longer than {duration(TRIAL_TIMEOUT_S)}"
        except (cgroups.CgroupError, OSError) as error:
            return str(error)
        finally:
            if self._cgroups is not None:
                self._cgroups.destroy(name)
        return (said.strip() or f"it ended with status {status}") if status else ""

    def _watch(self, container_id: str) -> dict[str, Any]:
        group = self._groups.get(container_id)
        if group is not None:
            return {
                "oom_file": group.oom_file,
                "peak_file": group.peak_file,
                "cgroup_procs": group.procs,
                "pids_file": group.pids_file,
            }
        limit = self._limits.get(container_id)
        return {"rss_limit_bytes": limit} if limit else {}

    async def recover(
        self, pids: Mapping[str, int], foreign: Collection[str] = ()
    ) -> Mapping[str, ContainerState]:
        """What the supervisor holds; what only an earlier one held is adopted."""
        if self._cgroups is not None:
            mine = self._cgroups.leftovers().difference(foreign)
            self._groups = {c: self._cgroups.group(c) for c in mine}
        found = dict(self._supervised.found(foreign))
        for container_id, pid in pids.items():
            if container_id in found or container_id in foreign:
                continue
            is_there = procfs.environment_id(pid) == container_id
            if is_there and self._supervised.may_adopt(container_id):
                self._supervised.adopt(container_id, pid)
                found[container_id] = ContainerState(pid)
        for container_id in self._groups.keys() - found.keys():
            self._remove_group(container_id)
        self._supervised.remove_pipes(found)
        return found

    def launch(self, spec: ContainerSpec) -> None:
        """See Runtime."""
        amounts = spec.resources.quantities
        mem_bytes = int(amounts.get("mem", 0) * MILLI_MIB)
        joins: tuple[str, ...] = ()
        try:
            ids = self._ids(spec)
            _link_volumes(spec)
            self._give_secrets(spec, ids)
            if self._cgroups is not None:
                cpus_milli = amounts.get("cpus", 0)
                limits = cgroups.Limits(
                    cpus_milli,
                    mem_bytes,
                    spec.info.container.pids_max or self._settings.pids_max,
                    spec.info.container.cpu_quota,
                    is_revocable(spec.resources),
                )
                group = self._cgroups.create(spec.container_id, limits)
                self._groups[spec.container_id] = group
                joins = group.join
            elif mem_bytes:
                self._limits[spec.container_id] = mem_bytes
        except (cgroups.CgroupError, users.UserError, OSError) as error:
            # Not from within the caller's step: the core takes one event at a time.
            failed = ContainerFailed(spec.container_id, str(error))
            asyncio.get_running_loop().call_soon(self._hear, failed)
            return
        self._supervised.launch(
            spec,
            spec.owner,
            self._what(
                spec,
                task_argv(spec.info.command),
                self._environment(spec),
                joins,
            )
            | {"own_uid": spec.own_uid},
        )

    def _what(
        self,
        spec: ContainerSpec,
        argv: Sequence[str],
        env: Mapping[str, str],
        joins: tuple[str, ...],
    ) -> dict[str, Any]:
        """What becomes a process of a container, the first or another one: see `become`."""
        hidden = self._hidden
        if hidden:
            hidden = {**hidden, "but": _folders_of(spec, self._settings.memory)}
        return {
            "argv": argv,
            "env": env,
            "cwd": str(spec.sandbox),
            "ids": self._ids(spec),
            "cgroups": joins,
            "ulimits": ulimits(spec.info.container),
            "no_new_privileges": True,
            "hidden": hidden,
            "has_path_of_agent": env["PATH"] == self._inherited["PATH"],
        }

    def _environment(self, spec: ContainerSpec) -> dict[str, str]:
        """What its processes find; variables that are secrets only the first, by its launch."""
        memory = self._settings.memory
        secrets = str(memory.secrets_of(spec.container_id)) if memory is not None else ""
        return task_environment(spec, spec.sandbox, self._inherited, secrets)

    def _give_secrets(self, spec: ContainerSpec, ids: Ids | None) -> None:
        """Raises OSError."""
        if spec.secrets.variables and not self._supervised.keeps_environments:
            raise OSError(
                "a secret cannot be a variable here until the tasks of the agent's earlier version"
                " have ended, since their supervisor would have it on disk: ask for it with a path"
            )
        memory = self._settings.memory
        if spec.has_secret_files and memory is not None:
            uid, gid = ids[:2] if ids is not None else (os.geteuid(), os.getegid())
            memory.give(spec.container_id, uid, gid)
            with contextlib.suppress(FileExistsError):  # an artifact; $PYMESOS_SECRETS names it
                (spec.sandbox / "secrets").symlink_to(memory.secrets_of(spec.container_id))

    @staticmethod
    def _ids(spec: ContainerSpec) -> Ids | None:
        """Who it runs as, unless that is the agent's own user."""
        if spec.own_uid:
            return spec.own_uid, spec.own_uid, ()
        if spec.owner is None and (not spec.user or users.is_own(spec.user)):
            return None
        user = users.on_machine(spec.user)
        return user.uid, user.gid, user.more_gids

    @property
    def can_resize(self) -> bool:
        """See Runtime. Without cgroups only memory is limited, as far as it is watched."""
        return self._cgroups is not None or self._supervised.can_limit

    def resize(self, container_id: str, resources: Resources) -> None:
        """See Runtime."""
        limits = cgroups.limits_of(resources)
        if self._cgroups is not None:
            self._cgroups.resize(container_id, limits)
        elif limits.mem_bytes:
            self._supervised.limit(container_id, limits.mem_bytes)

    def kill(self, container_id: str, *, force: bool, first: str = TERM) -> None:
        """See Runtime."""
        self._supervised.kill(container_id, force=force, first=first)

    def signal(self, container_id: str, name: str) -> None:
        """See Runtime."""
        self._supervised.signal(container_id, name)

    def entry(self, spec: ContainerSpec, argv: Sequence[str], term: str) -> Entry:
        """See Runtime. The command is in the container's cgroups, and is its user's."""
        mark = new_mark()
        env = self._environment(spec) | {MARK: mark}
        if term:
            env["TERM"] = term
        group = self._groups.get(spec.container_id)
        what = self._what(spec, list(argv), env, group.join if group else ())
        try:
            command, file = self._supervised.entry(spec.container_id, what)
        except (OSError, ValueError) as error:
            raise EntryError(f"the container cannot be entered: {error}") from error
        return Entry(command, self._inherited, Path("/"), mark, file)

    def private_paths(self, container_id: str) -> Sequence[Path]:
        """See Runtime."""
        return ()

    def destroy(self, container_id: str) -> None:
        """See Runtime."""
        self._supervised.forget(container_id)
        self._remove_group(container_id)

    def _remove_group(self, container_id: str) -> None:
        self._groups.pop(container_id, None)
        self._limits.pop(container_id, None)
        if self._cgroups is not None:
            self._cgroups.destroy(container_id)

    async def close(self) -> None:
        """See Runtime."""
        await self._trials.close()
        await self._supervised.close()
        if self._cgroups is not None:
            self._cgroups.close()


def _folders_of(spec: ContainerSpec, memory: Memory | None) -> list[str]:
    """What of the hidden folders a container sees all the same."""
    paths = [spec.sandbox, *(volume.host_path for volume in spec.volumes)]
    if spec.has_secret_files and memory is not None:
        paths.append(memory.secrets_of(spec.container_id))
    return [os.path.realpath(path) for path in paths]


def _link_volumes(spec: ContainerSpec) -> None:
    """Links in the sandbox, as Mesos' posix file system isolator has them. Raises OSError."""
    for mount in spec.volumes:
        path = Path(mount.container_path)
        if path.is_absolute():
            raise OSError(
                f"the volume's path {path} is absolute; without an image it is below the sandbox"
            )
        link = spec.sandbox / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(mount.host_path)
