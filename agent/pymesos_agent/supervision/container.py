"""What a supervisor knows of a container. The standard library only."""

from __future__ import annotations

TYPE_CHECKING = False  # as in typing, without its import
if TYPE_CHECKING:
    from typing import Any

    from pymesos_agent.supervision.outputs import Outputs

    Message = dict[str, Any]


class Container:
    """One container: its main process, and whatever that started."""

    def __init__(self, container_id: str, pid: int, watch: Message, outputs: Outputs) -> None:
        self.id = container_id
        self.pid = pid  # of its main process; of its helper, until that has ended
        self.keeper = 0  # the pid of its keeper, if it has one
        self.helper: Message | None = None  # {"pid_file": …, "error_log": …} while there is one
        self.pending_signal = 0  # asked for while it was being started
        self.namespaced = bool(watch.get("namespaced"))  # all of it ends with its first process
        self.outputs = outputs
        self.watch = watch  # {"rss_limit_bytes": …} or {"oom_file": …} or {}, and the like
        self.status: int | None = None  # exit code, or minus the signal; None: unknown
        self.limit: str | None = None  # "memory" when it was killed for going over it
        self.peak_bytes = 0
        self.pids_refused = 0  # how often it wanted more processes than it may have
        self.main_ended = False
        self.doubts = 0  # how often something may have been left of it that nobody knew
        self.gone = False  # every process of it has ended
        self.adopted_fd: int | None = None  # a pidfd, for one that is not our child
        self.error_fd: int | None = None  # the launch pipe, until the program has been executed

    def view(self) -> Message:
        """What an agent is told."""
        state = "exited" if self.gone else "running"
        return {
            "id": self.id,
            "pid": 0 if self.helper else self.pid,
            "state": state,
            "status": self.status,
            "limit": self.limit,
            "peak_bytes": self.peak_bytes,
            "pids_refused": self.pids_refused,
        }
