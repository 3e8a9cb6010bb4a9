"""What an agent keeps in memory: secrets, since no disk is to have them, and what no disk needs.

    /run/pymesos-0/TAG/CONTAINER/secrets/…   files, for the container's user alone
    /run/pymesos-0/TAG/CONTAINER/variables   a file that its shell reads, if an engine runs it
    /run/pymesos-0/TAG/CONTAINER/kept        what files with secrets are made anew from
    /run/pymesos-0/TAG/runtime-RUNTIME/…     what a runtime writes down of its containers
    /run/pymesos-0/TAG/pipes-RUNTIME/…       what containers write goes through these

It outlives the agent, as containers do, and ends with the machine. What is in it is a container's,
and goes with that.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from pymesos_agent.files.below import opened, put_whole, read_whole
from pymesos_agent.files.trees import try_remove_tree
from pymesos_core.ids import secret_name_problem

log = logging.getLogger(__name__)

KINDS = ("tmpfs", "ramfs")  # file systems without a disk
MOUNTS = Path("/proc/self/mountinfo")
RUN = Path("/run")
SHARED = Path("/dev/shm")  # noqa: S108 - it is looked at whose the folder in it is
# With which the names of folders begin that are no container's.
KEPT = "kept"
MAX_KEPT_BYTES = 2 * 1024 * 1024
READABLE = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
PIPES, RUNTIMES = "pipes-", "runtime-"
IN_CONTAINER = "/run/secrets"  # where containers with namespaces find the files
VARIABLE = "PYMESOS_SECRETS"  # that names the folder


@dataclass(frozen=True)
class Memory:
    """The folder of one agent."""

    folder: Path

    def of(self, container_id: str) -> Path:
        """Where all of a container is; who may pass through the agent's folder passes here, too."""
        return self.folder / container_id

    def secrets_of(self, container_id: str) -> Path:
        """Where the files of a container's secrets are."""
        return self.folder / container_id / "secrets"

    def variables_of(self, container_id: str) -> Path:
        """Where a file is of the variables of a container that are secrets."""
        return self.folder / container_id / "variables"

    def pipes(self, runtime: str) -> Path:
        """Where the named pipes of a runtime's containers are.

        A file system on a disk takes long to make and remove them: one without a journal may look
        at all that was removed in the last minutes.
        """
        return self.folder / f"{PIPES}{runtime}"

    def of_runtime(self, runtime: str) -> Path:
        """Where a runtime has what it writes down of its containers, and removes it."""
        return self.folder / f"{RUNTIMES}{runtime}"

    def make(self, container_id: str) -> Path:
        """Make a container's folder. Raises OSError."""
        made = self.of(container_id)
        made.mkdir(mode=0o711, exist_ok=True)
        made.chmod(0o711)
        return made

    def put(self, container_id: str, files: Mapping[str, bytes]) -> None:
        """Write secrets that nobody else may read yet.

        Raises OSError, also for a name that leads out of their folder.
        """
        if problem := next(filter(None, map(secret_name_problem, files)), None):
            raise OSError(errno.EINVAL, problem)
        folder = self.make(container_id) / "secrets"
        folder.mkdir(mode=0o700)
        for name, value in files.items():
            _write(folder / name, value)

    def replace(self, container_id: str, name: str, value: bytes) -> None:
        """Put another value in the place of one that the container's user may read already.

        Raises OSError.
        """
        if problem := secret_name_problem(name):
            raise OSError(errno.EINVAL, problem)
        with opened(self.secrets_of(container_id), READABLE) as folder:
            before = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if os.geteuid() == 0:
                put_whole(name, value, (before.st_uid, before.st_gid), folder, 0o400)
                return
            os.fchmod(folder, 0o700)
            try:
                put_whole(name, value, None, folder, 0o400)
            finally:
                os.fchmod(folder, 0o500)

    def keep(self, container_id: str, data: bytes) -> None:
        """Keep something of a container for the agent itself. Raises OSError."""
        with opened(self.make(container_id)) as folder:
            put_whole(KEPT, data, None, folder, 0o400)

    def kept(self, container_id: str) -> bytes | None:
        """What is kept of a container, if anything is."""
        try:
            with opened(self.of(container_id)) as folder:
                return read_whole(folder, KEPT, MAX_KEPT_BYTES)
        except OSError:
            return None

    def put_variables(self, container_id: str, text: str) -> None:
        """Write variables that nobody else may read yet. Raises OSError."""
        self.make(container_id)
        path = self.variables_of(container_id)
        path.unlink(missing_ok=True)  # of a launch that was begun before
        _write(path, text.encode())

    def give_variables(self, container_id: str, uid: int, gid: int) -> None:
        """Let the container's user read its variables. Raises OSError."""
        os.chown(self.variables_of(container_id), uid, gid, follow_symlinks=False)

    def give(self, container_id: str, uid: int, gid: int) -> None:
        """Let the container's user read them, and nobody change which there are. Raises OSError."""
        folder = self.secrets_of(container_id)
        if os.geteuid() != 0:
            folder.chmod(0o500)
            return
        for file in folder.iterdir():
            os.chown(file, uid, gid, follow_symlinks=False)
        os.chown(folder, 0, gid)
        folder.chmod(0o550)

    def remove(self, container_id: str) -> None:
        """Remove all of a container; most have nothing here."""
        folder = self.of(container_id)
        if os.path.lexists(folder):
            _open_up(folder)
            try_remove_tree(folder)

    def sweep(self, kept: Collection[str]) -> None:
        """Remove what an earlier run left of containers that are no more."""
        for folder in self.folder.iterdir():
            if folder.name not in kept and not folder.name.startswith((PIPES, RUNTIMES)):
                log.info("removing the secrets of %s, which an earlier run left", folder.name)
                self.remove(folder.name)

    def close(self) -> None:
        """Remove the folder of this agent if no container has anything in it."""
        for folder in (*self.folder.glob(f"{PIPES}*"), self.folder):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def remove_all(self) -> None:
        """Remove the folder of this agent."""
        self.sweep(())
        try_remove_tree(self.folder)


