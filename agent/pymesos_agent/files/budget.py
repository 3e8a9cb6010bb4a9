"""What unpacking an archive may cost, whatever the archive says of itself."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass

MIB = 1024 * 1024
GIB = 1024 * MIB
MAX_NAME_BYTES = 4096  # PATH_MAX
# Headers of tar that say more of the next member, and are read whole. What a global one says is
# copied for every member after it.
HEADERS = {
    tarfile.XHDTYPE: MIB,
    tarfile.SOLARIS_XHDTYPE: MIB,
    tarfile.GNUTYPE_LONGNAME: MIB,
    tarfile.GNUTYPE_LONGLINK: MIB,
    tarfile.XGLTYPE: 64 * 1024,
}


class TooMuchError(Exception):
    """The archive wants more than it may have: the message says of what."""


@dataclass(frozen=True)
class Limits:
    """The most that one archive gets."""

    members: int = 1_000_000
    size_bytes: int = 16 * GIB  # unpacked
    ratio: int = 200  # unpacked to packed, beyond `free_bytes`
    free_bytes: int = 256 * MIB
    mem_bytes: int = 512 * MIB  # of the process that unpacks it, and of one that decompresses
    cpu_s: int = 1800
    wall_s: float = 3600.0


ARTIFACT = Limits()
LAYER = Limits(members=2_000_000, size_bytes=64 * GIB)


class Budget:
    """What is left of it for one archive of `packed_bytes`."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._most = min(limits.size_bytes, limits.free_bytes + limits.ratio * packed_bytes)
        self._members = 0
        self._size = 0

    def add_member(self, size_bytes: int, name: str = "") -> None:
        """One more, of this size. Raises TooMuchError."""
        self._members += 1
        if self._members > self._limits.members:
            raise TooMuchError(f"has more than {self._limits.members} members")
        if len(name) > MAX_NAME_BYTES:
            raise TooMuchError(f"has a name of more than {MAX_NAME_BYTES} characters: {name[:50]}…")
        self._size += size_bytes
        self.reach(self._size)

    def reach(self, size_bytes: int) -> None:
        """The archive has so many bytes more unpacked, or read. Raises TooMuchError."""
        if size_bytes <= self._most:
            return
        if self._most < self._limits.size_bytes:
            raise TooMuchError(
                f"has more than {self._most} bytes, {self._limits.ratio} times what it is packed"
                f" in: it is made to fill disks"
            )
        raise TooMuchError(f"has more than {self._limits.size_bytes} bytes")


class Header(tarfile.TarInfo):
    """A header of a tar.

    One that cannot be read is an error wherever it is, not the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Header:
        """See tarfile.TarInfo. Raises TooMuchError."""
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            ends = ("empty header", "end of file header")
            if archive.offset == 0 or str(error) in ends:
                raise
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        most = HEADERS.get(self.type)
        if most is not None and self.size > most:
            raise TooMuchError(f"has a header of {self.size} bytes; {most} are the most")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


def members_of(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """One after the other; none is kept."""
    while (member := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]
        if member.size < 0:  # the next one would be before it, and so on for ever
            raise tarfile.ReadError(f"a member of {member.size} bytes at byte {member.offset}")
        yield member
