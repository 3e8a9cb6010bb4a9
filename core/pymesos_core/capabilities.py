"""What Linux calls the parts of root's power (capabilities(7)), by which containers are held."""

from __future__ import annotations

from pymesos_core.nearest import hint
from pymesos_core.text import quoted

PREFIX = "CAP_"
ALL = "ALL"  # that there are
CAPABILITIES = (
    "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF", "CHECKPOINT_RESTORE",
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "IPC_LOCK", "IPC_OWNER", "KILL",
    "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE", "MKNOD", "NET_ADMIN",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP", "SETGID", "SETPCAP",
    "SETUID", "SYSLOG", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE", "SYS_NICE",
    "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG",
    "WAKE_ALARM",
)  # fmt: skip


def bare_name(capability: str) -> str:
    """Return a capability's name as it is written here: NET_RAW of CAP_NET_RAW."""
    return capability.removeprefix(PREFIX)


def capability_problem(name: str) -> str | None:
    """Return why a name is that of no capability, or None."""
    if (bare := bare_name(name)) in CAPABILITIES or bare == ALL:
        return None
    return f"{quoted(name)} is no capability of Linux; {hint(bare.upper(), CAPABILITIES)}"
