"""Where an agent keeps what its tasks have: sandboxes, folders of groups, persistent volumes."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pymesos_agent.containers import users
from pymesos_agent.containers.spec import ContainerSpec, Mount
from pymesos_agent.core.effects import StartContainer
from pymesos_agent.files.disks import VolumeDisks
from pymesos_agent.files.guards import (
    GUARDED,
    close_guard,
    guarded,
    let_pass,
    make_guard,
    stop_at,
)
from pymesos_agent.files.handing import belongs_to
from pymesos_agent.files.mounting import GROUPS, REMOVED, VOLUMES, role_folder, unmount_own
from pymesos_agent.files.trees import try_remove_tree
from pymesos_agent.workdir import SANDBOXES
from pymesos_core.mounts import unmount_below
from pymesos_core.resource_tags import Tag
from pymesos_core.resource_values import MILLI
from pymesos_core.resources import Resources, from_proto
from pymesos_core.text import os_problem
from pymesos_proto.v1 import types_pb2 as pb

log = logging.getLogger(__name__)

MAX_REMOVERS = 2


class Folders:
    """The folders of one work directory. What may hold a lot is deleted in threads."""

    def __init__(self, work_dir: Path, *, sized: bool = False) -> None:
        """`sized`: new volumes hold their size and no more (disks.py)."""
        self._work_dir = work_dir
        self._sized = sized
        self._disks = VolumeDisks(work_dir)
        self._removers = ThreadPoolExecutor(MAX_REMOVERS, thread_name_prefix="remove")

    def sandbox(self, container_id: str) -> Path:
        """Where a container's files are."""
        return sandbox_path(self._work_dir, container_id)

    def group(self, group_id: str) -> Path:
        """Where the folders are that the tasks of a group share."""
        return self._work_dir / GROUPS / group_id

    def volume(self, role: str, volume_id: str) -> Path:
        """Where a persistent volume is."""
        return guarded(self._work_dir, Path(VOLUMES, role_folder(role)), volume_id)

    def spec(self, start: StartContainer) -> ContainerSpec:
        """A container in terms of this machine. Raises UserError."""
        return ContainerSpec(
            start.container_id,
            start.framework_id,
            start.user,
            _owner_of(start),
            start.info,
            from_proto(start.info.resources),
            self.sandbox(start.container_id),
            self.volumes(start),
            start.group,
            start.own_uid,
        )

    def volumes(self, start: StartContainer) -> tuple[Mount, ...]:
        """A container's persistent volumes, and the folders that it shares with its group."""
        volumes = [
            self._mount(tag, bag)
            for tag, bag in from_proto(start.info.resources).tagged.items()
            if tag.volume is not None
        ]
        if start.group is not None:
            volumes += [
                Mount(
                    self.group(start.group.group_id) / mount.group_path, mount.container_path, True
                )
                for mount in start.info.container.mounts
                if mount.group_path
            ]
        return tuple(volumes)

    def _mount(self, tag: Tag, bag: Resources) -> Mount:
        assert tag.volume is not None
        path, disk = self.volume(tag.role, tag.volume.id), self._disks.of(tag.role, tag.volume.id)
        size_mib = -(-bag.scalars.get("disk", 0) // MILLI)
        has_disk = disk.exists() or (self._sized and not path.exists())
        return Mount(
            path, tag.volume.container_path, tag.shared, disk if has_disk else None, size_mib
        )

    def to_mount(self, spec: ContainerSpec) -> tuple[Mount, ...]:
        """The volumes of a container whose disks have to be made or mounted before it starts."""
        return tuple(v for v in spec.volumes if v.disk is not None and not v.host_path.is_mount())

    def mount(self, volume: Mount, stopped: Callable[[], bool]) -> None:
        """Do that for one of them. Blocks. Raises MountError."""
        self._disks.mount(volume, stopped)
        if volume.shared:  # a task may have changed it
            volume.host_path.chmod(0o777)

    def prepare(self, spec: ContainerSpec) -> str | None:
        """Make a container's folders, owned by its user; the problem, or None."""
        try:
            guard = spec.sandbox.parent
            is_new = make_guard(guard)
            spec.sandbox.mkdir(mode=0o750)
            if spec.owner is not None:
                os.chown(spec.sandbox, *spec.owner)
            if spec.group is not None:
                _make_group_folders(self.group(spec.group.group_id), spec.info.container.mounts)
            for mount in spec.volumes:
                has_guard = self._has_guard(mount.host_path)
                if mount.shared and spec.own_uid and not has_guard:
                    return _lacks_guard(mount.host_path, self._work_dir)
                _make_volume(mount, spec.owner)
                if mount.shared and has_guard:
                    if mount.disk is None or mount.host_path.is_mount():
                        mount.host_path.chmod(0o777)
                elif spec.own_uid and has_guard:
                    close_guard(mount.host_path.parent)  # to who had it before
            if spec.owner is not None:
                let_pass(guard, spec.owner[0], new=is_new)
                for mount in spec.volumes:
                    let_pass(mount.host_path.parent, spec.owner[0])
        except OSError as error:
            return f"cannot make its sandbox: {os_problem(error)}"
        return None

    def to_hand_over(self, spec: ContainerSpec) -> tuple[Path, ...]:
        """The volumes of a container without an image that another user's task has had.

        Raises OSError.
        """
        if os.geteuid() != 0 or spec.info.container.image:
            return ()
        owner = spec.owner or (0, 0)
        unmounted = {mount.host_path for mount in self.to_mount(spec)}  # whose they are is not seen
        mine = (mount.host_path for mount in spec.volumes if not mount.shared)
        return tuple(path for path in mine if path in unmounted or not belongs_to(path, owner))

    def leave(self, own_uid: int, volumes: Iterable[tuple[str, str]]) -> None:
        """Let a user, who may be another task's before long, into volumes no more."""
        for role, volume_id in volumes:
            volume = self.volume(role, volume_id)
            try:
                if self._has_guard(volume):
                    stop_at(volume.parent, own_uid)
                else:
                    os.chown(volume, 0, 0)
            except FileNotFoundError:
                continue
            except OSError as error:
                log.error("the volume %s stays open to user %d: %s", volume_id, own_uid, error)

    def remove_leftovers(self, containers: Collection[str], groups: Collection[str]) -> None:
        """Delete, soon, what an earlier run had forgotten and not deleted when it died.

        Of the containers and groups that are named, everything stays.
        """
        for where, kept, remove in (
            (SANDBOXES, containers, try_remove_tree),
            (GUARDED / SANDBOXES, containers, try_remove_tree),
            (GROUPS, groups, try_remove_tree),
            (REMOVED, (), _remove_volume),
            (GUARDED / REMOVED, (), _remove_volume),
        ):
            for folder in (self._work_dir / where).glob("*"):
                if folder.name not in kept:
                    _close(folder)
                    log.info("removing %s, which an earlier run left", folder)
                    self._removers.submit(remove, folder)
        for folder in self._disks.unfinished():
            self._removers.submit(_remove_volume, folder)

    def remove_sandbox(self, container_id: str) -> None:
        """Delete a container's files, soon."""
        sandbox = self.sandbox(container_id)
        before = sandbox.parent == self._work_dir / SANDBOXES
        whole = sandbox if before else sandbox.parent
        _close(whole)
        self._removers.submit(try_remove_tree, whole)

    def remove_group(self, group_id: str) -> None:
        """Delete what the tasks of a group shared, soon."""
        _close(self.group(group_id))
        self._removers.submit(try_remove_tree, self.group(group_id))

    def remove_volume(self, role: str, volume_id: str) -> None:
        """Put a volume out of the way at once, for the next of that id; delete it soon."""
        name = uuid.uuid4().hex
        # A file is renamed on its own mount only.
        outside, inside = self._work_dir / REMOVED, self._work_dir / GUARDED / REMOVED
        try:
            volume = self.volume(role, volume_id)
            outside.mkdir(mode=0o700, exist_ok=True)
            if self._has_guard(volume):
                inside.mkdir(mode=0o700, exist_ok=True)
                disk = self._disks.of(role, volume_id)
                self._disks.put_away(disk, outside / name, volume.parent, inside / name)
            else:
                volume.rename(outside / name)
                with contextlib.suppress(OSError):  # others of the role are there
                    volume.parent.rmdir()
        except FileNotFoundError:
            pass  # never used
        except OSError as error:
            log.error("the volume %s of %s cannot be removed: %s", volume_id, role, error)
        for where in (inside, outside):
            self._removers.submit(_remove_volume, where / name)

    def _has_guard(self, volume: Path) -> bool:
        """Whether its parent is one; that of a volume from before guards is all the role's."""
        return not volume.is_relative_to(self._work_dir / VOLUMES)

    def close(self, *, unmount: bool = False) -> None:
        """Wait until all is deleted that was to be; `unmount`: nobody needs the volumes now."""
        self._removers.shutdown()
        if unmount:
            try:
                unmount_own(self._work_dir)
            except OSError as error:
                log.error("volumes stay mounted: %s", os_problem(error))


def sandbox_path(work_dir: Path, container_id: str) -> Path:
    """Where a container's files are."""
    return guarded(work_dir, Path(SANDBOXES), container_id)


def owner_of(user: str) -> tuple[int, int] | None:
    """The ids of a user that is not the agent's own. Raises UserError."""
    if not user or users.is_own(user):
        return None
    if os.geteuid() != 0:
        me = users.own_name()
        raise users.UserError(f"only an agent run by root can run a task as {user}, not {me}")
    found = users.on_machine(user)
    return found.uid, found.gid


def _owner_of(start: StartContainer) -> tuple[int, int] | None:
    """Raises UserError."""
    if start.own_uid:
        return start.own_uid, start.own_uid
    # The user of an image is one of the image's own.
    return None if start.info.container.image else owner_of(start.user)


def _remove_volume(path: Path) -> None:
    """Delete, in a thread, what is out of the way: a volume's folder, its disk, or half a disk."""
    try:
        unmount_below(path)
    except OSError as error:  # the next agent tries again
        log.error("%s stays mounted: %s", path, os_problem(error))
    try_remove_tree(path)


def _close(folder: Path) -> None:
    """Have nobody in it who has its user after its container: it is deleted soon, not now."""
    with contextlib.suppress(OSError):  # it is not there
        close_guard(folder)


def _make_group_folders(folder: Path, mounts: Iterable[pb.ContainerMount]) -> None:
    """Whatever the users of its tasks are, they all may write there. Raises OSError."""
    folder.parent.mkdir(mode=0o711, exist_ok=True)
    make_guard(folder)
    for mount in mounts:
        if mount.group_path:
            (folder / mount.group_path).mkdir(exist_ok=True)
            (folder / mount.group_path).chmod(0o777)


def _make_volume(mount: Mount, owner: tuple[int, int] | None) -> None:
    """There since its first use; it belongs to the user of that. Raises OSError.

    One with a disk of its own is there when that is mounted.
    """
    if mount.disk is not None:
        make_guard(mount.host_path.parent)
    elif not mount.host_path.is_dir():
        make_guard(mount.host_path.parent)
        mount.host_path.mkdir(mode=0o750)
        if owner is not None:
            os.chown(mount.host_path, *owner)


def _lacks_guard(volume: Path, work_dir: Path) -> str:
    """Why a volume is not opened to users that others than root may become."""
    guard = work_dir / GUARDED / volume.relative_to(work_dir)
    return (
        f"its shared volume {volume} is from before volumes were closed to the machine's users, and"
        f" opens to tasks that name a user only: name one or, while no task has it, move it to"
        f" {guard / volume.name}"
    )
