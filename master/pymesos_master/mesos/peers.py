"""Whose process is at the other end of a connection, where that is on this machine."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from pathlib import Path

Address = tuple[str, int]
ESTABLISHED = "01"
NO_INODE = "0"  # of a socket that no process has any more, whose user is told as root
WORD = 4  # bytes, which the kernel writes as a number of this machine


def user_of(peer: Address, here: Address, proc: Path = Path("/proc/self/net")) -> int | None:
    """Return the uid that has the connection from `peer` to `here`; None: nobody is known to.

    Blocking: it reads of all connections of this machine's network.
    """
    wanted = {
        (_written(as_v6, peer), _written(as_v6, here), ESTABLISHED) for as_v6 in (False, True)
    }
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), (proc / name).open(encoding="ascii") as lines:
            next(lines, None)
            for line in lines:
                fields = line.split()
                if tuple(fields[1:4]) in wanted and fields[9] != NO_INODE:
                    return int(fields[7])
    return None


def _written(as_v6: bool, at: Address) -> str:
    """An address as the kernel writes it; one of IPv4 may be that of a socket of IPv6."""
    ip = ipaddress.ip_address(at[0])
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    data = mapped.packed
    if as_v6 and mapped.version == 4:
        data = ipaddress.ip_address(f"::ffff:{mapped}").packed
    words = (data[begin : begin + WORD] for begin in range(0, len(data), WORD))
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words) + f":{at[1]:04X}"