def _write(path: Path, value: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o400), "wb") as file:
        file.write(value)


def _open_up(folder: Path) -> None:
    """Who is not root may remove nothing from a folder that cannot be written.

    Its task has the same user then, and may have put anything in its place: no link is followed.
    """
    if os.geteuid() == 0:
        return
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        above = stack.enter_context(opened(folder, READABLE))
        secrets = os.open("secrets", READABLE, dir_fd=above)
        stack.callback(os.close, secrets)
        os.fchmod(secrets, 0o700)


def memory_of(tag: str) -> Memory | None:
    """The folder of the agent of that tag, made if it is not there; None: nothing is in memory.

    It is found again however the agent is started: by a person, or by cron, who has no session.
    """
    uid = os.geteuid()
    bases = [RUN if uid == 0 else RUN / f"user/{uid}", SHARED]
    mode = 0o711 if uid == 0 else 0o700
    for base in sorted(bases, key=lambda b: not os.path.lexists(b / f"pymesos-{uid}" / tag)):
        try:
            if is_in_memory(base):
                above = _own(base / f"pymesos-{uid}", mode)
                return Memory(_own(above / tag, mode))
        except OSError as error:
            log.info("%s is not used for secrets: %s", base, error)
    return None


def _own(folder: Path, mode: int) -> Path:
    """A folder of ours, in one where others may have made it before. Raises OSError."""
    folder.mkdir(mode=mode, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise OSError(f"{folder} is somebody else's")
    if stat.S_IMODE(status.st_mode) != mode:
        folder.chmod(mode)
    return folder


def is_in_memory(folder: Path) -> bool:
    """Whether what is written there is on no disk, but for swap. Raises OSError."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTS.read_text("utf-8", "surrogateescape").splitlines():
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[2] == number:
            return rest.split(" ")[0] in KINDS
    return False
