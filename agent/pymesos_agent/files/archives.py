"""Unpacking an archive into a sandbox, as tar and unzip do.

Archives come from anywhere, so no member leaves the sandbox: not by its name, not through a link of
an earlier one. One that is damaged anywhere is an error, however much of it could be read.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from pymesos_agent.files.below import FOLDER, OutsideError, followed, parent_of, parts_of
from pymesos_agent.files.budget import ARTIFACT, Budget, Header, Limits, TooMuchError, members_of

CHUNK_BYTES = 1024 * 1024
MAX_LINK_BYTES = 4096
ENCRYPTED = 0x1  # a flag of a zip's member
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    NotImplementedError,  # a way of compressing that zipfile does not know
    RecursionError,  # a header of a header of a header
)


class ArchiveError(Exception):
    """The archive cannot be unpacked: the message says why."""


def _as_tar(file: IO[bytes]) -> tarfile.TarFile | None:
    """None for what no way of reading a tar can read from its start."""
    try:
        return tarfile.open(fileobj=file, mode="r:*", tarinfo=Header)
    except DAMAGED:
        file.seek(0)
        return None


class Unpacker:
    """Writes into one sandbox, for one user; `go_on` raises when nobody wants it any more."""

    def __init__(
        self,
        sandbox: Path,
        owner: tuple[int, int] | None,
        go_on: Callable[[], None],
        limits: Limits = ARTIFACT,
    ) -> None:
        self._limits = limits
        self._sandbox = sandbox
        self._owner = owner
        self._go_on = go_on
        self._root = -1
        self._links: list[str] = []

    def __enter__(self) -> Unpacker:
        self._root = os.open(self._sandbox, FOLDER)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def extract(self, file: IO[bytes], folder: str) -> None:
        """All of an archive into a folder of the sandbox.

        For `unpacking.py`, which bounds what it takes of memory and time. Raises ArchiveError,
        OutsideError, OSError.
        """
        prefix = f"{folder}/" if folder else ""
        budget = Budget(self._limits, file.seek(0, os.SEEK_END))
        file.seek(0)
        try:
            # A tar may end with a zip, and a zip may begin with anything, a program for example.
            if (archive := _as_tar(file)) is not None:
                with archive:
                    self._tar(archive, prefix, budget)
            elif zipfile.is_zipfile(file):
                self._zip(file, prefix, budget)
            else:
                raise ArchiveError("is no archive, or damaged: it is neither a tar nor a zip")
        except TooMuchError as error:
            raise ArchiveError(str(error)) from error
        except DAMAGED as error:
            raise ArchiveError(f"is no archive, or damaged: {error or 'it ends early'}") from error
        self._check_links()

    def write(self, path: str, source: IO[bytes], mode: int) -> None:
        """A file. Raises OutsideError, OSError."""
        parts = self._place(path)
        if not parts:
            raise OutsideError(f"{path!r} is no name of a file")
        with parent_of(self._root, parts, self._owner) as parent:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(parts[-1], flags, 0o600, dir_fd=parent), "wb") as target:
                while data := source.read(CHUNK_BYTES):
                    self._go_on()
                    target.write(data)
                if self._owner is not None:
                    os.fchown(target.fileno(), *self._owner)
                os.fchmod(target.fileno(), mode)

    def _place(self, path: str) -> list[str]:
        """Where a member goes: through the links of earlier ones, and in place of one."""
        parts = parts_of(path)
        return [*followed(self._root, parts[:-1]), *parts[-1:]]

    def _zip(self, file: IO[bytes], prefix: str, budget: Budget) -> None:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                self._go_on()
                budget.add_member(member.file_size, member.filename)
                path, mode = prefix + member.filename, member.external_attr >> 16
                if member.flag_bits & ENCRYPTED:
                    raise ArchiveError(
                        f"is encrypted ({member.filename[:200]!r}); only archives without a"
                        f" password can be unpacked"
                    )
                if member.is_dir():
                    self._make_folder(path)
                elif stat.S_ISLNK(mode):
                    if member.file_size > MAX_LINK_BYTES:
                        raise ArchiveError(f"has a link that is too long: {path[:200]!r}")
                    self._symbolic_link(path, os.fsdecode(archive.read(member)))
                else:
                    with archive.open(member) as source:
                        self.write(path, source, 0o755 if mode & 0o100 else 0o644)

    def _tar(self, archive: tarfile.TarFile, prefix: str, budget: Budget) -> None:
        for member in members_of(archive):
            self._go_on()
            budget.add_member(member.size, member.name + member.linkname)
            budget.reach(archive.offset)
            path = prefix + member.name
            if member.isdir():
                self._make_folder(path)
            elif member.isreg():
                source = archive.extractfile(member)
                assert source is not None
                self.write(path, source, 0o755 if member.mode & 0o100 else 0o644)
            elif member.issym():
                self._symbolic_link(path, member.linkname)
            elif member.islnk():
                self._hard_link(path, prefix, member.linkname)
            else:
                raise OutsideError(f"{member.name[:200]!r} is neither a file, a folder nor a link")
        self._read_to_its_end(archive, budget)

    def _read_to_its_end(self, archive: tarfile.TarFile, budget: Budget) -> None:
        """What is compressed has a checksum there."""
        assert archive.fileobj is not None
        size = archive.offset
        while data := archive.fileobj.read(CHUNK_BYTES):
            self._go_on()
            size += len(data)
            budget.reach(size)

    def _make_folder(self, path: str) -> None:
        parts = followed(self._root, parts_of(path))
        with parent_of(self._root, [*parts, "."], self._owner):
            return

    def _symbolic_link(self, path: str, target: str) -> None:
        """One that leads somewhere below the sandbox, whether or not that is there."""
        parts = self._place(path)
        depth = len(parts) - 1
        for part in target.split("/"):
            depth += {"..": -1, "": 0, ".": 0}.get(part, 1)
            if depth < 0 or target.startswith("/"):
                raise OutsideError(
                    f"{path[:200]!r} is a link that leads out of the sandbox, to {target[:200]!r}"
                )
        if not parts or not target or "\0" in target:
            raise ArchiveError(f"has a link without a name or a target: {path[:200]!r}")
        with parent_of(self._root, parts, self._owner) as parent:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(parts[-1], dir_fd=parent)
            os.symlink(target, parts[-1], dir_fd=parent)
            if self._owner is not None:
                os.chown(parts[-1], *self._owner, dir_fd=parent, follow_symlinks=False)
        self._links.append("/".join(parts))

    def _hard_link(self, path: str, prefix: str, target: str) -> None:
        """A second name of a file that was unpacked before."""
        parts, others = self._place(path), self._place(prefix + target)
        if parts == others:
            return
        nowhere = OutsideError(
            f"{path[:200]!r} is a hard link that leads out of the archive: {target[:200]!r} is"
            f" neither a file nor a link that came earlier in it"
        )
        if not parts or not others:
            raise nowhere
        with parent_of(self._root, parts, self._owner) as parent:
            try:
                with parent_of(self._root, others) as folder:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(parts[-1], dir_fd=parent)
                    os.link(
                        *(others[-1], parts[-1]),
                        src_dir_fd=folder,
                        dst_dir_fd=parent,
                        follow_symlinks=False,
                    )
            except (FileNotFoundError, PermissionError):  # the latter: it is a folder
                raise nowhere from None
        self._links.append("/".join(parts))  # it may be one of a symbolic link

    def _check_links(self) -> None:
        """Check that no link leads out through others: each was judged alone when it was made."""
        for name in self._links:
            parts = parts_of(name)
            try:
                followed(self._root, parts)
            except OutsideError:
                with parent_of(self._root, parts) as parent:
                    os.unlink(parts[-1], dir_fd=parent)
                raise OutsideError(
                    f"{name[:200]!r} is a link that leads out of the sandbox"
                ) from None
