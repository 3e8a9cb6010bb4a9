"""What an agent and its supervisor say to each other: over a Unix socket, one JSON object per line.

    agent → supervisor                            supervisor → agent
    {"op": "hello", "version": 5, "secret": …}    {"ev": "hello", "version": 5, "containers": […]}
    {"op": "launch", "id": …, "argv": […], …}     {"ev": "started", "id": …, "pid": …}
                                                  {"ev": "failed", "id": …, "error": …}
    {"op": "kill", "id": …, "signal": 15}         {"ev": "exited", "id": …, "status": …, …}
    {"op": "limit", "id": …, "rss_limit_bytes": …}
    {"op": "forget", "id": …}
    {"op": "adopt", "id": …, "pid": …}
    {"op": "shutdown"}

A container that has ended is remembered until the agent says "forget", so that a restarted agent
learns how it ended.

An agent is upgraded while its containers run, so it may be newer than its supervisor, or older.
Both say their version, and the agent keeps to what the lower one has: a key or an `op` that is new
comes with a new version, and what is there never changes its meaning.
Supervisors of earlier versions are kept in tests/integration/data, and spoken to by the tests.

    2: since the first release
    3: "ids" in a launch, instead of "user"
    4: "secret" in a hello; without, only root is answered. "hidden" and "own_uid" in a launch
    5: "limit", and "no_new_privileges" and "has_path_of_agent" in a launch; any signal in a kill,
       where keepers heeded all but SIGTERM
"""

from __future__ import annotations

import socket
import struct

VERSION = 5
MAX_LINE_BYTES = 4 * 1024 * 1024


def peer(connection: socket.socket) -> tuple[int, int]:
    """The pid and the user of who connected, as the kernel saw them do it."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    pid, uid, _ = struct.unpack("3i", credentials)
    return pid, uid
