"""The system calls that containers are refused.

Those that Docker's default profile refuses (moby, `profiles/seccomp`), as a list of what is
refused: loading modules, mounting, other namespaces, clocks, keys, swap, tracing of the kernel.
"""

from __future__ import annotations

import errno
from functools import cache
from typing import Any

REFUSED = (
    "_sysctl", "acct", "add_key", "bpf", "clock_adjtime", "clock_settime", "create_module",
    "delete_module", "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms",
    "get_mempolicy", "init_module", "io_uring_enter", "io_uring_register", "io_uring_setup",
    "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl", "lookup_dcookie", "mbind",
    "mount", "mount_setattr", "move_mount", "move_pages", "nfsservctl", "open_by_handle_at",
    "open_tree", "perf_event_open", "pivot_root", "query_module", "quotactl", "quotactl_fd",
    "reboot", "request_key", "set_mempolicy", "setns", "settimeofday", "stime", "swapoff", "swapon",
    "sysfs", "syslog", "umount", "umount2", "unshare", "uselib", "userfaultfd", "ustat", "vm86",
    "vm86old",
)  # fmt: skip
# Of clone(2): new namespaces, for which a container needs more rights than it has.
NAMESPACE_FLAGS = (
    0x00000080, 0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
MASKED_EQUAL = "SCMP_CMP_MASKED_EQ"


@cache
def profile() -> dict[str, Any]:
    """As `linux.seccomp` of an OCI configuration; nobody changes it."""
    refused: dict[str, Any] = {"action": "SCMP_ACT_ERRNO", "errnoRet": errno.EPERM}
    clones = [
        {
            "names": ["clone"],
            **refused,
            "args": [{"index": 0, "value": flag, "valueTwo": flag, "op": MASKED_EQUAL}],
        }
        for flag in NAMESPACE_FLAGS
    ]
    # Its flags are behind a pointer, so libc is sent back to clone.
    clone3 = {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS}
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": list(REFUSED), **refused}, *clones, clone3],
    }
