"""The settings of a master by the names of Mesos' flags, which its tools show and look for."""

from __future__ import annotations

from collections.abc import Mapping

from pymesos_core.mesos import flags
from pymesos_core.mesos.flags import Write, seconds

# By the name of Mesos' flag: our setting, and how it is written. What Mesos does not have is
# left out, and secrets are no settings.
NAMES: Mapping[str, tuple[str, Write]] = {
    "agent_ping_timeout": ("agent_ping_timeout_s", seconds),
    "agent_reregister_timeout": ("agent_reregister_timeout_s", seconds),
    "hostname": ("hostname", str),
    "ip": ("ip", str),
    "max_agent_ping_timeouts": ("max_agent_ping_timeouts", str),
    "max_completed_tasks_per_framework": ("max_completed_tasks", str),
    "offer_timeout": ("offer_timeout_s", seconds),
    "port": ("mesos_port", str),
    "work_dir": ("work_dir", str),
    "zk": ("zk", str),
    "zk_session_timeout": ("zk_session_timeout_s", seconds),
}


def flags_of(settings: object) -> Mapping[str, str]:
    """Return what a master is set to, as flags of Mesos."""
    return flags.flags_of(settings, NAMES)
