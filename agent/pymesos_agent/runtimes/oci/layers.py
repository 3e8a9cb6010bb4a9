"""A layer of an image, unpacked into a folder of its own, as overlayfs wants it.

The archive comes from a registry, so nothing of it is believed: no member leaves the folder, not by
its name, not through a link that an earlier member made, and its digest is checked before any of it
is parsed.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from pymesos_agent.files.below import OutsideError, parent_of, parts_of
from pymesos_agent.files.budget import LAYER, Budget, Header, Limits, TooMuchError, members_of
from pymesos_agent.files.trees import remove_at

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
CHUNK_BYTES = 1024 * 1024
NOBODY = 65534  # as the kernel has it; also for ids that a namespace of 65536 has no room for
MAX_ID = 2**32 - 2  # the next one, -1 of 32 bits, stands for no change
XATTR = "SCHILY.xattr."
MAGIC_GZIP, MAGIC_ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


class LayerError(Exception):
    """The layer cannot be used: the message says why."""


def unpack(
    blob: Path,
    folder: Path,
    diff_id: str,
    user_namespace_base: int = 0,
    limits: Limits = LAYER,
    confine: Callable[[], None] = lambda: None,
) -> int:
    """Into a folder that is there and empty; its size in bytes. Raises LayerError.

    With a base all belongs to the ids of a user namespace, and is marked for an overlay in one.
    `confine` is called once all is open and the digest is known to be right, before any of it is
    parsed. For `unpacking.py`, which bounds what it takes of memory and time.
    """
    try:
        packed_bytes = blob.stat().st_size
        with _decompressed(blob) as stream:
            _check_digest(stream, diff_id, Budget(limits, packed_bytes))
        root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with _decompressed(blob) as stream:
            confine()
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:
                budget = Budget(limits, packed_bytes)
                return _Unpacker(root, user_namespace_base, budget).all(archive)
    except LayerError:
        raise
    except OutsideError as error:
        raise LayerError(str(error)) from error
    except TooMuchError as error:
        raise LayerError(f"the layer {diff_id} {error}") from error
    except (
        *(tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error),
        *(ValueError, RecursionError),
    ) as error:
        raise LayerError(f"the layer {diff_id} is damaged: {error}") from error
    except OSError as error:
        raise LayerError(f"the layer {diff_id} cannot be unpacked: {error}") from error


def _check_digest(stream: IO[bytes], diff_id: str, budget: Budget) -> None:
    """Raises LayerError, TooMuchError."""
    digest, size = hashlib.sha256(), 0
    while data := stream.read(CHUNK_BYTES):
        size += len(data)
        budget.reach(size)
        digest.update(data)
    if (found := f"sha256:{digest.hexdigest()}") != diff_id:
        raise LayerError(f"the layer {diff_id} is another one: its digest is {found}")


@contextlib.contextmanager
def _decompressed(blob: Path) -> Iterator[Any]:
    with blob.open("rb", buffering=0) as file:  # zstd reads on where this has come to
        magic = file.read(4)
        file.seek(0)
        if magic.startswith(MAGIC_GZIP):
            with gzip.open(file) as stream:
                yield stream
        elif magic == MAGIC_ZSTD:
            with _zstd(file) as stream:
                yield stream
        else:
            yield file


@contextlib.contextmanager
def _zstd(file: IO[bytes]) -> Iterator[IO[bytes]]:
    try:
        process = subprocess.Popen(
            ("zstd", "-dc"), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise LayerError(
            "it is compressed with zstd, and that is not installed (Debian: apt-get install zstd)"
        ) from None
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        process.stdout.close()
        process.wait()


class _Unpacker:
    def __init__(self, root: int, user_namespace_base: int, budget: Budget) -> None:
        self._root = root
        self._budget = budget
        self._base = user_namespace_base
        self._opaque = "user.overlay.opaque" if user_namespace_base else "trusted.overlay.opaque"
        self._bytes = 0

    def _owner(self, member: tarfile.TarInfo) -> tuple[int, int]:
        """On the machine."""
        return self._id(member, member.uid), self._id(member, member.gid)

    def _id(self, member: tarfile.TarInfo, number: int) -> int:
        if self._base:
            return self._base + (number if 0 <= number <= NOBODY else NOBODY)
        if not 0 <= number <= MAX_ID:
            raise LayerError(
                f"{member.name[:200]!r} belongs to the id {number}; ids are 0 to {MAX_ID}"
            )
        return number

    def all(self, archive: tarfile.TarFile) -> int:
        root = self._root
        os.fchown(root, self._base, self._base)
        times: list[tuple[str, float]] = []
        try:
            for member in members_of(archive):
                self._budget.add_member(
                    member.size if member.isreg() else 0, member.name + member.linkname
                )
                parts = parts_of(member.name)
                if not parts:
                    continue  # the root itself
                with parent_of(root, parts, (self._base, self._base)) as parent:
                    self._one(archive, member, root, parent, parts[-1])
                if member.isdir():
                    times.append(("/".join(parts), member.mtime))
            for name, mtime in reversed(times):
                with contextlib.suppress(OSError):
                    os.utime(name, (mtime, mtime), dir_fd=root, follow_symlinks=False)
        finally:
            os.close(root)
        return self._bytes

    def _one(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parent: int, name: str
    ) -> None:
        if name == OPAQUE:
            # Of the folder: what lower layers have in it is not seen.
            folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)
            try:
                os.setxattr(folder, self._opaque, b"y")
            finally:
                os.close(folder)
            return
        if name.startswith(WHITEOUT):
            hidden = name.removeprefix(WHITEOUT)
            if hidden in ("", ".", ".."):
                raise LayerError(f"{member.name!r} hides nothing")
            remove_at(parent, hidden)
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
            return
        if member.isdir():
            self._directory(member, parent, name)
            return
        remove_at(parent, name)
        mode = member.mode & 0o7777
        if member.isreg():
            self._file(archive, member, parent, name)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
            os.chown(name, *self._owner(member), dir_fd=parent, follow_symlinks=False)
        elif member.islnk():
            parts = parts_of(member.linkname)
            if not parts:
                raise LayerError(f"{member.name!r} is a link to the root")
            with parent_of(root, parts) as other:
                os.link(parts[-1], name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)
        elif member.isfifo():
            os.mkfifo(name, mode, dir_fd=parent)
            os.chown(name, *self._owner(member), dir_fd=parent, follow_symlinks=False)
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            device = os.makedev(member.devmajor, member.devminor)
            os.mknod(name, kind | mode, device, dir_fd=parent)
            os.chown(name, *self._owner(member), dir_fd=parent, follow_symlinks=False)
        else:
            raise LayerError(f"{member.name!r} is of an unknown kind")

    def _directory(self, member: tarfile.TarInfo, parent: int, name: str) -> None:
        try:
            os.mkdir(name, dir_fd=parent)
        except FileExistsError:
            if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
                os.mkdir(name, dir_fd=parent)
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            _finish(folder, member, self._owner(member))
        finally:
            os.close(folder)

    def _file(
        self, archive: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str
    ) -> None:
        self._bytes += member.size
        source = archive.extractfile(member)
        assert source is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, 0o600, dir_fd=parent), "wb", 0) as target:
            while data := source.read(CHUNK_BYTES):
                target.write(data)
            _finish(target.fileno(), member, self._owner(member))
            os.utime(target.fileno(), (member.mtime, member.mtime))


def _finish(descriptor: int, member: tarfile.TarInfo, owner: tuple[int, int]) -> None:
    """Owner, then mode (a change of owner takes set-uid away), then attributes."""
    os.fchown(descriptor, *owner)
    os.fchmod(descriptor, member.mode & 0o7777)
    for key, value in member.pax_headers.items():
        if key.startswith(XATTR):
            name = key.removeprefix(XATTR)
            if name.startswith(("security.capability", "user.")) and ".overlay." not in name:
                os.setxattr(descriptor, name, value.encode("utf-8", "surrogateescape"))


def config_layers(config: dict[str, Any]) -> list[str]:
    """The digests of an image's unpacked layers, the lowest first. Raises LayerError."""
    found = config.get("rootfs", {}).get("diff_ids", [])
    if not isinstance(found, list) or not all(
        isinstance(d, str) and _DIGEST.fullmatch(d)
        for d in found  # its name is made of it
    ):
        raise LayerError("the image does not say which layers it has")
    return found
